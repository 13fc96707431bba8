"""Series from tables of records and .npz files, and back."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from isthmus.reading import read, write
from isthmus.reading.series import fitting, from_table, from_values, to_table
from isthmus.rows import FrameRows, SequenceRows, as_rows

SERIES = [np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[5.0, 6.0]]), np.array([[7.0, 8.0], [9.0, 1.0], [2.0, 3.0]])]


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def table(**columns):
    return FrameRows(pl.DataFrame(columns), lines=np.arange(2, 2 + len(next(iter(columns.values())))))


def test_records_are_sorted_by_time_within_series_in_order_of_their_first():
    rows = from_table(
        table(id=["b", "a", "b", "a"], t=[2, 9, 1, 3], x=[1.0, 2.0, 3.0, None], y=[1, 2, 3, 4]), "id", "t"
    )
    assert rows.lines.tolist() == ["b", "a"]
    assert same(rows.take(slice(None)), [np.array([[3.0, 3], [1, 1]]), np.array([[np.nan, 4], [2, 2]])])
    assert rows.times.tolist() == [1, 2, 3, 9]


def test_without_a_time_records_stay_in_their_order():
    rows = from_table(table(id=[1, 2, 1, 1], x=[5.0, 6.0, 4.0, 3.0]), "id")
    assert same(rows.take(slice(None)), [np.array([5.0, 4.0, 3.0]), np.array([6.0])])


def test_steps_without_a_record_are_missing_on_a_grid():
    moments = [datetime(2024, 1, 1, 0), datetime(2024, 1, 1, 3), datetime(2024, 1, 1, 1), datetime(2024, 1, 2)]
    rows = from_table(table(id=["a", "a", "a", "b"], t=moments, x=[1.0, 4.0, 2.0, 9.0]), "id", "t", step=3_600)
    assert same(rows.take(slice(None)), [np.array([1.0, 2.0, np.nan, 4.0]), np.array([9.0])])
    assert rows.times[2] == np.datetime64("2024-01-01T02:00")


def test_records_that_cannot_be_placed_are_set_aside_with_their_lines(caplog):
    given = table(id=["a", None, "a", "a", "b"], t=[1, 1, None, 1, 1], x=[1.0, 2.0, 3.0, 4.0, 5.0])
    rows = from_table(given, "id", "t")
    assert same(rows.take(slice(None)), [np.array([1.0]), np.array([5.0])])
    assert [(one.where, one.why) for one in rows.set_aside] == [
        ("line 3", "no id, or no time"),
        ("line 4", "no id, or no time"),
        ("line 5", "an earlier record of its series has that time"),
    ]
    assert "3 records set aside" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "who"}, "no column who; it has id, t, x, word"),
        ({"id": "id", "time": "word", "values": ["x"]}, "'word' must hold numbers or dates, got String"),
        ({"id": "id", "time": "t"}, "columns of numbers, got word"),
        ({"id": "id", "time": "t", "values": ["x"], "step": 1e-4}, "give a longer step"),
    ],
)
def test_a_table_that_holds_no_series_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        from_table(table(id=["a", "a"], t=[1, 2], x=[1.0, 2.0], word=["p", "q"]), **options)


def test_random_tables_are_gathered_as_by_hand():
    random = np.random.default_rng(0)
    ids, times = random.integers(0, 7, 200), random.permutation(200)
    values = random.normal(size=200)
    rows = from_table(table(id=ids.tolist(), t=times.tolist(), x=values.tolist()), "id", "t")
    wanted = [values[ids == one][np.argsort(times[ids == one])] for one in dict.fromkeys(ids.tolist())]
    assert same(rows.take(slice(None)), wanted)


@pytest.mark.parametrize("name", ["values", "pieces"])
def test_npz_files_of_series_are_read(tmp_path, name):
    path = tmp_path / "series.npz"
    if name == "pieces":
        np.savez(path, *SERIES)
    else:
        np.savez(path, values=np.concatenate(SERIES), offsets=[0, 2, 3, 6])
    assert same(read(path).take(slice(None)), SERIES)


def test_series_that_cannot_be_used_are_set_aside(tmp_path):
    path = tmp_path / "series.npz"
    bad = np.array([[1.0, np.inf]])
    np.savez(path, *SERIES, np.zeros((0, 2)), bad, np.zeros((3, 4)))
    rows = read(path)
    assert same(rows.take(slice(None)), SERIES)
    assert [one.why for one in rows.set_aside] == ["float64 of shape (3, 4)", "no step", "infinity"]
    assert rows.lines.tolist() == [0, 1, 2]
    shorter = fitting(rows, length=2)
    assert shorter.lines.tolist() == [0, 1]
    assert shorter.set_aside[-1].why == "3 steps, the model takes up to 2"


@pytest.mark.parametrize("offsets", [[0, 2], [1, 6], [0, 4, 2, 6], [[0, 6]], [0.0, 6.0], []])
def test_offsets_that_do_not_fit_are_refused(offsets):
    with pytest.raises(ValueError, match="offsets"):
        from_values(np.concatenate(SERIES), np.array(offsets))


def test_damaged_series_are_refused_in_one_line(tmp_path):
    path = tmp_path / "series.npz"
    np.savez(path, values=np.ones(3), offsets=[0, 9])
    with pytest.raises(ValueError, match="damaged, or no .npz file of series"):
        read(path)


def test_a_table_and_its_labels_are_still_a_table(tmp_path):
    path = tmp_path / "labelled.npz"
    np.savez(path, np.eye(4), np.arange(4))
    assert read(path).array.shape == (4, 4)


def test_an_array_of_series_may_have_gaps_where_one_of_images_may_not(tmp_path):
    path = tmp_path / "a.npy"
    array = np.ones((3, 4, 2))
    array[1, 2] = np.nan
    np.save(path, array)
    assert len(read(path)) == 2
    assert len(read(path, are_series=True)) == 3


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_series_that_were_written_are_read_back(tmp_path, suffix):
    path = tmp_path / f"series{suffix}"
    write(path, SERIES)
    rows = read(path)
    rows = rows if isinstance(rows, SequenceRows) else from_table(rows, "series", "step")
    assert same(rows.take(slice(None)), SERIES)


def test_a_table_of_series_has_the_names_and_times_it_was_read_with():
    given = pl.DataFrame({"who": ["a", "a", "b"], "when": [1.5, 2.5, 0.5], "x": [1.0, 2.0, 3.0]})
    assert to_table(from_table(FrameRows(given), "who", "when")).equals(given)


def test_series_are_chosen_with_all_that_is_known_of_them():
    rows = from_table(table(id=["a", "a", "b", "c"], t=[1, 2, 3, 4], x=[1.0, 2.0, 3.0, 4.0]), "id", "t")
    chosen = rows.choose(np.array([2, 0]))
    assert same(chosen.take(slice(None)), [np.array([4.0]), np.array([1.0, 2.0])])
    assert (chosen.lines.tolist(), chosen.times.tolist()) == (["c", "a"], [4, 1, 2])
    assert same(as_rows(chosen).take(np.array([1])), [np.array([1.0, 2.0])])
