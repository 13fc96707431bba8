"""Who is measured: the detector, and what a user would take instead.

A further detector, or another setting of ours, is one line of CONTENDERS. Each is used with its
defaults; none is given a label, a rate of anomalies, or a test row.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline

from benchmarks.harness import Missing
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.baselines import Matrix, NeighborDistance, PCAReconstruction

__all__ = ["BASELINES", "CONTENDERS", "OURS", "OPTIONS", "Scored", "available", "build", "seeds_of", "score"]

OURS = "isthmus"


class Neighbors(BaseEstimator):
    """The mean distance to the nearest fitted rows, looked for among at most so many copies of each.

    The distances are those of :class:`NeighborDistance` on all rows; where a table repeats
    itself, as KDD 99 does, they are found sooner.
    """

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def fit(self, X: np.ndarray, y: Any = None) -> Neighbors:
        distinct, counts = np.unique(X, axis=0, return_counts=True)
        few = np.repeat(distinct, np.minimum(counts, self.n_neighbors), axis=0)
        self.model_ = NeighborDistance(self.n_neighbors).fit(few)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return self.model_.score_samples(X)


class PyOD(BaseEstimator):
    """PyOD's auto-encoder with its defaults; it standardises columns itself."""

    def __init__(self, random_state: int = 0):
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> PyOD:
        from pyod.models.auto_encoder import AutoEncoder

        self.model_ = AutoEncoder(random_state=self.random_state, verbose=0)
        self.model_.fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        return -self.model_.decision_function(X)


def _ours(seed: int, contaminated: bool) -> AnomalyDetector:
    return AnomalyDetector(contaminated=contaminated, random_state=seed)


# Name, then what makes an unfitted one from a seed and whether the rows to learn from hold anomalies.
CONTENDERS: dict[str, Callable[[int, bool], Any]] = {
    OURS: _ours,
    "5-NN distance": lambda seed, contaminated: Neighbors(),
    "PCA reconstruction": lambda seed, contaminated: PCAReconstruction(),
    "isolation forest": lambda seed, contaminated: IsolationForest(random_state=seed),
    "PyOD auto-encoder": lambda seed, contaminated: PyOD(random_state=seed),
}
# The detectors that every report of ours sets beside itself.
BASELINES = ("5-NN distance", "PCA reconstruction", "isolation forest")


class Scored:
    """What one contender made of one split.

    Attributes
    ----------
    model : object
        Fitted.
    costs : numpy.ndarray
        Of the test rows; higher is less normal.
    seconds : float
        Fit and score, on the clock.
    """

    def __init__(self, model: Any, costs: np.ndarray, seconds: float):
        self.model, self.costs, self.seconds = model, costs, seconds


def available(names: Sequence[str], given: str | None = None) -> list[str]:
    """Return the contenders to run: those of a protocol, or those the caller named, separated by commas.

    PyOD's is left out where PyOD is not installed, unless it was named.

    Raises
    ------
    click.BadParameter
        If there is none of that name.
    Missing
        If a peer that was named is not installed.
    """
    named = [name.strip() for name in given.split(",")] if given else []
    unknown = [name for name in named if name not in CONTENDERS]
    if unknown:
        raise click.BadParameter(f"no contender is called {unknown[0]!r}; there are: {', '.join(CONTENDERS)}.")
    has_pyod = importlib.util.find_spec("pyod") is not None
    if not has_pyod and "PyOD auto-encoder" in named:
        raise Missing("pyod is not installed; pip install -r benchmarks/requirements.txt")
    return [name for name in named or names if has_pyod or name != "PyOD auto-encoder"]


def build(name: str, seed: int, table: bool, contaminated: bool = False) -> Any:
    """Return an unfitted contender.

    Parameters
    ----------
    name : str
        One of CONTENDERS.
    seed : int
        Of all that is random in it.
    table : bool
        Whether rows are a table of mixed columns. Ours takes it as it is; the others are given
        a matrix: numbers standardised, heavy tails through asinh, text one-hot, gaps the mean.
    contaminated : bool, default=False
        Whether the rows to learn from hold anomalies; ours is told.
    """
    model = CONTENDERS[name](seed, contaminated)
    return make_pipeline(Matrix(), model) if table and name != OURS else model


def score(model: Any, train: Any, test: Any) -> Scored:
    """Fit on some rows, score others, and time both."""
    began = time.perf_counter()
    costs = -model.fit(train).score_samples(test)
    seconds = time.perf_counter() - began
    if not np.isfinite(costs).all():
        raise RuntimeError(f"{type(model).__name__} gave a score that is no number")
    return Scored(model, costs, seconds)


def seeds_of(given: str | None, default: Sequence[int]) -> list[int]:
    """Return the seeds that were named, separated by commas, or the default ones."""
    return [int(seed) for seed in given.split(",")] if given else list(default)


OPTIONS = (
    click.Option(["--seeds"], help="Such as 0,1,2.  [default: of the row]"),
    click.Option(["--contenders"], help=f"Some of: {', '.join(CONTENDERS)}.  [default: of the row]"),
)
