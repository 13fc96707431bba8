import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from isthmus.coding import CorruptStreamError, Tables, frequencies_of

COUNTS = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, max_side=20).filter(lambda s: s[1] > 1),
    elements=st.integers(0, 2**45),
)


@given(COUNTS, st.integers(0, 40))
def test_each_table_sums_to_65536_and_every_symbol_can_be_coded(counts, smoothing):
    found = frequencies_of(counts, smoothing)
    assert (found.sum(axis=1) == 65536).all()
    assert found.min() >= 1


def test_frequencies_are_the_counts_shares_by_largest_remainder():
    counts = np.array([[5, 3, 2, 0]])
    exact = 1 + counts * (65536 - 4) / 10
    found = frequencies_of(counts, smoothing=0)
    assert np.abs(found - exact).max() < 1
    assert found[0].tolist() == [32767, 19661, 13107, 1]  # 1 + 32766, 19659.6, 13106.4, 0: one left, to the .6


def test_equal_counts_differ_by_their_order_alone():
    assert frequencies_of(np.ones((1, 3), int), smoothing=0).tolist() == [[21846, 21845, 21845]]


@given(COUNTS)
def test_tables_come_back_from_their_bytes(counts):
    tables = Tables.from_counts(counts)
    again = Tables.from_bytes(tables.to_bytes())
    assert (again.frequencies == tables.frequencies).all()
    assert again.digest() == tables.digest()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0\0",
        lambda data: data[:8] + b"\0\0" + data[10:],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: b"\0" * 8,
    ],
)
def test_damaged_tables_are_refused(damage):
    with pytest.raises(CorruptStreamError):
        Tables.from_bytes(damage(Tables.from_counts([[1, 2, 3]]).to_bytes()))


@pytest.mark.parametrize("wrong", [[[65535, 0]], [[65535, 2]], [[65536]], [1, 2], [[0.5, 0.5]], [[-1, 65537]]])
def test_what_is_no_table_is_refused(wrong):
    with pytest.raises(ValueError):
        Tables(np.array(wrong))


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        frequencies_of([[1, -1]])


def test_the_ideal_length_is_the_sum_of_minus_log_probabilities():
    tables = Tables(np.array([[32768, 16384, 16384], [1, 1, 65534]]))
    assert tables.bits(np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1])) == pytest.approx(1 + 2 + 2 + 16)
