import datetime as dt
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from isthmus.modalities import Tables
from isthmus.modalities.columns import Encoder
from isthmus.rows import as_rows

RNG = np.random.default_rng(0)
N = 60
MIXED = pl.DataFrame(
    {
        "number": RNG.normal(size=N),
        "single": RNG.normal(size=N).astype(np.float32),
        "whole": RNG.integers(-50, 50, N).astype(np.int16),
        "flag": RNG.integers(0, 2, N),
        "truth": RNG.random(N) > 0.5,
        "word": RNG.choice(["red", "green", "blue"], N).tolist(),
        "day": [dt.date(2020, 1, 1) + dt.timedelta(int(i)) for i in RNG.integers(0, 1000, N)],
    }
)


def fit(X, **params):
    return Tables(**params).fit(as_rows(X))


def batch_of(table, X, dtype=torch.float64):
    return table.to_batch(as_rows(X), dtype)


def returned(X, **params):
    """Return a table after a way through the modality."""
    table = fit(X, **params)
    return table.to_rows(batch_of(table, X).x)


def test_polars_comes_back_as_it_was():
    back = returned(MIXED)
    assert back.schema == MIXED.schema
    exact = MIXED.columns[2:]
    assert back.select(exact).equals(MIXED.select(exact))
    np.testing.assert_allclose(back["number"], MIXED["number"])
    np.testing.assert_allclose(back["single"], MIXED["single"], rtol=1e-6)


def test_pandas_comes_back_as_it_was():
    frame = pd.DataFrame(MIXED.drop("day").to_dict(as_series=False)).rename(columns={"whole": 7})
    frame["size"] = pd.Categorical(["s", "m", "l"] * 20)
    frame["when"] = pd.date_range("2020", periods=N, freq="D", tz="Europe/Paris")
    frame["gap"] = pd.array([1, 2, 3] * 20, dtype="Int64")
    pd.testing.assert_frame_equal(returned(frame), frame, check_categorical=False, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int16", "uint8", "bool"])
def test_numpy_comes_back_in_its_type(dtype):
    array = (RNG.random((N, 3)) * 20).astype(dtype)
    back = returned(array)
    assert back.dtype == array.dtype
    np.testing.assert_allclose(back.astype(float), array.astype(float), rtol=1e-6)


def test_an_object_array_comes_back_with_its_values():
    array = np.array([[1, "a"], [2, "b"], [5, "a"]], object)
    back = returned(array)
    assert back.dtype == object
    assert back.tolist() == array.tolist()


def test_reordered_and_extra_columns_give_the_same_batch():
    table = fit(MIXED)
    shuffled = MIXED.select(reversed(MIXED.columns)).with_columns(extra=pl.lit("x"))
    assert torch.equal(batch_of(table, MIXED).x, batch_of(table, shuffled).x)
    as_pandas = pd.DataFrame(shuffled.to_dict(as_series=False))
    assert torch.equal(batch_of(table, MIXED).x, batch_of(table, as_pandas).x)


def test_missing_columns_are_named():
    table = fit(MIXED)
    with pytest.raises(ValueError, match="lacks the columns number, word; it has single"):
        batch_of(table, MIXED.drop("word", "number"))


def test_a_different_number_of_columns_of_an_array_is_an_error():
    with pytest.raises(ValueError, match="X has 2 features, but Tables is expecting 3"):
        batch_of(fit(np.eye(3)), np.eye(2))


def test_text_in_a_numeric_column_is_an_error_with_column_and_row():
    table = fit(MIXED)
    wrong = MIXED.with_columns(number=pl.Series(["1.5"] * (N - 1) + ["abc"]))
    with pytest.raises(ValueError, match=f"column 'number' holds numbers, got 'abc' in row {N - 1}"):
        batch_of(table, wrong)


@pytest.mark.parametrize("container", [np.asarray, pl.DataFrame, pd.DataFrame])
def test_infinity_is_an_error_with_column_and_row_in_fit_and_after(container):
    array = RNG.normal(size=(5, 2))
    table = fit(container(array))
    array[3, 1] = np.inf
    for wrong in (array, -array):
        with pytest.raises(ValueError, match="infinity.*row 3"):
            fit(container(wrong))
        with pytest.raises(ValueError, match="infinity.*row 3"):
            batch_of(table, container(wrong))


def test_the_row_of_an_error_is_counted_from_the_first_chunk(monkeypatch):
    monkeypatch.setattr("isthmus.modalities.tables.CHUNK_CELLS", 4)
    array = RNG.normal(size=(10, 2))
    table, wrong = fit(array), array.copy()
    wrong[7, 0] = np.inf
    with pytest.raises(ValueError, match="row 7"):
        batch_of(table, wrong)
    with pytest.raises(ValueError, match="row 7"):
        fit(pl.DataFrame(array)).to_batch(as_rows(pl.DataFrame(wrong)))


def test_missing_cells_are_zero_and_masked():
    array = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 6.0]])
    for X in (array, pd.DataFrame(array), pl.DataFrame(array).fill_nan(None)):
        batch = batch_of(fit(X), X)
        assert batch.mask.tolist() == [[True, False], [True, True], [False, True]]
        assert batch.x[~batch.mask].tolist() == [0, 0]
        assert batch.x[:2, 0].tolist() == [-1, 1]


def test_a_table_without_gaps_has_no_mask_and_a_blank_one_with_them_has():
    assert batch_of(fit(np.eye(3)), np.eye(3)).mask is None
    assert fit(np.eye(3)).blank(2).mask is None
    assert fit(np.array([[1.0, np.nan], [2.0, 1.0]])).blank(2).mask.all()


def test_all_at_once_equals_column_by_column():
    array = np.exp(2 * RNG.normal(size=(500, 4)))
    array[:, 2] = RNG.normal(size=500)
    array[3, 1] = np.nan
    table = fit(array)
    assert [column["squash"] is None for column in table.columns] == [False, False, True, False]
    batch = batch_of(table, array)
    for i, facts in enumerate(table.columns):
        cells, missing = Encoder([facts])(pl.DataFrame({"x": array[:, i]}))
        np.testing.assert_array_equal(batch.x[:, i].numpy(), cells[:, 0])
        np.testing.assert_array_equal(batch.mask[:, i].numpy(), ~missing[:, 0])


def test_pieces_join_to_the_whole(monkeypatch):
    array = RNG.normal(size=(50, 3))
    table = fit(array)
    whole = batch_of(table, array).x
    monkeypatch.setattr("isthmus.modalities.tables.CHUNK_CELLS", 7)
    assert torch.equal(batch_of(table, array).x, whole)


@pytest.mark.parametrize("shape", [(200_000, 4), (100, 8_000)])
def test_a_batch_needs_no_more_memory_than_itself(shape):
    array = RNG.random(shape)
    table = fit(array[:20])
    tracemalloc.start()
    table.to_batch(as_rows(array), torch.float32)  # torch's own memory is not traced: the batch, 0.5 times the array
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert peak < 2.5 * array.nbytes


def test_types_that_are_named_hold():
    frame = pl.DataFrame(
        {"code": [1, 2, 3], "flag": ["1", "0", "1"], "key": ["a", "b", "c"], "n": ["1.5", "2", "x"][:2] + ["3"]}
    )
    table = fit(frame, types={"code": "category", "flag": "boolean", "key": "ignore", "n": "number"})
    assert {column["name"]: column["kind"] for column in table.columns} == {
        "code": "category",
        "flag": "boolean",
        "n": "number",
    }
    assert table.ignored == ["key"]
    back = table.to_rows(batch_of(table, frame).x)
    assert back.to_dict(as_series=False) == {"code": [1, 2, 3], "flag": [True, False, True], "n": [1.5, 2.0, 3.0]}


def test_columns_of_an_array_are_named_by_position():
    array = np.array([[1.0, 5.0], [2.0, 6.0], [1.0, 7.0]])
    table = fit(array, types={"x0": "category"})
    assert [column["kind"] for column in table.columns] == ["category", "number"]
    np.testing.assert_allclose(table.to_rows(batch_of(table, array).x), array)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"none": "number"}, "not there: none"),
        ({"x0": "float"}, "must be one of 'number'"),
        ({"x0": "ignore"}, "no column is left"),
    ],
)
def test_types_that_cannot_be_are_errors(types, message):
    with pytest.raises(ValueError, match=message):
        fit(np.ones((3, 1)), types=types)


def test_identifiers_are_left_out():
    frame = pl.DataFrame({"id": [f"id{i}" for i in range(N)], "n": MIXED["number"]})
    table = fit(frame)
    assert table.ignored == ["id"]
    assert batch_of(table, frame.drop("id")).x.shape == (N, 1)


def test_an_unseen_category_is_0_and_comes_back_as_a_known_one():
    table = fit(pl.DataFrame({"x": ["a", "a", "b"]}))
    assert table.example() == {"shape": [1], "categories": [3]}
    assert batch_of(table, pl.DataFrame({"x": ["b", "new"]})).x.tolist() == [[2], [0]]
    assert table.to_rows(torch.tensor([[0.0], [1.0], [2.0]]))["x"].to_list() == ["a", "a", "b"]


@pytest.mark.parametrize(
    "X", [np.array([[2.0, 3.0]]), np.array([[2.0], [3.0]]), pl.DataFrame({"a": [None, None], "b": [1, 2]})]
)
def test_one_row_one_column_and_an_empty_column_are_tables(X):
    table = fit(X)
    batch = batch_of(table, X)
    assert torch.isfinite(batch.x).all()
    assert table.rank >= 1
    assert table.to_rows(batch.x).shape == X.shape


def test_the_input_is_not_changed():
    array = np.exp(3 * RNG.normal(size=(200, 2)))
    array[0, 0] = np.nan
    before = array.copy()
    batch_of(fit(array), array)
    np.testing.assert_array_equal(array, before)


def test_facts_are_plain_values_from_which_an_equal_part_is_built():
    import json

    table = fit(pd.DataFrame(MIXED.to_dict(as_series=False)))
    again = Tables().build(**json.loads(json.dumps(table.facts)))
    assert torch.equal(batch_of(again, MIXED).x, batch_of(table, MIXED).x)
    pd.testing.assert_frame_equal(again.to_rows(batch_of(again, MIXED).x), table.to_rows(batch_of(table, MIXED).x))


def test_images_are_no_table():
    with pytest.raises(ValueError, match=r"use modality=Images\(\)"):
        fit(np.zeros((2, 3, 3)))
