"""Networks around a codec: where they begin, what they look at, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus.batch import Batch
from isthmus.networks import CompactEncoder, RestoringDecoder


def moved(part):
    """Return a part whose layers that begin at zero do not."""
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return part.eval()


@pytest.mark.parametrize("scale", [2, 3])
def test_before_training_they_are_bicubic_filters(scale):
    image = np.random.default_rng(0).integers(0, 256, (12, 18), dtype=np.uint8)
    values = torch.from_numpy(image / 255).float()[None, ..., None]
    small = CompactEncoder(scale=scale).build(shape=[12, 18, 1])(Batch(values))[0, ..., 0]
    size = (18 // scale, 12 // scale)
    theirs = Image.fromarray(image.astype(np.float32), "F").resize(size, Image.Resampling.BICUBIC)
    assert np.abs(255 * small.detach().numpy() - np.asarray(theirs)).max() < 0.01
    decoder = RestoringDecoder(scale=scale).build(code=[*size[::-1], 1], shape=[12, 18, 1])
    large = decoder(torch.ones(1, *size[::-1], 1), None)
    assert large.shape == (1, 12, 18, 1)
    assert torch.allclose(large, torch.ones(()))


@pytest.mark.parametrize(("make", "positions"), [(CompactEncoder, 40), (RestoringDecoder, 40)])
def test_no_result_depends_on_what_is_beyond_the_margin(make, positions):
    torch.manual_seed(0)
    if make is CompactEncoder:
        part = moved(make((4, 4)).build(shape=[2 * positions, 2 * positions, 3]))
        given, run, here = torch.rand(1, 2 * positions, 2 * positions, 3), lambda x: part(Batch(x)), 1
    else:
        part = moved(make((4, 4)).build(code=[positions, positions, 3], shape=[2 * positions, 2 * positions, 3]))
        given, run, here = torch.rand(1, positions, positions, 3), lambda x: part(x, None), 2
    unit, margin, place = 3 - here, part.margin, 20
    other = given.clone()
    other[:, : (place - margin) * unit] = 0
    other[:, (place + margin + 1) * unit :] = 1
    rows = slice(place * here, (place + 1) * here)
    assert torch.equal(run(given)[:, rows], run(other)[:, rows])


def test_the_step_scales_what_the_layers_add():
    torch.manual_seed(0)
    part = moved(RestoringDecoder((6,), told=True).build(code=[4, 4, 2], shape=[8, 8, 1]))
    with torch.no_grad():
        part.mend[0].weight[:, -1] = 0  # then the logarithm of the step says nothing more
    small = torch.rand(1, 4, 4, 1) - 0.5
    plain = RestoringDecoder(()).build(code=[4, 4, 1], shape=[8, 8, 1])
    added = []
    for step in (0.5, 2.0):
        told = torch.full((1, 4, 4, 1), float(np.log(step)))
        z = 0.5 + step * small
        added.append((part(torch.cat([z, told], -1), None) - plain(z, None)) / step)
    assert torch.allclose(added[0], added[1], atol=1e-6)


def test_codes_and_scales_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="channels here, got 4"):
        RestoringDecoder().build(code=[4, 4, 4], shape=[8, 8, 3])
    with pytest.raises(ValueError, match="scale must be 1 to 4"):
        CompactEncoder(scale=5).build(shape=[8, 8, 3])
