"""What a codec is compared with: real files of Pillow's encoders, and the table and images made of them."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from isthmus.jobs.codec_curves import OURS, at_equal_size, beside_ours, compared, curves_of
from isthmus.jobs.standard_codecs import FORMATS, StandardCodec, curve_of, quality_at, shown
from isthmus.metrics import bd_rate, psnr
from isthmus.rows import as_rows

THERE = [name for name in FORMATS if StandardCodec(name).is_there]


def waves(height: int = 48, width: int = 56) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    image = np.stack([128 + 90 * np.sin(x / 5 + i) * np.cos(y / (6 + i)) for i in range(3)], -1)
    return (image + np.random.default_rng(0).normal(size=image.shape) * 9).clip(0, 255).astype(np.uint8)


class Halving:
    """A stand-in for a fitted codec: JPEG, whose files count for half of their bytes."""

    def compress(self, image, quality):
        written = io.BytesIO()
        Image.fromarray(image).save(written, "JPEG", quality=int(quality))
        return written.getvalue()[: len(written.getvalue()) // 2] + bytes([int(quality)])

    def decompress(self, data):
        whole = io.BytesIO()
        Image.fromarray(waves()).save(whole, "JPEG", quality=data[-1])
        return np.asarray(Image.open(whole))

    def baselines(self):
        return {"JPEG": StandardCodec("JPEG"), "WebP": StandardCodec("WebP")}


@pytest.mark.parametrize("name", THERE)
@pytest.mark.parametrize("shape", [(48, 56, 3), (48, 56), (1, 1), (3, 1), (17, 9, 3)])
def test_every_size_and_grey_images_come_back(name, shape):
    codec = StandardCodec(name)
    image = np.ascontiguousarray(waves()[: shape[0], : shape[1]] if len(shape) == 3 else waves()[:, :, 0])[
        : shape[0], : shape[1]
    ]
    found = shown(name, image, codec.compress(image, len(codec.steps) - 1), codec.decompress)
    assert found.pixels.shape == image.shape and found.pixels.dtype == np.uint8
    assert found.psnr > 20


@pytest.mark.parametrize("name", THERE)
def test_steps_lead_from_small_files_to_good_ones(name):
    codec, image = StandardCodec(name), waves()
    files = [codec.compress(image, step) for step in codec.steps]
    sizes = [len(data) for data in files]
    reached = [psnr(image, codec.decompress(data)) for data in files]
    assert sizes == sorted(sizes) and sizes[-1] > 3 * sizes[0]
    assert reached[-1] > 30 > reached[0]


@pytest.mark.parametrize("name", THERE)
def test_the_smallest_file_of_a_size_has_it_and_little_more(name):
    codec, image = StandardCodec(name), waves()
    smallest, largest = (len(codec.filling(image, size)) for size in (1, 10**9))
    wanted = (smallest + largest) // 2
    found = len(codec.filling(image, wanted))
    assert smallest < wanted <= found < 1.25 * wanted < largest


def test_options_are_those_that_make_files_small():
    image, plain = waves(), io.BytesIO()
    Image.fromarray(image).save(plain, "JPEG", quality=25)
    data = StandardCodec("JPEG").compress(image, 4)
    assert len(data) < len(plain.getvalue())
    assert psnr(image, StandardCodec("JPEG").decompress(data)) == psnr(image, np.asarray(Image.open(plain)))


def test_curves_are_averages_of_whole_files_and_the_table_is_read_off_them():
    images = [waves()]
    curves = curves_of(Halving(), images)
    assert list(curves) == [OURS, "JPEG", "WebP"]
    data = Halving().compress(images[0], 5.0)
    assert curves[OURS][0][0] == 8 * len(data) / (48 * 56)
    assert curves[OURS][1][0] == psnr(images[0], Halving().decompress(data))
    rows = beside_ours(curves)
    assert [row["method"] for row in rows] == list(curves)
    assert rows[1]["bd_rate"] == pytest.approx(bd_rate(*curves[OURS], *curves["JPEG"]))
    assert rows[1]["bd_rate"] < -40
    assert rows[1]["psnr"] == pytest.approx(quality_at(curves["JPEG"], rows[0]["bpp"]))


def test_a_method_without_files_in_the_range_has_no_figures():
    near, far = (np.array([0.1, 0.2, 0.4]), np.array([20.0, 22, 24])), (np.array([1.0, 2]), np.array([30.0, 32]))
    assert beside_ours({"a": near, "b": far})[1] == {"method": "b", "bpp": 0.2, "psnr": None, "bd_rate": None}


def test_images_without_error_do_not_make_averages_infinite():
    image = np.zeros((16, 16), np.uint8)
    found = curve_of([image], lambda image, step: b"x", lambda data: image, 2)
    assert found[1].tolist() == [99, 99]
    assert math.isinf(shown("", image, b"x", lambda data: image).psnr)


def test_files_of_others_are_no_smaller_than_ours():
    found = at_equal_size(Halving(), waves(), 30.0)
    assert [one.method for one in found] == [OURS, "JPEG", "WebP"]
    assert all(one.size >= found[0].size for one in found)
    assert all(one.psnr == psnr(waves(), one.pixels) for one in found)


def test_at_most_24_images_are_compared_evenly_chosen():
    rows = as_rows(np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8))
    chosen = compared(rows)
    assert [int(image[0, 0]) for image in chosen] == np.linspace(0, 99, 24).round().astype(int).tolist()
    assert chosen[0].shape == (4, 4)
