"""Quantizers of quantizers: what is left over, groups, and how both are resumed and saved."""

import numpy as np
import pytest
import torch

from isthmus import AutoEncoder, saving
from isthmus.bottlenecks import FiniteScalar, Grouped, Linear, Residual, VectorQuantizer
from isthmus.bottlenecks.residual import dealt
from isthmus.guards import seeded
from isthmus.optimizing import FlatAdamW
from isthmus.priors import Autoregressive


def started(part, n=600, width=6):
    with seeded(0):
        features = torch.randn(n, width).double()
        part.build(width=width).double().start(features)
    return part.eval(), features


def error(part, features):
    return float((part.project(features) - part(features).z).square().sum(1).mean().detach())


@pytest.mark.parametrize(
    ("inner", "shared"),
    [(VectorQuantizer(8, size=3), False), (VectorQuantizer(8, size=3), True), (FiniteScalar((5, 4, 3)), False)],
    ids=repr,
)
def test_the_error_falls_with_depth(inner, shared):
    errors = [error(*started(Residual(inner, depth=depth, shared=shared))) for depth in (1, 2, 4)]
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.8 * errors[1]


def test_a_residual_of_grids_is_one_finer_grid():
    part, features = started(Residual(FiniteScalar((5,)), depth=3), width=2)
    h, z = part.project(features).detach(), part(features).z.detach()
    # Steps of 1/2, a fifth and a 25th of it: off by at most half of the last.
    assert float((h - z).abs().max()) <= 0.5 * 0.5 / 25 + 1e-6


def test_each_level_quantizes_what_those_before_it_left():
    part, features = started(Residual(VectorQuantizer(8, size=3), depth=3))
    code = part(features)
    left = part.project(features).detach()
    for level, symbols in zip(part.levels, code.indices.unbind(-1), strict=True):
        assert torch.equal(torch.cdist(left, level.codebook.codes).argmin(1), symbols)
        left = left - level.codebook.codes[symbols]
    torch.testing.assert_close(part.dequantize(code.indices), code.z)


def test_the_gradient_passes_once_not_once_a_level():
    part, features = started(Residual(VectorQuantizer(8, size=3, commitment=0.0), depth=3))
    h = part.project(features).detach().requires_grad_()
    part.pass_through(h, part.assign(h)[0]).sum().backward()
    assert torch.equal(h.grad, torch.ones_like(h))


@pytest.mark.parametrize("learned", [False, True])
def test_vectors_are_pulled_to_the_sum_and_codes_to_what_is_left_for_them(learned):
    part, features = started(Residual(VectorQuantizer(8, size=3, commitment=2.0, learned=learned), depth=3))
    h = part.train().project(features).detach().requires_grad_()
    total, symbols, nats = part.assign(h)
    nats.sum().backward()
    torch.testing.assert_close(h.grad, 2.0 * (h - total).detach())
    left = h.detach()
    for level, chosen in zip(part.levels, symbols.unbind(-1), strict=True):
        codes = level.codebook.codes
        if learned:
            sums = torch.zeros_like(codes).index_add_(0, chosen, codes[chosen] - left).detach()
            torch.testing.assert_close(codes.grad, sums)
        left = left - codes[chosen].detach()


def curvatures(part, features, bends):
    """What each quantizer within measures where the cost bends so much along each number of the code."""
    code = part.train()(features)
    moved = code.z - part.dequantize(code.indices)
    (0.5 * (bends * moved.square()).sum(1)).mean().backward()
    for module in part.modules():
        if hasattr(module, "after_step"):
            module.after_step(0.1)
    return [float(one.pull.exchange) for one in part.modules() if hasattr(one, "pull")]


def test_all_levels_measure_the_one_curvature_by_noise_as_small_as_the_last_error():
    part, features = started(Residual(VectorQuantizer(8, size=3), depth=3))
    last = error(part, features)
    code = part.train()(features)
    assert float((code.z.detach() - part.dequantize(code.indices)).square().sum(1).mean()) < 0.02 * last
    assert curvatures(part, features, torch.tensor(5.0)) == pytest.approx([5.0] * 3)


def test_each_group_measures_the_curvature_along_its_own_numbers():
    part, features = started(Grouped(VectorQuantizer(8, size=2), groups=2))
    assert curvatures(part, features, torch.tensor([3.0, 3, 0.5, 0.5])) == pytest.approx([3.0, 0.5])


def test_groups_of_grids_have_nothing_to_measure_and_their_codes_stay_in_place():
    part, features = started(Grouped(FiniteScalar((5, 4)), groups=2))
    code = part.train()(features)
    assert torch.equal(code.z.detach(), part.dequantize(code.indices))


def test_groups_are_quantized_by_themselves():
    part, features = started(Grouped(VectorQuantizer(8, size=2), groups=3))
    code = part(features)
    for number, (one, own) in enumerate(zip(part.parts, code.z.chunk(3, -1), strict=True)):
        indices = torch.cdist(one.project(features), one.codebook.codes).argmin(1)
        assert torch.equal(indices, code.indices[:, number])
        torch.testing.assert_close(one.codebook.codes[indices], own)


def test_components_are_dealt_so_that_products_of_variances_are_alike():
    scales = torch.tensor([16.0, 8, 4, 2, 1, 0.5])
    hands = dealt(scales, 2)
    assert sorted(hands[0] + hands[1]) == list(range(6))
    products = [float(scales[hand].prod()) for hand in hands]
    assert max(products) / min(products) <= 2


def test_groups_tell_more_of_a_vector_than_one_code_of_the_same_symbols():
    X = np.random.default_rng(0).normal(size=(300, 6))

    def fitted(part):
        model = AutoEncoder(bottleneck=part, max_epochs=1, learning_rate=1e-12, ema=0.0, random_state=0, threads=1)
        return model.fit(X).history_[0]["validation_error"]

    assert fitted(Grouped(VectorQuantizer(16, size=2), groups=3)) < 0.6 * fitted(VectorQuantizer(16))


def rows():
    return np.random.default_rng(0).normal(size=(120, 5))


def model(**params):
    part = Grouped(Residual(VectorQuantizer(8, size=2, restart=0.3), depth=2), groups=2, prior=Autoregressive(8, 1, 2))
    settings = {"bottleneck": part, "max_epochs": 4, "batch_size": 32, "threads": 1, "random_state": 0} | params
    return AutoEncoder(**settings)


def state(fitted):
    return {name: value.clone() for name, value in fitted.module_.state_dict().items()}


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.slow
@pytest.mark.parametrize("left", [2, 6, 13])
def test_a_fit_killed_and_resumed_equals_the_uninterrupted_one(left, tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.training.BLOCK_BYTES", 1)  # a block is one step
    expected = state(model().fit(rows()))
    original = FlatAdamW.step

    def step(self, learning_rate):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        original(self, learning_rate)

    file = tmp_path / "fit.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(FlatAdamW, "step", step)
        with pytest.raises(Killed):
            model(checkpoint=file, checkpoint_seconds=0).fit(rows())
    resumed = state(model(checkpoint=file, checkpoint_seconds=0, resume=True).fit(rows()))
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_symbols_and_samples_survive_saving(tmp_path):
    fitted = model(max_epochs=1).fit(rows())
    saving.save(fitted, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    before, after = fitted.module_.bottleneck, again.module_.bottleneck
    assert torch.equal(before.frequencies(), after.frequencies())
    np.testing.assert_array_equal(fitted.transform(rows()), again.transform(rows()))
    np.testing.assert_array_equal(fitted.sample(5, random_state=0), again.sample(5, random_state=0))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Residual(depth=0), "depth must be a whole number from 1"),
        (Grouped(groups=0), "groups must be a whole number from 1"),
        (Residual(Linear(3)), "quantizer of Residual must be a discrete code"),
        (Grouped(VectorQuantizer(8, prior=Autoregressive())), "give it to the outer one"),
        (Residual(VectorQuantizer(8, cosine=True)), "leave cosine=True out"),
        (Residual(FiniteScalar(), shared=True), "has no codebook"),
        (Residual(Grouped(VectorQuantizer(8, size=3), groups=2), depth=2), None),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused(part, message):
    if message is None:
        assert part.build(width=4)(torch.randn(3, 4)).indices.shape == (3, 4)
        return
    with pytest.raises(ValueError, match=message):
        part.build(width=4)
