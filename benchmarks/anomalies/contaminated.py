"""Trained on rows as they come, anomalies among them: the 23 shared ADBench sets.

ADBench's split (Han et al., 2022): a random 70 % of the rows, with as many anomalies as in the
others, are learned from, without labels; 30 % are judged. It differs from theirs where theirs lets
a row into both parts, or leaves few anomalies: no set below 1,000 rows is filled up with copies
before it is split, and sets are cut to 50,000 rows rather than 10,000. Columns are standardised
on the rows that are learned from, as in `one_class`; theirs are brought between 0 and 1.

Our detector is told that its rows hold anomalies (``contaminated=True``), and not how many. A
difference is taken seed by seed, over the same split.

Full run: three seeds, half as long again as `one_class`. Parts of it: --sets, --seeds,
--contenders. Needs ISTHMUS_DATA.
"""

from __future__ import annotations

import numpy as np

from benchmarks.anomalies import adbench, splits
from benchmarks.harness import Claim, Result, main

TITLE = "contaminated, ADBench sets: 70 % of all rows train, without labels"
RIVAL = "isolation forest"


def split(anomalous: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 70 % of the rows and 30 %, both with the same share of anomalies."""
    return splits.by_class(anomalous, test=0.3, seed=seed)


def run(quick: bool, sets: str | None = None, seeds: str | None = None, contenders: str | None = None) -> Result:
    """Detection after training on contaminated rows of the shared ADBench sets."""
    found = adbench.measure(split, True, quick, sets, seeds, contenders)
    claims: list[Claim] = []
    for kind in adbench.KINDS:
        claims += adbench.mean_claims(found, kind, RIVAL, of=f" of {len(found)} sets")
    claims += adbench.difference(found, "auroc", RIVAL, aim=3.0)
    return Result(TITLE, claims, {"sets": found, "table": adbench.table(found)})


if __name__ == "__main__":
    main(run, *adbench.ADBENCH_OPTIONS)
