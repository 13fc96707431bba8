"""Noise: its share, its spread, and what it must leave alone."""

import pytest
import torch

from isthmus.batch import Batch
from isthmus.corruptions import GaussianNoise, SaltAndPepper

KINDS = [0, 1, 5]


def table(n=20_000):
    torch.manual_seed(0)
    columns = [torch.randn(n) * 2, torch.randint(0, 2, (n,)).float(), torch.randint(0, 5, (n,)).float()]
    return Batch(torch.stack(columns, 1))


def test_gaussian_noise_is_unbiased_of_its_scale_and_for_numbers_only():
    batch = table()
    noise = GaussianNoise(0.5).build(shape=[3], categories=KINDS)(batch).x - batch.x
    assert abs(noise[:, 0].mean().item()) < 0.02
    assert abs(noise[:, 0].std().item() - 0.5) < 0.01
    assert (noise[:, 1:] == 0).all()


def test_gaussian_noise_of_images_hits_every_channel():
    batch = Batch(torch.full((500, 4, 3, 2), 0.5))
    noise = GaussianNoise(0.1).build(shape=[4, 3, 2])(batch).x - 0.5
    assert (noise.std((0, 1, 2)) - 0.1).abs().max() < 0.01
    assert noise.unique().numel() > 10_000  # each value its own draw


def test_salt_and_pepper_hits_its_share_at_even_odds_with_the_channel_s_extremes():
    batch = table()
    x = SaltAndPepper(0.2).build(shape=[3], categories=KINDS)(batch).x
    low, high = batch.x[:, 0].min(), batch.x[:, 0].max()
    for extreme in (low, high):
        assert abs((x[:, 0] == extreme).float().mean().item() - 0.1) < 0.01
    untouched = (x[:, 0] != low) & (x[:, 0] != high)
    assert torch.equal(x[untouched, 0], batch.x[untouched, 0])
    assert torch.equal(x[:, 2], batch.x[:, 2])
    # Half of the booleans that are hit have that value already.
    assert abs((x[:, 1] != batch.x[:, 1]).float().mean().item() - 0.1) < 0.01


def test_extremes_are_those_of_each_channel():
    torch.manual_seed(0)
    batch = Batch(torch.rand(50, 4, 4, 2) * torch.tensor([1.0, 100.0]))
    x = SaltAndPepper(1.0).build(shape=[4, 4, 2])(batch).x
    for channel in range(2):
        values = batch.x[..., channel]
        assert x[..., channel].unique().tolist() == [values.min().item(), values.max().item()]


def test_nothing_happens_at_no_noise():
    batch = table(50)
    assert torch.equal(GaussianNoise(0.0).build(shape=[3], categories=KINDS)(batch).x, batch.x)
    assert torch.equal(SaltAndPepper(0.0).build(shape=[3], categories=KINDS)(batch).x, batch.x)


def test_mask_and_condition_pass():
    batch = Batch(torch.zeros(4, 3), torch.ones(4, 3, dtype=torch.bool), torch.arange(4))
    for part in (GaussianNoise(), SaltAndPepper()):
        source = part.build(shape=[3])(batch)
        assert source.mask is batch.mask
        assert source.condition is batch.condition


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (GaussianNoise(-0.1), "scale must be at least 0, got -0.1"),
        (SaltAndPepper(1.1), "share must be within 0 and 1, got 1.1"),
        (SaltAndPepper(-0.1), "share must be within 0 and 1"),
    ],
)
def test_values_out_of_range_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.build(shape=[3])
