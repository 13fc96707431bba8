"""The critic of outputs: what it is shown, and who learns from what."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.networks import MLPDecoder
from isthmus.penalties import Discriminator


def line(penalty, shape, bottleneck=None, loss=None, mask=None, n=4):
    """Return the penalty watching built neighbours, and a step of these."""
    torch.manual_seed(0)
    bottleneck = (bottleneck or Linear(2)).build(width=3)
    loss = (loss or GaussianLikelihood()).build(shape=shape)
    decoder = MLPDecoder((8,)).build(code=[2], shape=shape)
    torch.nn.init.normal_(decoder.head.weight)
    penalty.build(shape=shape, code=[2])
    penalty.watch(bottleneck, decoder, loss)
    features = torch.randn(n, 3)
    code = Code(bottleneck(features).z, torch.zeros(n))
    target = Batch(torch.rand(n, *shape), mask)
    return penalty, Step(target, target, features, code, decoder(code.z)), decoder


@pytest.mark.parametrize("shape", [[6], [9, 2], [8, 7, 3]])
def test_data_and_expected_values_are_told_apart_whatever_the_rank(shape):
    penalty, step, _ = line(Discriminator(updates="reversal", channels=(4, 5)), shape, loss=BernoulliLikelihood())
    critic = penalty.game.critic
    wanted = F.softplus(-critic(step.target.x)) + F.softplus(critic(step.output.sigmoid()))
    assert wanted.shape == (4,)
    torch.testing.assert_close(penalty(step), wanted)


def test_decoded_draws_are_judged_where_the_bottleneck_can_draw_some():
    penalty, step, decoder = line(Discriminator(updates="alternating"), [6], Gaussian(2))
    critic = penalty.game.critic
    for samples in (True, False):
        penalty.samples = samples
        torch.manual_seed(1)
        nats = penalty(step)
        torch.manual_seed(1)
        wanted = F.softplus(-critic(step.target.x)) + F.softplus(critic(step.output))
        if samples:
            wanted = wanted + F.softplus(critic(decoder(torch.randn(4, 2))))
        torch.testing.assert_close(nats, wanted)


def test_at_its_turn_the_decoder_learns_to_be_taken_for_data():
    penalty, step, decoder = line(Discriminator(2.0, updates="alternating"), [6])
    penalty.game.after_step(0.0)
    nats = penalty(step)
    torch.testing.assert_close(nats, 2.0 * F.softplus(-penalty.game.critic(step.output)))
    nats.sum().backward()
    assert (decoder.head.weight.grad != 0).any()
    assert all(parameter.grad is None for parameter in penalty.parameters())


def test_similarity_is_a_distance_in_the_critic_s_last_layer_that_it_does_not_learn_from():
    plain, step, _ = line(Discriminator(0.0, updates="alternating"), [8, 7, 1])
    plain.game.after_step(0.0)
    assert plain(step).tolist() == [0.0] * 4
    plain.similarity = 3.0
    nats = plain(step)
    critic = plain.game.critic
    apart = critic(step.output, hidden=True) - critic(step.target.x, hidden=True)
    torch.testing.assert_close(nats, 1.5 * apart.square().sum(1))
    nats.sum().backward()
    assert all(parameter.grad is None for parameter in plain.parameters())


@pytest.mark.parametrize(("shape", "masked"), [([6], (4, 6)), ([5, 4, 2], (4, 5, 4))])
def test_what_was_not_observed_is_not_shown(shape, masked):
    torch.manual_seed(2)
    mask = torch.rand(masked) < 0.6
    penalty, step, _ = line(Discriminator(updates="reversal"), shape, mask=mask)
    hidden = ~(mask if mask.ndim == step.target.x.ndim else mask.unsqueeze(-1))
    others = step.target.with_x(step.target.x + 7.0 * hidden)
    changed = step._replace(target=others, output=step.output - 3.0 * hidden)
    torch.testing.assert_close(penalty(step), penalty(changed))


def test_data_that_no_gradient_can_pass_are_refused():
    with pytest.raises(ValueError, match="needs data of numbers, got columns of categories"):
        Discriminator().build(shape=[2], code=[2], categories=[0, 3])
    with pytest.raises(ValueError, match="at most two positions"):
        Discriminator().build(shape=[2, 2, 2, 1], code=[2])
    with pytest.raises(ValueError, match="similarity must be at least 0"):
        Discriminator(similarity=-1.0).build(shape=[2], code=[2])
