"""Default fit and score of 40,000 correlated rows: time and held-out error against PyOD.

Both start from a table in memory and end with a score for each of its rows, with all their
defaults. PyOD's `fit` scores the rows it was given, so no second scoring is counted for it.
The error is the mean squared difference between held-out rows and their reconstruction, each
column in standard deviations of the training rows: 1 is no better than the mean.
PCA is shown at the size of our code; at 32, PyOD's narrowest layer, it is exact, as there
are only 30 columns.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from benchmarks.harness import Claim, Result, main, range_of, t_interval
from benchmarks.made import correlated

TITLE = "default fit and score of 40,000 x 30 rows, against PyOD's AutoEncoder"


def run(quick: bool) -> Result:
    """Measure over seeds, one fit each in turn."""
    if importlib.util.find_spec("pyod") is None:
        return Result(TITLE, skipped="pyod is not installed; pip install -r benchmarks/requirements.txt")
    n, seeds = (4_000, 2) if quick else (40_000, 4)
    _one(0, 300)  # PyOD's scoring is compiled at its first call, torch's threads start at theirs
    runs = [_one(seed, n) for seed in range(seeds)]
    faster = [run["pyod_s"] / run["isthmus_s"] for run in runs]
    error = [run["isthmus_error"] / run["pyod_error"] for run in runs]
    beside_pca = [run["isthmus_error"] / run["pca_error"] for run in runs]
    claims = [
        Claim("times faster, fit and score", better="higher", must=8.0, aim=20.0, unit="x", **range_of(faster)),
        Claim("held-out error, as a share of PyOD's", must=1.0, **t_interval(error)),
        Claim("held-out error, as a share of PCA's at our code size", must=1.0, **t_interval(beside_pca)),
    ]
    return Result(TITLE, claims, {"rows": n, "runs": runs})


def _one(seed: int, n: int) -> dict[str, Any]:
    from isthmus import AutoEncoder

    train, test = correlated(n, seed=2 * seed), correlated(10_000, seed=2 * seed + 1)
    center, scale = train.mean(0), train.std(0)
    began, cpu = time.perf_counter(), time.process_time()
    ours = AutoEncoder(random_state=seed).fit(train)
    fitted = time.perf_counter()
    ours.score_samples(train)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    theirs, their_seconds, their_cpu = _pyod(train, seed)
    size = ours.code_shape_[0]
    pca = PCA(size).fit((train - center) / scale)
    standard = (test - center) / scale
    return {
        "seed": seed,
        "code_size": size,
        "isthmus_s": ended - began,
        "isthmus_cpu_s": cpu_ended - cpu,
        "isthmus_fit_s": fitted - began,
        "isthmus_epochs": ours.history_[-1]["epoch"],
        "isthmus_steps": ours.history_[-1]["step"],
        "pyod_s": their_seconds,
        "pyod_cpu_s": their_cpu,
        "isthmus_error": _error((ours.reconstruct(test) - center) / scale, standard),
        "pyod_error": _error(_pyod_reconstruct(theirs, test), standard),
        "pca_error": _error(pca.inverse_transform(pca.transform(standard)), standard),
    }


def _pyod(train: np.ndarray, seed: int) -> tuple[Any, float, float]:
    from pyod.models.auto_encoder import AutoEncoder

    began, cpu = time.perf_counter(), time.process_time()
    model = AutoEncoder(random_state=seed, verbose=0)
    model.fit(train)
    return model, time.perf_counter() - began, time.process_time() - cpu


def _pyod_reconstruct(model: Any, table: np.ndarray) -> np.ndarray:
    """Return PyOD's reconstruction, in its standard units: means and deviations of the training rows."""
    standard = (table - model.X_mean) / model.X_std
    with torch.no_grad():
        return model.model.eval()(torch.as_tensor(standard, dtype=torch.float32)).double().numpy()


def _error(reconstruction: np.ndarray, table: np.ndarray) -> float:
    return float(np.mean((reconstruction - table) ** 2))


if __name__ == "__main__":
    main(run)
