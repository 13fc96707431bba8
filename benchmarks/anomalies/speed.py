"""How long detection takes: against PyOD's auto-encoder, in batches, and one row at a time.

- Fit and score. 50,000 rows of the ADBench set donors, 10 columns: the size of shuttle (49,097 x 9),
  which is not among the shared sets. Rows as they come, 6 % of them anomalies, standardised, given to
  both detectors with all their defaults; each ends with a score for every one of the rows. PyOD scores
  them while it fits, so nothing is counted twice for it. AUROC beside it, of the same scores.
  Contenders take turns, and ratios are of neighbours. Ours twice: as it is by default, and in
  haste, which is a plain auto-encoder for three epochs, errors and distances among few rows, told that
  there are anomalies among the rows.
- Batches: rows of 30 numeric columns, made (`benchmarks/made.py`), in float32, on one torch thread
  and on as many as there are processors: 100,000 by default, and a million by the errors of a plain
  auto-encoder alone.
- One row: `predict` of a table of one row, from the caller's array or data frame to 1 or -1, on
  one thread, by default and by errors alone. Both with 30 numbers and with the 41 columns of NSL-KDD,
  three of them text. Then the same rows by onnxruntime from the file that `isthmus export` writes,
  from raw cells to cost, alert and p-value.

Full run: three rounds, nearly all of it PyOD's. Needs a quiet machine, and ISTHMUS_DATA for donors
and NSL-KDD; what is not there is left out.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from isthmus import AutoEncoder
from isthmus.exporting import to_onnx
from isthmus.jobs import AnomalyDetector

TITLE = "speed of detection: fit and score, batches, one row"
PEER = "PyOD auto-encoder"
# Ours in two settings for those who cannot wait: see docs/serving.md.
HASTY, ERRORS = "isthmus, in haste", "isthmus, errors alone"
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
    reached: dict[str, list[float]] = {}

    def timed(name: str, make: Callable[[int], Any]) -> Callable[[], None]:
        def run() -> None:
            seed = len(reached.setdefault(name, []))
            model = make(seed).fit(table)
            costs = model.model_.decision_scores_ if name == PEER else -model.score_samples(table)
            reached[name].append(auroc(y, costs))
            say(f"{name}, seed {seed}: AUROC {reached[name][-1]:.2f}")

        return run

    contenders = {
        OURS: timed(OURS, lambda seed: build(OURS, seed, table=False)),
        HASTY: timed(HASTY, lambda seed: _plain(seed, measures=("error", "rows"), contaminated=True)),
        PEER: timed(PEER, lambda seed: build(PEER, seed, table=False)),
    }
    times = interleaved(contenders, 1 if quick else 3, warm_up=0)
    claims = []
    for name in (OURS, HASTY):
        faster = ratios(times[PEER].wall, times[name].wall)
        what = f"fit and score, times faster than PyOD's defaults, {name}"
        claims.append(Claim(what, better="higher", must=10.0, unit="x", **range_of(faster)))
        less = ratios(times[PEER].cpu, times[name].cpu)
        what = f"fit and score, times less processor time, {name}"
        claims.append(Claim(what, better="higher", unit="x", **range_of(less)))
    for name in contenders:
        must = float(np.mean(reached[PEER])) if name != PEER else None
        claims.append(Claim(f"AUROC of these scores, {name}", better="higher", must=must, **t_interval(reached[name])))
    figures = {"shape": table.shape, "auroc": reached, "times": {name: of.summary() for name, of in times.items()}}
    return claims, figures


def _plain(seed: int, **options: Any) -> AnomalyDetector:
    """Return a detector with the library's plain auto-encoder in place of the wider one of detectors."""
    model = AutoEncoder(corruption="swap_rows(share=0.2)", max_epochs=3, random_state=seed)
    return AnomalyDetector(model, random_state=seed, **options)


def _batches(quick: bool) -> tuple[list[Claim], dict[str, Any]]:
    every, rounds = os.cpu_count() or 1, 1 if quick else 3
    train = correlated(600 if quick else 20_000, seed=1)
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    for name, detector, n in (
        (OURS, build(OURS, 0, table=False), 20_000 if quick else 100_000),
        (ERRORS, _plain(0, measures=("error",)), 20_000 if quick else 1_000_000),
    ):
        table, score = correlated(n, seed=2, dtype=np.float32), detector.fit(train).score_samples
        contenders = {count: _on(count, partial(score, table)) for count in sorted({1, every})}
        times = interleaved(contenders, rounds)
        for count, spent in times.items():
            rate = [n / seconds / 1e6 for seconds in spent.wall]
            what = f"batch of {n:,} x 30, {name}, {count} threads"
            must = 1.0 if count == every else None
            claims.append(Claim(what, better="higher", must=must, unit=" M rows/s", **range_of(rate)))
            figures[what] = {"million_rows_a_second": rate, "times": spent.summary()}
    return claims, figures


def _one_row(quick: bool) -> tuple[list[Claim], dict[str, Any]]:
    calls, n_fit = (50, 600) if quick else (2_000, 20_000)
    figures: dict[str, Any] = {}
    numbers = correlated(n_fit + 100, seed=3)
    tables: dict[str, tuple[Any, list[Any]]] = {
        "30 numbers": (numbers[:n_fit], [numbers[n_fit + i : n_fit + i + 1] for i in range(100)])
    }
    try:
        file = nsl_kdd("KDDTrain+_20Percent")
        normal = file.rows.filter(~pl.Series(file.anomalous))
        tables["41 columns, 3 of text"] = (normal[100:n_fit], [normal[i : i + 1] for i in range(100)])
    except Missing as missing:
        figures["NSL-KDD"] = f"left out: {missing}"
    claims = []
    for name, (train, rows) in tables.items():
        for who, detector in ((OURS, build(OURS, 0, table=True)), (ERRORS, _plain(0, measures=("error",)))):
            predict, label = detector.fit(train).predict, f"{name}, {who}"
            with _threads(1):
                timed = [(label, 1.0, _calls(predict, rows, calls))]
            try:
                session = _session(detector)
                timed.append((f"{label}, ONNX", 0.2, _calls(session, [_feed(row) for row in rows], calls)))
            except Missing as missing:
                figures[f"{label}, ONNX"] = f"left out: {missing}"
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
