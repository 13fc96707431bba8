"""Disentanglement by what stays still: the score of the FactorVAE."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from isthmus.metrics.factors import as_codes, as_factors

__all__ = ["factor_vae_score"]

# Of a dimension's mean square: what varies less is constant but for rounding.
ROUNDING = 1e-24


def factor_vae_score(
    codes: Any,
    factors: Any,
    group: int = 64,
    votes: int = 2_000,
    least_variance: float = 0.0,
    random_state: Any = None,
) -> float:
    """Return how often the dimension that stays stillest says which factor was held fixed.

    A vote takes a factor at random, and ``group`` rows at random that share one of its
    values; the dimension whose variance among them is smallest, as a share of its variance
    overall, is the vote's. Half of the votes say which factor each dimension stands for (the
    majority's); the score is the share of the other half that these are right about. A guess
    reaches one over the number of factors.

    Parameters
    ----------
    codes : array-like of shape (n, d)
        Codes.
    factors : array-like or data frame of shape (n, k)
        As for :func:`isthmus.metrics.mutual_information`; at least two.
    group : int, default=64
        Rows of a vote; of a value that fewer rows share, all of them.
    votes : int, default=2000
        Votes, both halves together.
    least_variance : float, default=0.0
        Dimensions that vary less are left out, as not used by the code. 0.05 is the paper's,
        for means of a posterior that is held to a standard normal prior.
    random_state : int, RandomState instance or None, default=None
        Of the votes.

    Notes
    -----
    Constant dimensions have no vote. The variance within a group is the unbiased one.

    Raises
    ------
    ValueError
        If there are fewer than two factors, no value of a factor is shared by two rows, or
        codes and factors do not fit each other.

    References
    ----------
    Kim & Mnih, "Disentangling by factorising", ICML 2018, https://arxiv.org/abs/1802.05983,
    section 4. Differs: rows of a table, not new draws, share a value.

    Examples
    --------
    >>> factors = np.random.default_rng(0).integers(0, 5, (500, 3))
    >>> factor_vae_score(factors, factors, random_state=0)
    1.0
    """
    codes = as_codes(codes)
    known = as_factors(factors, len(codes))
    if len(known) < 2:
        raise ValueError(f"the score compares factors: give at least two, got {len(known)}.")
    if group < 2 or votes < 2:
        raise ValueError(f"group and votes should be at least 2, got {group} and {votes}.")
    spread = codes.var(0)
    used = (spread > ROUNDING * np.square(codes).mean(0)) & (spread >= least_variance)
    if not used.any():
        return 1 / len(known)
    random = check_random_state(random_state)
    scaled = codes[:, used] / np.sqrt(spread[used])
    groups = [_groups(factor.symbols) for factor in known]
    ballots = np.array([_vote(scaled, groups, group, random) for _ in range(votes)])
    learned, judged = ballots[: votes // 2], ballots[votes // 2 :]
    counts = np.zeros((scaled.shape[1], len(known)))
    np.add.at(counts, (learned[:, 0], learned[:, 1]), 1)
    return float(np.mean(counts.argmax(1)[judged[:, 0]] == judged[:, 1]))


def _groups(symbols: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each value that two or more rows share."""
    order = np.argsort(symbols, kind="stable")
    found = np.split(order, np.cumsum(np.bincount(symbols))[:-1])
    shared = [rows for rows in found if len(rows) > 1]
    if not shared:
        raise ValueError("every row has a value of its own of a factor; give factors that rows share.")
    return shared


def _vote(
    scaled: np.ndarray, groups: list[list[np.ndarray]], size: int, random: np.random.RandomState
) -> tuple[int, int]:
    factor = random.randint(len(groups))
    rows = groups[factor][random.randint(len(groups[factor]))]
    chosen = rows if len(rows) <= size else random.choice(rows, size, replace=False)
    return int(scaled[chosen].var(0, ddof=1).argmin()), factor
