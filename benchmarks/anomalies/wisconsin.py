"""Breast cancer Wisconsin (original, 699 rows): trained on benign rows, 16 missing cells left missing.

Five stratified folds, drawn anew with each seed: the benign rows of four are learned from, all rows of
the fifth are judged. The nine columns are those of the file, read as the command line reads it ("?"
is missing), whole numbers from 1 to 10; the patient's number is no feature. The other contenders are
given the column's mean for a missing cell.

What a random fold flatters: cells of few values repeat themselves (the 458 benign rows are 225 different
ones), and 699 rows are of 645 patients. So there are two figures more: all rows of a patient
in one fold; and over judged rows alone of which there is no copy among those learned from.

Full run: five seeds, a minute of processor time. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from benchmarks.anomalies.contenders import BASELINES, OPTIONS, OURS, available, build, score, seeds_of
from benchmarks.anomalies.data import Labelled, seen, wisconsin
from benchmarks.anomalies.judging import auroc, average_precision
from benchmarks.harness import Claim, Result, main, say, t_interval

TITLE = "breast cancer Wisconsin, five folds, trained on benign rows"
FOLDS = 5
LIMITS = {"AUROC": {"must": 99.0, "aim": 99.5}}


def run(quick: bool, seeds: str | None = None, contenders: str | None = None) -> Result:
    """Folds of the Wisconsin table."""
    data = wisconsin()
    who = available((OURS, *BASELINES), contenders)
    runs: dict[str, dict[str, list[float]]] = {name: {} for name in who}
    for seed in seeds_of(seeds, range(1) if quick else range(5)):
        for name in who:
            found = _folds(data, name, seed, by_patient=False, quick=quick)
            found["AUROC, patients kept together"] = _folds(data, name, seed, by_patient=True, quick=quick)["AUROC"]
            for kind, value in found.items():
                runs[name].setdefault(kind, []).append(value)
            say(f"seed {seed}, {name}: " + ", ".join(f"{kind} {value:.2f}" for kind, value in found.items()))
    claims = [
        Claim(f"{kind}, {name}", better="higher", **(LIMITS.get(kind, {}) if name == OURS else {}), **t_interval(of))
        for kind in runs[who[0]]
        if kind != "seconds"
        for name, of in ((name, runs[name][kind]) for name in who)
    ]
    return Result(TITLE, claims, {"runs": runs})


def _folds(data: Labelled, name: str, seed: int, by_patient: bool, quick: bool) -> dict[str, float]:
    """Return the means over the folds."""
    kinds: dict[str, Any] = {"AUROC": [], "AUPRC": [], "AUROC, rows without a copy": [], "seconds": []}
    for train, test in folds_of(data, seed, by_patient)[: 1 if quick else FOLDS]:
        scored = score(build(name, seed, table=True), data.rows[train], data.rows[test])
        y, new = data.anomalous[test], ~seen(data.rows[train], data.rows[test])
        kinds["AUROC"].append(auroc(y, scored.costs))
        kinds["AUPRC"].append(average_precision(y, scored.costs))
        kinds["AUROC, rows without a copy"].append(auroc(y[new], scored.costs[new]))
        kinds["seconds"].append(scored.seconds)
    return {kind: float(np.mean(values)) for kind, values in kinds.items()}


def folds_of(data: Labelled, seed: int, by_patient: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the benign rows to learn from and the rows to judge, of each fold."""
    chosen = StratifiedGroupKFold if by_patient else StratifiedKFold
    folds = chosen(FOLDS, shuffle=True, random_state=seed)
    parts = folds.split(np.zeros(len(data)), data.anomalous, data.group if by_patient else None)
    return [(train[~data.anomalous[train]], test) for train, test in parts]


if __name__ == "__main__":
    main(run, *OPTIONS)
