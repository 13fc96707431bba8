"""Series in and out: lengths, gaps, scales, and what is no series."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone

import isthmus.data
from isthmus import AutoEncoder
from isthmus.modalities import Sequences, Tables
from isthmus.modalities.choice import default_modality
from isthmus.networks import MLPEncoder, TemporalEncoder
from isthmus.rows import SequenceRows, as_rows


def walks(n=30, channels=2, seed=0):
    random = np.random.default_rng(seed)
    return [random.normal(size=(int(random.integers(3, 9)), channels)).cumsum(0) for _ in range(n)]


def fitted(X, **params):
    return Sequences(**params).fit(as_rows(X))


def test_scales_are_learned_of_observed_values_alone():
    X = [np.array([[1.0, np.nan], [3.0, 10.0]]), np.array([[5.0, 30.0]])]
    batch = fitted(X).to_batch(as_rows(X), torch.float64)
    observed = batch.x[..., 0][batch.mask[..., 0]]
    assert observed.tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert batch.x[..., 1][batch.mask[..., 1]].tolist() == pytest.approx([-1, 1])
    assert not batch.x[~batch.mask].any()


def test_padding_and_gaps_are_not_observed():
    X = [np.array([1.0, 2.0, 3.0]), np.array([np.nan, 5.0])]
    batch = fitted(X).to_batch(as_rows(X))
    assert batch.mask.tolist() == [[True, True, True], [False, True, False]]
    assert batch.x.shape == (2, 3, 1)


def test_whole_series_of_one_length_have_no_mask():
    X = np.random.default_rng(0).normal(size=(5, 4, 2))
    sequences = fitted(X)
    assert sequences.to_batch(as_rows(X)).mask is None
    assert not sequences.missing


def test_facts_are_json_and_enough():
    X = walks()
    sequences = fitted(X)
    again = clone(sequences).build(**json.loads(json.dumps(sequences.facts)))
    assert torch.equal(again.to_batch(as_rows(X)).x, sequences.to_batch(as_rows(X)).x)


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(20, 6)),
        np.random.default_rng(0).normal(size=(20, 6, 2)).astype(np.float32),
        walks(),
        [walk[:, 0] for walk in walks()],
    ],
    ids=["(n, t)", "(n, t, c)", "list of (t, c)", "list of (t,)"],
)
def test_series_come_back_as_they_were(X):
    model = AutoEncoder("sequences", "linear(size=2)", max_epochs=1, threads=1, random_state=0).fit(X)
    back = model.reconstruct(X)
    assert type(back) is type(X)
    assert [one.shape for one in back] == [one.shape for one in X]
    assert {one.dtype for one in back} == {one.dtype for one in X}
    assert model.transform(X).dtype == X[0].dtype
    alone = model.reconstruct(X[3:5] if isinstance(X, list) else X[3:4])[0]
    assert np.allclose(alone, back[3], atol=1e-5)


def test_codes_without_rows_stand_for_series_of_full_length():
    X = walks()
    model = AutoEncoder(bottleneck="gaussian(size=2)", max_epochs=1, threads=1, random_state=0).fit(X)
    longest = max(map(len, X))
    assert [one.shape for one in model.sample(3, random_state=0)] == [(longest, 2)] * 3
    assert [one.shape for one in model.inverse_transform(model.transform(X[:2]))] == [(longest, 2)] * 2


def test_lists_of_arrays_are_sequences_and_arrays_are_not():
    assert isinstance(default_modality(as_rows(walks())), Sequences)
    assert isinstance(default_modality(as_rows([np.zeros(3), np.ones(3)])), Tables)
    assert isinstance(as_rows([np.zeros(3), np.ones(2)]), SequenceRows)


def test_shorter_arrays_are_coded_as_the_series_they_are():
    X = [walk[:, 0] for walk in walks()]
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=1, threads=1, random_state=0).fit(X)
    short = np.stack([one[:3] for one in X[:4]])
    assert np.array_equal(model.transform(short), model.transform(list(short) + [X[0]])[:4])
    assert [one.shape for one in model.reconstruct(short)] == [(3,)] * 4


def test_a_table_of_records_is_gathered_and_one_of_numbers_is_a_step_a_column():
    X = walks(20, 1)
    records = [(f"s{i}", step, float(value)) for i, walk in enumerate(X) for step, value in enumerate(walk[:, 0])]
    np.random.default_rng(0).shuffle(records)
    table = pl.DataFrame(
        {"id": [r[0] for r in records], "t": [int(r[1]) for r in records], "x": [float(r[2]) for r in records]}
    )
    model = AutoEncoder("sequences(id='id', time='t')", "linear(size=2)", max_epochs=1, threads=1, random_state=0)
    names = list(dict.fromkeys(table["id"]))
    in_order = [X[int(name[1:])][:, 0] for name in names]
    codes = model.fit(table).transform(table)
    assert np.allclose(codes, model.transform(in_order), atol=1e-6)
    wide = np.random.default_rng(0).normal(size=(20, 5))
    frame = pl.DataFrame({f"step {i}": wide[:, i] for i in range(5)})
    assert torch.equal(fitted(frame).to_batch(as_rows(frame)).x, fitted(wide).to_batch(as_rows(wide)).x)


def test_series_that_are_padded_a_block_at_a_time_are_fitted_alike(monkeypatch):
    X = walks(60)
    make = AutoEncoder(bottleneck="linear(size=2)", max_epochs=2, threads=1, random_state=0)
    whole = clone(make).fit(X).transform(X)
    monkeypatch.setattr(isthmus.data, "COPY_BYTES", 0)
    monkeypatch.setattr(isthmus.data, "BLOCK_BYTES", 2_000)
    in_blocks = clone(make).fit(X)
    assert np.allclose(in_blocks.transform(X), whole, atol=1e-6)
    assert [len(one) for one in in_blocks.reconstruct(X)] == [len(one) for one in X]


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        ([np.zeros((3, 2)), np.zeros((2, 3))], {}, "equally many channels, got 2, 3"),
        ([np.zeros((3, 2)), np.zeros((0, 2))], {}, r"shape \(0, 2\) as number 1"),
        ([np.array([["a"]])], {}, "series are numbers"),
        ([np.array([[1.0], [2.0]]), np.array([[1.0], [np.inf]])], {}, "series 1 has infinity at step 1"),
        (walks(), {"length": 4}, "the longest series has 8 steps, length=4 takes fewer"),
        (walks(), {"length": 0}, "length must be at least 1"),
        (walks(), {"time": "t"}, "time is for tables with the columns id and time"),
        (walks(), {"network": "mlp"}, "network must be one of"),
        (np.zeros((4, 5, 6, 3)), {}, "expected series"),
        (pl.DataFrame({"a": ["x", "y"], "b": [1, 2]}), {}, "name the column of their names in id"),
    ],
)
def test_what_is_no_series_is_refused(X, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(X, **params)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([np.zeros((9, 2))], "series 0 has 9 steps, the model takes up to 8"),
        ([np.zeros((3, 1))], "series of 1 channels were given to a model of 2"),
    ],
)
def test_series_that_a_model_cannot_take_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        fitted(walks()).to_batch(as_rows(X))


def test_long_series_get_networks_whose_size_does_not_grow_with_all_their_values():
    assert isinstance(fitted(walks()).encoder(), MLPEncoder)
    long = fitted([np.random.default_rng(0).normal(size=(5_000, 2)), np.zeros((10, 2))])
    assert isinstance(long.encoder(), TemporalEncoder)
    assert not long.encoder().shortcut


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("shape", [3]),
        ("shape", [10, 0]),
        ("channels", []),
        ("channels", [{"center": 0.0}] * 2),
        ("is_flat", True),
        ("is_list", 1),
        ("dtype", "object"),
        ("rank", 0),
    ],
)
def test_facts_that_no_fit_gives_are_refused(fact, value):
    facts = fitted(walks()).facts | {fact: value}
    with pytest.raises(ValueError, match=fact if fact != "channels" else "channel"):
        Sequences().build(**facts)
