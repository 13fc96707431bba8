"""Disentanglement by mutual information: which dimension of a code tells of which factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from isthmus.metrics.factors import BINS, as_codes, as_factors, bins_of, check_bins

__all__ = ["entropy", "mig", "modularity", "mutual_information"]

# Of the information that the best dimension has of its factor: what lies below is the bias of counting.
LEAST_SHARE = 0.01
ROUNDING = 1e-9


def mutual_information(codes: Any, factors: Any, bins: int = BINS) -> np.ndarray:
    r"""Return the mutual information of each dimension and each factor in nats, ``(d, k)``.

    .. math:: I(z_i; v_j) = \sum_{a, b} p(a, b) \log \frac{p(a, b)}{p(a) p(b)}

    with the shares of rows for probabilities, z in bins of equal width between its least and
    its greatest value.

    Parameters
    ----------
    codes : array-like of shape (n, d)
        Codes, such as ``AutoEncoder.transform`` gives.
    factors : array-like or data frame of shape (n, k)
        What is known of the rows: numbers, booleans or text. A number with more than 64
        values is cut into 20 bins that hold equally many rows.
    bins : int, default=20
        Bins of a dimension.

    Notes
    -----
    Counting is biased upwards, by about ``(bins - 1) (values - 1) / (2 n)`` nats.

    Raises
    ------
    ValueError
        If codes and factors do not fit each other, are missing or not finite, or a factor has
        one value only.

    Examples
    --------
    >>> factors = np.stack([np.arange(100) % 2, np.arange(100) % 5], axis=1)
    >>> np.exp(mutual_information(factors, factors)).round(3)
    array([[2., 1.],
           [1., 5.]])
    """
    check_bins(bins)
    codes = as_codes(codes)
    symbols = [factor.symbols for factor in as_factors(factors, len(codes))]
    binned = [bins_of(column, bins) for column in codes.T]
    return np.array([[_information(one, other) for other in symbols] for one in binned])


def mig(codes: Any, factors: Any, bins: int = BINS) -> float:
    r"""Return the mutual information gap: 1 if each factor is told by one dimension alone.

    .. math:: \frac1K \sum_k \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)}

    with the two dimensions that tell most of the factor. A code of one dimension has no
    second one, whose information is then zero.

    Parameters
    ----------
    codes, factors, bins
        As for :func:`mutual_information`.

    References
    ----------
    Chen et al., "Isolating sources of disentanglement in VAEs", NeurIPS 2018,
    https://arxiv.org/abs/1802.04942, equation 6. Differs: information is counted over bins
    of the codes given, as Locatello et al. (2019, https://arxiv.org/abs/1811.12359) do, not
    estimated from densities of the posterior.

    Examples
    --------
    >>> factors = np.stack([np.arange(100) % 2, np.arange(100) % 5], axis=1)
    >>> round(mig(factors, factors), 3), round(mig(np.hstack([factors, factors]), factors), 3)
    (1.0, 0.0)
    """
    return mig_of(mutual_information(codes, factors, bins), entropy(factors))


def modularity(codes: Any, factors: Any, bins: int = BINS) -> float:
    r"""Return the modularity: 1 if each dimension tells of one factor alone.

    .. math:: \frac1d \sum_i 1 - \frac{\sum_{k \neq k_i} I(z_i; v_k)^2}{I(z_i; v_{k_i})^2 (K - 1)}

    with :math:`k_i` the factor that dimension i tells most of. Dimensions that tell of no
    factor (less than a hundredth of what the best one tells) are left out: theirs is the ratio
    of two biases.

    Parameters
    ----------
    codes, factors, bins
        As for :func:`mutual_information`; at least two factors.

    References
    ----------
    Ridgeway & Mozer, "Learning deep disentangled embeddings with the F-statistic loss",
    NeurIPS 2018, https://arxiv.org/abs/1802.05312, section 2. Differs: as noted above.

    Examples
    --------
    >>> factors = np.stack([np.arange(100) % 2, np.arange(100) % 5], axis=1)
    >>> round(modularity(np.hstack([factors, factors]), factors), 3)
    1.0
    """
    return modularity_of(mutual_information(codes, factors, bins))


def entropy(factors: Any) -> np.ndarray:
    """Return the entropy of each factor in nats, ``(k,)``."""
    return np.array([_entropy(factor.symbols) for factor in as_factors(factors, len(np.asarray(factors)))])


def mig_of(information: np.ndarray, entropies: np.ndarray) -> float:
    """Return the gap of a matrix ``(d, k)``."""
    second, first = np.sort(np.vstack([information, np.zeros_like(information[:1])]), axis=0)[-2:]
    return float(np.mean((first - second) / entropies))


def modularity_of(information: np.ndarray) -> float:
    """Return the modularity of a matrix ``(d, k)``."""
    n_factors = information.shape[1]
    if n_factors < 2:
        raise ValueError("modularity compares factors: give at least two, got 1.")
    best = information.max(1)
    told = best > max(LEAST_SHARE * best.max(initial=0.0), ROUNDING)
    if not told.any():
        return 0.0
    others = np.square(information).sum(1)[told] - np.square(best[told])
    return float(np.mean(1 - others / (np.square(best[told]) * (n_factors - 1))))


def _information(one: np.ndarray, other: np.ndarray) -> float:
    width = other.max() + 1
    joint = np.bincount(one * width + other, minlength=(one.max() + 1) * width).reshape(-1, width) / len(one)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return max(0.0, float(np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))))


def _entropy(symbols: np.ndarray) -> float:
    shares = np.bincount(symbols) / len(symbols)
    return float(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))
