"""Large images: regions of them as of an array, and PNGs that Pillow reads as if it had written them."""

import numpy as np
import pytest
from PIL import Image

from isthmus.reading import large
from isthmus.reading.large import StoredPixels, write_png
from isthmus.reading.pictures import Picture, read_picture, write_picture


def pixels(height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize(("mode", "given"), [("RGB", "RGB"), ("L", "L"), ("RGB", "P"), ("RGB", "CMYK"), ("L", "1")])
def test_regions_are_those_of_the_array(mode, given):
    image = Image.fromarray(pixels(70, 50, 3)).convert(given)
    stored, array = StoredPixels(image, mode), np.asarray(image.convert(mode)).reshape(70, 50, -1)
    assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
    for place in np.s_[:3, 10:], np.s_[60:99, 0:50], np.s_[69:70, 49:50]:
        assert np.array_equal(stored[place], array[place])
    assert np.array_equal(stored, array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_what_was_written_with_all_that_belongs_to_it(tmp_path, channels):
    array = pixels(large.STRIP + 7, 30, channels)
    colours = 1 if channels < 3 else 3
    alpha = None if channels % 2 else array[..., -1]
    known = {"icc": b"profile" * 9, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0", "xmp": b"<x/>"}
    write_png(tmp_path / "a.png", array[..., :colours], alpha, known)
    back = read_picture(tmp_path / "a.png")
    assert np.array_equal(back.array.reshape(array.shape), array)
    assert back.metadata == known


def test_what_is_large_is_read_and_written_this_way_and_looks_the_same(tmp_path, monkeypatch):
    for picture in (
        Picture(pixels(40, 30, 3)),
        Picture(pixels(40, 30, 1)),
        Picture(pixels(9, 9, 3), pixels(9, 9, 1)[..., 0]),
    ):
        write_picture(picture, tmp_path / "small.png")
        monkeypatch.setattr(large, "LARGE", 50)
        write_picture(picture, tmp_path / "large.png")
        stored, plain = (read_picture(tmp_path / "small.png", stored=one) for one in (True, False))
        assert isinstance(stored.pixels, StoredPixels) == (picture.alpha is None)
        for found in (stored, plain, read_picture(tmp_path / "large.png")):
            assert np.array_equal(found.pixels, picture.pixels)
        monkeypatch.undo()


def test_more_pixels_than_allowed_are_refused_and_pillow_keeps_its_own_limit(tmp_path, monkeypatch):
    Image.fromarray(pixels(40, 30, 3)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_picture(tmp_path / "a.png").pixels.shape == (40, 30, 3)
    with pytest.raises(ValueError, match=r"30 x 40 pixels, more than 1199 \(--max-pixels\)"):
        read_picture(tmp_path / "a.png", max_pixels=1199)
    assert Image.MAX_IMAGE_PIXELS == 100
