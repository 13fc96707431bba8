"""Conformal p-values, and the share of false alerts among those of one batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isthmus.decisions.thresholds import ROUNDING, check_held_out, check_share

__all__ = ["adjusted_p_values", "benjamini_hochberg", "fewest_discoveries", "p_values"]


def p_values(held_out: Any, scores: Any) -> np.ndarray:
    r"""Return for each row how often a normal one would be as odd, or odder.

    Parameters
    ----------
    held_out : array-like of shape (m,)
        Scores of normal rows that the detector was not fitted on; higher is more normal.
    scores : array-like of shape (n,)
        Scores of the rows to judge.

    Returns
    -------
    ndarray of shape (n,)
        Between ``1 / (m + 1)`` and 1.

    Notes
    -----
    .. math:: p = \frac{1 + \#\{i: s_i \le s\}}{m + 1}

    For a new row that is exchangeable with the held-out ones, :math:`P(p \le u) \le u` for
    every u, equal scores or not, over draws of the row and of the held-out rows. A threshold
    and a p-value never disagree: a score is below the k-th lowest held-out one if and only if
    its p-value is at most ``k / (m + 1)``.

    All p-values of a batch share the held-out rows and so are not independent; they are
    positively dependent (PRDS), which is what :func:`benjamini_hochberg` needs.

    References
    ----------
    Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005; Bates, Candes,
    Lei, Romano & Sesia, "Testing for outliers with conformal p-values", Annals of Statistics
    51(1), 2023, https://arxiv.org/abs/2104.08279, equation 1 and theorem 2.

    Examples
    --------
    >>> p_values([-1.0, -2.0, -3.0], [-0.5, -2.0, -9.0])
    array([1.  , 0.75, 0.25])
    """
    held_out = np.sort(check_held_out(held_out))
    return (1.0 + np.searchsorted(held_out, np.asarray(scores, np.float64), side="right")) / (len(held_out) + 1)


def adjusted_p_values(p: Any) -> np.ndarray:
    r"""Return for each p-value the lowest rate of false discoveries at which it is one.

    ``adjusted_p_values(p) <= q`` are the rows that :func:`benjamini_hochberg` chooses:
    :math:`\min_{j \ge i} n p_{(j)} / j` for the i-th smallest of n.

    Examples
    --------
    >>> adjusted_p_values([0.01, 0.5, 0.02])
    array([0.03, 0.5 , 0.03])
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must be numbers (n,) from 0 to 1, got shape {p.shape}.")
    order = np.argsort(p, kind="stable")
    ratios = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(ratios[::-1])[::-1]
    return adjusted


def benjamini_hochberg(p: Any, fdr: float) -> np.ndarray:
    r"""Return which rows of a batch are alerts, if at most a share of them may be false.

    Parameters
    ----------
    p : array-like of shape (n,)
        p-values of all rows of the batch: of those that look normal too.
    fdr : float
        The share of false alerts among all alerts, above 0 and below 1.

    Returns
    -------
    ndarray of bool, shape (n,)

    Notes
    -----
    The rows with the k smallest p-values, k being the largest with :math:`p_{(k)} \le q k / n`;
    rows with equal p-values share their fate. The expected share of false ones among them
    (0 where there are none) is at most q times the share of normal rows in the batch, for
    independent and for conformal p-values: it holds on average over batches and draws of
    the held-out rows, not of every batch.

    References
    ----------
    Benjamini & Hochberg, "Controlling the false discovery rate", JRSS B 57(1), 1995;
    Benjamini & Yekutieli, Annals of Statistics 29(4), 2001 (positive dependence); Bates et
    al., 2023, section 2.2 (conformal p-values).

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.5, 0.02, 0.04], fdr=0.05)
    array([ True, False,  True, False])
    """
    check_share("fdr", fdr)
    # The tolerance keeps 3 * 0.1 / 30 from being less than 0.01.
    return adjusted_p_values(p) <= fdr * (1 + ROUNDING)


def fewest_discoveries(n: int, held_out: int, fdr: float) -> int:
    """Return how many alerts at least Benjamini and Hochberg's rule gives in a batch, if any.

    No p-value is below ``1 / (m + 1)``; so a batch of n rows needs ``n / (q (m + 1))`` of the
    lowest before the rule can vouch that no more than a share q of them is false.

    Examples
    --------
    A batch of 100,000 rows, and 1,999 held-out ones:

    >>> fewest_discoveries(100_000, 1_999, fdr=0.1)
    500
    """
    check_share("fdr", fdr)
    return max(1, math.ceil(n / (fdr * (held_out + 1)) - ROUNDING))
