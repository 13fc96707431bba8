"""A codec as a bottleneck: what comes back, what it costs, who learns when."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from isthmus.bottlenecks import PictureFile
from isthmus.reading.standard import CODECS, read_pixels, write_pixels


def pictures(n: int = 6, side: int = 48) -> torch.Tensor:
    y, x = np.mgrid[:side, :side]
    random = np.random.default_rng(0)
    planes = [
        np.stack([0.5 + 0.35 * np.sin(x / (4 + i) + c) * np.cos(y / (6 + i) + c) for c in range(3)], -1)
        + 0.04 * random.normal(size=(side, side, 3))
        for i in range(n)
    ]
    return torch.from_numpy(np.clip(planes, 0, 1)).float()


@pytest.fixture(scope="module")
def started() -> PictureFile:
    made = PictureFile().build(width=3, positions=[48, 48])
    made.start(pictures())
    return made.eval()


@pytest.mark.parametrize("codec", CODECS)
def test_the_code_is_what_the_file_gives_back(codec):
    made = PictureFile(codec, qualities=(20.0, 20.0)).build(width=3, positions=[48, 48]).eval()
    x = pictures(2)
    z = made(x).z
    pixels = (x[1] * 255).round().byte().numpy()
    wanted = read_pixels(write_pixels(pixels, codec, 20, haste=True), codec, pixels.shape)
    assert np.array_equal((z[1, ..., :3] * 255).round().byte().numpy(), wanted)
    assert torch.equal(z[1:2], made.dequantize(torch.from_numpy(wanted.copy())[None], 20))


def test_the_penalty_is_about_the_length_of_the_file(started):
    x = pictures()
    for quality in (4.0, 15.0, 50.0):
        nats = started._nats(x, np.full(len(x), quality))
        empty = len(write_pixels(np.zeros((48, 48, 3), np.uint8), "jpeg", quality))
        sizes = [len(write_pixels((one * 255).round().byte().numpy(), "jpeg", quality)) - empty for one in x]
        assert float(nats.mean()) / (8 * math.log(2)) == pytest.approx(np.mean(sizes), rel=0.15)


def test_steps_fall_and_distortion_weighs_more_with_quality(started):
    assert (started.log_step.diff() <= 0).all()
    assert started.log_trade_off[-1] > started.log_trade_off[3]
    x = pictures(2)
    assert started.log_step[0] > started.log_step[-1] + 1
    assert (started.draw(x).weight.diff() != 0).all()


def test_the_sum_is_over_cosine_transforms_of_blocks():
    made = PictureFile().build(width=1, positions=[16, 24])
    x = torch.rand(1, 16, 24, 1, generator=torch.Generator().manual_seed(0))
    blocks = x[0, ..., 0].reshape(2, 8, 3, 8).permute(0, 2, 1, 3).numpy()
    found = dctn(blocks.astype(np.float64), axes=(2, 3), norm="ortho").reshape(2, 3, 64)
    lowest = found[..., 0]
    values = np.concatenate([found[..., 1:].ravel(), np.diff(lowest, axis=1).ravel(), np.diff(lowest[:, 0])])
    wanted = 0.5 * np.log1p(values**2).sum()
    assert float(made._nats(x, np.array([10.0]))) == pytest.approx(wanted, rel=1e-5)


def test_the_encoder_learns_between_the_two_shares_alone(started):
    made = PictureFile(opened=(0.2, 0.6)).build(width=3, positions=[48, 48]).train()
    for progress, learns in ((0.1, False), (0.2, True), (0.5, True), (0.6, False), (1.0, False)):
        made.after_step(progress)
        x = pictures(1).requires_grad_()
        code = made(x)
        (code.z.sum() + code.penalty.sum()).backward() if learns else None
        assert code.z.requires_grad is learns
        assert learns is (x.grad is not None and bool((x.grad != 0).all()))


@pytest.mark.parametrize(
    ("params", "facts", "said"),
    [
        ({}, {"width": 6, "positions": [4, 4]}, "compact_encoder"),
        ({}, {"width": 3, "positions": []}, "compact_encoder"),
        ({"codec": "gif"}, {"width": 3, "positions": [4, 4]}, "codec must be one of"),
        ({"qualities": (50.0, 4.0)}, {"width": 3, "positions": [4, 4]}, "qualities must be two"),
        ({"opened": (0.5, 1.5)}, {"width": 3, "positions": [4, 4]}, "opened is two shares"),
    ],
)
def test_what_does_not_fit_is_refused(params, facts, said):
    with pytest.raises(ValueError, match=said):
        PictureFile(**params).build(**facts)
