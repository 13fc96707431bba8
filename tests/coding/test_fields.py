import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from isthmus.coding import CorruptStreamError, decode_field, encode_field
from isthmus.coding.compact import SYMBOLS, pack_tables, unpack_tables, unzipped
from isthmus.coding.predictors import PREDICTORS, passes, predict, restore

ANY = arrays(np.int64, array_shapes(max_dims=6, max_side=3), elements=st.integers(-(2**63), 2**63 - 1))
FOUR = arrays(np.int64, array_shapes(max_dims=4, max_side=5), elements=st.integers(-(2**40), 2**40))


def wave(shape):
    return np.rint(300 * np.sin(np.indices(shape).sum(axis=0) / 9)).astype(np.int64)


@given(ANY)
def test_whole_numbers_of_any_shape_and_size_come_back(values):
    assert (decode_field(encode_field(values), values.shape) == values).all()


@given(FOUR, st.integers(1, 12))
def test_with_a_fraction_all_are_within_half_a_step(values, fraction):
    found = decode_field(encode_field(values, fraction), values.shape, fraction)
    assert np.abs(found - values).max() <= 2 ** (fraction - 1)


@given(FOUR, st.sampled_from(PREDICTORS), st.integers(0, 12))
def test_each_predictor_is_undone(values, predictor, fraction):
    if 4 <= predictor < 12 and predictor % 4 >= values.ndim:
        return
    found = restore(predict(values, predictor, fraction), predictor, fraction)
    assert np.abs(found - values).max() <= (1 << fraction >> 1)


def test_lorenzo_is_the_corner_of_the_cube():
    values = np.random.default_rng(0).integers(-9, 9, (4, 5))
    padded = np.pad(values, [(1, 0), (1, 0)])
    expected = padded[1:, 1:] - padded[:-1, 1:] - padded[1:, :-1] + padded[:-1, :-1]
    assert (predict(values, 1) == expected).all()


def test_cubics_leave_nothing_of_a_cubic_but_at_its_ends():
    t = np.arange(65)
    left = predict(16 * t**3 - 40 * t**2 + 7 * t, 14)
    odd = left[3:-3:2]
    assert np.abs(odd).max() == 0


@given(array_shapes(max_dims=4, max_side=9))
def test_passes_visit_every_cell_once_with_known_neighbours(shape):
    seen = np.zeros(shape, int)
    seen[(0,) * len(shape)] = 1
    for view, axis, _ in passes(shape):
        along = np.moveaxis(seen[view], axis, 0)
        assert (along[::2] == 1).all()
        along[1::2] += 1
    assert (seen == 1).all()


def test_a_smooth_array_is_small_and_a_constant_one_nearly_nothing():
    assert len(encode_field(np.full((50, 60), 7))) < 60
    assert len(encode_field(wave((200, 300)))) < 0.25 * 200 * 300


def test_wide_noise_costs_little_more_than_its_bits():
    values = np.random.default_rng(0).integers(-(2**39), 2**39, 20_000)
    assert len(encode_field(values)) < 1.02 * len(values) * 5


def test_every_cut_and_flip_is_refused_or_of_the_right_shape():
    values = wave((9, 11))
    data = encode_field(values)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            decode_field(data[:length], values.shape)
    for place in range(len(data)):
        try:
            found = decode_field(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :], values.shape)
        except CorruptStreamError:
            continue
        assert found.shape == values.shape  # the predictor's byte has no check but the container's


def test_unknown_predictors_are_refused():
    with pytest.raises(CorruptStreamError, match="predictor 3"):
        restore(np.zeros(4, np.int64), 3)
    with pytest.raises(CorruptStreamError, match="no axis 2"):
        restore(np.zeros((4, 4), np.int64), 6)


def test_stored_tables_come_back_and_cost_little():
    random = np.random.default_rng(0)
    counts = np.zeros((200, SYMBOLS), int)
    for context in range(0, 200, 10):
        symbols = np.clip(np.rint(random.standard_t(3, 5_000) * (1 + context / 50)) + 47, 0, SYMBOLS - 1)
        counts[context] = np.bincount(symbols.astype(int), minlength=SYMBOLS)
    data, tables, row_of = pack_tables(counts)
    again, rows_again = unpack_tables(data, 200)
    assert (again.frequencies == tables.frequencies).all()
    assert (rows_again == row_of).all()
    used = counts[::10]
    ideal = -(used * np.log2(np.maximum(used, 1) / used.sum(axis=1, keepdims=True))).sum()
    spent = (used * (16 - np.log2(tables.frequencies[row_of[::10]].astype(float)))).sum()
    assert spent + 8 * len(data) < 1.03 * ideal


def test_few_values_take_a_table_of_one_byte():
    counts = np.zeros((128, SYMBOLS), int)
    counts[3, 45:50] = [1, 4, 8, 5, 2]
    data, tables, row_of = pack_tables(counts)
    assert row_of[3] < 64
    assert len(data) < 24


def test_what_unpacks_to_more_than_it_may_is_refused():
    import zlib

    bomb = zlib.compress(bytes(10**6), 9)
    with pytest.raises(CorruptStreamError, match="length"):
        unzipped(bomb, 1000)
