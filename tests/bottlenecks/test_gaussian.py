"""The Gaussian code: its divergence, its samples, free bits, beta."""

import math
import signal

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from isthmus import AutoEncoder
from isthmus.bottlenecks import Gaussian
from isthmus.priors import Mixture
from isthmus.priors import Normal as NormalPrior


def fixed(mean, log_variance, **params):
    """A bottleneck whose posterior is the same for every example."""
    part = Gaussian(len(mean), **params).build(width=2).double()
    with torch.no_grad():
        part.linear.weight.zero_()
        part.log_variance.weight.zero_()
        part.linear.bias.copy_(torch.tensor(mean))
        part.log_variance.bias.copy_(torch.tensor(log_variance))
    return part


def test_kl_is_zero_when_posterior_is_prior():
    code = fixed([0.0, 0.0], [0.0, 0.0])(torch.randn(5, 2).double())
    assert code.penalty.tolist() == [0] * 5


@pytest.mark.parametrize(("mean", "log_variance"), [([0.7, -1.3], [0.4, -2.0]), ([3.0, 0.0], [-9.0, 2.0])])
def test_kl_is_that_of_torch_distributions(mean, log_variance):
    code = fixed(mean, log_variance)(torch.zeros(3, 2).double())
    posterior = Normal(torch.tensor(mean).double(), (0.5 * torch.tensor(log_variance).double()).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(code.penalty, expected.expand(3))


def test_kl_is_the_mean_log_ratio_over_drawn_codes():
    torch.manual_seed(0)
    part = fixed([0.7, -0.4], [0.4, -1.0]).train()
    code = part(torch.zeros(200_000, 2).double())
    posterior = Normal(torch.tensor([0.7, -0.4]).double(), torch.tensor([0.4, -1.0]).double().mul(0.5).exp())
    ratio = (posterior.log_prob(code.z) - Normal(0.0, 1.0).log_prob(code.z)).sum(1)
    ratio = ratio.detach()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert abs(float(ratio.mean()) - code.penalty[0].item()) < 4 * error


def test_drawn_codes_have_the_posterior_s_moments_and_evaluation_gives_its_mean():
    torch.manual_seed(0)
    part = fixed([0.7, -0.4], [0.4, -1.0])
    z = part.train()(torch.zeros(100_000, 2).double()).z
    torch.testing.assert_close(z.mean(0), torch.tensor([0.7, -0.4]).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), torch.tensor([0.4, -1.0]).double().exp(), rtol=0.02, atol=0)
    assert torch.equal(part.eval()(torch.zeros(3, 2).double()).z, torch.tensor([[0.7, -0.4]]).double().expand(3, 2))


def test_samples_have_the_prior_s_moments_and_the_positions_asked_for():
    torch.manual_seed(0)
    z = Gaussian(3).build(width=2).sample(20_000, (2,))
    assert z.shape == (20_000, 2, 3)
    torch.testing.assert_close(z.mean((0, 1)), torch.zeros(3), atol=0.03, rtol=0)
    torch.testing.assert_close(z.var((0, 1)), torch.ones(3), atol=0.03, rtol=0)


def test_beta_multiplies_the_divergence_alone():
    features = torch.randn(4, 2).double()
    plain, heavy = (fixed([1.0, 2.0], [0.3, 0.1], beta=beta).eval()(features) for beta in (1.0, 4.0))
    torch.testing.assert_close(heavy.penalty, 4 * plain.penalty)
    assert torch.equal(plain.z, heavy.z)
    assert fixed([1.0, 2.0], [0.3, 0.1], beta=0.0)(features).penalty.tolist() == [0] * 4


def test_free_bits_raise_each_dimension_to_the_floor():
    # KL of the dimensions: 0.005 and 2.
    part = fixed([0.1, 2.0], [0.0, 0.0], free_bits=0.5).train()
    penalty = part(torch.zeros(3, 2).double()).penalty
    torch.testing.assert_close(penalty, torch.full((3,), 0.5 + 2.0).double())


def test_dimensions_under_the_floor_get_no_gradient():
    part = fixed([0.1, 2.0], [0.0, 0.0], free_bits=0.5).train()
    part(torch.zeros(3, 2).double()).penalty.mean().backward()
    torch.testing.assert_close(part.linear.bias.grad, torch.tensor([0.0, 2.0]).double())
    assert part.log_variance.bias.grad[0] == 0


def test_the_floor_is_on_the_mean_over_the_batch_not_on_each_example():
    part = Gaussian(1, free_bits=0.5).build(width=1).double().train()
    with torch.no_grad():
        part.linear.weight.fill_(1)
        part.linear.bias.zero_()
        part.log_variance.weight.zero_()
        part.log_variance.bias.zero_()
    # KLs of the examples are 0 and 2: their mean of 1 is above the floor.
    penalty = part(torch.tensor([[0.0], [2.0]]).double()).penalty
    torch.testing.assert_close(penalty, torch.tensor([0.0, 2.0]).double())


def test_free_bits_are_no_cost_of_evaluation():
    part = fixed([0.1, 2.0], [0.0, 0.0], free_bits=0.5).eval()
    torch.testing.assert_close(part(torch.zeros(1, 2).double()).penalty, torch.tensor([2.005]).double())


def test_positions_add_up():
    part = Gaussian(2).build(width=3).eval()
    features = torch.randn(4, 2, 5, 3)
    code = part(features)
    assert code.z.shape == (4, 2, 5, 2)
    flat = part(features.view(-1, 3)).penalty.view(4, 10).sum(1)
    torch.testing.assert_close(code.penalty, flat)


@pytest.mark.parametrize(("log_variance", "direction"), [(-40.0, -1), (40.0, 1)])
def test_a_posterior_out_of_bounds_stays_finite_and_is_pulled_back(log_variance, direction):
    part = fixed([0.0], [log_variance]).float().train()
    code = part(torch.zeros(5, 2))
    assert code.z.isfinite().all()
    assert code.penalty.isfinite().all()
    code.penalty.mean().backward()
    assert float(part.log_variance.bias.grad) * direction > 0


def test_training_starts_at_the_principal_components_with_a_narrow_posterior():
    torch.manual_seed(0)
    features = torch.randn(500, 6).double() * torch.tensor([5.0, 3, 2, 1, 1, 1]).double()
    part = Gaussian(3).build(width=6).double()
    part.start(features)
    z = part.eval()(features).z
    torch.testing.assert_close(z.T.cov(), torch.eye(3).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(part.log_variance(features), torch.full((500, 3), -2.0).double())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 0}, "size must be a whole number"),
        ({"beta": -1.0}, "beta and free_bits must be at least 0, got -1.0"),
        ({"free_bits": -0.1}, "beta and free_bits must be at least 0"),
        ({"warm_up": 1.5}, "warm_up is a share of the training, within 0 and 1, got 1.5"),
    ],
)
def test_values_out_of_range_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(**params).build(width=2)


def test_beta_rises_over_its_share_of_the_training_and_is_whole_in_evaluation():
    features = torch.randn(4, 2).double()
    part, whole = (fixed([1.0, 2.0], [0.3, 0.1], beta=4.0, warm_up=share) for share in (0.5, 0.0))
    wanted = whole.train()(features).penalty
    for progress, share in ((None, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)):
        if progress is not None:
            part.after_step(progress)
        torch.testing.assert_close(part.train()(features).penalty, share * wanted)
        torch.testing.assert_close(part.eval()(features).penalty, wanted)


def test_a_fit_that_goes_on_from_a_checkpoint_knows_how_far_beta_has_risen(tmp_path):
    X = np.random.default_rng(0).normal(size=(64, 4))
    settings = {"bottleneck": Gaussian(2, warm_up=0.8), "max_epochs": 4, "threads": 1, "random_state": 0}

    def stop(row):
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    whole = AutoEncoder(**settings).fit(X)
    halves = AutoEncoder(checkpoint=tmp_path / "fit", resume=True, **settings)
    with pytest.raises(KeyboardInterrupt):
        halves.set_params(callback=stop).fit(X)
    halves.set_params(callback=None).fit(X)
    np.testing.assert_array_equal(whole.transform(X), halves.transform(X))


def test_under_autocast_the_divergence_is_that_of_full_precision():
    features = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    for prior in (None, Mixture(3)):
        part = Gaussian(3, prior=prior).build(width=6).eval()
        with torch.autocast("cpu", torch.bfloat16):
            code = part(features)
        assert code.z.dtype == code.penalty.dtype == torch.float32
        torch.testing.assert_close(code.penalty, part(features.float()).penalty)


def test_the_prior_starts_from_drawn_codes():
    torch.manual_seed(0)
    features = torch.randn(4_000, 3).double()
    part = Gaussian(3, prior=NormalPrior(learned=True)).build(width=3).double()
    part.start(features)
    # Components of unit variance, and the posterior's exp(-2) on top.
    wanted = torch.full((3,), 1 + math.exp(-2)).double()
    torch.testing.assert_close((2 * part.prior.log_scale).exp(), wanted, rtol=0.1, atol=0)
