"""Issues of rows: missing cells, categories never seen, values out of range; and the rest of the contract."""

from __future__ import annotations

import datetime as dt
import logging

import numpy as np
import pandas as pd
import polars as pl
import pytest

from isthmus.modalities import Images, Tables
from isthmus.modalities.inspection import find_issues, issues_of
from isthmus.rows import as_rows

FITTED = pl.DataFrame(
    {
        "size": [1.0, 2.5, None, 4.0],
        "count": [10, 20, 30, 40],
        "kind": ["ash", "oak", "ash", None],
        "flag": [True, False, True, True],
        "day": [dt.date(2026, 1, 1), dt.date(2026, 1, 5), dt.date(2026, 2, 1), dt.date(2026, 1, 1)],
    }
)
CLEAN = {"size": 2.0, "count": 20, "kind": "oak", "flag": False, "day": dt.date(2026, 1, 3)}


@pytest.fixture(scope="module")
def table():
    return Tables().fit(as_rows(FITTED))


def issues(table, *changes):
    return issues_of(table, as_rows(pl.DataFrame([CLEAN | change for change in changes], schema=FITTED.schema)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": None}, {"feature": "size", "issue": "missing"}),
        ({"flag": None}, {"feature": "flag", "issue": "missing"}),
        ({"kind": None}, {"feature": "kind", "issue": "missing"}),
        ({"kind": "elm"}, {"feature": "kind", "issue": "unseen category", "value": "elm"}),
        ({"size": 4.5}, {"feature": "size", "issue": "out of range", "value": 4.5, "known": [1.0, 4.0]}),
        ({"count": 9}, {"feature": "count", "issue": "out of range", "value": 9, "known": [10, 40]}),
        (
            {"day": dt.date(2026, 2, 2)},
            {"feature": "day", "issue": "out of range", "value": "2026-02-02", "known": ["2026-01-01", "2026-02-01"]},
        ),
    ],
)
def test_a_cell_unlike_the_fitted_ones_is_an_issue_of_its_row_alone(table, change, expected):
    assert issues(table, {}, change, {}) == [(), (expected,), ()]


def test_a_row_has_an_issue_for_each_of_its_cells_in_the_order_of_the_columns(table):
    (found,) = issues(table, {"size": -1.0, "kind": "yew", "flag": None})
    assert [issue["feature"] for issue in found] == ["size", "kind", "flag"]


def test_the_fitted_rows_themselves_have_only_missing_cells(table):
    for container in (FITTED, pd.DataFrame(FITTED.to_dict(as_series=False))):
        kinds = {
            issue["issue"] for row in issues_of(Tables().fit(as_rows(container)), as_rows(container)) for issue in row
        }
        assert kinds == {"missing"}


def test_single_precision_is_no_reason_to_be_out_of_range():
    fitted = np.array([[0.1], [0.3]], np.float32)
    table = Tables().fit(as_rows(fitted))
    assert issues_of(table, as_rows(np.array([[0.1], [0.3], [0.31]])))[:2] == [(), ()]


def test_a_column_that_was_empty_has_no_range():
    table = Tables().fit(as_rows(pl.DataFrame({"a": [1.0, 2.0], "b": [None, None]})))
    assert issues_of(table, as_rows(pl.DataFrame({"a": [1.0], "b": [5.0]})))[0][0]["known"] is None


def test_rows_are_counted_through_all_chunks(monkeypatch, table):
    monkeypatch.setattr("isthmus.modalities.inspection.CHUNK", 3)
    rows = [CLEAN | ({"kind": "elm"} if i in (2, 3, 7) else {}) for i in range(8)]
    assert list(find_issues(table, as_rows(pl.DataFrame(rows, schema=FITTED.schema)))) == [2, 3, 7]


def test_a_count_that_was_0_and_1_while_fitting_is_out_of_range_where_it_is_more():
    table = Tables().fit(as_rows(pl.DataFrame({"failed": [0, 1, 0], "sure": [True, False, True]})))
    found = issues_of(table, as_rows(pl.DataFrame({"failed": [1, 3], "sure": [True, False]})))
    assert found == [(), ({"feature": "failed", "issue": "out of range", "value": 3, "known": [0, 1]},)]


def test_rows_of_images_have_none():
    images = as_rows(np.random.default_rng(0).random((3, 4, 4)))
    assert issues_of(Images().fit(images), images) == [(), (), ()]


def test_reordered_columns_are_fine_and_extra_ones_are_said_once(table, caplog):
    fresh = Tables().build(**table.facts)
    frame = pl.DataFrame([CLEAN], schema=FITTED.schema).select(reversed(FITTED.columns)).with_columns(extra=1, more=2)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert issues_of(fresh, as_rows(frame)) == [()]
    assert [record.message for record in caplog.records] == ["not used, for the model was fitted without: extra, more"]


def test_identifiers_that_were_left_out_while_fitting_are_not_said(caplog):
    frame = pl.DataFrame({"id": [f"id{i}" for i in range(60)], "n": np.arange(60.0)})
    table = Tables().fit(as_rows(frame))
    with caplog.at_level(logging.WARNING):
        table.to_batch(as_rows(frame))
    assert not caplog.records


def test_a_missing_column_and_a_wrong_type_are_errors_that_name_the_column(table):
    frame = pl.DataFrame([CLEAN], schema=FITTED.schema)
    with pytest.raises(ValueError, match="lacks the column kind"):
        find_issues(table, as_rows(frame.drop("kind")))
    with pytest.raises(ValueError, match="column 'count' holds integers, got 'many' in row 0"):
        find_issues(table, as_rows(frame.with_columns(count=pl.lit("many"))))
    with pytest.raises(ValueError, match="column 'size' holds numbers, got datetime.date"):
        find_issues(table, as_rows(frame.with_columns(size="day")))


def test_clean_rows_cost_no_work_of_their_own(table):
    n = 200_000
    rows = pl.DataFrame([CLEAN], schema=FITTED.schema)
    many = pl.concat([rows] * 1).select(pl.all().repeat_by(n).explode())
    found = issues_of(table, as_rows(many))
    assert len(found) == n
    # One object stands for all of them.
    assert len({id(one) for one in found}) == 1
