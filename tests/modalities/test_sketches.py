"""Points of a distribution, exact at these points."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.modalities import Tables
from isthmus.modalities.sketches import POINTS, points_for, sketch_numbers
from isthmus.rows import as_rows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float), max_size=300), st.integers(2, 40))
def test_the_counts_at_the_points_are_those_of_the_numbers(values, n_points):
    sketch, values = sketch_numbers(np.array(values), n_points), np.array(values)
    points = sketch["points"]
    assert sketch["count"] == len(values)
    assert points == sorted(set(points))
    assert len(points) <= n_points
    assert sketch["below"] == [int((values <= point).sum()) for point in points]
    if len(values):
        assert (points[0], points[-1]) == (values.min(), values.max())
        # Between two points lie no more than an even share of the numbers, but for those equal to the second.
        between = [int(((values > one) & (values < next)).sum()) for one, next in zip(points, points[1:], strict=False)]
        assert max(between, default=0) <= len(values) / (n_points - 1) + 1


def test_points_of_all_columns_together_are_bounded():
    assert points_for(3) == POINTS
    assert 2 * 5_000 * points_for(5_000) <= 200_000
    assert points_for(50_000) == 0


def facts(frame):
    return {column["name"]: column for column in Tables().fit(as_rows(frame)).columns}


def test_a_table_keeps_counts_of_every_column_as_an_array_does():
    frame = pl.DataFrame({"n": [1.0, None, 3.0], "k": ["a", "b", "a"], "t": [True, None, False]})
    found = {name: column["sketch"] for name, column in facts(frame).items()}
    assert found == {
        "n": {"count": 2, "points": [1.0, 3.0], "below": [1, 2]},
        "k": {"count": 3, "counts": [2, 1]},
        "t": {"count": 2},
    }
    array = np.array([[1.0], [np.nan], [3.0]])
    assert facts(array)["x0"]["sketch"] == found["n"]


def test_facts_without_a_sketch_are_those_of_an_older_model_and_build():
    table = Tables().fit(as_rows(pl.DataFrame({"n": [1.0, 2.0], "k": ["a", "b"]})))
    old = json.loads(json.dumps(table.facts))
    for column in old["columns"]:
        del column["sketch"]
    assert Tables().build(**old).names == ["n", "k"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("n", {"count": -1}),
        ("n", {"points": [2.0, 1.0]}),
        ("n", {"points": ["1", "2"]}),
        ("n", {"points": "12"}),
        ("n", {"below": [2, 1]}),
        ("n", {"below": [1, 9]}),
        ("n", {"below": [1]}),
        ("n", {"more": 1}),
        ("k", {"counts": [2]}),
        ("k", {"counts": [2, 1.5]}),
        ("k", {"counts": [2, 2]}),
    ],
)
def test_a_sketch_that_no_fit_leaves_behind_is_refused(name, change):
    table = Tables().fit(as_rows(pl.DataFrame({"n": [1.0, 2.0, 1.0], "k": ["a", "b", "a"]})))
    facts = json.loads(json.dumps(table.facts))
    next(column for column in facts["columns"] if column["name"] == name)["sketch"] |= change
    with pytest.raises(ValueError, match=f"sketch of column '{name}'"):
        Tables().build(**facts)
