"""Disentanglement by prediction: what models that read a code make use of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC
from sklearn.utils import check_random_state

from isthmus.metrics.factors import Factor, as_codes, as_factors

__all__ = ["DCI", "dci", "sap"]

# Rows that a model is fitted on, and trees: twice as many move no score by more than 0.01.
MOST_ROWS, TREES = 5_000, 50


class DCI(NamedTuple):
    """What :func:`dci` finds.

    Attributes
    ----------
    disentanglement : float
        1 if each dimension is used for one factor alone.
    completeness : float
        1 if each factor is read from one dimension alone.
    informativeness : float
        How well factors are read from the whole code: 1 without an error, 0 no better than a
        guess.
    importances : ndarray of shape (d, k)
        How much of what is read of a factor comes from each dimension; columns sum to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importances: np.ndarray


def dci(codes: Any, factors: Any, random_state: Any = None) -> DCI:
    r"""Return disentanglement, completeness and informativeness of a code.

    Of each factor a model learns from the whole code on half of the rows; with :math:`R_{ij}`
    the importance of dimension i for factor j,

    .. math::
        D &= \sum_i \rho_i \Bigl(1 + \sum_j P_{ij} \log_K P_{ij}\Bigr), \quad
             P_{ij} = \frac{R_{ij}}{\sum_j R_{ij}}, \quad
             \rho_i = \frac{\sum_j R_{ij}}{\sum_{ij} R_{ij}} \\
        C &= \frac1K \sum_j \Bigl(1 + \sum_i Q_{ij} \log_d Q_{ij}\Bigr), \quad
             Q_{ij} = \frac{R_{ij}}{\sum_i R_{ij}}

    and informativeness is R-squared on the other half for a number, and for a category the
    accuracy, 0 at that of the most frequent value; a model worse than a guess counts as 0.

    Parameters
    ----------
    codes : array-like of shape (n, d)
        Codes.
    factors : array-like or data frame of shape (n, k)
        Columns of numbers are predicted as numbers, text and booleans as categories.
    random_state : int, RandomState instance or None, default=None
        Of the halves and of the models.

    Notes
    -----
    The models are gradient-boosted trees (50, at most three deep, fitted on at most 5,000
    rows), which ignore dimensions that tell nothing, and find relations that are not linear.

    References
    ----------
    Eastwood & Williams, "A framework for the quantitative evaluation of disentangled
    representations", ICLR 2018, https://openreview.net/forum?id=By-7dz-AZ. Differs: boosted
    trees, as Locatello et al. (2019) use, for lasso and random forests; informativeness is a
    share of what can be known, not an error.

    Examples
    --------
    >>> factors = np.random.default_rng(0).uniform(size=(400, 2))
    >>> found = dci(factors, factors, random_state=0)
    >>> bool(found.disentanglement > 0.95 and found.completeness > 0.95 and found.informativeness > 0.95)
    True
    """
    codes = as_codes(codes)
    known = as_factors(factors, len(codes))
    random = check_random_state(random_state)
    train, test = train_test_split(np.arange(len(codes)), test_size=0.5, random_state=random)
    found = [_read(codes, factor, train[:MOST_ROWS], test, random.randint(2**31 - 1)) for factor in known]
    importances = np.stack([importance for importance, _ in found], axis=1)
    weights = importances.sum(1) / max(importances.sum(), 1e-300)
    return DCI(
        float(weights @ (1 - _spread(importances))),
        float(np.mean(1 - _spread(importances.T))) if importances.any() else 0.0,
        float(np.mean([quality for _, quality in found])),
        importances,
    )


def sap(codes: Any, factors: Any, random_state: Any = None) -> float:
    r"""Return the separated attribute predictability: the gap between the two best single dimensions.

    Of a number the squared correlation with the dimension; of a category how well a linear
    classifier reads it from the dimension on other rows: balanced accuracy, 0 at a guess.

    Parameters
    ----------
    codes, factors
        As for :func:`dci`.
    random_state : int, RandomState instance or None, default=None
        Of the rows that classifiers learn from.

    Notes
    -----
    It sees linear relations alone: the angle of a shape has no correlation with a code that
    goes round with it.

    References
    ----------
    Kumar et al., "Variational inference of disentangled latent concepts from unlabeled
    observations", ICLR 2018, https://arxiv.org/abs/1711.00848, section 3.

    Examples
    --------
    >>> factors = np.random.default_rng(0).uniform(size=(400, 2))
    >>> bool(sap(factors, factors) > 0.95)
    True
    """
    codes = as_codes(codes)
    known = as_factors(factors, len(codes))
    random = check_random_state(random_state)
    train, test = train_test_split(np.arange(len(codes)), test_size=0.5, random_state=random)
    scores = np.array([_single(codes, factor, train[:MOST_ROWS], test) for factor in known]).T
    second, first = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)[-2:]
    return float(np.mean(first - second))


def _read(
    codes: np.ndarray, factor: Factor, train: np.ndarray, test: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Return the importance of each dimension, and how well the factor is read."""
    how = {"n_estimators": TREES, "random_state": seed}
    if factor.numbers is not None:
        model: Any = GradientBoostingRegressor(**how).fit(codes[train], factor.numbers[train])
        quality = r2_score(factor.numbers[test], model.predict(codes[test]))
    elif len(np.unique(factor.symbols[train])) < 2:
        return np.zeros(codes.shape[1]), 0.0
    else:
        model = GradientBoostingClassifier(**how).fit(codes[train], factor.symbols[train])
        right, symbols = accuracy_score(factor.symbols[test], model.predict(codes[test])), factor.symbols[test]
        guess = np.bincount(symbols).max() / len(symbols)
        quality = (right - guess) / max(1 - guess, 1e-300)
    return model.feature_importances_, max(0.0, quality)


def _spread(shares: np.ndarray) -> np.ndarray:
    """Return the entropy of each row as a share of the greatest that there can be, ``(rows,)``."""
    if shares.shape[1] == 1:
        return np.zeros(len(shares))
    p = shares / np.maximum(shares.sum(1, keepdims=True), 1e-300)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(shares.shape[1])


def _single(codes: np.ndarray, factor: Factor, train: np.ndarray, test: np.ndarray) -> list[float]:
    """Return how well each dimension alone tells a factor."""
    if factor.numbers is not None:
        return [_correlation(column, factor.numbers) ** 2 for column in codes.T]
    return [_told(column[:, None], factor.symbols, train, test) for column in codes.T]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length > 1e-12 else 0.0


def _told(column: np.ndarray, symbols: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    spread = float(column[train].std())
    if spread <= 1e-12 or len(np.unique(symbols[train])) < 2:
        return 0.0
    scaled = (column - column[train].mean()) / spread
    predicted = LinearSVC(C=0.01, class_weight="balanced", max_iter=10_000).fit(scaled[train], symbols[train])
    given = predicted.predict(scaled[test])
    recalls = [np.mean(given[symbols[test] == one] == one) for one in np.unique(symbols[test])]
    guess = 1 / len(recalls)
    return max(0.0, (float(np.mean(recalls)) - guess) / max(1 - guess, 1e-300))
