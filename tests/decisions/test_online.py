"""The rule for streams: its levels, its guarantee by simulation, and going on where it left off."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.decisions import OnlineFDR, p_values

QUICK = settings(max_examples=60, deadline=None)
steps = st.lists(st.integers(0, 40).map(lambda k: k / 40), max_size=60)


def slowly(p: list[float], fdr: float, window: int) -> list[bool]:
    """Return the rule as its equation has it, row by row."""
    alerts: list[bool] = []
    for t, value in enumerate(p):
        found = sum(alerts[t - t % window :])
        alerts.append(value <= fdr / window * (found + 1) + 1e-9)
    return alerts


@QUICK
@given(steps, st.integers(1, 20), st.integers(0, 60))
def test_decisions_are_those_of_the_equation_whole_or_in_pieces(p, window, cut):
    expected = slowly(p, 0.5, window)
    assert OnlineFDR(0.5, window).decide(p).tolist() == expected
    rule = OnlineFDR(0.5, window)
    first = rule.decide(p[:cut]).tolist()
    again = OnlineFDR.restore(json.loads(json.dumps(rule.state())))
    assert first + again.decide(p[cut:]).tolist() == expected


def test_each_row_is_told_the_level_it_was_held_to():
    alert, levels = OnlineFDR(0.2, 4).levels([0.9, 0.01, 0.1, 0.9, 0.9])
    assert alert.tolist() == [False, True, True, False, False]
    np.testing.assert_allclose(levels, [0.05, 0.05, 0.1, 0.15, 0.05])


@pytest.mark.parametrize(("n_odd", "shift"), [(0, 0.0), (5, 4.0), (25, 3.0)])
def test_false_discoveries_of_a_window_are_the_promised_share_on_average(n_odd, shift):
    random, q, m, draws = np.random.default_rng(5), 0.2, 499, 1_500
    window = OnlineFDR.for_held_out(q, m).window
    assert window == 100
    shares = []
    for _ in range(draws):
        scores, odd = random.normal(size=window), np.zeros(window, bool)
        odd[random.choice(window, n_odd, replace=False)] = True
        scores[odd] -= shift
        # One held-out set for the whole window, as in use: the p-values are not independent.
        alert = OnlineFDR(q, window).decide(p_values(random.normal(size=m), scores))
        shares.append((alert & ~odd).sum() / max(1, alert.sum()))
    assert np.mean(shares) <= q + 3 * np.std(shares) / math.sqrt(draws)
    if n_odd:
        assert np.mean(shares) < q


def test_a_single_row_that_is_odder_than_all_held_out_ones_is_an_alert_wherever_it_comes():
    for m in (9, 57, 999):
        rule = OnlineFDR.for_held_out(0.1, m)
        for _ in range(2 * rule.window):
            assert rule.level >= 1 / (m + 1) - 1e-12
            rule.decide([1.0])


def test_the_levels_of_lord_fall_below_every_p_value_after_twenty_rows():
    # The figure in the docstring: why its guarantee for the whole stream is of no use here.
    t = np.arange(1, 1_000)
    shares = 0.0772 * np.log(np.maximum(t, 2)) / (t * np.exp(np.sqrt(np.log(t))))
    assert ((0.1 / 2) * shares >= 1 / 10_001).sum() == 20


def test_so_few_held_out_rows_that_none_could_ever_be_an_alert_are_refused():
    with pytest.raises(ValueError, match="8 held-out rows cannot vouch .* takes 9 at least"):
        OnlineFDR.for_held_out(0.1, 8)
    assert OnlineFDR.for_held_out(0.1, 9).window == 1


@pytest.mark.parametrize(
    "params", [(0.1, 0), (0.1, 1.5), (0.1, 5, 5), (0.1, 5, 2, 3), (0.1, 5, -1), (0.1, True), (1.0, 5)]
)
def test_settings_that_cannot_be_are_refused(params):
    with pytest.raises(ValueError):
        OnlineFDR(*params)


@pytest.mark.parametrize("state", [{}, {"fdr": 0.1}, {"fdr": "0.1", "window": 1, "seen": 0, "found": 0}])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError, match="the state of a stream has"):
        OnlineFDR.restore(state)


def test_what_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        OnlineFDR(0.1, 5).decide([math.nan])
