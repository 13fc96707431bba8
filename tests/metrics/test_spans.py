"""VUS-PR: cases worked out by hand, and against the definition written down step by step."""

import numpy as np
import pytest

from isthmus.metrics import vus_pr

SPAN = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 0], bool)


def by_definition(y: np.ndarray, s: np.ndarray, buffer: int, thresholds: int) -> float:
    """Return the volume by loops over buffers, thresholds, spans and steps."""
    n, y = len(y), [int(label) for label in y]
    spans, t = [], 0
    while t < n:
        if y[t]:
            first = t
            while t + 1 < n and y[t + 1]:
                t += 1
            spans.append((first, t))
        t += 1
    limits = sorted(s, reverse=True)
    areas = []
    for width in range(buffer + 1):
        worth = []
        for t in range(n):
            near = [max(a - t, t - b) for a, b in spans]
            worth.append(1.0 if y[t] else min(1.0, sum((1 - d / width) ** 0.5 for d in near if d <= width // 2)))
        groups = [[spans[0]]]
        for a, b in spans[1:]:
            if groups[-1][-1][1] + width // 2 < a - width // 2:
                groups.append([])
            groups[-1].append((a, b))
        area, before = 0.0, 0.0
        for k in np.linspace(0, n - 1, thresholds).astype(int):
            above = [t for t in range(n) if s[t] >= limits[k]]
            true = sum(worth[t] for t in above)
            positives = (sum(y) + sum(y) + sum(worth[t] for t in above if not y[t])) / 2
            hit = sum(any(g[0][0] - width // 2 <= t <= g[-1][1] + width // 2 for t in above) for g in groups)
            recall = min(1.0, true / positives) * hit / len(groups)
            area += (recall - before) * true / len(above)
            before = recall
        areas.append(area)
    return sum(areas) / len(areas)


@pytest.mark.parametrize("seed", range(6))
def test_the_volume_is_that_of_the_definition(seed):
    random = np.random.default_rng(seed)
    y = np.zeros(60, bool)
    for begin in random.choice(60, 1 + seed % 4, replace=False):
        y[begin : begin + int(random.integers(1, 8))] = True
    # Rounded: equal scores are the hard part.
    s = np.round(random.normal(size=60) + y, 1)
    assert vus_pr(y, s, 11, 25) == pytest.approx(by_definition(y, s, 11, 25), abs=1e-12)


def test_the_labels_as_scores_are_perfect_without_a_buffer():
    assert vus_pr(SPAN, SPAN, 0) == 1


def test_equal_scores_get_the_share_of_anomalous_steps_without_a_buffer():
    assert vus_pr(SPAN, np.zeros(10), 0) == pytest.approx(0.3)


def test_one_step_of_a_span_is_no_full_recall():
    # Point adjustment would call this detector perfect: one step of the span, then all others.
    s = np.where(np.arange(10) == 4, 2.0, 0.0)
    assert vus_pr(SPAN, s, 0) == pytest.approx(1 / 3 * 1 + 2 / 3 * 0.3)


def test_a_score_that_is_late_counts_for_something_only_within_the_buffer():
    late = np.roll(SPAN, 3).astype(float)
    assert vus_pr(SPAN, late, 0) == pytest.approx(0.3)
    assert vus_pr(SPAN, late, 6) > 0.4


def test_only_the_order_of_scores_counts():
    s = np.random.default_rng(0).normal(size=10)
    assert vus_pr(SPAN, s, 4) == vus_pr(SPAN, np.exp(3 * s), 4)


@pytest.mark.parametrize(
    ("labels", "scores", "buffer", "why"),
    [
        (SPAN, np.zeros(9), 3, "one of each a step"),
        (np.zeros(10), np.zeros(10), 3, "both kinds"),
        (SPAN, np.where(SPAN, np.nan, 0), 3, "3 scores are NaN"),
        (SPAN, np.zeros(10), -1, "at least 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, scores, buffer, why):
    with pytest.raises(ValueError, match=why):
        vus_pr(labels, scores, buffer)
