"""Rules: an alert's score is below its threshold, others' is not, and pieces are as the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.decisions import (
    AtRate,
    Discoveries,
    DiscoveriesAlong,
    OnlineFDR,
    Worst,
    benjamini_hochberg,
    p_values,
    threshold_at,
    worst,
)

QUICK = settings(max_examples=60, deadline=None)
HELD_OUT = np.random.default_rng(0).normal(size=199)
scores_of = st.lists(st.integers(-60, 20).map(lambda k: k / 10), min_size=1, max_size=60).map(np.array)


def rules():
    return {
        "rate": AtRate(threshold_at(HELD_OUT, 0.1)),
        "budget": Worst(3),
        "fdr": Discoveries(HELD_OUT, 0.2),
        "online": DiscoveriesAlong(HELD_OUT, OnlineFDR.for_held_out(0.1, 199)),
    }


@pytest.mark.parametrize("name", list(rules()))
@QUICK
@given(scores_of)
def test_alerts_are_below_their_threshold_and_other_rows_are_not(name, scores):
    decision = rules()[name].decide(scores)
    below = scores < decision.threshold
    assert (below >= decision.alert).all()
    # Of equal scores a budget may take one and leave the other.
    tied = np.isin(scores, scores[decision.alert]) if name == "budget" else np.zeros(len(scores), bool)
    assert (below == decision.alert)[~tied].all()


@QUICK
@given(scores_of, st.integers(0, 60))
def test_rules_that_need_no_batch_give_the_same_in_pieces(scores, cut):
    for name in ("rate", "online"):
        rule, whole = rules()[name], rules()[name].decide(scores)
        assert not rule.needs_batch
        pieces = [rule.decide(piece) for piece in (scores[:cut], scores[cut:])]
        assert np.array_equal(np.concatenate([piece.alert for piece in pieces]), whole.alert)
        assert np.array_equal(np.concatenate([piece.threshold for piece in pieces]), whole.threshold)


@QUICK
@given(scores_of)
def test_rules_of_a_batch_are_the_functions_they_name(scores):
    assert np.array_equal(rules()["budget"].decide(scores).alert, worst(scores, 3))
    expected = benjamini_hochberg(p_values(HELD_OUT, scores), 0.2)
    assert np.array_equal(rules()["fdr"].decide(scores).alert, expected)


def test_a_budget_of_each_day_has_a_threshold_of_each_day():
    scores, days = np.array([-5.0, -1.0, -2.0, -9.0, -8.0]), np.array(["mon", "mon", "mon", "tue", "tue"])
    decision = Worst(1, days).decide(scores)
    assert decision.alert.tolist() == [True, False, False, True, False]
    assert np.unique(decision.threshold).tolist() == [np.nextafter(-9.0, 0), np.nextafter(-5.0, 0)]


def test_without_discoveries_no_score_would_have_been_low_enough():
    decision = Discoveries(HELD_OUT, 0.2).decide(np.zeros(5))
    assert not decision.alert.any()
    assert (decision.threshold == -np.inf).all()
    assert Discoveries(HELD_OUT, 0.2).fewest(4_000) == 100


def test_each_rule_says_what_it_does():
    said = {name: rule.said() for name, rule in rules().items()}
    assert said["rate"].startswith("score below -1.2")
    assert "as are 10 % of normal rows (6.2 to 15 %, 95 % interval from 199 held-out rows)" in said["rate"]
    assert said["budget"] == "the 3 least normal"
    assert "at most 20 % are false alarms on average" in said["fdr"]
    assert "in each window of 20 rows" in said["online"]
