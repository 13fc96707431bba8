"""Rate and distortion: how many bits a codec takes, and what the image looks like then."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

__all__ = ["bd_rate", "psnr"]


def psnr(image: np.ndarray, restored: np.ndarray, greatest: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB, ``20 log10(greatest / rmse)``; infinite if both are equal.

    Examples
    --------
    >>> round(psnr(np.zeros((2, 2)), np.full((2, 2), 25.5)), 6)
    20.0
    """
    error = float(np.mean((np.asarray(image, np.float64) - restored) ** 2))
    return math.inf if error == 0 else 10 * math.log10(greatest**2 / error)


def bd_rate(
    rates: ArrayLike,
    qualities: ArrayLike,
    other_rates: ArrayLike,
    other_qualities: ArrayLike,
    within: tuple[float, float] | None = None,
) -> float:
    r"""Return how many bits more a codec takes than another at equal quality, on average, in per cent.

    .. math:: 100 \left( \exp \frac{1}{b - a} \int_a^b \ln r(q) - \ln r'(q) \,dq - 1 \right)

    with the range of qualities from a to b that both have, and the logarithms of rates as
    monotone cubics through the points. Negative: it takes less.

    Parameters
    ----------
    rates, qualities : array-like (n,)
        Of the codec: positive, such as bits a pixel, and such as dB. At least two points; where a
        higher rate gives no higher quality, the point is left out.
    other_rates, other_qualities : array-like (m,)
        Of the other.
    within : tuple of two float, optional
        Qualities beyond these do not count, such as (26, 32) in dB.

    Returns
    -------
    float
        NaN where their qualities do not overlap.

    References
    ----------
    Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001. Differs:
    monotone cubics (PCHIP) in place of one cubic through all points, which swings.

    Examples
    --------
    >>> round(bd_rate([0.1, 0.2, 0.4], [28, 30, 32], [0.2, 0.4, 0.8], [28, 30, 32]), 6)
    -50.0
    """
    one, other = _curve(rates, qualities), _curve(other_rates, other_qualities)
    if one is None or other is None:
        return math.nan
    least, most = within or (-math.inf, math.inf)
    low, high = max(one.x[0], other.x[0], least), min(one.x[-1], other.x[-1], most)
    if not low < high:
        return math.nan
    more = (one.integrate(low, high) - other.integrate(low, high)) / (high - low)
    return 100 * math.expm1(float(more))


def _curve(rates: ArrayLike, qualities: ArrayLike) -> PchipInterpolator | None:
    """Return the logarithm of the rate as a function of quality; None of fewer than two points."""
    given = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    if given[0].shape != given[1].shape or given[0].ndim != 1 or not (given[0] > 0).all():
        raise ValueError(f"rates must be positive, with a quality each; got {given[0].shape} and {given[1].shape}.")
    order = np.lexsort(given)
    kept: list[tuple[float, float]] = []
    for rate, quality in zip(given[0][order].tolist(), given[1][order].tolist(), strict=True):
        while kept and kept[-1][0] >= rate:  # a better image for no more bits
            kept.pop()
        if math.isfinite(quality) and (not kept or quality > kept[-1][1]):
            kept.append((rate, quality))
    if len(kept) < 2:
        return None
    rate_of, quality_of = np.array(kept).T
    return PchipInterpolator(quality_of, np.log(rate_of))
