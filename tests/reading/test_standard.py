"""Pixels as files of standard codecs: back as they were shaped, and nothing else is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.coding import CorruptStreamError
from isthmus.metrics import psnr
from isthmus.reading.standard import CODECS, read_pixels, write_pixels


def waves(height: int, width: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = [128 + 90 * np.sin(x / 7 + i) * np.cos(y / 9 + i) for i in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_better_quality_is_nearer_and_takes_more(codec, channels):
    image = waves(60, 50, channels)
    files = [write_pixels(image, codec, quality) for quality in (5, 60, 95)]
    reached = [psnr(image, read_pixels(data, codec, image.shape)) for data in files]
    assert sorted(files, key=len) == files
    assert sorted(reached) == reached
    assert reached[-1] > 36


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 100), st.booleans())
def test_any_size_comes_back(codec, height, width, channels, quality, haste):
    image = waves(height, width, channels)
    back = read_pixels(write_pixels(image, codec, quality, haste=haste), codec, image.shape)
    assert back.shape == image.shape
    assert back.dtype == np.uint8


def test_haste_gives_the_same_pixels_of_a_jpeg():
    image = waves(40, 56, 3)
    files = [write_pixels(image, "jpeg", 30, haste=haste) for haste in (False, True)]
    one, other = (read_pixels(data, "jpeg", image.shape) for data in files)
    assert np.array_equal(one, other)
    assert len(files[0]) < len(files[1])


def test_another_format_size_or_number_of_channels_is_refused_before_decoding():
    image = waves(20, 30, 3)
    data = write_pixels(image, "jpeg", 50)
    for codec, shape in (("webp", (20, 30, 3)), ("jpeg", (30, 20, 3)), ("jpeg", (20, 30, 1))):
        with pytest.raises(CorruptStreamError, match="cannot be read"):
            read_pixels(data, codec, shape)
    # A few bytes that say they are an image of 60,000 x 60,000: sides are behind the frame's marker, length and depth.
    bomb = bytearray(write_pixels(waves(20, 30, 1), "jpeg", 50))
    sides = bomb.index(b"\xff\xc2") + 5
    bomb[sides : sides + 4] = (60_000).to_bytes(2, "big") * 2
    with pytest.raises(CorruptStreamError, match="cannot be read"):
        read_pixels(bytes(bomb), "jpeg", (60_000, 60_000, 1))


@pytest.mark.parametrize("codec", CODECS)
def test_damage_is_a_refusal_or_other_pixels_and_nothing_else(codec):
    image = waves(32, 32, 3)
    data = write_pixels(image, codec, 40)
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data[: int(random.integers(1, len(data) + 1))])
        for place in random.integers(0, len(damaged), 3):
            damaged[place] ^= int(random.integers(1, 256))
        try:
            assert read_pixels(bytes(damaged), codec, image.shape).shape == image.shape
        except CorruptStreamError as error:
            assert "\n" not in str(error)


def test_sides_beyond_the_format_are_refused():
    with pytest.raises(ValueError, match="16,383 pixels a side"):
        write_pixels(np.zeros((16_384, 1, 3), np.uint8), "webp", 50)
