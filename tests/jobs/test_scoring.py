"""The score of a row: its measures, and what they weigh."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.neighbors import NearestNeighbors

from isthmus import AutoEncoder
from isthmus.batch import Batch
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.cells import TypicalErrors, cells_of
from isthmus.jobs.made_up import made_up
from isthmus.jobs.measures import MEASURES, Measures, RankScale
from isthmus.jobs.scoring import Score
from isthmus.rows import as_rows


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Return rows of four numbers on a plane, and a little beside it."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 4)) + 0.1 * random.normal(size=(n, 4))


@pytest.fixture(scope="module")
def model() -> AutoEncoder:
    return AutoEncoder(bottleneck="linear(size=3)", max_epochs=5, threads=1, dtype="float64", random_state=0).fit(
        rows(200)
    )


def measures_of(model: AutoEncoder, X: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    typical = TypicalErrors.measure(model, as_rows(rows(50, seed=7)))
    stored = model.modality_.to_batch(as_rows(reference), next(model.module_.parameters()).dtype)
    measures = Measures(model, typical, MEASURES, stored)
    found = np.concatenate([measures.of(cells) for cells in cells_of(model, as_rows(X))])
    return dict(zip(MEASURES, found.T, strict=True))


def distances(points: np.ndarray, index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return NearestNeighbors(n_neighbors=k).fit(index).kneighbors(points)


def test_each_measure_is_what_it_says_it_is(model):
    X, reference = rows(9, seed=1), rows(120, seed=2)
    found = measures_of(model, X, reference)
    scaled, index = ((part - rows(200).mean(0)) / rows(200).std(0) for part in (X, reference))
    np.testing.assert_allclose(found["rows"], distances(scaled, index, 5)[0].mean(1), rtol=1e-5)
    far, where = distances(scaled, index, 20)
    own = distances(index, index, 21)[0][:, 1:].mean(1)
    np.testing.assert_allclose(found["density"], far.mean(1) / np.maximum(own[where].mean(1), own.mean()), rtol=1e-4)
    codes = model.transform(reference)
    spread = codes.std(0)
    np.testing.assert_allclose(
        found["codes"], distances(model.transform(X) / spread, codes / spread, 5)[0].mean(1), rtol=1e-4
    )
    scale = RankScale(index, np.ones(4, bool))
    np.testing.assert_allclose(found["ranks"], distances(scale(scaled), scale(index), 5)[0].mean(1), rtol=1e-4)


def test_ranks_are_normal_quantiles_and_go_on_in_a_line_beyond_the_reference():
    known = np.array([[3.0], [1.0], [2.0], [2.0]])
    scale = RankScale(known, np.array([True]))
    places = {1.0: 0.5, 2.0: 2.0, 3.0: 3.5, 2.5: 3.0, 1.5: 1.0}
    for value, place in places.items():
        assert scale(np.array([[value]]))[0, 0] == pytest.approx(norm.ppf((place + 0.5) / 5))
    ends = scale(np.array([[3.0], [3.0 + known.std()]]))
    # The value beyond has all four below it, the last of the reference rows three and a half.
    assert ends[1, 0] == pytest.approx(norm.ppf(4.5 / 5) + 1)
    assert ends[1, 0] > ends[0, 0]


def test_columns_that_are_no_numbers_keep_their_values_when_ranked():
    known = np.array([[3.0, 1.0], [1.0, 0.0]])
    assert RankScale(known, np.array([True, False]))(known)[:, 1].tolist() == [1.0, 0.0]


def test_equal_reference_rows_leave_every_measure_finite(model):
    found = measures_of(model, rows(3), np.repeat(rows(1), 30, 0))
    assert all(np.isfinite(column).all() for column in found.values())


def test_made_up_rows_are_wrong_in_the_way_that_their_name_says(model):
    stored = model.modality_.to_batch(as_rows(rows(40, seed=3)), torch.float64)
    reference = model.modality_.to_batch(as_rows(rows(60, seed=4)), torch.float64)
    found = made_up(model, stored, reference, seed=0)
    swapped = found["swapped"].x != stored.x
    assert swapped.sum(1).tolist() == [1] * 40
    for row, column in swapped.nonzero().tolist():
        assert found["swapped"].x[row, column] in reference.x[:, column]
    noise = found["noisy"].x - stored.x
    assert 0.08 < float(noise.std()) < 0.12
    halves = (reference.x[:, None] + reference.x[None]).flatten(0, 1) / 2
    apart = torch.cdist(found["between"].x, halves).min(1).values
    assert float(apart.max()) < 1e-6
    moved = found["outside"].x != stored.x
    assert moved.sum(1).tolist() == [1] * 40
    beyond = torch.maximum(found["outside"].x - reference.x.amax(0), reference.x.amin(0) - found["outside"].x)
    assert torch.allclose(beyond[moved], reference.x.std(0, correction=0).expand(40, -1)[moved])
    again = made_up(model, stored, reference, seed=0)
    assert all(torch.equal(found[kind].x, again[kind].x) for kind in found)


def test_noise_of_values_that_come_more_than_once_stays_among_those_there_are():
    random = np.random.default_rng(0)
    X = np.stack([np.arange(100) % 7.0, random.normal(size=100), np.maximum(random.normal(size=100), 0)], axis=1)
    model = AutoEncoder(max_epochs=1, threads=1, random_state=0).fit(X)
    stored = model.modality_.to_batch(as_rows(X))
    noisy = made_up(model, stored, stored, seed=0)["noisy"].x
    assert set(noisy[:, 0].tolist()) <= set(stored.x[:, 0].tolist())
    assert (noisy[:, 0] != stored.x[:, 0]).any()
    assert not set(noisy[:, 1].tolist()) & set(stored.x[:, 1].tolist())
    heaped = stored.x[:, 2] == stored.x[:, 2].min()
    assert set(noisy[heaped, 2].tolist()) <= set(stored.x[:, 2].tolist())
    assert not set(noisy[~heaped, 2].tolist()) & set(stored.x[:, 2].tolist())


def test_symbols_are_neither_noisy_nor_halved():
    import polars as pl

    frame = pl.DataFrame({"a": np.arange(40.0), "b": ["x", "y"] * 20, "c": [True, False] * 20})
    model = AutoEncoder(max_epochs=1, threads=1, random_state=0).fit(frame)
    stored = model.modality_.to_batch(as_rows(frame))
    found = made_up(model, stored, stored, seed=1)
    assert set(found) == {"swapped", "noisy", "between", "outside"}
    assert torch.equal(found["outside"].x[:, 1:], stored.x[:, 1:])
    assert torch.equal(found["noisy"].x[:, 1:], stored.x[:, 1:])
    assert set(found["between"].x[:, 1:].flatten().tolist()) <= set(stored.x[:, 1:].flatten().tolist())
    only = model.fit(frame.select("b", "c"))
    assert set(made_up(only, *[only.modality_.to_batch(as_rows(frame))] * 2, seed=1)) == {"swapped"}


def test_a_value_outside_is_observed_even_where_the_cell_was_missing_and_where_all_are_equal():
    X = rows(60)
    X[:, 0] = np.nan
    X[:30, 0] = 7.0
    model = AutoEncoder(max_epochs=1, threads=1, random_state=0).fit(X)
    stored = model.modality_.to_batch(as_rows(X))
    found = made_up(model, stored, stored, seed=0)["outside"]
    hit = found.x[:, 0] != stored.x[:, 0]
    assert hit[30:].any() and hit[:30].any()
    assert bool(found.mask[hit, 0].all())
    assert (found.x[hit, 0] - stored.x[0, 0]).abs().tolist() == pytest.approx([1.0] * int(hit.sum()))


@pytest.fixture(scope="module")
def plane() -> np.ndarray:
    """Return rows of a plane, which the code is: what leaves it has an error, and a code like any other."""
    random = np.random.default_rng(0)
    return random.normal(size=(600, 2)) @ random.normal(size=(2, 12))


@pytest.mark.parametrize(("n", "kept"), [(600, {"error"}), (60, {"error", "codes"})])
def test_the_measure_that_finds_the_made_up_rows_is_kept_and_few_held_out_rows_have_little_say(plane, n, kept):
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=20, threads=1, random_state=0)
    detector = AnomalyDetector(model, measures=("error", "codes"), random_state=0).fit(plane[:n])
    assert set(detector.measures_) == kept
    assert detector.measures_["error"] > 0.5
    assert sum(detector.measures_.values()) == pytest.approx(1)


def test_the_middle_of_the_held_out_costs_is_none_and_one_in_ten_is_above_one():
    detector = AnomalyDetector(
        AutoEncoder(max_epochs=5, threads=1), measures=("rows",), random_state=0, validation_fraction=0.5
    ).fit(rows(400))
    costs = -detector.held_out_scores_
    assert np.median(costs) == pytest.approx(0)
    assert np.quantile(costs, 0.9) == pytest.approx(1)


def test_a_table_with_gaps_is_compared_with_what_is_expected_in_them(model):
    X = rows(300)
    X[::4, 1] = np.nan
    fitted = AutoEncoder(bottleneck="linear(size=2)", max_epochs=30, threads=1, random_state=0).fit(X)
    found = measures_of(fitted, X[:4], X)
    expected = fitted.reconstruct(X[:1])[0, 1]
    whole = X[:1].copy()
    whole[0, 1] = expected
    np.testing.assert_allclose(found["rows"][0], measures_of(fitted, whole, X)["rows"][0], rtol=1e-3)


def test_unknown_measures_and_measures_of_other_data_are_refused():
    with pytest.raises(ValueError, match="measures are error, codes"):
        AnomalyDetector(measures=("height",)).fit(rows(30))
    with pytest.raises(ValueError, match="measures are error, codes"):
        AnomalyDetector(measures=()).fit(rows(30))
    with pytest.raises(ValueError, match=r"of images and series are \('error',\)"):
        AnomalyDetector(AutoEncoder(max_epochs=1), measures=("rows",)).fit(np.zeros((20, 4, 4)))


def test_few_reference_rows_are_enough_for_all_measures():
    detector = AnomalyDetector(AutoEncoder(max_epochs=1, threads=1), random_state=0).fit(rows(4))
    assert np.isfinite(detector.score_samples(rows(5, seed=1))).all()


@pytest.mark.parametrize("names", [MEASURES[1:], ("error",)])
def test_a_score_restored_from_its_state_is_the_same_and_keeps_rows_only_to_compare_with(names, model):
    fitted, held = as_rows(rows(200)), as_rows(rows(60, seed=5))
    score, _ = Score.fit(model, fitted, held, names, seed=0)
    again = Score.restore(model, score.state())
    X = as_rows(rows(20, seed=6))
    np.testing.assert_array_equal(again.costs(X), score.costs(X))
    assert isinstance(score.measures.reference, Batch) == (names != ("error",))


def test_rows_are_not_kept_where_comparing_with_them_weighs_nothing(plane):
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=20, threads=1, random_state=0).fit(plane)
    score, _ = Score.fit(model, as_rows(plane[:200]), as_rows(plane[200:]), ("error", "codes"), seed=0)
    assert score.names == ("error",)
    assert "reference" not in score.state()


def test_a_crowd_of_anomalies_is_found_where_the_data_are_said_to_be_contaminated():
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3))
    crowd = np.repeat([[6.0, 6.0, 6.0]], 40, 0) + 0.01 * random.normal(size=(40, 3))
    model = AutoEncoder(max_epochs=5, threads=1)
    found = {}
    for contaminated in (False, True):
        detector = AnomalyDetector(model, contaminated=contaminated, random_state=0).fit(np.vstack([X, crowd]))
        scores = detector.score_samples(np.vstack([random.normal(size=(100, 3)), crowd + 0.01]))
        found[contaminated] = (scores[100:, None] < scores[:100]).mean()
    assert found[True] > 0.99 > 0.5 > found[False]
    assert set(detector.measures_) == {"codes", "rows"}


def test_the_distance_to_few_is_the_median_over_draws(model):
    typical = TypicalErrors.measure(model, as_rows(rows(50, seed=7)))
    index = model.modality_.to_batch(as_rows(rows(12, seed=2)), torch.float64)
    measures = Measures(model, typical, ("rows",), index, few=True)
    X = rows(5, seed=3)
    found = np.concatenate([measures.of(cells) for cells in cells_of(model, as_rows(X))])[:, 0]
    scaled, draws = ((part - rows(200).mean(0)) / rows(200).std(0) for part in (X, rows(12, seed=2)))
    nearest = np.linalg.norm(scaled[:, None] - draws, axis=2).reshape(5, 3, 4).min(2)
    np.testing.assert_allclose(found, np.median(nearest, axis=1), rtol=1e-4)


def test_images_are_judged_by_their_maps_and_a_saved_score_judges_alike():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 12, 12)).astype(np.uint8)
    detector = AnomalyDetector(AutoEncoder(max_epochs=2, threads=1), false_alarm_rate=0.1, random_state=0).fit(images)
    assert detector.measures_ == {"maps": 1.0}
    # Half of the held-out images say what is usual, and are none of those that set the threshold.
    assert len(detector.held_out_scores_) == 12
    flat = images[:3].copy()
    flat[:, 2:9, 2:9] = 128
    assert (detector.predict(flat) == -1).all()
    square = detector.explain(flat, n_reasons=1)[0]["reasons"][0]
    assert 0 <= square["top"] <= 8 and 0 <= square["left"] <= 8
    again = AnomalyDetector(false_alarm_rate=0.1)
    again.estimator_ = detector.estimator_
    again.restore(detector.state())
    np.testing.assert_array_equal(again.score_samples(flat), detector.score_samples(flat))
    few = AnomalyDetector(AutoEncoder(max_epochs=1, threads=1), random_state=0).fit(images[:30])
    assert few.measures_ == {"error": 1.0}
