"""Costs of images: too much and too little both count, anywhere, and units are those of held-out images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isthmus.jobs.image_scores import ImageCosts

RANDOM = np.random.default_rng(0)


def textured(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of one texture, and errors that are a part of it."""
    random = np.random.default_rng(seed)
    pixels = 0.5 + 0.1 * random.normal(size=(n, 24, 20, 3))
    return pixels, 0.2 * (pixels - 0.5)


USUAL = ImageCosts.measure(*textured(60, 0))
NORMAL = np.quantile(USUAL.costs(*textured(60, 1)), 0.95)


def test_a_blurred_image_costs_more_than_a_sharp_one_though_its_error_is_smaller():
    pixels, errors = textured(5, 2)
    soft, less = (gaussian_filter(one, (0, 1, 1, 0)) for one in (pixels, errors))
    assert (np.square(less).sum((1, 2, 3)) < np.square(errors).sum((1, 2, 3))).all()
    assert (USUAL.costs(soft, less) > 2 * NORMAL).all()


def test_a_painted_square_is_found_and_the_heat_is_there():
    pixels, errors = textured(5, 3)
    pixels[:, 8:14, 4:10] = 0.5
    assert (USUAL.costs(pixels, errors) > 2 * NORMAL).all()
    for heat in USUAL.heat(pixels, errors):
        row, column = np.unravel_index(int(heat.argmax()), heat.shape)
        assert 8 <= row < 14 and 4 <= column < 10


def test_a_region_of_large_error_is_found_where_detail_is_usual():
    pixels, errors = textured(5, 4)
    errors[:, 2:8, 10:16] += 0.3
    assert (USUAL.costs(pixels, errors) > 2 * NORMAL).all()


def test_costs_do_not_depend_on_the_other_images():
    pixels, errors = textured(6, 5)
    whole = USUAL.costs(pixels, errors)
    np.testing.assert_allclose([USUAL.costs(pixels[i : i + 1], errors[i : i + 1])[0] for i in range(6)], whole)


def test_held_out_images_have_units_of_their_own():
    summary = USUAL._unusual(USUAL.places(*textured(60, 0)))
    np.testing.assert_allclose(summary.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(summary.std(0), 1, atol=1e-3)


def test_state_comes_back_and_a_wrong_one_is_refused():
    again = ImageCosts.restored(USUAL.state(), (24, 20))
    assert (again.costs(*textured(3, 6)) == USUAL.costs(*textured(3, 6))).all()
    with pytest.raises(ValueError, match="image_place_means"):
        ImageCosts.restored(USUAL.state(), (20, 24))
    with pytest.raises(ValueError, match="image_spreads"):
        ImageCosts.restored(USUAL.state() | {"image_spreads": np.zeros(21)}, (24, 20))


def test_what_is_no_image_or_too_few_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        ImageCosts.measure(*textured(1, 0))
    with pytest.raises(ValueError, match=r"\(n, h, w, c\)"):
        USUAL.costs(RANDOM.random((2, 24, 20)), RANDOM.random((2, 24, 20)))
