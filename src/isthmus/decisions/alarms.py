"""Alarms of a series: some of the last steps below the threshold, then silence for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

__all__ = ["Alarm", "AlarmRule", "Alarms"]


@dataclass(frozen=True)
class AlarmRule:
    """When a series rings: ``n`` of its last ``m`` steps below the threshold.

    Parameters
    ----------
    n : int, default=1
        Steps that must be below the threshold, the one that rings among them.
    m : int, default=1
        Of so many, the step that rings and those before it.
    mute : int, default=0
        Steps after an alarm at which none rings. Where scores are still below the threshold
        after them, it rings again.

    Raises
    ------
    ValueError
        If not ``1 <= n <= m`` and ``mute >= 0``, or one is no whole number.

    Examples
    --------
    >>> scores = np.array([0, -9, 0, -9, -9, -9, 0, 0])
    >>> AlarmRule(n=2, m=3, mute=5).alarms(scores, threshold=-5)
    [Alarm(start=1, rang=3, end=5, worst=1, score=-9.0)]
    """

    n: int = 1
    m: int = 1
    mute: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "m", "mute"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{name} must be a whole number of steps, got {value!r}.")
        if not 1 <= self.n <= self.m or self.mute < 0:
            raise ValueError(
                f"an alarm takes n of the last m steps, 1 <= n <= m, and mutes 0 or more; got n={self.n}, m={self.m}, "
                f"mute={self.mute}."
            )

    def alarms(self, scores: Any, threshold: float) -> list[Alarm]:
        """Return the alarms of one whole series, in order."""
        alarms = Alarms(self, threshold)
        return alarms.update(scores) + alarms.finish()


class Alarm(NamedTuple):
    """An alarm, its places steps from 0.

    Attributes
    ----------
    start : int
        The first step below the threshold of those that made it ring.
    rang : int
        The step at which it was known.
    end : int
        The last step below the threshold before it could ring again.
    worst : int
        The step of the lowest score from start to end; the first of equals.
    score : float
        That score.
    """

    start: int
    rang: int
    end: int
    worst: int
    score: float


class Alarms:
    """The alarms of one series whose scores come piece by piece.

    Parameters
    ----------
    rule : AlarmRule
        When it rings.
    threshold : float
        A step whose score is below it counts.

    Attributes
    ----------
    ringing : Alarm or None
        The alarm whose mute window is not over: it has rung, its end may still move.
    rung : list of Alarm
        Those that began to ring in the last :meth:`update`, as they were known when they rang.
    steps : int
        Steps seen so far.

    Notes
    -----
    Pieces of any lengths give what the whole series gives. An alarm is answered by
    :meth:`update` when it is final, that is ``mute`` steps after it rang; before, it is in
    ``ringing``. A score that is NaN, of a step nothing is known of, is not below the threshold.

    Examples
    --------
    >>> alarms = Alarms(AlarmRule(mute=2), threshold=-5)
    >>> alarms.update([0, -7]), alarms.ringing
    ([], Alarm(start=1, rang=1, end=1, worst=1, score=-7.0))
    >>> alarms.update([-8, 0, 0])
    [Alarm(start=1, rang=1, end=2, worst=2, score=-8.0)]
    """

    def __init__(self, rule: AlarmRule, threshold: float):
        self.rule = rule
        self.threshold = float(threshold)
        self.steps = 0
        self.ringing: Alarm | None = None
        self.rung: list[Alarm] = []
        # The last m - 1 scores: some of what the next step is counted with.
        self._tail = np.zeros(0)

    def update(self, scores: Any) -> list[Alarm]:
        """Take the scores of the next steps, and return the alarms that became final."""
        scores = np.asarray(scores, np.float64)
        if scores.ndim != 1:
            raise ValueError(f"scores should be one of each step, (n,), got shape {scores.shape}.")
        known, first = np.concatenate([self._tail, scores]), self.steps - len(self._tail)
        self.steps += len(scores)
        below = known < self.threshold
        counts = np.concatenate([[0], below.cumsum()])
        at = np.arange(len(self._tail), len(known))
        enough = counts[at + 1] - counts[np.maximum(at + 1 - self.rule.m, 0)] >= self.rule.n
        rings = at[below[at] & enough]
        final: list[Alarm] = []
        self.rung = []
        self._follow(known, first, final)
        while self.ringing is None:
            # Sorted: the first that the last alarm does not mute.
            begin = np.searchsorted(rings, (final[-1].rang + self.rule.mute + 1 - first) if final else 0)
            if begin == len(rings):
                break
            self.ringing = self._alarm(known, below, int(rings[begin]), first)
            self.rung.append(self.ringing)
            self._follow(known, first, final)
        keep = min(self.rule.m - 1, len(known))
        self._tail = known[len(known) - keep :]
        return final

    def finish(self) -> list[Alarm]:
        """Return the alarm that is still ringing, as the series has ended."""
        last = [] if self.ringing is None else [self.ringing]
        self.ringing = None
        return last

    def state(self) -> dict[str, Any]:
        """Return what goes on in the next piece, as JSON values and an array."""
        return {
            "steps": self.steps,
            "tail": self._tail.copy(),
            "ringing": None if self.ringing is None else list(self.ringing),
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from what :meth:`state` returned.

        Raises
        ------
        ValueError
            If it is not that.
        """
        steps, ringing = state.get("steps"), state.get("ringing")
        tail = np.asarray(state.get("tail"), np.float64)
        if not isinstance(steps, int) or tail.ndim != 1 or len(tail) > min(steps, self.rule.m - 1):
            raise ValueError(
                f"the state of alarms should be steps, a tail of at most {self.rule.m - 1} scores, and the fields of "
                f"an alarm or None; got {str(dict(state))[:100]}."
            )
        self.steps, self._tail = steps, tail
        self.ringing = None if ringing is None else Alarm(*ringing)
        return self

    def _alarm(self, known: np.ndarray, below: np.ndarray, rings: int, first: int) -> Alarm:
        """Return the alarm as it is when it rings."""
        since = max(0, rings + 1 - self.rule.m)
        start = since + int(below[since : rings + 1].argmax())
        worst = start + int(np.nanargmin(known[start : rings + 1]))
        return Alarm(first + start, first + rings, first + rings, first + worst, float(known[worst]))

    def _follow(self, known: np.ndarray, first: int, final: list[Alarm]) -> None:
        """Move the end of the alarm that rings; where its mute window is over, it is final."""
        if self.ringing is None:
            return
        over = self.ringing.rang + self.rule.mute
        begin = max(self.ringing.rang + 1 - first, 0)
        piece = known[begin : max(over + 1 - first, begin)]
        low = np.flatnonzero(piece < self.threshold)
        if len(low):
            end, worst = first + begin + int(low[-1]), int(np.nanargmin(piece))
            if piece[worst] < self.ringing.score:
                self.ringing = self.ringing._replace(worst=first + begin + worst, score=float(piece[worst]))
            self.ringing = self.ringing._replace(end=max(end, self.ringing.end))
        if self.steps > over:
            final.append(self.ringing)
            self.ringing = None
