"""What ``detect`` does: alerts, worst first, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.cli.alerts import write_alerts
from isthmus.cli.inputs import Given, open_model, read_for
from isthmus.cli.judging import Known, known_anomalies
from isthmus.cli.outputs import check_not_input, check_stdout, done, not_for
from isthmus.cli.talk import count, say
from isthmus.decisions import (
    AtRate,
    Decision,
    Discoveries,
    DiscoveriesAlong,
    OnlineFDR,
    Rule,
    Worst,
)
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.alerting import records
from isthmus.jobs.job import choose
from isthmus.rows import Rows

__all__ = ["Pieces", "alert_records", "detect", "rule_of", "scores_of"]

PIECE = 8_192


class Pieces:
    """Rows in pieces, each with its places; can be walked through more than once.

    Parameters
    ----------
    rows : Rows
        The rows, in memory or loaded as they are asked for.
    places : sequence
        What tells them apart: lines, positions or files.
    size : int, default=8192
        Rows in a piece.
    """

    def __init__(self, rows: Rows, places: Sequence[Any], size: int = PIECE):
        self._rows, self._places, self._size = rows, places, size

    def __iter__(self) -> Iterator[tuple[Rows, Sequence[Any]]]:
        for begin in range(0, len(self._rows), self._size):
            end = min(begin + self._size, len(self._rows))
            yield choose(self._rows, np.arange(begin, end)), self._places[begin:end]


def alert_records(
    detector: AnomalyDetector,
    pieces: Iterable[tuple[Rows, Sequence[Any]]],
    rule: Rule,
    *,
    where: str = "row",
    n_reasons: int = 3,
    every: bool = False,
    scores: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield a record for each alert, or for every row, in their order; a piece at a time is in memory.

    Parameters
    ----------
    detector : AnomalyDetector
        Fitted.
    pieces : iterable of (Rows, sequence)
        Rows, and the place of each. A rule that needs the whole batch walks through them
        twice, and keeps only the scores in between: 8 bytes a row. An iterator, such as a
        stream, is enough for the others.
    rule : Rule
        As of :func:`rule_of`.
    where : str, default='row'
        What the places are called in the records.
    n_reasons : int, default=3
        At most so many reasons an alert.
    every : bool, default=False
        Whether rows that are no alerts have a record too.
    scores : ndarray of shape (n,), optional
        The scores of all rows, where they are known already.

    Raises
    ------
    TypeError
        If the rule needs the whole batch, the scores are not known, and the pieces can be
        walked through only once.
    """
    whole: Decision | None = None
    if rule.needs_batch:
        if scores is None:
            if iter(pieces) is pieces:
                raise TypeError(
                    f"{type(rule).__name__} must see all rows before it decides, and these come only once; "
                    "use a threshold, or DiscoveriesAlong."
                )
            scores = scores_of(detector, pieces)
        whole = rule.decide(scores)
    begin = 0
    for rows, places in pieces:
        piece = slice(begin, begin + len(rows))
        found = detector.score_samples(rows) if scores is None else scores[piece]
        decision = rule.decide(found) if whole is None else Decision(*(part[piece] for part in whole))
        for record in records(detector, rows, found, decision, n_reasons, every):
            yield {where: places[record.pop("row")]} | record
        begin = piece.stop


def scores_of(detector: AnomalyDetector, pieces: Iterable[tuple[Rows, Sequence[Any]]]) -> np.ndarray:
    """Return the scores of all rows, ``(n,)``."""
    return np.concatenate([np.zeros(0), *(detector.score_samples(rows) for rows, _ in pieces)])


def rule_of(
    detector: AnomalyDetector,
    *,
    false_alarms: float | None = None,
    confidence: float | None = None,
    budget: int | None = None,
    rows_per_day: float | None = None,
    days: Any = None,
    fdr: float | None = None,
    is_stream: bool = False,
) -> Rule:
    """Return the rule that the options of a call ask for; the detector's threshold moves where they say so.

    A budget of a number of rows a day is a threshold, as a rate is. Of a stream, a budget is
    no other, and false discoveries are controlled window by window.
    """
    if fdr is not None:
        held_out = detector.held_out_scores_
        if is_stream:
            return DiscoveriesAlong(held_out, OnlineFDR.for_held_out(fdr, len(held_out)))
        return Discoveries(held_out, fdr)
    if budget is not None and rows_per_day is not None:
        detector.set_threshold(alerts_per_day=budget, rows_per_day=rows_per_day, confidence=confidence)
    elif budget is not None:
        if is_stream:
            raise ValueError("the worst of a stream are known at its end; with a budget, say --rows-per-day.")
        return Worst(budget, days)
    elif false_alarms is not None or confidence is not None:
        detector.set_threshold(false_alarms or detector.false_alarm_rate, confidence=confidence)
    return AtRate(detector.threshold_)


def detect(
    model: Path,
    data: Path,
    out: Path,
    every: bool,
    day: str | None,
    reasons: int,
    labels: str | None,
    report: Path | None,
    baselines: Path | None,
    resize: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Write the rows that are not like those fitted on."""
    check_stdout(out, as_json)
    for written in (out, *(() if report is None else (report,))):
        check_not_input(written, data, model, *(() if baselines is None else (baselines,)))
    fitted, estimator = open_model(model)
    if not isinstance(fitted, AnomalyDetector):
        raise not_for(model, "detect", "it has no threshold")
    given = read_for(estimator, data, resize)
    known = None if labels is None else known_anomalies(given.labels(labels))
    rule = rule_of(fitted, **asked, days=None if day is None else _days(given, day))
    pieces = Pieces(given.rows, given.places())
    scores = scores_of(fitted, pieces)
    decision = rule.decide(scores)
    found = alert_records(fitted, pieces, rule, where=given.where, n_reasons=reasons, every=every, scores=scores)
    if every and report is None:
        write_alerts(out, found, given.where, every)
    else:
        kept = list(found)
        alerts = sorted((one for one in kept if one.get("alert", True)), key=lambda one: one["score"])
        write_alerts(out, kept if every else alerts, given.where, every)
        if report is not None:
            _report(report, fitted, given, scores, rule, alerts, known, baselines, resize)
    tally = _tally(fitted, rule, decision, known)
    _say_why_none(rule, tally["alerts"], len(given))
    done(given, out, as_json, f"scored, {count(tally['alerts'], 'alert')}: {rule.said()}", **tally)
    if known is not None:
        say(known.said(decision.alert))


def _report(path: Path, fitted: AnomalyDetector, given: Given, *rest: Any) -> None:
    from isthmus.cli.alert_report import write_report  # matplotlib, which takes its time

    write_report(path, fitted, given, *rest)
    say(f"the report is in {path}")


def _tally(fitted: AnomalyDetector, rule: Rule, decision: Decision, known: Known | None) -> dict[str, Any]:
    """Return the figures of a call, for ``--json``."""
    low = decision.threshold[decision.alert].max() if decision.alert.any() else None
    tally: dict[str, Any] = {"alerts": int(decision.alert.sum()), "rule": type(rule).__name__, "threshold": low}
    if isinstance(rule, AtRate):
        tally |= {
            "threshold": fitted.offset_,
            "false_alarm_rate": fitted.false_alarm_rate,
            "false_alarm_interval": list(fitted.false_alarm_interval_),
            "attainable_rate": fitted.attainable_rate_,
        }
    if known is not None:
        tally |= known.figures(decision.alert)
    return tally | {"held_out": len(fitted.held_out_scores_), "model_id": fitted.model_id_}


def _days(given: Given, column: str) -> np.ndarray:
    """Return the day of each row, as a number; rows without one are a day of their own."""
    values = given.labels(column, option="--day")
    days = np.array([str(value)[:10] if value is not None else "" for value in values])
    unread = [value for value in dict.fromkeys(days.tolist()) if value and not _is_day(value)]
    if unread:
        raise ValueError(f"--day {column}: {unread[0]!r} is no date; expected dates such as 2024-05-31.")
    return np.unique(days, return_inverse=True)[1]


def _is_day(text: str) -> bool:
    try:
        return len(text) == 10 and not np.isnat(np.datetime64(text, "D"))
    except ValueError:
        return False


def _say_why_none(rule: Rule, n_alerts: int, n_rows: int) -> None:
    if isinstance(rule, Discoveries) and not n_alerts and rule.fewest(n_rows) > 1:
        say(
            f"note: among {count(n_rows, 'row')}, {len(rule.held_out):,} held-out rows can vouch for this rate only "
            f"of {rule.fewest(n_rows):,} alerts or more; a smaller batch needs fewer"
        )
