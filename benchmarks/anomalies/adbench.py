"""The 23 shared ADBench sets: what the rows 'one_class' and 'contaminated' do alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.anomalies import splits
from benchmarks.anomalies.contenders import BASELINES, OPTIONS, OURS, available, build, score, seeds_of
from benchmarks.anomalies.data import Labelled, adbench, adbench_names, leaky, seen
from benchmarks.anomalies.judging import auroc, average_precision
from benchmarks.harness import Claim, say, t_interval

__all__ = ["ADBENCH_OPTIONS", "KINDS", "clean", "difference", "mean_claims", "measure", "table", "worst"]

MOST = 50_000
# Sets as small as this are left out of the worst case: a point is one or two rows there.
LARGE = 1_000
QUICK = ("wine", "Cardiotocography")
EVERY = (*BASELINES, "PyOD auto-encoder")
KINDS = {"auroc": "AUROC", "auprc": "AUPRC"}

Split = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]

ADBENCH_OPTIONS = (click.Option(["--sets"], help="Such as wine,skin.  [default: all]"), *OPTIONS)


def measure(
    split: Split, contaminated: bool, quick: bool, sets: str | None, seeds: str | None, contenders: str | None
) -> dict[str, dict[str, Any]]:
    """Return, for each set, its size and what each contender reached with each seed.

    ``split`` gets which rows are anomalies, and a seed; columns are standardised on the rows it
    returns first, for all alike.
    """
    names = [name.strip() for name in sets.split(",")] if sets else list(QUICK if quick else adbench_names())
    numbers = seeds_of(seeds, range(1) if quick else range(3))
    who = available((OURS, *BASELINES) if quick else (OURS, *EVERY), contenders)
    found = {}
    for name in names:
        whole = adbench(name)
        found[name] = {
            "rows": len(whole),
            "columns": whole.rows.shape[1],
            "anomalies": int(whole.anomalous.sum()),
            "runs": [_one(name, whole, split, contaminated, seed, who) for seed in numbers],
        }
        del whole
        gc.collect()
    return found


def _one(
    name: str, whole: Labelled, split: Split, contaminated: bool, seed: int, who: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return what each contender reached on one split of one set, and the split's sizes."""
    rows = splits.sample(len(whole), MOST, np.random.default_rng(seed))
    x, anomalous = whole.rows[rows], whole.anomalous[rows]
    fitted, judged = split(anomalous, seed)
    scaler = StandardScaler().fit(x[fitted])
    train, test, y = scaler.transform(x[fitted]), scaler.transform(x[judged]), anomalous[judged]
    run: dict[str, Any] = {"seed": seed, "train": len(fitted), "test": len(judged), "anomalies": int(y.sum())}
    run["test rows with a copy among the training rows"] = float(seen(x[fitted], x[judged]).mean())
    for contender in who:
        scored = score(build(contender, seed, table=False, contaminated=contaminated), train, test)
        run[contender] = {
            "auroc": auroc(y, scored.costs),
            "auprc": average_precision(y, scored.costs),
            "seconds": scored.seconds,
        }
        say(
            f"{name}, seed {seed}, {contender}: AUROC {run[contender]['auroc']:.2f}, "
            f"AUPRC {run[contender]['auprc']:.2f}, {scored.seconds:.1f} s"
        )
    return run


def contenders_of(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the contenders that ran."""
    run = next(iter(found.values()))["runs"][0]
    return [name for name in run if isinstance(run[name], dict)]


def means(found: dict[str, dict[str, Any]], contender: str, kind: str) -> list[float]:
    """Return the mean over the sets, for each seed."""
    runs = [[run[contender][kind] for run in one["runs"]] for one in found.values()]
    return np.mean(runs, axis=0).tolist()


def mean_claims(
    found: dict[str, dict[str, Any]], kind: str, rival: str, aim: float | None = None, of: str = ""
) -> list[Claim]:
    """Return the claims of each contender's mean; ours must be above the rival's in this run."""
    claims, names = [], contenders_of(found)
    for name in names:
        limits: dict[str, Any] = {}
        if name == OURS and rival in names:
            limits = {"must": float(np.mean(means(found, rival, kind))), "aim": aim}
        what = f"mean {KINDS[kind]}{of}, {name}"
        claims.append(Claim(what, better="higher", **limits, **t_interval(means(found, name, kind))))
    return claims


def difference(found: dict[str, dict[str, Any]], kind: str, rival: str, aim: float | None = None) -> list[Claim]:
    """Return the claim of our mean less a rival's, seed by seed: splits differ more than methods do."""
    if not {OURS, rival} <= set(contenders_of(found)):
        return []
    gain = np.subtract(means(found, OURS, kind), means(found, rival, kind)).tolist()
    what = f"mean {KINDS[kind]} less that of {rival}"
    return [Claim(what, better="higher", must=0.0, aim=aim, unit=" points", **t_interval(gain))]


def worst(found: dict[str, dict[str, Any]], aim: float) -> list[Claim]:
    """Return the claim of the set on which we are furthest below the best of the baselines, means over seeds."""
    names = contenders_of(found)
    large = {name: one for name, one in found.items() if one["rows"] >= LARGE}
    if not large or not {OURS, *BASELINES} <= set(names):
        return []
    gaps = {}
    for name, one in large.items():
        per = {who: float(np.mean([run[who]["auroc"] for run in one["runs"]])) for who in (OURS, *BASELINES)}
        gaps[name] = per[OURS] - max(per[who] for who in BASELINES)
    least = min(gaps, key=lambda name: gaps[name])
    what = f"least AUROC less the best of {', '.join(BASELINES)}, sets of {LARGE:,} rows or more: {least}"
    return [Claim(what, gaps[least], better="higher", aim=aim, unit=" points")]


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return one line a set, AUROC and AUPRC of each contender, means over seeds, as Markdown."""
    names = contenders_of(found)
    lines = ["| set | rows | copies | " + " | ".join(names) + " |", "|---|---|---|" + "---|" * len(names)]
    for name, one in found.items():
        both = [
            " / ".join(f"{np.mean([run[who][kind] for run in one['runs']]):.1f}" for kind in KINDS) for who in names
        ]
        copies = np.mean([run["test rows with a copy among the training rows"] for run in one["runs"]])
        lines.append(f"| {name} | {one['rows']:,} | {copies:.0%} | {' | '.join(both)} |")
    return lines


def clean(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sets that published tables split before they drew rows twice."""
    drawn_twice = leaky()
    return {name: one for name, one in found.items() if name not in drawn_twice}
