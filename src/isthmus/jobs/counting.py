"""Counts of a feature's cells, then and now: all that a test of drift looks at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, ClassVar

import numpy as np
import polars as pl

from isthmus.metrics.shifts import same_counts, same_distribution, stability_index, stability_terms
from isthmus.modalities.columns import NEVER_SEEN, flags_of, learn, missing_of, numbers_of, words_of
from isthmus.modalities.sketches import sketch_numbers

__all__ = ["CategoryCounts", "Counts", "NumberCounts", "counts_in", "counts_of", "score_counts"]

FEWEST = 30
# Bins of the stability index, as is the custom: tenths of the fitted numbers.
TENTHS = 10
# Points kept where the rows to compare with are at hand.
MANY = 1_024
# Different new categories that are told apart; more are one.
MOST_UNKNOWN = 10_000
REST = "(all others)"
ANOTHER = "other numbers"
FLAGS = {"true": 1.0, "false": 0.0, ANOTHER: NEVER_SEEN}
# Share of numbers outside the fitted range that is worth a word.
OUTSIDE = 0.01


class Counts(ABC):
    """The cells of one feature: those fitted, and those added since.

    Attributes
    ----------
    fitted_missing, now_missing : int
        Missing cells.
    """

    name: ClassVar[str]

    def __init__(self, fitted_missing: int):
        self.fitted_missing, self.now_missing = fitted_missing, 0

    @property
    @abstractmethod
    def fitted_cells(self) -> int:
        """How many fitted cells were observed."""

    @property
    @abstractmethod
    def now_cells(self) -> int:
        """How many cells added since were observed."""

    @abstractmethod
    def add(self, cells: Any) -> None:
        """Count some cells."""

    @abstractmethod
    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the counts of both over the same bins."""

    @abstractmethod
    def test(self) -> dict[str, Any]:
        """Return the test that both are of one distribution: name, p-value, effects, and the change in words."""

    @property
    def enough(self) -> bool:
        """Whether there are enough observed cells to test."""
        return min(self.fitted_cells, self.now_cells) >= FEWEST

    @property
    def missing(self) -> tuple[int, int, int, int]:
        """Missing cells and all cells, of the fitted rows and of those added."""
        fitted, now = self.fitted_cells + self.fitted_missing, self.now_cells + self.now_missing
        return self.fitted_missing, fitted, self.now_missing, now


class NumberCounts(Counts):
    """Numbers, counted between points of the fitted distribution.

    Parameters
    ----------
    points, below : sequence
        As of :func:`~isthmus.modalities.sketches.sketch_numbers`.
    count : int
        How many numbers were fitted.
    missing : int
        Fitted cells that were missing.
    facts : dict, optional
        Of the column, to read its cells; None: numbers are added as they are.
    """

    name = "Kolmogorov-Smirnov"

    def __init__(self, points: Any, below: Any, count: int, missing: int = 0, facts: dict[str, Any] | None = None):
        super().__init__(missing)
        self._counts = [count, 0]
        self.points = np.asarray(points, np.float64)
        self.facts = facts
        # Below the lowest point, at it, from there to the next, ..., above the highest.
        self.fitted = np.concatenate([[0], np.diff(np.asarray(below, np.int64), prepend=0), [0]])
        self.now = np.zeros(len(self.fitted), np.int64)
        self.reach = (np.inf, -np.inf)

    @property
    def fitted_cells(self) -> int:
        """How many fitted cells were observed."""
        return self._counts[0]

    @property
    def now_cells(self) -> int:
        """How many cells added since were observed."""
        return self._counts[1]

    def add(self, cells: pl.Series | np.ndarray) -> None:
        """Count some cells."""
        values = cells if isinstance(cells, np.ndarray) else numbers_of(cells, self.facts["kind"])
        values = values[~np.isnan(values)]
        self.now_missing += len(cells) - len(values)
        self._counts[1] += len(values)
        if len(values) and len(self.points):
            places = np.searchsorted(self.points, values, side="left") + (values >= self.points[0])
            self.now += np.bincount(places, minlength=len(self.now))
            self.reach = min(self.reach[0], float(values.min())), max(self.reach[1], float(values.max()))

    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the counts over tenths of the fitted numbers, and beyond their range on both sides."""
        shares = self.fitted.cumsum() / max(1, self.fitted_cells)
        ends = np.searchsorted(shares, np.arange(1, TENTHS) / TENTHS - 1e-9)
        starts = np.unique(np.concatenate([[0, 1], ends + 1, [len(self.fitted) - 1]]))
        return np.add.reduceat(self.fitted, starts), np.add.reduceat(self.now, starts)

    @property
    def enough(self) -> bool:
        """Whether there are enough observed cells to test, and points: a very wide table has none."""
        return super().enough and len(self.points) > 0

    def test(self) -> dict[str, Any]:
        """Return the Kolmogorov-Smirnov test."""
        distance, p_value = same_distribution(self.fitted, self.now)
        said = f"median {self._median(self.fitted)}, now {self._median(self.now)}"
        outside = self.now[[0, -1]].sum() / self.now_cells
        if outside > OUTSIDE:
            said += f"; {100 * outside:.3g} % outside the range"
        return {
            "test": self.name,
            "p_value": p_value,
            "psi": stability_index(*self.histograms()),
            "change": distance,
            "said": said,
        }

    def _median(self, counts: np.ndarray) -> str:
        """Return the point at which half of the cells are reached."""
        place = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
        if place > len(self.points):
            return f"above {self._said(self.points[-1])}"
        return f"below {self._said(self.points[0])}" if place == 0 else self._said(self.points[place - 1])

    def _said(self, number: float) -> str:
        kind = (self.facts or {}).get("kind")
        if kind in ("date", "datetime"):
            return str(pl.Series([int(number)]).cast(pl.Date if kind == "date" else pl.Datetime("us"))[0])
        return f"{number:.4g}"


class CategoryCounts(Counts):
    """Categories, the fitted ones and those that came since.

    Parameters
    ----------
    values : sequence of str
        The fitted categories that were told apart.
    counts : sequence of int
        How often each was seen.
    rest : int
        How many fitted cells held others.
    missing : int
        Fitted cells that were missing.
    facts : dict
        Of the column, to read its cells.
    """

    name = "chi-square"

    def __init__(self, values: Any, counts: Any, rest: int, missing: int, facts: dict[str, Any]):
        super().__init__(missing)
        self.facts = facts
        self._fitted = dict(zip(values, counts, strict=True)) | ({REST: rest} if rest else {})
        self._now: Counter[str] = Counter()

    @property
    def fitted_cells(self) -> int:
        """How many fitted cells were observed."""
        return sum(self._fitted.values())

    @property
    def now_cells(self) -> int:
        """How many cells added since were observed."""
        return self._now.total()

    @property
    def names(self) -> list[str]:
        """All categories, the fitted ones first."""
        return list(self._fitted | self._now)

    def add(self, cells: pl.Series) -> None:
        """Count some cells."""
        if self.facts["kind"] == "boolean":
            found = _flags_in(cells, self.facts)
        else:
            found = dict(words_of(cells, self.facts).alias("word").drop_nulls().value_counts().iter_rows())
        for word, count in found.items():
            if count:
                self._now[word if self._is_told_apart(word) else REST] += count
        self.now_missing += int(missing_of(cells).sum())

    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the counts of :attr:`names`."""
        names = self.names
        fitted, now = ([counts.get(name, 0) for name in names] for counts in (self._fitted, self._now))
        return np.array(fitted, np.int64), np.array(now, np.int64)

    def test(self) -> dict[str, Any]:
        """Return the chi-square test."""
        fitted, now = self.histograms()
        terms = stability_terms(fitted, now)
        most = int(terms.argmax())
        shares = [f"{100 * counts[most] / counts.sum():.3g} %" for counts in (fitted, now)]
        new = int(((fitted == 0) & (now > 0)).sum())
        said = f"{self.names[most]} {shares[0]}, now {shares[1]}" + (f"; {new} never seen before" if new else "")
        return {
            "test": self.name,
            "p_value": same_counts(fitted, now),
            "psi": float(terms.sum()),
            "change": float(np.abs(now / now.sum() - fitted / fitted.sum()).max()),
            "said": said,
        }

    def _is_told_apart(self, word: str) -> bool:
        if word in self._fitted or word in self._now:
            return True
        return REST not in self._fitted and len(self._now) < len(self._fitted) + MOST_UNKNOWN


def counts_of(facts: dict[str, Any]) -> Counts:
    """Return the counts of a column as its ``sketch`` has them."""
    sketch, missing = facts["sketch"], facts["missing"]
    if facts["kind"] == "category":
        rest = sketch["count"] - sum(sketch["counts"])
        return CategoryCounts(facts["values"], sketch["counts"], rest, missing, facts)
    if facts["kind"] == "boolean":
        true = round(facts["share"] * sketch["count"])
        return CategoryCounts(["true", "false"], [true, sketch["count"] - true], 0, missing, facts)
    return NumberCounts(sketch["points"], sketch["below"], sketch["count"], missing, facts)


def counts_in(cells: pl.Series, facts: dict[str, Any]) -> Counts:
    """Return the counts of a column with these cells in place of those fitted."""
    if facts["kind"] == "boolean":
        # Of integers, 0 and 1 alone were fitted, and others may be among these.
        found = _flags_in(cells, facts)
        return CategoryCounts(list(found), list(found.values()), 0, int(missing_of(cells).sum()), facts)
    return counts_of(facts | learn(cells, facts["kind"], "keep", MANY))


def _flags_in(cells: pl.Series, facts: dict[str, Any]) -> dict[str, int]:
    """Return how many cells of a boolean column are true, false, and neither."""
    values = flags_of(cells, facts)
    counts = {word: int((values == flag).sum()) for word, flag in FLAGS.items()}
    return {word: count for word, count in counts.items() if count or word != ANOTHER}


def score_counts(scores: np.ndarray) -> NumberCounts:
    """Return the counts of scores, each a point of its own."""
    sketch = sketch_numbers(scores, len(scores))
    return NumberCounts(sketch["points"], sketch["below"], len(scores))
