"""Made data: tables whose columns depend on each other, as those of real tables do."""

from __future__ import annotations

import numpy as np

__all__ = ["correlated"]

FACTORS = 8
BENDS = 12
NOISE = 0.2


def correlated(n: int, columns: int = 30, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Return ``(n, columns)`` numbers made from a few hidden factors, bent and with noise.

    Each row has 8 factors ``z ~ N(0, 1)``. A column is ``z A + tanh(2 z B) C``, brought to
    variance 1, plus noise of standard deviation 0.2, then given its own scale (log-normal)
    and offset. ``A`` weighs factor ``j`` by ``0.8**j``, so that some directions matter more.
    The tanh terms lie outside the span of the factors: a linear method needs more dimensions
    than there are factors. The map is drawn from a fixed seed, the rows from ``seed``, so
    that two seeds give two samples of one population.
    """
    fixed = np.random.default_rng(20_061)
    straight = fixed.normal(size=(FACTORS, columns)) * 0.8 ** np.arange(FACTORS)[:, None]
    bend = fixed.normal(size=(FACTORS, BENDS)) / np.sqrt(FACTORS)
    bent = fixed.normal(size=(BENDS, columns)) * 0.5
    probe = fixed.normal(size=(20_000, FACTORS))
    size = (probe @ straight + np.tanh(2 * probe @ bend) @ bent).std(0)
    scale, offset = np.exp(fixed.normal(size=columns)), 3 * fixed.normal(size=columns)
    rng = np.random.default_rng(seed)
    table: np.ndarray = np.empty((n, columns), dtype)
    # In pieces, so that making a large table needs little more memory than the table.
    for begin in range(0, n, 65_536):
        rows = min(65_536, n - begin)
        z = rng.normal(size=(rows, FACTORS))
        signal = (z @ straight + np.tanh(2 * z @ bend) @ bent) / size
        table[begin : begin + rows] = (signal + NOISE * rng.normal(size=(rows, columns))) * scale + offset
    return table
