"""Damaged files: an error in one line, or, where the damage is of no consequence, the array; never more."""

import functools
import struct
import tracemalloc

import numpy as np
import pytest
from tests.damage import resigned

from isthmus.coding import CorruptStreamError
from isthmus.coding.container import START
from isthmus.jobs.arrays import ArrayCompressor, array_facts

PARTS, EACH = 10, 5_000
LIMIT = 2**20


@functools.cache
def files():
    random = np.random.default_rng(0)
    walk = np.cumsum(random.normal(size=(12, 11)), axis=0)
    odd = walk.copy()
    odd[2, 3:6] = np.nan, np.inf, 1e30
    arrays = [(walk, "abs:0.01"), (odd.astype("f4"), "rel:1e-3"), (walk[:3], "lossless"), (np.zeros((9, 9)), "abs:1")]
    return [ArrayCompressor(error).compress(array) for array, error in arrays]


def damaged(random):
    whole = files()[random.integers(len(files()))]
    data = bytearray(whole)
    kind = random.integers(5)
    if kind == 0:
        return bytes(data[: random.integers(len(data))])
    if kind == 1:
        other = files()[random.integers(len(files()))]
        return bytes(data[: random.integers(len(data))]) + other[random.integers(len(other)) :]
    for _ in range(random.integers(1, 4)):
        data[random.integers(len(data))] = random.integers(256)
    if kind == 2:  # a lying number of four bytes, too
        place = random.integers(len(data) - 4)
        struct.pack_into("<I", data, place, int(random.choice([0, 1, 2**31, 2**32 - 1])))
    return bytes(data) if kind == 3 else resigned(bytes(data))


def fuzz(part, n):
    random = np.random.default_rng(part)
    refused = 0
    for _ in range(n):
        data = damaged(random)
        try:
            found = ArrayCompressor().decompress(data, limit=LIMIT)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
            assert isinstance(error, CorruptStreamError) or "limit" in str(error) or "model" in str(error)
        else:
            assert found.nbytes <= LIMIT
    return refused


def test_2000_damaged_files_end_in_an_error_of_one_line():
    assert fuzz(0, 2_000) > 1_500


@pytest.mark.long
@pytest.mark.parametrize("part", range(1, 1 + PARTS))
def test_50000_damaged_files_end_in_an_error_of_one_line(part):
    assert fuzz(part, EACH) > 0.75 * EACH


def test_damaged_files_take_no_more_memory_than_the_limit():
    random = np.random.default_rng(77)
    tracemalloc.start()
    for _ in range(150):
        try:
            ArrayCompressor().decompress(damaged(random), limit=LIMIT)
        except ValueError:
            continue
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 * LIMIT


def test_no_damage_passes_the_checksums():
    for data in files():
        whole = ArrayCompressor().decompress(data)
        for place in range(0, len(data), 7):
            flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            with pytest.raises(CorruptStreamError):
                ArrayCompressor().decompress(flipped)
        assert whole.shape == array_facts(data).shape


def test_a_shape_that_its_blocks_cannot_fill_is_refused_before_memory_is_taken():
    data = bytearray(files()[0])
    struct.pack_into("<Q", data, START.size + 20, 2**50)
    with pytest.raises(CorruptStreamError, match="blocks"):
        ArrayCompressor().decompress(resigned(data))
