"""Search: neighbours of codes as scikit-learn finds them, an index that grows, is saved, and is judged."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

from isthmus import AutoEncoder, saving
from isthmus.jobs import SimilaritySearch
from isthmus.jobs.index import CodeIndex
from isthmus.jobs.search import average_precision, precision_at

X, Y = load_iris(return_X_y=True)
X = np.unique(X, axis=0)
Y = Y[: len(X)]
METRICS = ("euclidean", "cosine", "hamming")


def searching(**params) -> SimilaritySearch:
    model = AutoEncoder(bottleneck="linear(size=3)", max_epochs=3, threads=1, random_state=0, dtype="float64")
    return SimilaritySearch(model, **params)


@pytest.fixture(scope="module", params=METRICS)
def fitted(request) -> SimilaritySearch:
    return searching(metric=request.param).fit(X[::2])


def codes(search: SimilaritySearch, rows) -> np.ndarray:
    """Return what is compared, by hand."""
    found = search.estimator_.transform(rows)
    if search.metric != "hamming":
        return found
    return (found > np.quantile(search.estimator_.transform(X[::2]), 0.5, axis=0)).astype(float)


def test_neighbours_are_those_scikit_learn_finds_among_the_codes(fitted):
    distances, positions = fitted.kneighbors(X[1::2], 4)
    metric = {"hamming": "cityblock"}.get(fitted.metric, fitted.metric)
    known = NearestNeighbors(n_neighbors=4, metric=metric).fit(codes(fitted, X[::2]))
    expected, rows = known.kneighbors(codes(fitted, X[1::2]))
    np.testing.assert_allclose(distances, expected, atol=1e-7)
    if fitted.metric != "hamming":  # of bits many are equally near
        assert np.array_equal(positions, rows)


def test_of_the_indexed_rows_none_is_its_own_neighbour(fitted):
    distances, positions = fitted.kneighbors(n_neighbors=3)
    assert distances.shape == positions.shape == (len(X[::2]), 3)
    assert not (positions == np.arange(len(positions))[:, None]).any()
    assert (np.diff(distances, axis=1) >= 0).all()


def test_positions_alone_can_be_asked_for_and_their_number_is_the_parameter(fitted):
    alone = fitted.kneighbors(X[:2], return_distance=False)
    assert np.array_equal(alone, fitted.kneighbors(X[:2])[1])
    assert alone.shape == (2, 10)
    few = searching(n_neighbors=10).fit(X[:6])
    assert few.kneighbors(return_distance=False).shape == (6, 5)
    with pytest.raises(ValueError, match="from 1 to 6"):
        few.kneighbors(X[:1], 7)


def test_rows_that_are_added_are_found_and_move_nothing(fitted):
    search = searching(metric=fitted.metric).fit(X[::2])
    before = search.codes_
    search.add(X[1::2])
    assert np.array_equal(search.codes_[: len(before)], before)
    assert search.places_.tolist() == list(range(len(X)))
    distances, positions = search.kneighbors(X[1::2], 1)
    np.testing.assert_allclose(distances, 0, atol=1e-7)
    if fitted.metric == "euclidean":
        assert np.array_equal(positions[:, 0], np.arange(len(before), len(X)))


def test_places_are_names_or_numbers_one_for_each_row():
    search = searching().fit(X[:4]).name(["a", "b", "c", "d"])
    assert search.add(X[4:6], ["e", "f"]).places_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="a place for each of the 6 indexed rows, got 2"):
        search.name(["a", "b"])
    with pytest.raises(ValueError, match="all be text"):
        search.add(X[6:7])


def test_an_index_that_was_saved_finds_the_same(fitted, tmp_path):
    fitted.name([f"flower {i}.png" for i in range(len(X[::2]))])
    saving.save(fitted, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    for one, other in zip(fitted.kneighbors(X, 5), again.kneighbors(X, 5), strict=True):
        assert np.array_equal(one, other)
    assert again.places_.tolist() == fitted.places_.tolist()
    assert np.array_equal(
        again.add(X[:3], list("abc")).codes_[-3:],
        fitted._index._prepared(torch.from_numpy(fitted.estimator_.transform(X[:3]))),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codes": np.zeros((4, 2))}, r"codes should be of shape \(-1, 3\), got \(4, 2\)"),
        ({"codes": np.zeros((0, 3))}, "codes should be of shape"),
        ({"codes": np.full((4, 3), np.nan)}, "codes should be an array of finite numbers"),
        ({"codes": [[0.0] * 3] * 4}, "codes should be an array of finite numbers"),
        ({"codes": np.zeros((4, 3), np.int64)}, "codes should be an array of finite numbers"),
        ({"codes": None}, "codes should be an array"),
        ({"places": np.arange(5)}, "one for each of 4 rows"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, said):
    search = searching().fit(X[:4])
    with pytest.raises(ValueError, match=said):
        search.restore(search.state() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"codes": np.zeros((4, 2), np.uint8)},
        {"codes": np.zeros((4, 3))},
        {"threshold": np.zeros(2)},
        {"threshold": None},
    ],
)
def test_a_state_of_bits_that_does_not_fit_is_refused(change):
    search = searching(metric="hamming").fit(X[:4])
    assert search.codes_.dtype == np.uint8
    with pytest.raises(ValueError, match="codes|threshold"):
        search.restore(search.state() | change)


def test_bits_of_a_binary_code_are_told_apart_in_the_middle():
    seen = torch.tensor([[0.0, -1.0, 5.0], [1.0, -1.0, 6.0], [1.0, 1.0, 7.0], [1.0, -1.0, 9.0]])
    index = CodeIndex("hamming").fit(seen)
    assert index.threshold.tolist() == [0.5, 0.0, 6.5]
    assert index.codes.tolist() == [[0], [1], [7], [5]]


def test_figures_are_scikit_learns():
    labels = np.random.default_rng(0).integers(0, 3, 30)
    points = np.random.default_rng(1).normal(size=(30, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    ranking = distances.argsort(1)[:, :-1]
    expected = [
        average_precision_score(np.delete(labels == labels[i], i), -np.delete(distances[i], i)) for i in range(30)
    ]
    assert average_precision(ranking, labels) == pytest.approx(np.mean(expected))
    right = [[labels[j] == labels[i] for j in ranking[i, :5]] for i in range(30)]
    assert precision_at(ranking[:, :5], labels) == pytest.approx(np.mean(right))


def test_a_label_that_no_other_row_has_is_not_counted():
    ranking = np.array([[1, 2], [0, 2], [0, 1]])
    assert average_precision(ranking, np.array(["a", "a", "b"])) == 1.0
    assert average_precision(ranking, np.array(["a", "b", "c"])) == 0.0


def test_compare_sets_codes_beside_rows_and_components(fitted):
    table = fitted.compare(X[::2], X[1::2], Y[1::2])
    assert [row["method"] for row in table] == ["auto-encoder", "rows themselves", "PCA"]
    assert [row["numbers"] for row in table] == [3, 4, 3]
    for row in table:
        assert 0 < row["recall"] <= 1
        assert 0 < row["precision_at_10"] <= 1
        assert 0 < row["mean_average_precision"] <= 1
        assert row["milliseconds"] > 0
    if fitted.metric == "euclidean":
        assert table[1]["recall"] == 1
    assert "precision_at_10" not in fitted.compare(X[::2], X[1::2])[0]


@pytest.mark.parametrize(
    "params", [{"metric": "manhattan"}, {"index": "annoy"}, {"n_neighbors": 0}, {"n_neighbors": 2.5}]
)
def test_parameters_out_of_range_are_refused_before_the_fit(params):
    search = searching(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        search.fit(X)
    assert not hasattr(search, "estimator_")


def test_without_faiss_its_indices_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"needs faiss: pip install 'isthmus\[search\]', or use index='exact'"):
        searching(index="hnsw").fit(X)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_faiss_finds_what_the_exact_search_finds(kind, metric):
    pytest.importorskip("faiss")
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(600, 16)))
    asked = torch.from_numpy(np.random.default_rng(1).normal(size=(50, 16)))
    exact, by_faiss = CodeIndex(metric).fit(points[:500]), CodeIndex(metric, kind).fit(points[:500])
    for _ in range(2):
        for queries in (asked, None):
            expected, found = exact.search(queries, 5)[0], by_faiss.search(queries, 5)[0]
            if kind == "flat":
                np.testing.assert_allclose(found, expected, atol=1e-6)
            # A part of the index may miss a neighbour, but what it finds is as far as it says.
            assert (found >= expected - 1e-6).all()
            assert np.mean(found <= expected + 1e-6) > (0.3 if kind == "ivf" else 0.9)
        exact.add(points[500:])
        by_faiss.add(points[500:])
