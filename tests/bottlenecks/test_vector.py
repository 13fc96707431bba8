"""The vector-quantised code: gradients, codebook, restarts, options."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning

from isthmus import AutoEncoder
from isthmus.bottlenecks import VectorQuantizer
from isthmus.bottlenecks.codebook import LAPLACE, NUDGE
from isthmus.bottlenecks.vector import jittered, rotated
from isthmus.guards import seeded


def built(width=5, n=400, **params):
    """A started quantizer in float64, and the features it was started on."""
    with seeded(0):
        features = torch.randn(n, width).double() * torch.tensor([3.0, 2, 1, 1, 1]).double()
        part = VectorQuantizer(**{"symbols": 16, "size": 3} | params).build(width=width).double()
        part.start(features)
    return part, features


def after_step(part, progress=0.1):
    for module in part.modules():
        if hasattr(module, "after_step"):
            module.after_step(progress)


@pytest.mark.parametrize("learned", [False, True])
def test_gradients_are_those_of_finite_differences_of_the_straight_through_surrogate(learned):
    """z = h + sg(code - h), the commitment with codes held, the codebook's loss with vectors held."""
    part, features = built(learned=learned, commitment=0.7)
    features = features[:6].clone().requires_grad_()
    target = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).double()
    part.train()
    code = part(features)
    ((code.z - target).square().sum() + code.penalty.sum()).backward()
    h0, c0, z0 = part.project(features).detach(), part.dequantize(code.indices), code.z.detach()

    def surrogate(x, codes):
        h, own = part.project(x), F.embedding(code.indices[:, 0], codes)
        z = h + (z0 - h0)
        nats = 0.5 * 0.7 * (h - c0).square().sum() + learned * 0.5 * (h0 - own).square().sum()
        return (z - target).square().sum() + nats

    step = 1e-6
    with torch.no_grad():
        for tensor, gradient in [(features, features.grad)] + [
            (part.codebook.codes, part.codebook.codes.grad)
        ] * learned:
            for index in [(0, 0), (3, 2), (int(code.indices[0, 0]) if tensor is not features else 5, 1)]:
                sides = []
                for sign in (1, -1):
                    moved = tensor.detach().clone()
                    moved[index] += sign * step
                    both = (moved, part.codebook.codes) if tensor is features else (features, moved)
                    sides.append(float(surrogate(*both)))
                assert float(gradient[index]) == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("learned", [False, True])
def test_the_commitment_is_a_multiple_of_the_curvature_of_what_follows(learned):
    """The cost a/2 ||z - c||^2 has curvature a, at whatever scale the code is."""
    part, features = built(commitment=0.5, learned=learned)
    part.train()
    for curvature in (7.0, 7.0, 0.02):
        part.pull.steps.zero_()
        code = part(features)
        at_rest = part.dequantize(code.indices)
        (0.5 * curvature * (code.z - at_rest).square().sum(1)).mean().backward()
        after_step(part)
        assert float(part.pull.exchange) == pytest.approx(curvature)
    error = (part.project(features) - part.dequantize(part.quantize(part.project(features)))).square().sum(1)
    nats = 0.5 * 0.02 * (0.5 + learned) * error
    torch.testing.assert_close(part(features).penalty, nats)


def test_noise_that_measures_the_curvature_is_small_and_of_training_alone():
    part, features = built()
    code = part.train()(features)
    own = part.dequantize(code.indices)
    moved, error = (code.z - own).square().mean(), (part.project(features) - own).square().mean()
    assert float((moved / error).detach()) == pytest.approx(NUDGE**2, rel=0.1)
    assert torch.equal(part.eval()(features).z, own)
    assert torch.equal(built(commitment=0.0)[0].train()(features).z, own), "nothing is pulled, nothing measured"


def test_where_the_cost_bends_down_nothing_is_pulled():
    part, features = built()
    code = part.train()(features)
    (-(code.z - part.dequantize(code.indices)).square().sum(1)).mean().backward()
    after_step(part)
    assert float(part.pull.exchange) == 0.0


def test_the_codebook_follows_the_averages_of_the_paper():
    part, features = built(restart=0.0, decay=0.9)
    book = part.codebook
    counts, sums = book.counts.numpy().copy(), book.sums.numpy().copy()
    for step, begin in enumerate((0, 100, 200), 1):
        batch = features[begin : begin + 100]
        part.train()
        before = book.codes.clone()
        indices = part(batch).indices[:, 0].numpy()
        assert torch.equal(book.codes, before), "forward moved the codebook"
        after_step(part)
        h = part.project(batch).detach().numpy()
        hot = np.eye(16)[indices]
        decay = min(0.9, step / (9 + step))
        counts = decay * counts + (1 - decay) * hot.sum(0) * 16 / 100
        sums = decay * sums + (1 - decay) * hot.T @ h * 16 / 100
        expected = sums / ((counts + LAPLACE) / (counts.sum() + 16 * LAPLACE) * counts.sum())[:, None]
        np.testing.assert_allclose(book.codes.numpy(), expected, rtol=1e-6)


def test_the_codebook_is_at_rest_in_evaluation():
    part, features = built()
    before = {name: value.clone() for name, value in part.state_dict().items()}
    part.eval()(features)
    after_step(part)
    assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())


def test_a_start_at_k_means_is_better_than_one_at_vectors_of_the_sample():
    part, features = built()
    h = part.project(features).detach()
    error = (h - part.dequantize(part.quantize(h))).square().sum(1).mean()
    chosen = h[torch.randperm(len(h), generator=torch.Generator().manual_seed(0))[:16]]
    assert float(error) < 0.9 * float(torch.cdist(h, chosen).square().min(1).values.mean())


def test_fewer_distinct_vectors_than_symbols_have_a_code_each():
    part = VectorQuantizer(8, size=2).build(width=2).double()
    features = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]]).double()
    with seeded(0):
        part.start(features)
    torch.testing.assert_close(part.eval()(features).z, part.project(features))


def test_dead_codes_come_back_and_stay():
    part, features = built(restart=0.05)
    with torch.no_grad():
        part.codebook.codes[4:] = 1e3  # far from all vectors
        part.codebook.sums[4:] = 1e3
        part.codebook.counts[4:] = 0.0
    part.train()
    used = []
    with seeded(0):
        for _ in range(60):
            used.append(len(part(features).indices.unique()))
            after_step(part)
    assert used[0] <= 4
    assert min(used[30:]) == 16, "with their old sums, codes would go back where they were"


def test_without_restarts_dead_codes_stay_dead():
    part, features = built(restart=0.0)
    with torch.no_grad():
        part.codebook.codes[4:] = 1e3
        part.codebook.sums[4:] = 1e3
    part.train()
    for _ in range(8):
        found = part(features).indices
        after_step(part)
    assert len(found.unique()) <= 4


@pytest.mark.parametrize("learned", [False, True])
def test_cosine_codes_have_length_one_and_the_smallest_angle(learned):
    part, features = built(cosine=True, learned=learned)
    part.train()
    code = part(features)
    (code.z[:, 0].mean() + code.penalty.mean()).backward()
    after_step(part)
    code = part.eval()(features)
    torch.testing.assert_close(code.z.norm(dim=1), torch.ones(len(features)).double())
    every = part.dequantize(torch.arange(16)[:, None])
    cosines = F.normalize(part.project(features), dim=1) @ every.T
    assert torch.equal(cosines.argmax(1), code.indices[:, 0])


def test_the_rotated_gradient_is_the_papers_and_the_value_is_the_code():
    """Fifty et al., section 4.2: the gradient at h is the scaled transpose of the rotation of h to the code."""
    generator = torch.Generator().manual_seed(0)
    h, code, gradient = (torch.randn(4, 3, generator=generator).double() for _ in range(3))
    h.requires_grad_()
    z = rotated(h, code)
    assert torch.equal(z, code)
    z.backward(gradient)
    for row in range(4):
        vector, own = h[row].detach(), code[row]
        u, v = vector / vector.norm(), own / own.norm()
        r = (u + v) / (u + v).norm()
        rotation = torch.eye(3) - 2 * torch.outer(r, r) + 2 * torch.outer(v, u)
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3).double())
        turn = own.norm() / vector.norm() * rotation
        torch.testing.assert_close(turn @ vector, own)
        torch.testing.assert_close(h.grad[row], turn.T @ gradient[row])


@pytest.mark.parametrize("positions", [(20,), (4, 5)])
def test_jitter_takes_the_code_of_a_neighbour_that_often(positions):
    grid = torch.cartesian_prod(*(torch.arange(length) for length in positions)).view(*positions, len(positions))
    z = grid.double().expand(500, *positions, len(positions))
    with seeded(0):
        moved = jittered(z, 0.3)
    distance = (moved - z).abs().sum(-1)
    assert distance.unique().tolist() == [0, 1]
    inner = distance[(slice(None), *[slice(1, -1)] * len(positions))]
    assert float(inner.mean()) == pytest.approx(0.3, abs=0.02)


def test_jitter_is_of_training_alone_and_leaves_the_symbols():
    part = VectorQuantizer(16, size=3, jitter=0.9).build(width=5)
    features = torch.randn(4, 30, 5)
    with seeded(0):
        code = part.train()(features)
    assert not torch.equal(code.z, part.dequantize(code.indices))
    code = part.eval()(features)
    assert torch.equal(code.z, part.dequantize(code.indices))


def test_distances_are_in_float32_under_autocast():
    """In bfloat16 these two codes are one."""
    part = VectorQuantizer(2, size=1).build(width=1)
    with torch.no_grad():
        part.linear.weight.fill_(1)
        part.linear.bias.zero_()
        part.codebook.codes.copy_(torch.tensor([[1.0], [1.001]]))
    h = torch.tensor([[1.0]])
    with torch.autocast("cpu", torch.bfloat16):
        code = part.eval()(h)
    assert code.z.dtype == torch.float32
    assert part.quantize(torch.tensor([[1.0009]])).tolist() == [[1]]
    assert code.indices.tolist() == [[0]]


def test_frequencies_count_the_symbols_of_training_in_whole_numbers():
    part, features = built()
    part.train()
    expected = torch.zeros(16, dtype=torch.int64)
    for _ in range(3):
        expected += part(features).indices[:, 0].bincount(minlength=16)
        after_step(part)
    assert part.frequencies().dtype == torch.int64
    assert torch.equal(part.frequencies()[0], expected)
    shares = expected.double() / expected.sum()
    assert part.perplexity == pytest.approx(float(torch.special.entr(shares).sum().exp()))
    assert part.share_used == 1.0


def test_samples_without_a_prior_have_the_symbols_frequencies():
    part, _ = built(symbols=3)
    part.uses.counts.copy_(torch.tensor([[5, 0, 15]]))
    with seeded(0):
        z = part.sample(4000, (2,))
    found = part.quantize(z).flatten().bincount(minlength=3) / 8000
    torch.testing.assert_close(found, torch.tensor([0.25, 0.0, 0.75]), atol=0.02, rtol=0)


def test_a_collapsed_code_is_warned_of_with_a_cure():
    part, _ = built(symbols=64)
    part.uses.counts[0, 0] = 10_000
    part.uses.see(torch.zeros(5, 1, dtype=torch.int64))
    with pytest.warns(ConvergenceWarning, match=r"collapsed: 2 % of its 64 symbols.*restart above 0"):
        part.uses.after_step(0.6)
    part.uses.see(torch.zeros(5, 1, dtype=torch.int64))
    part.uses.after_step(0.7)  # said once


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"symbols": 1}, "symbols must be a whole number from 2"),
        ({"size": 0}, "size one from 1"),
        ({"decay": 1.0}, "decay must be at least 0 and below 1"),
        ({"restart": -0.1}, "restart must be"),
        ({"jitter": 1.0}, "jitter must be"),
        ({"commitment": -1.0}, "commitment must be"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(**params).build(width=4)


def test_training_lowers_the_error_below_the_start_at_k_means():
    random = np.random.default_rng(0)
    X = np.tanh(random.normal(size=(400, 2)) @ random.normal(size=(2, 6)) * 2)
    model = AutoEncoder(
        bottleneck=VectorQuantizer(32, size=2), max_epochs=20, batch_size=64, random_state=0, threads=1
    ).fit(X)
    errors = [row["validation_error"] for row in model.history_ if "validation_error" in row]
    assert min(errors) < 0.9 * errors[0]
    assert model.module_.bottleneck.share_used > 0.9
