import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from isthmus.modalities import Tables
from isthmus.reading import read, write
from isthmus.rows import as_rows

MIXED = pl.DataFrame(
    {
        "number": [1.5, None, -3.25],
        "whole": [1, 2, None],
        "truth": [True, False, None],
        "word": ["a,b", 'say "so"', "é\nf"],
        "day": [dt.date(2020, 1, 1), None, dt.date(1999, 12, 31)],
        "moment": [dt.datetime(2020, 1, 1, 10, 30), None, dt.datetime(1999, 12, 31, 0, 0, 1)],
    }
)


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.parquet", "table.jsonl"])
def test_a_table_that_was_written_is_read_as_it_was(tmp_path, name):
    write(tmp_path / name, MIXED)
    rows = read(tmp_path / name)
    assert rows.frame.equals(MIXED)
    assert rows.frame.schema == MIXED.schema
    assert not rows.set_aside
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_pandas_frame_is_written_too(tmp_path):
    write(tmp_path / "table.csv", pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert (tmp_path / "table.csv").read_text() == "a,b\n1,x\n2,y\n"


@pytest.mark.parametrize("array", [np.eye(3, dtype=np.float32), np.zeros((2, 4, 4, 3), np.uint8)])
def test_an_array_that_was_written_is_read_as_it_was(tmp_path, array):
    write(tmp_path / "array.npy", array)
    rows = read(tmp_path / "array.npy")
    assert rows.array.dtype == array.dtype
    np.testing.assert_array_equal(rows.array, array)


def test_a_table_of_numbers_is_written_as_an_array(tmp_path):
    write(tmp_path / "array.npy", pl.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}))
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), [[1, 3], [2, 4]])


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1), (3, 4, 5, 3), (3, 4, 5, 4)])
def test_images_are_written_as_a_folder_of_png(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(2):  # a second call replaces what the first wrote
        write(tmp_path / "out", images)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    np.testing.assert_array_equal(read(tmp_path / "out").take(slice(None)).reshape(shape), images)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_images_between_0_and_1_fill_the_range_of_png(tmp_path):
    write(tmp_path / "out", np.array([[[0.0, 0.5], [1.0, 0.25]]]))
    with Image.open(tmp_path / "out" / "0000.png") as image:
        assert np.asarray(image).tolist() == [[0, 128], [255, 64]]


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("a.npy", MIXED, "numbers alone"),
        ("a.xlsx", MIXED, "a table is written as"),
        ("a", np.eye(2), "a table is written as"),
        ("a.csv", np.zeros((1, 2, 2)), "images are written to a folder"),
        ("a", np.full((1, 2, 2), 2.0), "bring them there"),
        ("a", np.full((1, 2, 2), 300), "PNG holds 0 to 255"),
        ("a", np.zeros((1, 2, 2, 2), np.uint8), "has 2 channels"),
    ],
)
def test_what_cannot_be_written_so_is_an_error_and_leaves_nothing(tmp_path, name, rows, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, rows)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_things_in_it_is_not_written_to(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(ValueError, match="holds other things"):
        write(tmp_path, np.zeros((1, 2, 2), np.uint8))
    assert (tmp_path / "precious.txt").exists()


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.parquet.gz", "a.npy.gz"])
def test_an_unknown_kind_lists_what_can_be_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"\.csv.*\.parquet.*\.npy.*\.png.*folder of images"):
        read(tmp_path / name)


def test_a_table_for_a_model_of_images_is_an_error_and_the_reverse(tmp_path):
    write(tmp_path / "a.csv", MIXED)
    write(tmp_path / "images", np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="fitted on images, got a table"):
        read(tmp_path / "a.csv", schema=[2, 2, 1])
    with pytest.raises(ValueError, match="fitted on a table, got images"):
        read(tmp_path / "images", schema=Tables().fit(as_rows(MIXED)).columns)


def test_rows_set_aside_are_counted_in_the_log(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n")
    read(tmp_path / "a.csv")
    assert "1 of 2 rows set aside; the first: line 3" in caplog.text


@pytest.mark.parametrize(
    ("content", "rows", "lines", "aside"),
    [
        ('{"a":1,"b":"x"}\n\n{"a":2.5}\n', [(1.0, "x"), (2.5, None)], [1, 3], []),
        ('{"a":1}\nno\n3\n{"a":2}\n', [(1,), (2,)], [1, 4], ["line 2", "line 3"]),
        ('{"a":1}\n{"a":true}\n', [("1",), ("true",)], [1, 2], []),
        ('{"a":"007"}\n{"a":"008"}\n', [("007",), ("008",)], [1, 2], []),
    ],
)
def test_lines_of_json_are_rows_and_what_is_none_is_set_aside(tmp_path, content, rows, lines, aside):
    (tmp_path / "a.jsonl").write_text(content)
    read_rows = read(tmp_path / "a.jsonl")
    assert read_rows.frame.rows() == rows
    assert read_rows.lines.tolist() == lines
    assert [one.where for one in read_rows.set_aside] == aside


@pytest.mark.parametrize(
    ("content", "message"), [("", "is empty"), ("x", "no row that can be used"), ("{}", "no columns")]
)
def test_json_without_rows_is_an_error(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.jsonl")


def test_a_parquet_row_with_infinity_is_set_aside(tmp_path):
    pl.DataFrame({"a": [1.0, float("inf"), 3.0]}).write_parquet(tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert rows.frame["a"].to_list() == [1, 3]
    assert rows.lines.tolist() == [0, 2]
    assert rows.set_aside[0].where == "row 1 (the first is 0)"


@pytest.mark.parametrize("cut", [0, 10, 100])
def test_a_damaged_parquet_file_is_an_error(tmp_path, cut):
    MIXED.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:cut])
    with pytest.raises(ValueError, match="damaged, or no Parquet file"):
        read(tmp_path / "a.parquet")
