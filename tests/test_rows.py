import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from isthmus.reading import ImageFolder
from isthmus.rows import ArrayRows, FrameRows, Rows, as_rows


def test_an_array_is_not_copied():
    array = np.eye(3)
    rows = as_rows(array)
    assert isinstance(rows, ArrayRows)
    assert np.shares_memory(rows.take(slice(None)), array)


def test_rows_pass_through():
    rows = as_rows(np.eye(3))
    assert as_rows(rows) is rows


def test_anything_with_a_length_and_take_is_rows():
    class Doubled:
        set_aside = ()

        def __len__(self):
            return 3

        def take(self, index):
            return 2 * np.eye(3)[index]

    rows = Doubled()
    assert isinstance(rows, Rows)
    assert as_rows(rows) is rows


def test_a_folder_of_images_is_rows(tmp_path):
    from PIL import Image

    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    folder = ImageFolder(tmp_path)
    assert as_rows(folder) is folder


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2, None], pl.Int64, [1, 2, None]),
        ([1, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([True, None], pl.Boolean, [True, None]),
        ([True, 2], pl.Float64, [1.0, 2.0]),
        ([2**70, 1], pl.Float64, [2.0**70, 1.0]),
        (["a", 1, None, True], pl.String, ["a", "1", None, "True"]),
        ([b"a", "b"], pl.String, ["a", "b"]),
        ([np.float32(1.5), np.int64(2)], pl.Float64, [1.5, 2.0]),
        ([dt.date(2020, 1, 1), None], pl.Date, [dt.date(2020, 1, 1), None]),
        ([dt.date(2020, 1, 1), "later"], pl.String, ["2020-01-01", "later"]),
        ([float("nan"), "a"], pl.String, [None, "a"]),
    ],
)
def test_python_values_become_a_column_of_one_type(values, dtype, expected):
    frame = as_rows(pd.DataFrame({"x": pd.Series(values, dtype=object)})).frame
    assert frame["x"].dtype == dtype
    assert frame["x"].to_list() == expected


def test_an_object_array_of_numbers_is_an_array_of_numbers():
    rows = as_rows(np.array([[1, None], [2.5, True]], object))
    np.testing.assert_array_equal(rows.array, [[1, np.nan], [2.5, 1]])


def test_an_object_array_with_text_is_a_frame_that_came_from_numpy():
    rows = as_rows(np.array([[1, "a"], [2, None]], object))
    assert isinstance(rows, FrameRows)
    assert rows.container == "numpy"
    assert rows.frame.to_dict(as_series=False) == {"x0": [1, 2], "x1": ["a", None]}


def test_pandas_types_survive():
    frame = pd.DataFrame(
        {
            "i": np.arange(2, dtype="int8"),
            "n": pd.array([1, None], dtype="Int64"),
            "b": pd.array([True, None], dtype="boolean"),
            "c": pd.Categorical(["x", None]),
            "z": pd.to_datetime(["2020-01-01T12:00", None]).tz_localize("Europe/Paris"),
            7: ["p", "q"],
        }
    )
    rows = as_rows(frame)
    assert rows.container == "pandas"
    assert rows.frame.to_dict(as_series=False) == {
        "i": [0, 1],
        "n": [1, None],
        "b": [True, None],
        "c": ["x", None],
        "z": [dt.datetime(2020, 1, 1, 11), None],
        "7": ["p", "q"],
    }
    assert rows.frame["i"].dtype == pl.Int8
    assert rows.origin["7"]["label"] == 7


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), "column names must differ, got a more than once"),
        (pd.DataFrame(np.eye(2), columns=["1", 1]), "column names must differ, got 1 more than once"),
        (pd.DataFrame({"a": []}), "0 sample"),
        (pl.DataFrame(), "0 sample"),
        (pd.DataFrame({"a": [1j]}), "Complex data not supported"),
        (np.zeros((0, 2)), "0 sample"),
        (np.zeros((2, 0)), "0 feature"),
        (np.zeros(3), "Expected 2D array"),
        (np.array([[["a"]]], object), "must hold numbers"),
    ],
)
def test_what_is_no_rows_is_a_clear_error(data, message):
    with pytest.raises(ValueError, match=message):
        as_rows(data)


def test_objects_that_are_no_cells_are_a_type_error_that_names_the_column():
    with pytest.raises(TypeError, match="got dict in column 'x1'"):
        as_rows(np.array([[1, {}]], object))


def test_dicts_are_rows_of_a_table_and_a_key_that_one_lacks_is_a_missing_cell():
    rows = as_rows([{"size": 1, "kind": "oak"}, {"kind": None, "size": 2.5}, {"size": 3}])
    assert rows.frame.to_dicts() == [
        {"size": 1.0, "kind": "oak"},
        {"size": 2.5, "kind": None},
        {"size": 3.0, "kind": None},
    ]
    with pytest.raises(ValueError, match="0 sample"):
        as_rows([{}])
