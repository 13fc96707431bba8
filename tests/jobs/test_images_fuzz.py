"""Damaged images: an error in one line, or the picture as it was, or, if asked for, what is left of it and a word."""

import functools
import json
import resource
import signal
import struct
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.damage import resigned

from isthmus import saving
from isthmus.coding import CorruptStreamError
from isthmus.coding.container import START, is_small

FOLDER = Path(__file__).parents[1] / "data" / "codec"
PARTS, EACH = 10, 5_000
PIXELS = 1 << 15
# Of a file, in seconds of the processor; and beside what all tests take, in bytes.
SECONDS, MEMORY = 5, 1 << 28
LYING = (0, 1, 2**31, 2**31 + 1, 2**32 - 1)


@functools.cache
def codec(model):
    return saving.load(FOLDER / model)


@functools.cache
def files():
    """Return files, the pictures in them, and the names of the models that wrote them."""
    golden = json.loads((FOLDER / "golden.json").read_text())
    found = [((FOLDER / f"{name}.aec").read_bytes(), told["model"]) for name, told in golden.items()]
    return [(data, codec(model).decompress(data), model) for data, model in found]


def damaged(random):
    """Return a damaged file, the pictures that it may hold whole, whether its checksums may fit, and its model."""
    whole, picture, model = files()[random.integers(len(files()))]
    data = bytearray(whole)
    kind = random.integers(6)
    if kind == 0:
        return bytes(data[: random.integers(len(data))]), [picture], False, model
    if kind == 1:
        other, another, _ = files()[random.integers(len(files()))]
        spliced = bytes(data[: random.integers(len(data))]) + other[random.integers(len(other)) :]
        # Nothing of the one may be left, and all of the other.
        return spliced, [picture, another], False, model
    if kind == 2:  # another model's
        data[5 if is_small(data) else 12 + random.integers(8)] ^= random.integers(1, 256)
        return resigned(data), [picture], True, model
    for _ in range(random.integers(1, 4)):
        data[random.integers(len(data))] = random.integers(256)
    if kind == 3:
        place = random.integers(len(data) - 4)
        struct.pack_into("<I", data, place, int(random.choice(LYING)))
    return (resigned(bytes(data)), [picture], True, model) if kind > 3 else (bytes(data), [picture], False, model)


@contextmanager
def limited():
    """Within it no more time of the processor than for one file."""

    def stop(*_):
        raise AssertionError(f"a file took more than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def read(data, model, **asked):
    """Return the picture of a file, or None where it is refused."""
    try:
        with limited():
            return codec(model).picture(data, max_pixels=PIXELS, **asked)
    except ValueError as error:
        assert "\n" not in str(error)
        assert isinstance(error, CorruptStreamError) or "limit" in str(error) or "model" in str(error)
        return None


def fuzz(seed, n):
    random = np.random.default_rng(seed)
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(n):
        data, pictures, signed, model = damaged(random)
        asked = ({}, {"conceal": True}, {"groups": int(random.integers(1, 6))})[random.integers(3)]
        found = read(data, model, **asked)
        refused += found is None
        if found is None:
            continue
        assert found.pixels.shape[0] * found.pixels.shape[1] <= PIXELS
        # A picture is what it was, or says what is missing; checksums that were made to fit prove nothing.
        if not (signed or found.notes or "groups" in asked):
            assert any(np.array_equal(found.array, one) for one in pictures)
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MEMORY
    return refused


def test_300_damaged_files_are_refused_or_say_what_is_missing():
    assert fuzz(0, 300) > 150


@pytest.mark.long
@pytest.mark.parametrize("part", range(1, 1 + PARTS))
def test_50000_damaged_files_are_refused_or_say_what_is_missing(part):
    assert fuzz(part, EACH) > 0.5 * EACH


def test_damaged_files_take_no_more_memory_than_the_limit():
    random = np.random.default_rng(77)
    files()
    tracemalloc.start()
    for _ in range(60):
        data, *_, model = damaged(random)
        read(data, model, conceal=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 24


def test_no_damage_of_one_bit_passes_the_checksums():
    for data, _, model in files():
        for place in range(0, 8 * len(data), 37):
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            with pytest.raises(CorruptStreamError):
                codec(model).decompress(bytes(flipped))


def test_a_preview_believes_no_byte_whose_checksum_is_cut_off():
    data, _, model = max(files(), key=lambda one: len(one[0]))
    places = [place for place in range(len(data)) if data[place : place + 4] in (b"TILE", b"REST")]
    for place in places[1:]:
        whole, cut = (codec(model).picture(data[:end], groups=5, conceal=True) for end in (place, place + 12))
        assert np.array_equal(whole.pixels, cut.pixels)
        assert whole.notes == cut.notes


def test_a_tile_too_large_and_a_foreign_model_are_refused_before_anything_is_decoded():
    found, model = next((data, model) for data, _, model in files() if not is_small(data))
    data = bytearray(found)
    data[START.size + 16 : START.size + 18] = struct.pack("<H", 4096)
    with pytest.raises(CorruptStreamError, match="a value is out of its range"):
        codec(model).decompress(resigned(data))
    for whole, _, model in files():
        foreign = bytearray(whole)
        foreign[5 if is_small(whole) else 12] ^= 1
        with pytest.raises(ValueError, match="the file needs the model"):
            codec(model).decompress(resigned(foreign))
