"""The entropy bottleneck: exact densities, gains between levels, gradients past rounding."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.base import clone

from isthmus.bottlenecks import EntropyBottleneck, Linear
from isthmus.losses import SquaredError
from isthmus.modalities import Images
from isthmus.module import AutoEncoderModule
from isthmus.networks import LappedDecoder, LappedEncoder
from isthmus.rows import as_rows

RATES = (0.002, 0.01, 0.05, 0.2)


def built(width=5, **params):
    """Return a bottleneck with weights off their start, in evaluation mode."""
    torch.manual_seed(0)
    part = EntropyBottleneck(**{"trade_offs": RATES} | params).build(width=width).double().eval()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        part.log_spread.sub_(1.0)
    return part


def probabilities(part, numbers, gain):
    """Restate the mass within half a step of whole numbers ``(n, c)``, in numpy."""
    center, spread, logits = (one.detach().numpy() for one in (part.center, part.log_spread.exp(), part.logits))
    weights = softmax(logits, axis=0)
    upper, lower = ((numbers + half) / gain - center for half in (0.5, -0.5))
    return sum(w * (expit(upper / b) - expit(lower / b)) for w, b in zip(weights, spread, strict=True))


@pytest.mark.parametrize("quality", [0.0, 1.3, 3.0])
def test_the_density_of_each_channel_sums_to_one_over_the_whole_numbers(quality):
    numbers = torch.arange(-4_000, 4_001)[None, :, None].expand(1, -1, 5)
    mass = (-built().nats(numbers, quality)).exp().sum(1)
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=0, atol=1e-6)


def test_the_rate_in_evaluation_is_that_of_the_mass_of_what_is_written():
    part, features = built(), torch.randn(3, 4, 2, 5).double()
    code = part(features)
    numbers = part.quantize(features)
    assert torch.equal(code.indices, numbers)
    gain = part.log_gain[1].exp().detach().numpy()
    wanted = -np.log(probabilities(part, numbers.numpy(), gain)).sum((1, 2, 3))
    balance = math.exp(0.5 * (np.log(RATES).mean() - math.log(RATES[1])))
    np.testing.assert_allclose(code.penalty.detach().numpy(), balance * wanted, rtol=1e-6)
    np.testing.assert_allclose(part.nats(numbers).sum((1, 2, 3)).detach().numpy(), wanted, rtol=1e-6)


def test_the_rate_is_finite_and_has_a_slope_far_out_in_both_tails():
    part = built()
    features = torch.tensor([-1e4, 1e4]).double()[:, None].expand(2, 5).clone().requires_grad_()
    part(features).penalty.sum().backward()
    assert bool(features.grad.isfinite().all())
    assert (features.grad.sign() == features.sign()).all()


def test_one_trade_off_weighs_distortion_by_itself_and_rate_once():
    part, features = built(trade_offs=(0.01,), told=False), torch.randn(2, 3, 5).double()
    code = part(features)
    assert code.z.shape == (2, 3, 5)
    torch.testing.assert_close(code.weight, torch.full((2,), 0.01).double(), check_dtype=False)
    torch.testing.assert_close(code.penalty, part.nats(code.indices).sum((1, 2)))


def test_gains_are_interpolated_exponentially():
    part = built()
    part.log_gain.data.add_(5.0)  # many numbers, so that rounding hardly shows
    features = torch.full((1, 1, 5), 1.0).double()
    low, middle, high = (part.quantize(features, quality).double() for quality in (1, 1.5, 2))
    torch.testing.assert_close(middle, (low * high).sqrt(), rtol=0.02, atol=1)
    assert part.trade_off(1.5) == pytest.approx(math.sqrt(RATES[1] * RATES[2]))


@pytest.mark.parametrize("quality", [0, 0.7, 3, None])
def test_what_is_read_is_the_same_whatever_stands_beside_it(quality):
    part, features = built().float(), torch.randn(6, 3, 3, 5)
    indices = part.quantize(features, quality)
    assert indices.dtype == torch.int64
    z = part.dequantize(indices, quality)
    for i in range(6):
        assert torch.equal(part.quantize(features[i : i + 1], quality), indices[i : i + 1])
        assert torch.equal(part.dequantize(indices[i : i + 1], quality), z[i : i + 1])
    if quality is None:
        assert torch.equal(part(features).z, z)


def test_what_is_read_lies_within_half_a_step_and_tells_the_step():
    part, features = EntropyBottleneck(RATES).build(width=5), torch.randn(4, 2, 5)
    steps = []
    for quality in range(4):
        z = part.dequantize(part.quantize(features, quality), quality)
        step = (-part.log_gain[quality]).exp()
        assert ((z[..., :5] - features).abs() <= 0.5001 * step).all()
        steps.append(z[0, 0, 5].item())
    np.testing.assert_allclose(steps, 0.5 * (math.log(RATES[1]) - np.log(RATES)), atol=1e-6)


def test_the_decoders_gradient_passes_rounding():
    part = built().train()
    features = torch.randn(4, 3, 5).double().requires_grad_()
    code = part(features)
    code.z[..., :5].sum().backward()
    torch.testing.assert_close(features.grad, part.log_stretch.exp()[_levels(part, code)][:, None].expand(4, 3, 5))


def _levels(part, code):
    """Return the level of each example, from its weight."""
    t = torch.tensor(RATES).double()
    weights = (t * t.log().mean().exp()).sqrt()
    return (code.weight[:, None] - weights).abs().argmin(1)


def test_a_batch_is_coded_at_all_levels_alike():
    part = built().train()
    levels = _levels(part, part(torch.randn(8, 5).double()))
    assert sorted(levels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(_levels(part, part.eval().draw(torch.randn(4, 5).double())).tolist()) == [0, 1, 2, 3]


def test_the_noisy_rate_is_on_average_that_of_a_density_smoothed_by_one_step():
    part = built(trade_offs=(0.05,)).train()
    features = 0.3 * torch.randn(1, 5).double()
    noisy = part(features.expand(20_000, 5)).penalty.mean().detach()
    gain = part.log_gain[0].exp().detach().numpy()
    shifts = (np.arange(400) + 0.5) / 400 - 0.5
    exact = np.mean([-np.log(probabilities(part, features.numpy() * gain + u, gain)).sum() for u in shifts])
    assert float(noisy) == pytest.approx(exact, rel=0.01)


def test_once_settled_encoder_and_steps_stay_and_the_rest_learns():
    part = built().train()
    part.after_step(0.9)
    features = torch.randn(4, 3, 5).double().requires_grad_()
    code = part(features)
    (code.z.square().sum() + code.penalty.sum()).backward()
    assert features.grad is None
    assert part.log_gain.grad is None
    for parameter in (part.log_stretch, part.center, part.log_spread, part.logits):
        assert bool((parameter.grad != 0).any())
    part.after_step(0.5)
    part(features).penalty.sum().backward()
    assert features.grad is not None


def test_the_cost_weighs_the_reconstruction_by_the_codes_weight():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    modality = Images().fit(as_rows(pixels))
    options = {"size": 4, "stride": 4}
    parts = [LappedEncoder(4, **options), EntropyBottleneck(RATES), LappedDecoder(**options, told=True), SquaredError()]
    module = AutoEncoderModule(modality, *parts).eval()
    step = module(modality.to_batch(as_rows(pixels)))
    nats = module.loss(step.output, step.target)
    torch.testing.assert_close(module.cost(step), step.code.weight * nats + step.code.penalty)
    plain = AutoEncoderModule(modality, clone(parts[0]), Linear(4), LappedDecoder(**options), SquaredError()).eval()
    step = plain(modality.to_batch(as_rows(pixels)))
    torch.testing.assert_close(plain.cost(step), plain.loss(step.output, step.target))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"trade_offs": ()}, "trade_offs must ascend"),
        ({"trade_offs": (0.1, 0.1)}, "trade_offs must ascend"),
        ({"trade_offs": (0.0, 0.1)}, "trade_offs must ascend"),
        ({"mixture": 1}, "mixture must be 2 to 16"),
        ({"settle": 1.5}, "settle is a share"),
    ],
)
def test_what_makes_no_codec_is_refused(params, says):
    with pytest.raises(ValueError, match=says):
        EntropyBottleneck(**params).build(width=3)


def test_a_quality_that_is_none_is_refused():
    with pytest.raises(ValueError, match="quality must be from 0 to 3, got 3.5"):
        built().quantize(torch.randn(1, 5).double(), 3.5)
