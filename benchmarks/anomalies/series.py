"""Series: the shared half of the Numenta benchmark (NAB) and UCR's heartbeats, by VUS-PR.

NAB, 26 of its series that have an anomaly, each fitted and judged by itself, in two ways. *Normal first*:
fitted on the first quarter, or on what is before the first labelled span where that is less, and judged on
the rest. *Whole*: fitted without labels on all of it, and judged on it, as TSB-AD does with detectors
that need no training.

Heartbeats: half of the normal beats of ECG5000 (class 1) and of ECG200, end to end, are fitted on; the others
with one abnormal beat to nine, in an order drawn by the seed, are judged. No beat follows another in these sets
as it did in the patient: what is between two beats is odd for all contenders alike.

Every contender has the same windows (128 steps at most; a beat), and gives a step the mean of the scores of all
windows that cover it. VUS-PR is the mean over buffers up to 128 steps (a beat), see `isthmus.metrics.vus_pr`. No
score is point-adjusted.

Full run: three seeds, about 25 minutes on one core; --only one protocol. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import numpy as np
import polars as pl

from benchmarks.harness import Claim, Result, main, say, t_interval
from benchmarks.papers.data import folder
from isthmus.jobs import SeriesDetector
from isthmus.metrics import vus_pr

TITLE = "NAB and heartbeats: VUS-PR"
OURS, PLAIN = "isthmus", "plain auto-encoder"
WINDOW, QUARTER = 128, 4
SEEDS = range(3)
NORMAL_SHARE = 9


class Judged(NamedTuple):
    """A series to fit on, one to judge, and which of its steps are anomalous."""

    name: str
    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    window: int


def run(quick: bool, only: str | None = None) -> Result:
    """Series of NAB and UCR's heartbeats."""
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    protocols: dict[str, Callable[[int], list[Judged]]] = {
        "NAB, normal first": lambda seed: nab(whole=False)[:: 9 if quick else 1],
        "NAB, whole": lambda seed: nab(whole=True)[:: 13 if quick else 1],
        "heartbeats": heartbeats,
    }
    for protocol, cases in protocols.items():
        if only not in (None, protocol):
            continue
        runs = [_measured(protocol, cases(seed), seed) for seed in (SEEDS[:1] if quick else SEEDS)]
        figures[protocol] = runs
        names = next(iter(runs[0].values()))
        means = {name: [float(np.mean([one[name] for one in run.values()])) for run in runs] for name in names}
        claims += [Claim(f"{protocol}: {name}", better="higher", **t_interval(of)) for name, of in means.items()]
        others = [np.max(pair) for pair in zip(means["window PCA"], means["window 5-NN"], strict=True)]
        above = [ours - plain for ours, plain in zip(means[OURS], means[PLAIN], strict=True)]
        level = [ours - other for ours, other in zip(means[OURS], others, strict=True)]
        claims += [
            Claim(f"{protocol}: above the plain auto-encoder by", better="higher", must=0.0, **t_interval(above)),
            Claim(
                f"{protocol}: above the better of PCA and 5-NN by",
                better="higher",
                must=-0.02,
                aim=0.0,
                **t_interval(level),
            ),
        ]
    return Result(TITLE, claims, figures)


def nab(whole: bool) -> list[Judged]:
    """Return the series of NAB that have a labelled span."""
    root, found = folder("nab"), []
    for name, spans in json.loads((root / "combined_windows.json").read_text()).items():
        frame = pl.read_csv(gzip.decompress((root / "data" / f"{name}.gz").read_bytes()), try_parse_dates=True)
        times, values = frame["timestamp"].to_numpy(), frame["value"].to_numpy().astype(np.float64)[:, None]
        labels = np.zeros(len(times), bool)
        for first, last in spans:
            labels |= (times >= np.datetime64(first)) & (times <= np.datetime64(last))
        if not labels.any():
            continue
        cut = min(len(values) // QUARTER, int(labels.argmax()))
        window = min(WINDOW, (len(values) if whole else cut) // QUARTER)
        parts = (values, values, labels) if whole else (values[:cut], values[cut:], labels[cut:])
        found.append(Judged(name, *parts, window))
    return found


def heartbeats(seed: int) -> list[Judged]:
    """Return both sets of beats, end to end."""
    root, found = folder("ucr_ecg"), []
    for name in ("ECG5000", "ECG200"):
        files = sorted(root.glob(f"{name}_*.txt.gz"))
        rows = np.concatenate([_numbers(gzip.decompress(file.read_bytes()).decode()) for file in files])
        random = np.random.default_rng(seed)
        is_normal, beats = rows[:, 0] == 1, rows[:, 1:]
        normal, other = (random.permutation(np.flatnonzero(kind)) for kind in (is_normal, ~is_normal))
        train, rest = normal[: len(normal) // 2], normal[len(normal) // 2 :]
        test = random.permutation(np.concatenate([rest, other[: max(1, len(rest) // NORMAL_SHARE)]]))
        labels = np.repeat(~is_normal[test], beats.shape[1])
        found.append(Judged(name, beats[train].reshape(-1, 1), beats[test].reshape(-1, 1), labels, beats.shape[1]))
    return found


def _numbers(text: str) -> np.ndarray:
    """Return a table of numbers with blanks or commas between them."""
    return np.loadtxt(text.replace(",", " ").splitlines())


def _measured(protocol: str, cases: list[Judged], seed: int) -> dict[str, dict[str, float]]:
    """Return VUS-PR of every contender on every series."""
    found = {}
    for case in cases:
        detector = SeriesDetector(window=case.window, random_state=seed).fit(case.train)
        scores = {OURS: detector.score_samples(case.test)}
        for name, model in detector.baselines().items():
            scores[name] = model.fit(case.train).score_samples(case.test)
        found[case.name] = {name: vus_pr(case.labels, -of, case.window) for name, of in scores.items()}
        say(f"{protocol}, seed {seed}, {case.name}: " + ", ".join(f"{k} {v:.3f}" for k, v in found[case.name].items()))
    return found


if __name__ == "__main__":
    main(run, click.Option(["--only"], help="One protocol alone, such as heartbeats."))
