"""NSL-KDD: trained on the normal rows of the 20 % file, tested on KDDTest+ and KDDTest-21.

13,449 normal connections are learned from; KDDTest+ (22,544 rows) and KDDTest-21 (the 11,850 of these
that not all 21 classifiers of Tavallaee et al., 2009, got right) are judged. Neither the label nor the
difficulty, which was made from labels, is a feature. The three text columns stay text; the other contenders
are given a matrix. The split is that of the files: seeds are the detectors' own. 23 rows of
KDDTest+ have a copy among those learned from, 6 of them attacks.

Full run: three seeds. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.anomalies import splits
from benchmarks.anomalies.contenders import BASELINES, OPTIONS, OURS, available, build, seeds_of
from benchmarks.anomalies.data import nsl_kdd, seen
from benchmarks.anomalies.judging import auroc, average_precision
from benchmarks.harness import Claim, Result, main, say, t_interval

TITLE = "NSL-KDD, trained on the normal rows of the 20 % file, three text columns"
TESTS = {"KDDTest+": 96.0, "KDDTest-21": None}
RIVALS = ("5-NN distance", "isolation forest")


def run(quick: bool, seeds: str | None = None, contenders: str | None = None) -> Result:
    """NSL-KDD, one-class."""
    file = nsl_kdd("KDDTrain+_20Percent")
    normal = np.flatnonzero(~file.anomalous)
    train = file.rows[normal[splits.sample(len(normal), 2_000, np.random.default_rng(0))] if quick else normal]
    tests = {name: nsl_kdd(name) for name in TESTS}
    who = available((OURS, *BASELINES), contenders)
    runs: dict[str, dict[str, dict[str, list[float]]]] = {
        test: {name: {"AUROC": [], "AUPRC": []} for name in who} for test in tests
    }
    for seed in seeds_of(seeds, range(1) if quick else range(3)):
        for name in who:
            model = build(name, seed, table=True).fit(train)
            for test, data in tests.items():
                costs = -model.score_samples(data.rows)
                found = runs[test][name]
                found["AUROC"].append(auroc(data.anomalous, costs))
                found["AUPRC"].append(average_precision(data.anomalous, costs))
                say(f"{test}, seed {seed}, {name}: AUROC {found['AUROC'][-1]:.2f}, AUPRC {found['AUPRC'][-1]:.2f}")
    claims = [claim for test in tests for claim in _claims(test, runs[test])]
    figures: dict[str, Any] = {"runs": runs, "rows to learn from": len(train)}
    figures["copies"] = {test: float(seen(train, data.rows).mean()) for test, data in tests.items()}
    return Result(TITLE, claims, figures)


def _claims(test: str, runs: dict[str, dict[str, list[float]]]) -> list[Claim]:
    rivals = [float(np.mean(runs[name]["AUROC"])) for name in RIVALS if name in runs]
    claims = []
    for kind in ("AUROC", "AUPRC"):
        for name, found in runs.items():
            limits: dict[str, Any] = {}
            if name == OURS and kind == "AUROC" and rivals:
                limits = {"must": max(rivals), "aim": TESTS[test]}
            claims.append(Claim(f"{test}, {kind}, {name}", better="higher", **limits, **t_interval(found[kind])))
    return claims


if __name__ == "__main__":
    main(run, *OPTIONS)
