"""Whether two samples are of one distribution, told from counts alone."""

from __future__ import annotations

import numpy as np
from scipy import stats

__all__ = ["holm", "same_counts", "same_distribution", "same_share", "stability_index", "stability_terms"]

# Below so many expected rows the chi-square distribution is no good approximation.
EXPECTED = 5


def same_distribution(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the two-sample Kolmogorov-Smirnov distance of histograms over the same bins, and its p-value.

    Parameters
    ----------
    first, second : ndarray of int, shape (bins,)
        Counts of numbers, bins in ascending order.

    Returns
    -------
    distance : float
        The largest difference of the cumulative shares at the bins' upper ends.
    p_value : float
        Of the hypothesis that both are of one distribution.

    Notes
    -----
    The distance is never more than that of the samples themselves, which is taken over all
    points: where bins hide something, p is too large, never too small; ties, too, only make it
    larger. p is that of a one-sample test with ``nm / (n + m)`` numbers, which is scipy's
    ``ks_2samp(method="asymp")``.

    Examples
    --------
    >>> same_distribution(np.array([50, 50]), np.array([50, 50]))
    (0.0, 1.0)
    """
    n, m = int(first.sum()), int(second.sum())
    distance = float(np.abs(first.cumsum() / n - second.cumsum() / m).max())
    return distance, float(stats.kstwo.sf(distance, max(1, round(n * m / (n + m)))))


def same_counts(first: np.ndarray, second: np.ndarray) -> float:
    r"""Return a p-value of the hypothesis that categories have the same shares in both samples.

    Parameters
    ----------
    first, second : ndarray of int, shape (categories,)
        How often each was seen; 0 in one of them for a category that only the other has.

    Notes
    -----
    Pearson's chi-square test of homogeneity, in which categories that are too rare for it
    (fewer than five rows expected in one of the samples) are one; beside it, for each of these
    :math:`K` rare ones alone, the exact test of :func:`same_share`. p is
    :math:`\min(1, 2 \min(p_{\chi^2}, K \min_k p_k))`: at most twice, respectively :math:`2K`
    times, a p-value. Which categories are rare is decided by both samples together: given
    their sum, the first is a random draw without replacement, so that the test is no more
    likely to reject where most new categories are seen once, as cities or devices are.

    Examples
    --------
    >>> same_counts(np.array([500, 500, 0]), np.array([50, 50, 20])) < 1e-9
    True
    """
    n, m = int(first.sum()), int(second.sum())
    total = first + second
    first, second, total = first[total > 0], second[total > 0], total[total > 0]
    rare = total * (min(n, m) / (n + m)) < EXPECTED
    p_value = _chi_square(*(_pooled(counts, total, rare, min(n, m) / (n + m)) for counts in (first, second)))
    if not rare.any():
        return p_value
    # Alike rare categories have alike p-values: each pair of counts once.
    pairs = np.unique(np.stack([first[rare], second[rare]], 1), axis=0)
    exact = float(_exact(pairs[:, 0], n, pairs[:, 1], m).min())
    return min(1.0, 2 * min(p_value, int(rare.sum()) * exact))


def same_share(first: int, n: int, second: int, m: int) -> float:
    """Return a p-value of the hypothesis that ``first`` of ``n`` rows and ``second`` of ``m`` have one probability.

    Notes
    -----
    Fisher's exact test: given their sum, ``second`` is hypergeometric; p is twice the smaller
    tail. Of many rows in all four cells (100 expected), Pearson's chi-square test instead.

    Examples
    --------
    >>> same_share(0, 10, 2, 2)
    0.030303030303030304
    """
    total, rows = first + second, n + m
    if min(total, rows - total) * (min(n, m) / rows) >= 20 * EXPECTED:
        return _chi_square(np.array([first, n - first]), np.array([second, m - second]))
    return float(_exact(np.array([first]), n, np.array([second]), m)[0])


def stability_index(first: np.ndarray, second: np.ndarray) -> float:
    r"""Return the population stability index of two histograms over the same bins.

    .. math:: \sum_i (q_i - p_i) \ln(q_i / p_i)

    Parameters
    ----------
    first, second : ndarray of int, shape (bins,)
        Counts; :math:`p` and :math:`q` are their shares. A bin that is empty in one of them
        counts there as half a row; one that is empty in both is left out.

    Notes
    -----
    The symmetrised Kullback-Leibler divergence, in nats. Between samples of one distribution
    it is ``(bins - 1)(1/n + 1/m)`` on average (Yurdakul, 2018), so of few rows a large index
    means little: read it beside a p-value.

    Examples
    --------
    >>> round(stability_index(np.array([50, 50]), np.array([25, 75])), 3)
    0.275
    """
    return float(stability_terms(first, second).sum())


def stability_terms(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return what each bin adds to :func:`stability_index`, none of it negative."""
    filled = (first + second) > 0
    p, q = (np.where(filled, np.maximum(counts, 0.5), 1.0) / max(1, counts.sum()) for counts in (first, second))
    return np.where(filled, (q - p) * np.log(q / p), 0.0)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values corrected for their number, by Holm's step-down rule.

    Notes
    -----
    Rejecting those at most ``level`` rejects any true hypothesis with probability at most
    ``level``, however the tests depend on each other (Holm, 1979, Scandinavian Journal of
    Statistics 6).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return corrected


def _exact(first: np.ndarray, n: int, second: np.ndarray, m: int) -> np.ndarray:
    """Return twice the smaller tail of the hypergeometric law of ``second``, given the sums."""
    law = (n + m, first + second, m)
    tails = np.minimum(stats.hypergeom.cdf(second, *law), stats.hypergeom.sf(second - 1, *law))
    return np.minimum(1.0, 2 * tails)


def _pooled(counts: np.ndarray, total: np.ndarray, rare: np.ndarray, share: float) -> np.ndarray:
    """Return counts with all rare categories as one; if that is rare itself, it joins the smallest other."""
    common, others = counts[~rare], counts[rare].sum()
    if not rare.any():
        return common
    if not len(common) or total[rare].sum() * share >= EXPECTED:
        return np.append(common, others)
    joined = common.copy()
    joined[total[~rare].argmin()] += others
    return joined


def _chi_square(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of Pearson's test that two rows of counts have the same shares."""
    filled = (first + second) > 0
    if filled.sum() < 2:
        return 1.0
    return float(stats.chi2_contingency(np.stack([first[filled], second[filled]]), correction=False).pvalue)
