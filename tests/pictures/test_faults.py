"""Pictures of what is odd in images."""

import numpy as np
import pytest

from isthmus import pictures

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 8, 6), dtype=np.uint8)
HEAT = RANDOM.random((3, 8, 6))


def test_each_image_stands_above_what_was_expected_and_where_it_is_odd(tmp_path):
    figure = pictures.fault_strip(IMAGES, IMAGES // 2, HEAT, titles=["a", "b", "c"], title="three")
    drawn = [axes.images[0].get_array() for axes in figure.axes]
    assert len(drawn) == 9
    # A photograph: large values bright, in three equal channels.
    np.testing.assert_allclose(drawn[1][..., 0] * IMAGES.max(), IMAGES[1], atol=1e-9)
    np.testing.assert_allclose(drawn[7], HEAT[1] / HEAT.max())
    assert pictures.save(figure, tmp_path / "faults.png").stat().st_size > 2_000


def test_scans_of_writing_can_be_drawn_as_ink():
    figure = pictures.fault_strip(IMAGES, IMAGES, HEAT, ink=True)
    assert figure.axes[0].images[0].get_array().ndim == 2


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        pictures.fault_strip(IMAGES, IMAGES[:2], HEAT)
