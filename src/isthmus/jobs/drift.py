"""Drift: whether rows are still like those that a model was fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isthmus.jobs.counting import FEWEST, Counts, counts_in, counts_of, score_counts
from isthmus.jobs.job import choose
from isthmus.jobs.series import SeriesDetector
from isthmus.metrics.shifts import holm, same_share, stability_index
from isthmus.modalities import Tables
from isthmus.rows import Rows, as_rows

__all__ = ["Drift", "DriftTest", "find_drift"]

CHUNK = 2**16
DATES = ("date", "datetime")


@dataclass(frozen=True)
class Drift:
    """What :class:`DriftTest` found.

    Attributes
    ----------
    rows : int
        How many rows were compared.
    tests : list of dict
        The least likely first. ``feature`` (None: the score), ``of`` ('values', 'missing' or
        'score'), ``test``, ``p_value``, ``adjusted_p_value``, ``psi`` (population stability
        index), ``change`` (the largest difference of a share: for numbers of the cumulative
        shares, for categories of one category's, for missing cells of theirs), ``drifted``,
        ``fitted`` and ``now`` (how many cells of either), ``said`` (the change in words).
    skipped : list of dict
        ``feature`` and ``why`` it was not tested.
    counts : dict
        For each tested feature (None: the score) the counts behind its test, for pictures.
    level, least : float
        As of :class:`DriftTest`.
    """

    rows: int
    tests: list[dict[str, Any]]
    skipped: list[dict[str, str | None]]
    counts: dict[str | None, Counts] = field(repr=False)
    level: float
    least: float

    @property
    def found(self) -> bool:
        """Whether anything drifted."""
        return any(test["drifted"] for test in self.tests)

    @property
    def drifted(self) -> list[str | None]:
        """The features that drifted, each once; None is the score."""
        return list(dict.fromkeys(test["feature"] for test in self.tests if test["drifted"]))


class DriftTest:
    r"""Compare rows with those that a model was fitted on, feature by feature, and their scores.

    Rows may be added piece by piece: only counts are kept, so that any number of rows can be
    compared in bounded memory.

    Parameters
    ----------
    model : AutoEncoder or job
        Fitted. Of a table it saved, for each column, how many cells were missing, how often
        each category was seen, and points of the distribution of numbers; a detector saved
        the scores of its held-out rows.
    against : array-like, data frame or Rows, optional
        Rows to compare with instead, such as those of a month known to be good.
    level : float, default=0.01
        Chance, at most, that anything is said to have drifted where nothing has.
    least : float, default=0.1
        Least population stability index of a change that counts: of very many rows every
        difference is significant. 0.1 is a normal column moved by a third of its standard
        deviation, or 2 % of the rows in a new category; 0 leaves the decision to the p-value.
    ignore : sequence of str, default=()
        Features not to test.
    dates : bool, default=False
        Whether to test dates, which move on by nature.

    Raises
    ------
    ValueError
        If a parameter is out of range, a feature to ignore is not there, or the model judges
        the steps of series, which are not independent of each other.

    Notes
    -----
    Numbers: the two-sample Kolmogorov-Smirnov test over the saved points, at which the fitted
    distribution is known exactly, so that its p-value is valid, and the more conservative the
    fewer points. Categories: :func:`~isthmus.metrics.shifts.same_counts`. Missing cells:
    Fisher's exact test of their share. Scores: Kolmogorov-Smirnov against the held-out scores;
    the score sees what no column shows alone, a change of how columns hang together. The
    p-values are corrected together by Holm's rule: ``level`` bounds the chance of any false
    finding among all. A test says drift if its corrected p-value is below ``level`` and its
    stability index is at least ``least``. A column of fewer than 30 cells, then or now, is not
    tested.

    The tests take rows as independent of each other; rows in bursts (many of one customer,
    of one hour) differ more, and a test of them rejects too often.

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> random = np.random.default_rng(0)
    >>> X = random.normal(size=(500, 3))
    >>> model = AutoEncoder(max_epochs=1, random_state=0).fit(X)
    >>> find_drift(model, random.normal(size=(400, 3))).drifted
    []
    >>> find_drift(model, random.normal(size=(400, 3)) + [0, 1, 0]).drifted
    ['x1']
    """

    def __init__(
        self,
        model: Any,
        *,
        against: Any = None,
        level: float = 0.01,
        least: float = 0.1,
        ignore: Sequence[str] = (),
        dates: bool = False,
    ):
        check_is_fitted(model)
        if not 0 < level < 1:
            raise ValueError(f"level is a probability above 0 and below 1, got {level!r}.")
        if not least >= 0:
            raise ValueError(f"least is a population stability index of at least 0, got {least!r}.")
        if isinstance(model, SeriesDetector):
            raise ValueError(
                "drift compares rows that are independent of each other, which the steps of series are not. "
                "isthmus watch says how often new series ring, beside the held-out ones."
            )
        self.model, self.level, self.least = model, level, least
        self._modality = getattr(model, "estimator_", model).modality_
        self._skipped: list[dict[str, str | None]] = []
        self._n = 0
        self._check_ignored(ignore)
        ignored = dict.fromkeys(ignore, "ignored")
        self._counts = self._reference(ignored, dates) if against is None else self._measured(against, ignored, dates)

    def add(self, X: Any) -> Self:
        """Count some rows."""
        rows = as_rows(X)
        for begin in range(0, len(rows), CHUNK):
            self._add(choose(rows, np.arange(begin, min(begin + CHUNK, len(rows)))))
        self._n += len(rows)
        return self

    def result(self) -> Drift:
        """Return what the rows added so far say.

        Raises
        ------
        ValueError
            If there is nothing to test: too few rows, or a model that saved nothing to
            compare with.
        """
        tests, skipped, tested = [], list(self._skipped), {}
        for feature, counts in self._counts.items():
            found = list(_tests(feature, counts))
            if found:
                tests += found
                tested[feature] = counts
            else:
                fitted, now = counts.fitted_cells, counts.now_cells
                skipped.append({"feature": feature, "why": f"too few to compare: {fitted} then, {now} now"})
        if not tests:
            said = "; ".join(f"{one['feature'] or 'score'}: {one['why']}" for one in skipped[:3])
            raise ValueError(f"nothing of these {self._n} rows can be compared ({said}). Give at least 30 rows.")
        adjusted = holm(np.array([test["p_value"] for test in tests]))
        for test, p_value in zip(tests, adjusted.tolist(), strict=True):
            test["adjusted_p_value"] = p_value
            test["drifted"] = p_value < self.level and test["psi"] >= self.least
        tests.sort(key=lambda test: (not test["drifted"], test["adjusted_p_value"], -test["psi"]))
        return Drift(self._n, tests, skipped, tested, self.level, self.least)

    def _check_ignored(self, ignore: Sequence[str]) -> None:
        names = getattr(self._modality, "names", [])
        unknown = [name for name in ignore if name not in names]
        if unknown:
            raise ValueError(f"no feature to ignore is called {', '.join(unknown)}; there are {', '.join(names)}.")

    def _columns(self, ignored: dict[str, str], dates: bool) -> list[dict[str, Any]]:
        """Return the facts of the columns to test; note the others."""
        columns = self._modality.columns if isinstance(self._modality, Tables) else []
        kept = []
        for facts in columns:
            moves = "dates move on by nature" if facts["kind"] in DATES and not dates else None
            why = ignored.get(facts["name"]) or moves
            if why is None:
                kept.append(facts)
            else:
                self._skipped.append({"feature": facts["name"], "why": why})
        return kept

    def _reference(self, ignored: dict[str, str], dates: bool) -> dict[str | None, Counts]:
        """Return the counts that the model saved."""
        counts: dict[str | None, Counts] = {}
        for facts in self._columns(ignored, dates):
            if "sketch" in facts:
                counts[facts["name"]] = counts_of(facts)
            else:
                why = "the model was saved before counts were; fit it again, or compare against rows"
                self._skipped.append({"feature": facts["name"], "why": why})
        if hasattr(self.model, "held_out_scores_"):
            counts[None] = score_counts(self.model.held_out_scores_)
        else:
            self._skipped.append({"feature": None, "why": "the model kept no held-out scores; a detector does"})
        return counts

    def _measured(self, against: Any, ignored: dict[str, str], dates: bool) -> dict[str | None, Counts]:
        """Return the counts of the rows to compare with."""
        rows, counts = as_rows(against), {}
        if isinstance(self._modality, Tables):
            frame = self._modality.arrange(rows.take(slice(None)))
            for facts in self._columns(ignored, dates):
                counts[facts["name"]] = counts_in(frame[facts["name"]], facts)
        return counts | {None: score_counts(self.model.score_samples(rows))}

    def _add(self, rows: Rows) -> None:
        if isinstance(self._modality, Tables):
            frame = self._modality.arrange(rows.take(slice(None)))
            for feature, counts in self._counts.items():
                if feature is not None:
                    counts.add(frame[feature])
        if None in self._counts:
            self._counts[None].add(self.model.score_samples(rows))


def find_drift(model: Any, X: Any, **options: Any) -> Drift:
    """Return whether rows are still like those that a model was fitted on; see :class:`DriftTest`."""
    return DriftTest(model, **options).add(X).result()


def _tests(feature: str | None, counts: Counts) -> Iterator[dict[str, Any]]:
    """Yield the tests of a feature that has enough cells."""
    cells = {"feature": feature, "fitted": counts.fitted_cells, "now": counts.now_cells}
    if counts.enough:
        yield cells | {"of": "score" if feature is None else "values"} | counts.test()
    first, n, second, m = counts.missing
    # Where no cell is missing, then or now, nothing could be found: such a test is none (Tarone, 1990).
    if feature is not None and first + second and min(n, m) >= FEWEST:
        yield {"feature": feature} | _missing_test(first, n, second, m)


def _missing_test(first: int, n: int, second: int, m: int) -> dict[str, Any]:
    index = stability_index(np.array([first, n - first]), np.array([second, m - second]))
    return {
        "of": "missing",
        "test": "Fisher",
        "p_value": same_share(first, n, second, m),
        "psi": index,
        "change": abs(second / m - first / n),
        "said": f"missing in {100 * first / n:.3g} %, now {100 * second / m:.3g} %",
        "fitted": n,
        "now": m,
    }
