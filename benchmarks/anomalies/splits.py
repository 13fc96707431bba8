"""Which rows are learned from and which are judged: positions only, so that a test can hold them to it."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

__all__ = ["before", "by_class", "half_of", "sample", "thinned"]


def sample(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions of at most so many of n rows, in the order of the file; all where they are not more."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def half_of(anomalous: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a random half of the normal rows, and all the others: the normal ones and every anomaly."""
    normal = rng.permutation(np.flatnonzero(~anomalous))
    train = np.sort(normal[: len(normal) // 2])
    return train, np.setdiff1d(np.arange(len(anomalous)), train)


def by_class(anomalous: np.ndarray, test: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a random split in which both parts hold the same share of anomalies."""
    rows = np.arange(len(anomalous))
    train, judged = train_test_split(rows, test_size=test, stratify=anomalous, random_state=seed)
    return np.sort(train), np.sort(judged)


def before(time: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the first rows, at least such a share of all, and the later ones; equal times stay together."""
    last = np.sort(time)[max(0, int(np.ceil(share * len(time))) - 1)]
    return np.flatnonzero(time <= last), np.flatnonzero(time > last)


def thinned(anomalous: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return positions of all normal rows, and of so many random anomalies that they are such a share of these.

    Raises
    ------
    ValueError
        If there are too few anomalies, or the share would leave none.
    """
    normal, anomalies = np.flatnonzero(~anomalous), np.flatnonzero(anomalous)
    n = round(share * len(normal) / (1 - share))
    if not 1 <= n <= len(anomalies):
        raise ValueError(
            f"a share of {share:g} beside {len(normal)} normal rows is {n} anomalies; there are {len(anomalies)}, "
            "and one at least must stay."
        )
    return np.sort(np.concatenate([normal, rng.choice(anomalies, n, replace=False)]))
