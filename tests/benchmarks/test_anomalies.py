"""The splits and figures of the anomalies' table: a leak there would flatter every number we print."""

import numpy as np
import polars as pl
import pytest
from benchmarks.anomalies import adbench, contaminated, fraud, kdd99, one_class, splits, wisconsin
from benchmarks.anomalies.contenders import CONTENDERS, OURS, Neighbors, available, build
from benchmarks.anomalies.data import Labelled, same_rows, seen
from benchmarks.anomalies.judging import auroc, average_precision, f1_at_ratio, precision_at, upper_quantile

from isthmus.jobs.baselines import NeighborDistance


def anomalies(n: int, share: float, seed: int = 0) -> np.ndarray:
    flags = np.zeros(n, bool)
    flags[: round(share * n)] = True
    return np.random.default_rng(seed).permutation(flags)


def parts(train: np.ndarray, test: np.ndarray, n: int) -> None:
    """Check that no row is in both, and that there are no others."""
    assert not set(train.tolist()) & set(test.tolist())
    assert sorted([*train.tolist(), *test.tolist()]) == sorted(set(train.tolist()) | set(test.tolist()))
    assert {*train.tolist(), *test.tolist()} <= set(range(n))


@pytest.mark.parametrize("seed", range(3))
def test_one_class_learns_from_half_of_the_normal_rows_and_judges_all_others(seed):
    y = anomalies(201, 0.1)
    train, test = one_class.split(y, seed)
    parts(train, test, len(y))
    assert len(train) == (~y).sum() // 2 and not y[train].any()
    assert len(train) + len(test) == len(y) and y[test].sum() == y.sum()
    other, _ = one_class.split(y, seed + 1)
    assert not np.array_equal(train, other)


@pytest.mark.parametrize("seed", range(3))
def test_contaminated_split_keeps_the_share_of_anomalies_in_both_parts(seed):
    y = anomalies(1_000, 0.13)
    train, test = contaminated.split(y, seed)
    parts(train, test, len(y))
    assert (len(train), len(test)) == (700, 300)
    assert (y[train].sum(), y[test].sum()) == (91, 39)


def test_papers_split_of_kdd_learns_from_half_of_the_attacks_and_from_no_normal_row():
    attacks = anomalies(500, 0.8)
    train, test = kdd99.papers_split(attacks, 0)
    parts(train, test, len(attacks))
    assert len(train) == 200 and attacks[train].all()
    assert (~attacks[test]).sum() == 100 and len(test) == 300


def test_a_sample_has_no_row_twice_and_keeps_a_small_set_whole():
    rng = np.random.default_rng(0)
    assert np.array_equal(splits.sample(10, 10, rng), np.arange(10))
    rows = splits.sample(100, 30, rng)
    assert len(set(rows.tolist())) == 30 and (np.diff(rows) > 0).all()


def test_rows_of_one_hour_are_never_parted():
    time = np.array([3, 1, 2, 2, 2, 1, 5, 4])
    first, later = splits.before(time, 0.5)
    parts(first, later, len(time))
    assert len(first) + len(later) == len(time) and len(first) >= 4
    assert time[first].max() < time[later].min()


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_thinning_keeps_all_normal_rows_and_the_share_of_anomalies_asked_for(share):
    y = anomalies(1_500, 0.3)
    kept = splits.thinned(y, share, np.random.default_rng(0))
    assert (~y[kept]).sum() == (~y).sum() and len(set(kept.tolist())) == len(kept)
    assert y[kept].mean() == pytest.approx(share, abs=0.5 / len(kept))


def test_thinning_says_where_there_are_too_few_anomalies():
    with pytest.raises(ValueError, match="and one at least must stay"):
        splits.thinned(anomalies(50, 0.1), 0.001, np.random.default_rng(0))
    with pytest.raises(ValueError, match="there are 5"):
        splits.thinned(anomalies(50, 0.1), 0.9, np.random.default_rng(0))


def test_the_earlier_half_of_the_cards_is_normal_and_before_all_that_is_judged():
    y, rng = anomalies(300, 0.3), np.random.default_rng(1)
    cards = Labelled(np.zeros((300, 2)), y, rng.integers(0, 200, 300))
    train, test = fraud.earlier_half(cards)
    parts(train, test, len(y))
    assert not y[train].any() and cards.group[train].max() < cards.group[test].min()
    assert len(train) >= (~y).sum() / 2 and y[test].any()


def test_both_halves_of_the_cards_as_they_come_have_their_share_of_frauds():
    y = anomalies(1_700, 0.28)
    train, test = fraud.halves(Labelled(np.zeros((1_700, 2)), y), np.random.default_rng(0))
    parts(train, test, len(y))
    assert y[train].sum() == y[test].sum() == 3
    assert (~y[train]).sum() + (~y[test]).sum() == (~y).sum()


def test_folds_learn_from_benign_rows_judge_each_row_once_and_can_keep_patients_together():
    y, rng = anomalies(200, 0.35), np.random.default_rng(0)
    data = Labelled(np.zeros((200, 3)), y, rng.integers(0, 120, 200))
    for by_patient in (False, True):
        folds = wisconsin.folds_of(data, 0, by_patient)
        assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(200))
        for train, test in folds:
            parts(train, test, len(y))
            assert not y[train].any() and y[test].any()
            if by_patient:
                assert not set(data.group[train].tolist()) & set(data.group[test].tolist())


def test_each_row_counts_once_and_one_that_is_called_both_is_left_out():
    frame = pl.DataFrame({"a": [1, 1, 2, 3, 3, 4], "b": ["x", "x", "y", "z", "z", "x"]})
    found = kdd99.distinct_and_sure(Labelled(frame, np.array([True, True, False, True, False, False])))
    assert found.rows.rows() == [(1, "x"), (2, "y"), (4, "x")]
    assert found.anomalous.tolist() == [True, False, False]


def test_copies_are_found_in_arrays_and_in_tables():
    frame = pl.DataFrame({"a": [2.0, 1.0, 2.0, None, None], "b": ["x", "x", "x", "y", "y"]})
    distinct, which = same_rows(frame)
    assert distinct.equals(frame[[0, 1, 3]]) and which.tolist() == [0, 1, 0, 2, 2]
    assert seen(frame[:2], frame[2:]).tolist() == [True, False, False]
    assert seen(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])).tolist() == [True, False]


def test_precision_shares_what_is_left_among_rows_that_tie():
    y = np.array([True, False, True, False])
    assert precision_at(y, np.array([4.0, 3.0, 2.0, 1.0]), 2) == 50
    # One above; three tie for the second place, one of them an anomaly.
    assert precision_at(y, np.array([4.0, 1.0, 1.0, 1.0]), 2) == pytest.approx(100 * (1 + 1 / 3) / 2)
    assert precision_at(y, np.zeros(4), 3) == 50


def test_f1_at_the_true_ratio_flags_rows_that_tie():
    y = np.array([True, True, False, False])
    assert f1_at_ratio(y, np.array([4.0, 3.0, 2.0, 1.0])) == 1
    assert f1_at_ratio(y, np.zeros(4)) == pytest.approx(2 * 0.5 / 1.5)


def test_a_constant_score_is_no_better_than_chance():
    y = anomalies(100, 0.2)
    assert auroc(y, np.zeros(100)) == 50 and average_precision(y, np.zeros(100)) == pytest.approx(20)


def test_the_label_free_limit_is_the_conformal_order_statistic():
    costs = np.arange(1.0, 100.0)
    assert upper_quantile(costs, 0.1) == 90
    assert upper_quantile(costs, 0.001) == 99


def test_few_copies_give_the_distances_of_all():
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(40, 3)), rng.integers(1, 12, 40), axis=0)
    test = rng.normal(size=(30, 3))
    np.testing.assert_allclose(
        Neighbors().fit(rows).score_samples(test), NeighborDistance().fit(rows).score_samples(test), atol=1e-12
    )


def test_contenders_are_looked_up_by_name_and_built_for_tables_and_matrices():
    assert available([OURS, "5-NN distance"], "isolation forest") == ["isolation forest"]
    with pytest.raises(Exception, match="no contender is called 'kNN'"):
        available([OURS], "kNN")
    for name in CONTENDERS:
        assert hasattr(build(name, 0, table=False), "fit")
        assert (type(build(name, 0, table=True)).__name__ == "Pipeline") == (name != OURS)


def test_claims_of_a_set_table_compare_means_over_sets_seed_by_seed():
    def one(ours, rival):
        return {"auroc": ours, "auprc": ours}, {"auroc": rival, "auprc": rival}

    found = {}
    for name, rows, pairs in (("a", 2_000, [(80, 70), (90, 85)]), ("b", 500, [(60, 90), (70, 75)])):
        runs = [dict(zip((OURS, *adbench.BASELINES), (x := one(*p))[:1] + x[1:] * 3, strict=True)) for p in pairs]
        found[name] = {"rows": rows, "runs": runs}
    gain = adbench.difference(found, "auroc", "5-NN distance")[0]
    assert gain.measured == pytest.approx(((70 - 80) + (80 - 80)) / 2)
    mean = adbench.mean_claims(found, "auroc", "5-NN distance", aim=87.0)[0]
    assert (mean.measured, mean.must, mean.verdict) == (75.0, 80.0, "missed")
    # The small set is no worst case.
    least = adbench.worst(found, aim=-3.0)[0]
    assert least.what.endswith(": a") and least.measured == pytest.approx(85 - 77.5)
