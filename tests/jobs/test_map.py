"""Maps: two columns, a place for new rows, and figures that are scikit-learn's."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from isthmus import AutoEncoder
from isthmus.jobs import Mapper
from isthmus.jobs import map as map_module
from isthmus.jobs.map import knn_accuracy

X, Y = load_iris(return_X_y=True)
QUICK = dict(max_epochs=5, threads=1, random_state=0)


@pytest.fixture(scope="module")
def flat() -> Mapper:
    return Mapper(AutoEncoder(bottleneck="linear(size=2)", dtype="float64", **QUICK), random_state=0).fit(X[::2])


@pytest.fixture(scope="module")
def deep() -> Mapper:
    return Mapper(AutoEncoder(bottleneck="linear(size=3)", dtype="float64", **QUICK), random_state=0).fit(X[::2])


def test_the_map_of_a_code_of_two_dimensions_is_the_code(flat):
    assert flat.transform(X).shape == (150, 2)
    assert np.array_equal(flat.transform(X), flat.estimator_.transform(X))
    assert flat.projection_ is None
    assert flat.state() == {}


def test_new_rows_find_their_place_without_moving_the_others(flat):
    before = flat.transform(X[::2])
    alone = flat.transform(X[1:2])
    np.testing.assert_allclose(flat.transform(X)[1:2], alone, atol=1e-9)
    assert np.array_equal(flat.transform(X[::2]), before)


def test_a_larger_code_falls_back_to_its_principal_components_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, logger="isthmus.jobs.map"):
        mapper = Mapper(AutoEncoder(bottleneck="linear(size=3)", dtype="float64", **QUICK)).fit(X)
    codes = mapper.estimator_.transform(X)
    expected = PCA(2, svd_solver="full").fit(codes)
    np.testing.assert_allclose(mapper.transform(X), expected.transform(codes), atol=1e-9)
    share = 100 * expected.explained_variance_ratio_.sum()
    assert f"the code has 3 dimensions; the map is its first 2 principal components, which hold {share:.0f} %" in (
        caplog.text
    )


def test_a_map_learned_as_such_is_not_worth_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        Mapper(AutoEncoder(bottleneck="linear(size=2)", **QUICK)).fit(X)
    assert not caplog.records


def test_a_code_of_one_dimension_is_refused():
    with pytest.raises(
        ValueError, match=r"a code of at least as many, got one of 1; use bottleneck='linear\(size=2\)'"
    ):
        Mapper(AutoEncoder(bottleneck="linear(size=1)", **QUICK)).fit(X)


def test_neighbours_are_kept_unless_the_code_is_asked_for_as_it_is():
    model = AutoEncoder(bottleneck="linear(size=2)", penalties=["l2"], **QUICK)
    by_neighbors, by_code = Mapper(model).fit(X), Mapper(model, method="code").fit(X)
    assert [type(part).__name__ for part in by_neighbors.estimator_.module_.penalties] == ["L2", "Neighbors"]
    assert [type(part).__name__ for part in by_code.estimator_.module_.penalties] == ["L2"]
    assert np.array_equal(by_code.transform(X), model.fit(X).transform(X))
    assert list(model.penalties) == ["l2"]


def test_a_penalty_of_the_callers_is_not_doubled():
    model = AutoEncoder(bottleneck="linear(size=2)", penalties=["neighbors(weight=3.0)"], **QUICK)
    (penalty,) = Mapper(model).fit(X).estimator_.module_.penalties
    assert penalty.weight == 3.0


def test_a_map_may_have_three_dimensions():
    mapper = Mapper(n_components=3, random_state=0)
    mapper.set_params(estimator=mapper.default_estimator(X).set_params(**QUICK))
    assert mapper.fit(X).transform(X).shape == (150, 3)
    assert mapper.projection_ is None
    assert mapper.get_feature_names_out().tolist() == ["mapper0", "mapper1", "mapper2"]
    assert all(places.shape == (75, 3) for places in mapper.maps(X[::2], X[1::2]).values())


def test_every_place_has_a_row(flat, deep):
    places = flat.transform(X[:5])
    assert np.array_equal(flat.inverse_transform(places), flat.estimator_.inverse_transform(places))
    # Of a larger code, the row is that of the nearest code on the plane of the map.
    places = deep.transform(X[:5])
    codes = places @ deep.projection_ + deep.center_
    np.testing.assert_allclose(deep.inverse_transform(places), deep.estimator_.inverse_transform(codes))
    with pytest.raises(ValueError, match=r"places of shape \(n, 2\), got \(5, 3\)"):
        flat.inverse_transform(np.zeros((5, 3)))


@pytest.mark.parametrize(
    ("params", "said"), [({"method": "umap"}, "neighbors, code"), ({"n_components": 4}, "1, 2 or 3")]
)
def test_parameters_out_of_range_are_refused(params, said):
    with pytest.raises(ValueError, match=said):
        Mapper(**params).fit(X)


def test_a_refit_with_a_smaller_code_forgets_the_projection():
    mapper = Mapper(AutoEncoder(bottleneck="linear(size=3)", **QUICK)).fit(X)
    mapper.set_params(estimator__bottleneck__size=2).fit(X)
    assert mapper.projection_ is None
    assert mapper.transform(X).shape == (150, 2)


def test_columns_have_names_in_a_frame():
    mapper = Mapper(AutoEncoder(bottleneck="linear(size=2)", **QUICK))
    frame = mapper.set_output(transform="pandas").fit(X).transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(mapper.get_feature_names_out()) == ["mapper0", "mapper1"]


def test_state_and_restore_give_the_same_map(deep, flat):
    again = Mapper()
    again.estimator_ = deep.estimator_
    assert np.array_equal(again.restore(deep.state()).transform(X), deep.transform(X))
    again.estimator_ = flat.estimator_
    assert np.array_equal(again.restore({}).transform(X), flat.transform(X))


@pytest.mark.parametrize(
    "state",
    [
        {"projection": np.zeros((2, 3))},
        {"projection": np.zeros((2, 4)), "center": np.zeros(4)},
        {"center": np.zeros(3)},
        {},
    ],
)
def test_a_projection_that_does_not_fit_the_code_is_refused(state, deep):
    again = Mapper()
    again.estimator_ = deep.estimator_
    with pytest.raises(ValueError, match="should be of a code of 3 dimensions to 2"):
        again.restore(state)


def test_figures_are_scikit_learns_trustworthiness_and_nearest_neighbours(flat):
    train, test = X[::2], X[1::2]
    table = flat.compare(train, test, Y[1::2])
    maps = flat.maps(train, test)
    assert [row["method"] for row in table] == list(maps)
    assert list(maps)[:3] == ["auto-encoder", "PCA", "t-SNE"]
    columns = flat.estimator_.modality_.columns
    scaled = (test - [column["center"] for column in columns]) / [column["scale"] for column in columns]
    for row in table:
        places = maps[row["method"]]
        assert places.shape == (75, 2)
        assert row["trustworthiness"] == pytest.approx(trustworthiness(scaled, places, n_neighbors=5), abs=1e-3)
        assert row["continuity"] == pytest.approx(trustworthiness(places, scaled, n_neighbors=5), abs=1e-3)
        assert row["knn_accuracy"] == knn_accuracy(places, Y[1::2])
        assert row["knn_accuracy"] > 0.6
    assert [row["places_new_rows"] for row in table][:3] == [True, True, False]
    assert np.array_equal(maps["auto-encoder"], flat.transform(test))


def test_pca_is_fitted_on_the_training_rows(flat):
    columns = flat.estimator_.modality_.columns
    scaled = (X - [column["center"] for column in columns]) / [column["scale"] for column in columns]
    expected = PCA(2, svd_solver="full").fit(scaled[::2]).transform(scaled[1::2])
    np.testing.assert_allclose(flat.maps(X[::2], X[1::2])["PCA"], expected, atol=1e-9)


def test_compare_is_repeatable_and_goes_without_labels(flat):
    table = flat.compare(X[::2], X[1::2])
    assert table == flat.compare(X[::2], X[1::2])
    assert all("knn_accuracy" not in row for row in table)


def test_of_many_test_rows_some_are_drawn_with_their_labels(flat, monkeypatch, caplog):
    monkeypatch.setattr(map_module, "MOST_COMPARED", 40)
    with caplog.at_level(logging.WARNING, logger="isthmus.jobs.map"):
        table = flat.compare(X, X, Y)
    assert "compared on 40 of the 150 test rows" in caplog.text
    # Labels that did not go with their rows would be guessed no better than by chance.
    assert all(row["knn_accuracy"] > 0.6 for row in table)


def test_a_handful_of_rows_can_be_compared(flat):
    for n in (3, 4):
        assert all(np.isfinite(row["trustworthiness"]) for row in flat.compare(X[::2], X[:n]))


def test_images_are_mapped():
    images = load_digits().images[:60]
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=2, threads=1, random_state=0)
    mapper = Mapper(model, random_state=0).fit(images[:40])
    assert mapper.transform(images[40:]).shape == (20, 2)
    assert len(mapper.compare(images[:40], images[40:])) >= 3


def test_knn_accuracy_is_leave_one_out_cross_validation():
    places = np.random.default_rng(0).normal(size=(60, 2)) + 2 * Y[:60:1, None] + np.arange(60)[:, None] % 3
    labels = np.arange(60) % 3
    # Five neighbours and three classes can tie; one and two classes cannot.
    for k, y in ((1, labels), (5, labels > 0)):
        expected = cross_val_score(KNeighborsClassifier(k), places, y, cv=LeaveOneOut()).mean()
        assert knn_accuracy(places, y, k) == pytest.approx(expected)


def test_knn_accuracy_takes_names_and_refuses_too_few():
    places = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]])
    assert knn_accuracy(places, ["a", "a", "b", "b"], 1) == 1.0
    assert knn_accuracy(places, ["a", "b", "a", "b"], 1) == 0.0
    with pytest.raises(ValueError, match="a label for each of the 4 rows, got 3"):
        knn_accuracy(places, ["a", "a", "b"])
