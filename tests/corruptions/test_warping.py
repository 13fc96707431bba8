"""Images moved and deformed: against shifts and turns that numpy can do exactly."""

import numpy as np
import pytest
import torch

from isthmus import AutoEncoder
from isthmus.batch import Batch
from isthmus.corruptions import Affine, Chain, CutOut, Elastic, Mask
from isthmus.corruptions import warping as warping_module
from isthmus.guards import seeded

IMAGE = torch.rand(1, 6, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moved(monkeypatch, corruption, amounts, image=IMAGE) -> torch.Tensor:
    """Return what a corruption makes of an image when its random amounts are these, from -1 to 1."""
    fixed = (torch.tensor(amounts, dtype=image.dtype)[:, None] + 1) / 2
    monkeypatch.setattr(warping_module.torch, "rand", lambda *size, **more: fixed.expand(*size))
    return corruption.build(shape=list(image.shape[1:]))(Batch(image)).x


def test_nothing_asked_is_nothing_done():
    for corruption in (Affine(0.0, 0.0, 0.0), Elastic(0.0)):
        corruption = corruption.build(shape=[6, 6, 2]).double()
        assert torch.allclose(corruption(Batch(IMAGE)).x, IMAGE, atol=1e-6)


def test_a_shift_of_a_sixth_moves_by_one_pixel_and_repeats_the_border(monkeypatch):
    found = moved(monkeypatch, Affine(shift=1 / 6, angle=0.0, scale=0.0), [0.0, 0.0, 1.0, 0.0])
    assert torch.allclose(found[:, :, :-1], IMAGE[:, :, 1:])
    assert torch.allclose(found[:, :, -1], IMAGE[:, :, -1])
    down = moved(monkeypatch, Affine(shift=1 / 6, angle=0.0, scale=0.0), [0.0, 0.0, 0.0, -1.0])
    assert torch.allclose(down[:, 1:], IMAGE[:, :-1])


def test_a_quarter_turn_is_that_of_numpy(monkeypatch):
    found = moved(monkeypatch, Affine(0.0, 90.0, 0.0), [1.0, 0.0, 0.0, 0.0])
    turns = [np.rot90(IMAGE[0].numpy(), k) for k in (1, 3)]
    assert any(np.allclose(found[0].numpy(), turn) for turn in turns)


def test_half_a_turn_of_an_image_that_is_no_square(monkeypatch):
    image = IMAGE[:, :4]
    found = moved(monkeypatch, Affine(0.0, 180.0, 0.0), [1.0, 0.0, 0.0, 0.0], image)
    assert torch.allclose(found, image.flip(1, 2))


def test_a_quarter_turn_keeps_lengths_in_pixels_where_height_and_width_differ(monkeypatch):
    image = torch.zeros(1, 5, 9, 1, dtype=torch.float64)
    image[0, 2, 3:6] = 1  # a bar of three pixels in the middle
    found = moved(monkeypatch, Affine(0.0, 90.0, 0.0), [1.0, 0.0, 0.0, 0.0], image)
    assert torch.allclose(found[0, 1:4, 4], torch.ones(3, 1, dtype=torch.float64))
    assert found.sum().item() == pytest.approx(3)


def test_a_slant_of_one_makes_an_upright_line_a_diagonal_where_height_and_width_differ(monkeypatch):
    image = torch.zeros(1, 5, 9, 1, dtype=torch.float64)
    image[0, :, 4] = 1
    found = moved(monkeypatch, Affine(0.0, 0.0, 0.0, shear=1.0), [0.0, 0.0, 0.0, 0.0, 1.0], image)
    diagonal = torch.eye(5, dtype=torch.float64).flip(1)
    assert torch.allclose(found[0, :, 2:7, 0], diagonal)
    assert found.sum().item() == pytest.approx(5)


def test_displacements_of_an_elastic_field_have_the_strength_asked_for_everywhere():
    torch.manual_seed(0)
    height, width = 12, 10
    across = torch.linspace(0, 1, width).expand(4_000, height, width)[..., None].contiguous()
    elastic = Elastic(strength=0.7, smoothness=3.0).build(shape=[height, width, 1])
    # On a ramp the displacement across is the change of the value, but where the border cuts it off.
    change = (elastic(Batch(across)).x - across)[:, :, 4:6, 0] * (width - 1)
    assert change.std(0).sub(0.7).abs().max() < 0.05
    neighbours = torch.corrcoef(change[:, 5].T)[0, 1]
    assert neighbours.item() == pytest.approx(np.exp(-((1 / 3.0) ** 2) / 4), abs=0.02)


@pytest.mark.parametrize("cls", [Affine, Elastic])
def test_with_both_the_target_is_moved_and_the_source_is_the_target(cls):
    torch.manual_seed(0)
    alone, both = (cls(both=value).build(shape=[6, 6, 2]).double() for value in (False, True))
    batch = Batch(IMAGE)
    assert alone.augment(batch) is batch
    assert not torch.equal(alone(batch).x, IMAGE)
    assert both(batch) is batch
    assert not torch.equal(both.augment(batch).x, IMAGE)


def test_a_line_moves_source_and_target_while_training_and_neither_when_judged():
    images = np.random.default_rng(0).uniform(size=(8, 6, 6))
    model = AutoEncoder(corruption=Affine(both=True), max_epochs=1, threads=1, random_state=0).fit(images)
    module, stored = model.module_, model.modality_.to_batch(model._rows(images))
    step = module.train()(stored)
    assert torch.equal(step.source.x, step.target.x)
    assert not torch.equal(step.target.x, stored.x)
    judged = module.eval()(stored, as_training=True)
    assert torch.equal(judged.target.x, stored.x)


def test_a_chain_augments_once_and_corrupts_in_turn():
    torch.manual_seed(0)
    chain = (
        Chain((Elastic(both=True), Mask(0.5), CutOut((1.0, 1.0), aspect=1.0, value=0.5)))
        .build(shape=[6, 6, 2])
        .double()
    )
    target = chain.augment(Batch(IMAGE))
    assert not torch.equal(target.x, IMAGE)
    source = chain(target)
    assert 0 < source.mask.float().mean() < 1
    assert (source.x == 0.5).all()


def test_pixels_that_were_not_observed_are_carried_along():
    torch.manual_seed(0)
    mask = torch.ones(1, 6, 6, dtype=torch.bool)
    mask[0, :, 3:] = False
    batch = Batch(IMAGE * mask.unsqueeze(-1), mask)
    monkey = Affine(shift=0.0, angle=180.0, scale=0.0).build(shape=[6, 6, 2])
    for _ in range(5):
        seen = monkey(batch)
        assert seen.mask.shape == mask.shape
        assert (seen.x[~seen.mask] == 0).all()
        assert not seen.mask.all()


def test_a_rectangle_of_the_area_is_painted_within_the_image():
    torch.manual_seed(0)
    cut = CutOut((0.25, 0.25), aspect=1.0, value=-1.0).build(shape=[8, 12, 1])
    painted = (cut(Batch(torch.ones(500, 8, 12, 1))).x == -1)[..., 0]
    assert (painted.sum((1, 2)) == 25).all()
    down, across = painted.any(2).sum(1), painted.any(1).sum(1)
    assert (down == 5).all()
    assert (across == 5).all()
    places = painted.any(1).int().argmax(1)
    assert set(places.tolist()) == set(range(8))


def test_areas_and_aspects_stay_within_their_limits():
    torch.manual_seed(0)
    cut = CutOut((0.1, 0.3), aspect=2.0, value=None).build(shape=[40, 40, 1])
    before = torch.full((500, 40, 40, 1), 2.0)
    painted = (cut(Batch(before)).x != 2)[..., 0]
    shares = painted.float().mean((1, 2))
    assert shares.min() > 0.08
    assert shares.max() < 0.33
    assert abs(shares.mean().item() - 0.2) < 0.01
    ratio = painted.any(2).sum(1) / painted.any(1).sum(1)
    assert ratio.max() < 2.3
    assert ratio.min() > 1 / 2.3


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (Affine(shift=-1.0), "shift must be at least 0"),
        (Affine(angle=-1.0), "angle must be at least 0"),
        (Affine(shear=-1.0), "shear must be at least 0"),
        (Affine(scale=2.0), "scale must be within 0 and 1"),
        (Elastic(strength=-1.0), "strength must be at least 0"),
        (Elastic(smoothness=0.0), "smoothness must be above 0"),
        (CutOut(area=(0.5, 0.2)), "area must be two shares"),
        (CutOut(aspect=0.5), "aspect must be at least 1"),
    ],
)
def test_what_no_image_can_be_moved_by_is_refused(corruption, message):
    with pytest.raises(ValueError, match=message):
        corruption.build(shape=[8, 8, 1])


@pytest.mark.parametrize("cls", [Affine, Elastic, CutOut])
def test_only_images_are_moved(cls):
    with pytest.raises(ValueError, match="is for images"):
        cls().build(shape=[8])


@pytest.mark.parametrize("cls", [Affine, Elastic])
def test_a_share_of_the_images_is_moved_and_the_others_are_untouched(cls):
    x = torch.rand(400, 8, 8, 1, generator=torch.Generator().manual_seed(0))
    with seeded(0):
        moved = cls(both=True, share=0.25).build(shape=[8, 8, 1]).augment(Batch(x)).x
    changed = (moved != x).flatten(1).any(1)
    assert 0.17 < float(changed.float().mean()) < 0.33
    with pytest.raises(ValueError, match="share"):
        cls(share=1.5).build(shape=[8, 8, 1])


@pytest.mark.parametrize("cls", [Affine, Elastic])
def test_moved_images_stay_in_their_range(cls):
    x = (torch.rand(50, 9, 9, 1, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    with seeded(0):
        moved = cls().build(shape=[9, 9, 1])(Batch(x)).x
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
