"""The alarm rule: against a restatement step by step, in pieces, and on cases made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isthmus.decisions import Alarm, AlarmRule, Alarms


def step_by_step(scores: np.ndarray, threshold: float, rule: AlarmRule) -> list[Alarm]:
    """Return the alarms by walking through a series once."""
    found, t = [], 0
    while t < len(scores):
        recent = [k for k in range(max(0, t - rule.m + 1), t + 1) if scores[k] < threshold]
        if scores[t] < threshold and len(recent) >= rule.n:
            until = min(len(scores) - 1, t + rule.mute)
            low = [k for k in range(recent[0], until + 1) if scores[k] < threshold]
            worst = min(low, key=lambda k: (scores[k], k))
            found.append(Alarm(recent[0], t, low[-1], worst, float(scores[worst])))
            t = until
        t += 1
    return found


@pytest.mark.parametrize("rule", [AlarmRule(), AlarmRule(1, 4, 3), AlarmRule(3, 5, 0), AlarmRule(2, 2, 7)])
@pytest.mark.parametrize("seed", range(4))
def test_alarms_are_those_of_a_walk_through_the_series_and_of_its_pieces(rule, seed):
    random = np.random.default_rng(seed)
    scores = random.normal(size=200).round(1)
    scores[random.random(200) < 0.1] = np.nan
    expected = step_by_step(scores, -0.6, rule)
    assert rule.alarms(scores, -0.6) == expected and expected
    alarms, found = Alarms(rule, -0.6), []
    for piece in np.split(scores, np.sort(random.integers(0, 200, 30))):
        found += alarms.update(piece)
        # State goes through JSON, as in a file between two runs.
        state = alarms.state()
        state = json.loads(json.dumps(state | {"tail": state["tail"].tolist()}))
        alarms = Alarms(rule, -0.6).restore(state)
    assert found + alarms.finish() == expected


def test_a_single_low_step_does_not_ring_where_two_of_three_must():
    assert AlarmRule(2, 3).alarms([0, -9, 0, 0, -9, 0, 0], -5) == []


def test_an_anomaly_that_outlasts_the_mute_window_rings_again():
    alarms = AlarmRule(mute=3).alarms(np.full(8, -9.0), -5)
    assert [(alarm.start, alarm.rang, alarm.end) for alarm in alarms] == [(0, 0, 3), (4, 4, 7)]


def test_an_alarm_can_be_seen_when_it_rings_before_it_is_final():
    alarms = Alarms(AlarmRule(mute=10), -5)
    assert alarms.update([0, -6]) == []
    assert alarms.ringing is not None and alarms.ringing.rang == 1
    assert alarms.update([-7, 0]) == []
    assert alarms.ringing == Alarm(1, 1, 2, 2, -7.0)


def test_steps_without_a_score_do_not_ring():
    assert AlarmRule().alarms([np.nan, np.nan], np.inf) == []


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 3, "m": 2}, {"mute": -1}, {"n": 1.5}, {"mute": True}])
def test_a_rule_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="steps"):
        AlarmRule(**wrong)


@pytest.mark.parametrize("state", [{}, {"steps": 1, "tail": [0.0, 0.0], "ringing": None}, {"steps": "1", "tail": []}])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError, match="state of alarms"):
        Alarms(AlarmRule(1, 3), 0).restore(state)
