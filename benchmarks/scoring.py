"""`score_samples` on 284,807 x 30 rows, against PyOD's `decision_function`.

Both models have hidden layers of 64 and 32 and were fitted for one epoch on some of the rows:
the time of scoring does not depend on how well they were fitted. Rows are float64, as tables
read from files are; ours are also scored as float32. Threads are as each finds them.
"""

from __future__ import annotations

import cProfile
import importlib.util
import pstats
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Claim, Result, interleaved, main, range_of, ratios
from benchmarks.made import correlated

TITLE = "scoring 284,807 x 30 rows, against PyOD's decision_function"


def run(quick: bool) -> Result:
    """Fit both, score in turn, and profile ours."""
    if importlib.util.find_spec("pyod") is None:
        return Result(TITLE, skipped="pyod is not installed; pip install -r benchmarks/requirements.txt")
    n, n_fit, rounds = (20_000, 2_000, 2) if quick else (284_807, 20_000, 3)
    table = correlated(n, seed=3)
    ours, theirs = _fitted(table[:n_fit])
    single = table.astype(np.float32)
    times = interleaved(
        {
            "isthmus": lambda: ours.score_samples(table),
            "isthmus, float32 rows": lambda: ours.score_samples(single),
            "pyod": lambda: theirs.decision_function(table),
        },
        rounds,
    )
    faster = ratios(times["pyod"].wall, times["isthmus"].wall)
    single_faster = ratios(times["pyod"].wall, times["isthmus, float32 rows"].wall)
    by_cpu = ratios(times["pyod"].cpu, times["isthmus"].cpu)
    claims = [
        Claim("times faster", better="higher", must=10.0, aim=30.0, unit="x", **range_of(faster)),
        Claim("times faster, float32 rows", better="higher", must=10.0, aim=30.0, unit="x", **range_of(single_faster)),
        Claim("times less processor time", better="higher", unit="x", **range_of(by_cpu)),
    ]
    figures = {
        "rows": n,
        "times": {name: spent.summary() for name, spent in times.items()},
        "nanoseconds_a_row": {name: 1e9 * spent.median / n for name, spent in times.items()},
        "profile_s": _profile(ours, table),
    }
    return Result(TITLE, claims, figures)


def _fitted(table: np.ndarray) -> tuple[Any, Any]:
    from pyod.models.auto_encoder import AutoEncoder as PyODAutoEncoder

    from isthmus import AutoEncoder
    from isthmus.networks import MLPDecoder, MLPEncoder

    ours = AutoEncoder(encoder=MLPEncoder((64, 32)), decoder=MLPDecoder((32, 64)), max_epochs=1, random_state=0)
    theirs = PyODAutoEncoder(hidden_neuron_list=[64, 32], epoch_num=1, verbose=0, random_state=0)
    theirs.fit(table)
    return ours.fit(table), theirs


def _profile(model: Any, table: np.ndarray, most: int = 25) -> list[dict[str, Any]]:
    """Return where the time of one scoring goes: functions of ours and the calls below them."""
    profiler = cProfile.Profile()
    profiler.runcall(model.score_samples, table)
    stats: dict[tuple[str, int, str], tuple] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    rows = []
    for (file, _, function), (_, calls, own, total, _) in stats.items():
        place = file.partition("site-packages/")[2] or ("/".join(Path(file).parts[-3:]) if file != "~" else "")
        rows.append({"function": f"{place}:{function}".lstrip(":"), "calls": calls, "own": own, "total": total})
    rows.sort(key=lambda row: -row["own"])
    return rows[:most]


if __name__ == "__main__":
    main(run)
