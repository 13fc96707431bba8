"""Cells: malignant ones found by what benign ones look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_breast_cancer

from isthmus import pictures
from isthmus.demo.tour import Tour, beside, verdict
from isthmus.estimator import AutoEncoder
from isthmus.jobs import AnomalyDetector
from isthmus.report import Report, said

__all__ = ["detected"]

SEEDS = 3


def detected(tour: Tour, page: Report) -> None:
    """Find malignant cells by what benign ones look like."""
    tour.say(f"breast cancer: anomalies, {SEEDS} seeds")
    data = load_breast_cancer()
    table = pl.DataFrame(data.data, [str(name) for name in data.feature_names])
    runs = []
    for seed in range(SEEDS):
        train, test, malignant = _one_class(table, data.target == 1, seed)
        job = AnomalyDetector(
            AutoEncoder(corruption="swap_rows", **tour.options), false_alarm_rate=0.05, random_state=seed
        )
        job.fit(train)
        runs.append(job.compare(train, test, malignant))
    rows = _over_seeds(runs)
    page.heading("Odd cells, and why")
    page.text(
        f"The table has {table.width} measurements of cell nuclei. Half of the benign cases are fitted on; the "
        "other half and all malignant cases are scored, none of them seen before. Mean and standard deviation "
        f"over {SEEDS} splits; 5 % of false alarms were asked for."
    )
    heads = {
        "method": "method",
        "auroc": "AUROC",
        "average_precision": "average precision",
        "found": "malignant found",
        "false_alarms": "false alarms",
    }
    page.table(rows, heads, ours="auto-encoder")
    means = {row["method"]: float(np.mean([_of(run, row["method"])["auroc"] for run in runs])) for row in rows}
    page.text(verdict([{"method": name, "auroc": mean} for name, mean in means.items()], "auroc"))
    scores = -job.score_samples(test)
    page.figure(
        pictures.score_histogram(scores, -job.offset_, malignant, label="score (0 is a typical row, 1 one in ten)"),
        "Scores of benign and malignant cases, with the threshold between most of them",
    )
    page.heading("The oddest cases", 3)
    page.table(_reasons(job.alerts(test)[:6], malignant), caption="Errors are in units of the feature's typical error.")
    tour.figures["AUROC of malignant cases, from benign ones alone"] = beside(means, *list(means)[1:])


def _one_class(table: pl.DataFrame, normal: np.ndarray, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Return half of the normal rows, all other rows, and which of these are not normal."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(normal))
    train = np.sort(order[: len(order) // 2])
    test = np.setdiff1d(np.arange(len(table)), train)
    return table[train], table[test], ~normal[test]


def _over_seeds(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for row in runs[0]:
        values = {name: [_of(run, row["method"])[name] for run in runs] for name in row if name != "method"}
        rows.append(
            {"method": row["method"]}
            | {name: f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for name, v in values.items()}
        )
    return rows


def _of(run: list[dict[str, Any]], method: str) -> dict[str, Any]:
    return next(row for row in run if row["method"] == method)


def _reasons(alerts: list[dict[str, Any]], malignant: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for alert in alerts:
        why = [
            f"{reason['feature']} {said(reason['value'])} "
            f"(expected {said(reason['expected'])}, error {said(reason['error'])})"
            for reason in alert["reasons"]
        ]
        kind = "malignant" if malignant[alert["row"]] else "benign"
        rows.append({"row": alert["row"], "is": kind, "score": -alert["score"], "reasons": "; ".join(why)})
    return rows
