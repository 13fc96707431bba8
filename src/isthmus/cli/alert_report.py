"""A page about alerts, for people: how they were chosen, which they are, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from isthmus import pictures
from isthmus.cli.alerts import issues_said, reasons_said
from isthmus.cli.inputs import Given, read_for
from isthmus.cli.judging import Known
from isthmus.cli.talk import count, say
from isthmus.decisions import AtRate, Rule
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.alerting import severity_of
from isthmus.jobs.job import choose
from isthmus.modalities import Images
from isthmus.report import Report

__all__ = ["write_report"]

SHOWN = 25
ON_MAP = 3_000
# Images of alerts, and so many side by side.
PICTURED, ACROSS = 24, 8
# As often as typical a place may be odd without a shade, and how far beyond that it is black.
USUAL, DARKEST = 3.0, 9.0


def write_report(
    path: Path,
    detector: AnomalyDetector,
    given: Given,
    scores: np.ndarray,
    rule: Rule,
    alerts: Sequence[dict[str, Any]],
    known: Known | None,
    training: Path | None,
    resize: bool,
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The .html file.
    detector : AnomalyDetector
        Fitted.
    given : Given
        The rows that were judged.
    scores : ndarray of shape (n,)
        Their scores.
    rule : Rule
        How the alerts were chosen.
    alerts : sequence of dict
        Their records, the least normal first.
    known : Known, optional
        Which rows are anomalies.
    training : Path, optional
        What the model was fitted on, to fit the baselines to.
    resize : bool
        Whether images are resized to the model's.
    """
    alert = rule.decide(scores).alert
    aside = f", {len(given.rows.set_aside):,} more were set aside" if given.rows.set_aside else ""
    page = Report(
        f"Alerts in {given.path.name}",
        f"{count(len(given), 'row')} scored{aside}; {count(int(alert.sum()), 'alert')}: {rule.said()}.",
    )
    _decided(page, detector, rule, scores, known)
    _judged(page, scores, alert, known)
    _listed(page, given, alerts)
    _pictured(page, detector, given, scores, alert)
    _mapped(page, detector, given, scores, alert)
    _compared(page, detector, given, known, training, resize)
    page.footer(f"Model {detector.model_id_}. Scores compare rows under this model alone; lower is less normal.")
    page.write(path)


def _decided(page: Report, detector: AnomalyDetector, rule: Rule, scores: np.ndarray, known: Known | None) -> None:
    page.heading("Which rows are alerts")
    held_out, low, high = len(detector.held_out_scores_), *detector.false_alarm_interval_
    page.text(
        f"{held_out:,} rows were held out while fitting, and the model never saw them. By the threshold of its "
        f"false-alarm rate ({detector.offset_:.4g}), {100 * detector.threshold_.expected_rate:.3g} % of normal rows "
        f"are alerts on average, and for 95 % of the ways to hold rows out {100 * low:.2g} to {100 * high:.2g} %. "
        "That holds for new normal rows from the same source, and ends where the source changes. It does not say "
        "how many of the alerts are anomalies: that depends on how many anomalies there are."
    )
    severity, unit = severity_of(detector, scores), severity_of(detector, detector.held_out_scores_)
    if not (np.isfinite(severity).all() and np.isfinite(unit).all()):
        page.text("Most held-out rows have one and the same score, so that there is no distribution to draw.")
        return
    alert = rule.decide(scores).alert
    # Of batch rules the alerts begin at the most normal one.
    cut = 1.0 if isinstance(rule, AtRate) or not alert.any() else float(severity[alert].min())
    anomalous = None if known is None else known.anomalous[known.labelled]
    drawn = severity if known is None else severity[known.labelled]
    page.figure(
        pictures.score_distribution(unit, drawn, anomalous, cut),
        f"Histogram of the severity of {len(drawn)} rows beside that of {held_out} held-out ones; alerts begin at "
        f"{cut:.3g}.",
        "Where the rows judged follow the held-out ones they are alike. A whole distribution that moved to the right "
        "is a source that changed, rather than many anomalies.",
    )


def _judged(page: Report, scores: np.ndarray, alert: np.ndarray, known: Known | None) -> None:
    if known is None:
        return
    page.heading("How right they are")
    truth, rows = known.anomalous[known.labelled], known.labelled
    figures = known.figures(alert)
    said = {
        "anomalies found by the alerts": figures["found"],
        "alerts that are right": figures["precision"],
        "normal rows that are alerts": figures["observed_false_alarms"],
        "average precision, at all thresholds": float(average_precision_score(truth, -scores[rows])),
        "AUROC, at all thresholds": float(roc_auc_score(truth, -scores[rows])),
    }
    page.table(
        [{"figure": name, "value": value} for name, value in said.items()],
        {"figure": "", "value": ""},
        caption=f"Anomalies are the {int(truth.sum()):,} of {len(truth):,} rows labelled {known.name}.",
    )
    page.figure(
        pictures.precision_recall(scores[rows], truth, alert[rows]),
        "Curve of the share of right alerts against the share of anomalies found; the alerts of this call are a point.",
    )


def _listed(page: Report, given: Given, alerts: Sequence[dict[str, Any]]) -> None:
    page.heading("The alerts, the least normal first" if alerts else "No alerts")
    if not alerts:
        page.text("No row was far enough from the others.")
        return
    rows = [
        {
            "#": rank,
            # Text, for a line number is a name and no quantity.
            given.where: str(alert[given.where]),
            "score": alert["score"],
            "p-value": alert["p_value"],
            "severity": alert["severity"],
            "reasons": reasons_said(alert["reasons"]),
            "issues": issues_said(alert["issues"]),
        }
        for rank, alert in enumerate(alerts[:SHOWN], 1)
    ]
    if not any(row["issues"] for row in rows):
        rows = [{name: value for name, value in row.items() if name != "issues"} for row in rows]
    more = f" Of {len(alerts):,}, the first {SHOWN}." if len(alerts) > SHOWN else ""
    reason = "a feature, its value, what was expected, and its share of the score"
    if "top" in (alerts[0]["reasons"] or [{}])[0]:
        reason = "a square of pixels, and its share of what is odd about the image"
    page.table(
        rows,
        caption=f"A reason is {reason}. The p-value is how often a normal row would be as odd or odder.{more}",
    )


def _pictured(page: Report, detector: AnomalyDetector, given: Given, scores: np.ndarray, alert: np.ndarray) -> None:
    if not (isinstance(detector.estimator_.modality_, Images) and alert.any()):
        return
    page.heading("What they look like, and where they are odd")
    page.text(
        "Above, the image as the model was given it; below it what the model makes of it; below that where it is odd, "
        f"the darker the odder: white is at most {USUAL:g} times what is typical at that place, black "
        f"{USUAL + DARKEST:g} times and more."
    )
    worst, places = _worst_first(scores, alert)[:PICTURED], given.places()
    for begin in range(0, len(worst), ACROSS):
        some = worst[begin : begin + ACROSS]
        rows = choose(given.rows, some)
        figure = pictures.fault_strip(
            rows.take(slice(None)),
            detector.estimator_.reconstruct(rows),
            np.maximum(np.sqrt(detector.heat(rows)) - USUAL, 0),
            [f"#{rank} {places[row]}" for rank, row in enumerate(some.tolist(), begin + 1)],
            most=DARKEST,
        )
        page.figure(
            figure,
            f"Alerts {begin + 1} to {begin + len(some)}: each image, its reconstruction, and a map of where it is odd.",
        )


def _worst_first(scores: np.ndarray, alert: np.ndarray) -> np.ndarray:
    """Return the positions of the alerts, the least normal first, as they are listed."""
    return np.flatnonzero(alert)[np.argsort(scores[alert], kind="stable")]


def _mapped(page: Report, detector: AnomalyDetector, given: Given, scores: np.ndarray, alert: np.ndarray) -> None:
    page.heading("Where they lie")
    # Spread evenly, and all alerts that there is room for.
    others = np.flatnonzero(~alert)
    others = others[np.unique(np.linspace(0, len(others) - 1, min(ON_MAP, len(others))).astype(np.int64))]
    marked = _worst_first(scores, alert)[:ON_MAP]
    shown = np.concatenate([marked, others]).astype(np.int64)
    codes = detector.estimator_.transform(choose(given.rows, shown)).reshape(len(shown), -1)
    if len(shown) < 3 or codes.shape[1] < 2:
        page.text("Too few rows, or too small a code, for a map.")
        return
    is_alert = np.arange(len(shown)) < len(marked)
    what = "the two values of each row's code"
    if codes.shape[1] > 2:
        # Found on the other rows: a few far ones would turn the components towards themselves.
        fitted = PCA(2, svd_solver="full").fit(codes[~is_alert] if (~is_alert).sum() > 2 else codes)
        codes = fitted.transform(codes)
        what = (
            f"two principal components of the codes ({100 * fitted.explained_variance_ratio_.sum():.0f} % of variance)"
        )
    page.figure(
        pictures.alert_map(codes, is_alert, np.arange(len(marked)), subtitle=what),
        f"Map of {len(shown)} rows by their codes, {len(marked)} alerts marked; the numbers are those of the table.",
        "Alike rows lie together. An alert amid the others is odd in what the code leaves out.",
    )


def _compared(
    page: Report, detector: AnomalyDetector, given: Given, known: Known | None, training: Path | None, resize: bool
) -> None:
    page.heading("Beside simpler methods")
    if training is None:
        page.text(
            "Left out: PCA, neighbours and an isolation forest would have to be fitted on the rows that the model was "
            "fitted on, which a saved model does not hold. With --baselines TRAINING_DATA they are here."
        )
        return
    train = read_for(detector.estimator_, training, resize)
    rows, truth = given.rows, None
    if known is not None:
        rows, truth = choose(given.rows, np.flatnonzero(known.labelled)), known.anomalous[known.labelled]
    say(f"fitting the baselines on {count(len(train), 'row')} of {training}")
    page.table(
        detector.compare(train.rows, rows, truth),
        caption=f"Baselines fitted on {training.name} ({count(len(train), 'row')}), all thresholds set on the same "
        f"held-out rows for {100 * detector.false_alarm_rate:.3g} % of false alarms. It is for you to see that "
        "the model was fitted on the same rows.",
        ours="auto-encoder",
    )
