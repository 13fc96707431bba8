import datetime as dt
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.modalities import Tables
from isthmus.reading import read
from isthmus.rows import as_rows


def column(folder, cells, **options):
    path = folder / "column.csv"
    path.write_text("x,row\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells)))
    return read(path, **options)


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "-2", "+3"], pl.Int64, [1, -2, 3]),
        (["1", "2.5", "1e3"], pl.Float64, [1.0, 2.5, 1000.0]),
        (["99999999999999999999", "1"], pl.Float64, [1e20, 1.0]),
        (["true", "FALSE"], pl.Boolean, [True, False]),
        (["2020-02-29", "1999-12-31"], pl.Date, [dt.date(2020, 2, 29), dt.date(1999, 12, 31)]),
        (
            ["2020-01-01T10:00:00", "2020-01-01 10:00"],
            pl.Datetime("us"),
            [dt.datetime(2020, 1, 1, 10), dt.datetime(2020, 1, 1, 10)],
        ),
        (
            ["2020-01-01T10:00:00Z", "2020-01-01T10:00:00.5+02:00"],
            pl.Datetime("us"),
            [dt.datetime(2020, 1, 1, 10), dt.datetime(2020, 1, 1, 8, 0, 0, 500_000)],
        ),
        (["2020-02-30", "2020-01-01"], pl.String, ["2020-02-30", "2020-01-01"]),
        (["1", "two"], pl.String, ["1", "two"]),
        (["0x1F", "1_000"], pl.String, ["0x1F", "1_000"]),
    ],
)
def test_types_are_inferred_over_the_whole_column(tmp_path, cells, dtype, values):
    rows = column(tmp_path, cells)
    assert rows.frame["x"].dtype == dtype
    assert rows.frame["x"].to_list() == values


@pytest.mark.parametrize("word", ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "  "])
def test_words_for_a_missing_cell_are_missing(tmp_path, word):
    rows = column(tmp_path, ["1", word, "3"])
    assert rows.frame["x"].to_list() == [1, None, 3]
    assert not rows.set_aside


def test_an_all_missing_column_is_one_of_numbers(tmp_path):
    rows = column(tmp_path, ["", "NA", "?"])
    assert rows.frame["x"].dtype == pl.Float64
    assert rows.frame["x"].null_count() == 3


def test_the_odd_cell_of_a_numeric_column_sets_its_row_aside(tmp_path):
    rows = column(tmp_path, [*["1.5"] * 99, "abc"])
    assert rows.frame["x"].to_list() == [1.5] * 99
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [
        ("line 101", "text 'abc' in the numeric column 'x'")
    ]


def test_an_odd_date_sets_its_row_aside(tmp_path):
    rows = column(tmp_path, [*["2020-01-01"] * 99, "soon"])
    assert rows.frame["x"].dtype == pl.Date
    assert rows.set_aside[0].why == "text 'soon' in the date column 'x'"


@pytest.mark.parametrize(("numbers", "words"), [(98, 2), (40, 1)])
def test_too_many_odd_cells_or_too_few_cells_make_text(tmp_path, numbers, words):
    rows = column(tmp_path, [*["1"] * numbers, *["abc"] * words])
    assert rows.frame["x"].dtype == pl.String
    assert len(rows) == numbers + words


@pytest.mark.parametrize("word", ["inf", "-Infinity", "1e400"])
def test_infinity_sets_its_row_aside(tmp_path, word):
    rows = column(tmp_path, ["1", word, "3"])
    assert rows.frame["row"].to_list() == [0, 2]
    assert rows.lines.tolist() == [2, 4]
    assert rows.set_aside[0].why == "infinity in column 'x'"


FITTED = pl.DataFrame(
    {
        "number": [1.5, 2.5, 4.0],
        "whole": [3, 5, 9],
        "flag": [0, 1, 1],
        "truth": [True, False, True],
        "word": ["a", "b", "7"],
        "day": [dt.date(2020, 1, 1), dt.date(2020, 1, 3), dt.date(2021, 1, 1)],
        "moment": [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 3), dt.datetime(2021, 1, 1)],
    }
)
GOOD = {
    "number": "2",
    "whole": "4",
    "flag": "true",
    "truth": "0",
    "word": "7",
    "day": "2020-05-05",
    "moment": "2020-05-05",
}


def score(folder, *records, names=tuple(GOOD), suffix=".csv"):
    """Read records for a model that was fitted on the table above."""
    columns = Tables().fit(as_rows(FITTED)).columns
    path = folder / f"scored{suffix}"
    if suffix == ".csv":
        lines = [",".join(names), *(",".join(record.get(name, "") for name in names) for record in records)]
        path.write_text("\n".join(lines))
    else:
        path.write_text("\n".join(map(json.dumps, records)))
    return read(path, schema=columns)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_cells_are_read_as_the_fitted_types(tmp_path, suffix):
    frame = score(tmp_path, GOOD, suffix=suffix).frame
    assert frame.row(0) == (2.0, 4, 1, False, "7", dt.date(2020, 5, 5), dt.datetime(2020, 5, 5))
    assert frame.schema == FITTED.schema


@pytest.mark.parametrize(
    ("name", "cell", "kind"),
    [
        ("number", "abc", "numeric"),
        ("whole", "abc", "numeric"),
        ("flag", "maybe", "boolean"),
        ("flag", "0.5", "boolean"),
        ("truth", "2", "boolean"),
        ("truth", "maybe", "boolean"),
        ("day", "2020-13-01", "date"),
        ("moment", "noon", "datetime"),
    ],
)
def test_a_cell_that_does_not_fit_sets_its_row_aside(tmp_path, name, cell, kind):
    rows = score(tmp_path, GOOD, GOOD | {name: cell}, GOOD)
    assert rows.lines.tolist() == [2, 4]
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [
        ("line 3", f"text {cell!r} in the {kind} column {name!r}")
    ]


@pytest.mark.parametrize(("suffix", "cells"), [(".csv", ["3", "false", "-1"]), (".jsonl", [3, False, -1.0])])
def test_a_count_that_was_0_and_1_while_fitting_is_read_as_the_number_it_is_now(tmp_path, suffix, cells):
    rows = score(tmp_path, *(GOOD | {"flag": cell} for cell in cells), suffix=suffix)
    assert rows.frame["flag"].to_list() == [3, 0, -1] and rows.frame["flag"].dtype == pl.Int64
    assert not rows.set_aside


def test_missing_cells_fit_every_type(tmp_path):
    rows = score(tmp_path, {}, {"word": "NA", "number": "?"})
    assert rows.frame.null_count().row(0) == (2,) * 7


def test_columns_at_scoring_may_come_in_any_order_and_extra_ones_are_not_looked_at(tmp_path):
    names = ("extra", *reversed(GOOD))
    rows = score(tmp_path, GOOD | {"extra": "inf"}, names=names)
    assert rows.frame.columns == list(GOOD)
    assert not rows.set_aside


def test_missing_columns_at_scoring_are_named(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns flag, word, which the model was fitted on; it has number"):
        score(tmp_path, GOOD, names=("number", "whole", "truth", "day", "moment"))


def test_a_fraction_in_an_integer_column_is_still_a_number(tmp_path):
    assert score(tmp_path, GOOD | {"whole": "3.5"}).frame["whole"].to_list() == [3.5]


def test_categories_that_are_numbers_are_written_as_they_were(tmp_path):
    columns = Tables(types={"size": "category"}).fit(as_rows(pl.DataFrame({"size": [0.5, 1.0, 1.0]}))).columns
    path = tmp_path / "sizes.csv"
    path.write_text("size\n1\n0.50\n")
    assert read(path, schema=columns).frame["size"].cast(pl.String).to_list() == columns[0]["values"]


def test_a_typed_file_cannot_pass_a_date_for_a_number(tmp_path):
    path = tmp_path / "typed.parquet"
    pl.DataFrame({"x": [dt.date(2020, 1, 1), None]}).write_parquet(path)
    rows = read(path, schema=[{"name": "x", "kind": "number", "dtype": "Float64"}])
    assert rows.lines.tolist() == [1]
    assert "in the numeric column 'x'" in rows.set_aside[0].why


def test_lists_do_not_fit_a_column_of_numbers(tmp_path):
    path = tmp_path / "typed.parquet"
    pl.DataFrame({"x": [[1.0], None]}).write_parquet(path)
    assert len(read(path, schema=[{"name": "x", "kind": "number", "dtype": "Float64"}]).set_aside) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=20))
def test_numbers_are_read_exactly_as_python_writes_them(tmp_path_factory, values):
    rows = column(tmp_path_factory.mktemp("numbers"), ["" if value is None else repr(value) for value in values])
    assert rows.frame["x"].cast(pl.Float64).to_list() == values
