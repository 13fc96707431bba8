"""How long detection takes: against PyOD's auto-encoder, in batches, and one row at a time.

- Fit and score. 50,000 rows of the ADBench set donors, 10 columns: the size of shuttle (49,097 x 9),
  which is not among the shared sets. Rows as they come, 6 % of them anomalies, standardised, given to
  both detectors with all their defaults; each ends with a score for every one of the rows. PyOD scores
  them while it fits, so nothing is counted twice for it. AUROC beside it, of the same scores.
  Contenders take turns, and ratios are of neighbours.
- Batches: a million rows of 30 numeric columns, made (`benchmarks/made.py`), in float32, on one
  torch thread and on as many as there are processors.
- One row: `predict` of a table of one row, from the caller's array or data frame to 1 or -1, on
  one thread. Both with 30 numbers and with the 41 columns of NSL-KDD, three of them text. Then the same rows
  by onnxruntime from the file that `isthmus export` writes, from raw cells to cost, alert and p-value.

Full run: three rounds, nearly all of it PyOD's. Needs a quiet machine, and ISTHMUS_DATA for donors
and NSL-KDD; what is not there is left out.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.preprocessing import StandardScaler

from benchmarks.anomalies import splits
from benchmarks.anomalies.contenders import OURS, build
from benchmarks.anomalies.data import adbench, nsl_kdd
from benchmarks.anomalies.judging import auroc
from benchmarks.harness import Claim, Missing, Result, interleaved, main, range_of, ratios, say, t_interval
from benchmarks.made import correlated
from isthmus.exporting import to_onnx

TITLE = "speed of detection: fit and score, batches, one row"
PEER = "PyOD auto-encoder"
MS = 1_000


def run(quick: bool) -> Result:
    """Time all three."""
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    for name, measure in (("fit and score", _fit_and_score), ("batches", _batches), ("one row", _one_row)):
        try:
            found, figures[name] = measure(quick)
        except Missing as missing:
            figures[name] = f"left out: {missing}"
            say(f"{name} {figures[name]}")
            continue
        claims += found
    return Result(TITLE, claims, figures)


def _fit_and_score(quick: bool) -> tuple[list[Claim], dict[str, Any]]:
    if importlib.util.find_spec("pyod") is None:
        raise Missing("pyod is not installed; pip install -r benchmarks/requirements.txt")
    data = adbench("donors")
    rows = splits.sample(len(data), 1_500 if quick else 50_000, np.random.default_rng(0))
    table, y = StandardScaler().fit_transform(data.rows[rows]), data.anomalous[rows]
    build(PEER, 0, table=False).fit(table[:300])  # its scoring is compiled at the first call
    reached: dict[str, list[float]] = {OURS: [], PEER: []}

    def ours() -> None:
        seed = len(reached[OURS])
        reached[OURS].append(auroc(y, -build(OURS, seed, table=False).fit(table).score_samples(table)))
        say(f"{OURS}, seed {seed}: AUROC {reached[OURS][-1]:.2f}")

    def theirs() -> None:
        seed = len(reached[PEER])
        reached[PEER].append(auroc(y, build(PEER, seed, table=False).fit(table).model_.decision_scores_))
        say(f"{PEER}, seed {seed}: AUROC {reached[PEER][-1]:.2f}")

    times = interleaved({OURS: ours, PEER: theirs}, 1 if quick else 3, warm_up=0)
    claims = [
        Claim(
            "fit and score, times faster than PyOD's defaults",
            better="higher",
            must=10.0,
            unit="x",
            **range_of(ratios(times[PEER].wall, times[OURS].wall)),
        ),
        Claim(
            "fit and score, times less processor time",
            better="higher",
            unit="x",
            **range_of(ratios(times[PEER].cpu, times[OURS].cpu)),
        ),
    ]
    for name in (OURS, PEER):
        must = float(np.mean(reached[PEER])) if name == OURS else None
        claims.append(Claim(f"AUROC of these scores, {name}", better="higher", must=must, **t_interval(reached[name])))
    figures = {"shape": table.shape, "auroc": reached, "times": {name: of.summary() for name, of in times.items()}}
    return claims, figures


def _batches(quick: bool) -> tuple[list[Claim], dict[str, Any]]:
    n, rounds = (20_000, 1) if quick else (1_000_000, 3)
    detector = build(OURS, 0, table=False).fit(correlated(600 if quick else 20_000, seed=1))
    table = correlated(n, seed=2, dtype=np.float32)
    every = os.cpu_count() or 1
    counts = sorted({1, every})
    contenders = {f"{count} threads": _on(count, lambda: detector.score_samples(table)) for count in counts}
    times = interleaved(contenders, rounds)
    rates = {name: [n / seconds / 1e6 for seconds in spent.wall] for name, spent in times.items()}
    claims = [
        Claim(
            f"batch of {n:,} x 30, {name}",
            better="higher",
            must=1.0 if name == f"{every} threads" else None,
            unit=" M rows/s",
            **range_of(rate),
        )
        for name, rate in rates.items()
    ]
    return claims, {"million_rows_a_second": rates, "times": {name: of.summary() for name, of in times.items()}}


def _one_row(quick: bool) -> tuple[list[Claim], dict[str, Any]]:
    calls, n_fit = (50, 600) if quick else (2_000, 20_000)
    figures: dict[str, Any] = {}
    numbers = correlated(n_fit + 100, seed=3)
    tables = {"30 numbers": (numbers[:n_fit], [numbers[n_fit + i : n_fit + i + 1] for i in range(100)])}
    try:
        file = nsl_kdd("KDDTrain+_20Percent")
        normal = file.rows.filter(~pl.Series(file.anomalous))
        tables["41 columns, 3 of text"] = (normal[100:n_fit], [normal[i : i + 1] for i in range(100)])
    except Missing as missing:
        figures["NSL-KDD"] = f"left out: {missing}"
    claims = []
    for name, (train, rows) in tables.items():
        detector = build(OURS, 0, table=True).fit(train)
        with _threads(1):
            timed = [(name, 1.0, _calls(detector.predict, rows, calls))]
        try:
            timed.append((f"{name}, ONNX", 0.2, _calls(_session(detector), [_feed(row) for row in rows], calls)))
        except Missing as missing:
            figures[f"{name}, ONNX"] = f"left out: {missing}"
        for what, must, spent in timed:
            figures[what] = {f"p{share}_ms": float(np.percentile(spent, share)) for share in (1, 50, 90, 99, 100)}
            for share in (50, 99):
                found = float(np.percentile(spent, share))
                claims.append(Claim(f"one row, {what}, p{share}", found, must=must, unit=" ms"))
    return claims, figures


def _session(detector: Any) -> Callable[[Any], Any]:
    """Return what scores a row on one thread without torch."""
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnxscript")):
        raise Missing("onnxruntime is not installed; pip install 'isthmus[onnx]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = to_onnx(detector).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda row: session.run(None, row)


def _feed(row: Any) -> dict[str, np.ndarray]:
    """Return a row without gaps or dates as the file takes it."""
    if isinstance(row, np.ndarray):
        return {"rows": row}
    text = {series.name: series.dtype == pl.String for series in row}
    return {name: row[name].cast(pl.String if text[name] else pl.Float64).to_numpy()[:, None] for name in row.columns}


def _calls(function: Callable[[Any], Any], rows: list[Any], calls: int) -> np.ndarray:
    """Return the milliseconds of each call, the first tenth not counted."""
    spent = []
    for turn in range(calls + calls // 10):
        began = time.perf_counter()
        function(rows[turn % len(rows)])
        spent.append(MS * (time.perf_counter() - began))
    return np.array(spent[calls // 10 :])


def _on(count: int, function: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with _threads(count):
            return function()

    return run


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    main(run)
