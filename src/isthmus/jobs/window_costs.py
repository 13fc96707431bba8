"""What a window of a series costs: what its code cannot carry, and how far that code is from those of normal ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from isthmus.estimator import AutoEncoder
from isthmus.jobs.windows import Windows, filled
from isthmus.nearest import nearest
from isthmus.rows import ArrayRows

__all__ = ["WindowCosts", "expected_of", "judgeable", "passes"]

PIECE = 2**21
# Windows that others are compared with, and their values: more cost time at every scoring.
MOST_REFERENCES, MOST_VALUES = 20_000, 2**23
NEIGHBORS = 5
# Of the steps that a window has, the share that must be observed for it to be judged.
LEAST_OBSERVED = 0.5
# Below a hundredth of a standard deviation an error is rounding.
LEAST = 1e-4


class Pass(NamedTuple):
    """Some windows as the network saw them, in standard deviations of their channels.

    Attributes
    ----------
    which : ndarray
        Which of the windows.
    expected : Tensor
        ``(b, t, c)``.
    error : ndarray
        ``(b, t, c)``, squared; NaN where nothing was observed.
    """

    which: np.ndarray
    expected: torch.Tensor
    error: np.ndarray


def passes(estimator: AutoEncoder, windows: Windows, index: np.ndarray) -> Iterator[Pass]:
    """Yield what the network makes of these windows, piece by piece."""
    modality: Any = estimator.modality_
    module = estimator.module_
    dtype = next(module.parameters()).dtype
    size = max(1, PIECE // (windows.length * windows.rows.values.shape[1]))
    for begin in range(0, len(index), size):
        some = index[begin : begin + size]
        cut = windows.take(some)
        observed = ~np.isnan(cut)
        # A network that was fitted without gaps does not read where they are, and takes them for values.
        stored = modality.to_batch(ArrayRows(cut if modality.missing else filled(cut)), dtype)
        for piece, step in estimator.steps(stored):
            expected = module.loss.mean(step.output)
            error = (expected - step.target.x).square().double().cpu().numpy()
            yield Pass(some[piece], expected.cpu(), np.where(observed[piece], error, np.nan))


def judgeable(windows: Windows) -> np.ndarray:
    """Return which windows have enough to be judged by: at least half of their values."""
    values = windows.rows.values
    seen = np.concatenate([[0], (~np.isnan(values)).sum(1).cumsum()])
    observed = seen[windows.begins + windows.sizes] - seen[windows.begins]
    return observed >= np.maximum(LEAST_OBSERVED * windows.sizes * values.shape[1], 1)


def expected_of(estimator: AutoEncoder, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return what the windows that cover a step make of it, on average, and how far the series is from that.

    Both ``(steps, channels)``: in the channels' units, and squared in their standard deviations.
    """
    values = windows.rows.values
    total, count = np.zeros(values.shape), np.zeros((len(values), 1))
    within = np.arange(windows.length)
    for one in passes(estimator, windows, np.arange(len(windows))):
        inside = within < windows.sizes[one.which][:, None]
        places = (windows.begins[one.which][:, None] + within)[inside]
        np.add.at(total, places, one.expected.double().numpy()[inside])
        np.add.at(count, places, 1.0)
    modality: Any = estimator.modality_
    expected = np.asarray(modality.to_rows(torch.from_numpy(total / count)[None]), np.float64).reshape(values.shape)
    scales = np.array([facts["scale"] for facts in modality.channels])
    return expected, np.square((values - expected) / scales)


class WindowCosts:
    r"""The cost of windows: about 1 is typical, higher is less normal.

    .. math:: \max\Big(\frac{e}{\bar e}, \frac{d}{\bar d}\Big)

    where :math:`e` is the mean squared error of the observed values, and :math:`d` the squared
    mean distance from what the network makes of the window to what it makes of the five
    nearest training windows; both in units of their mean over held-out windows.

    Parameters
    ----------
    references : ndarray of shape (r, length * channels)
        What the network makes of training windows.
    error, distance : float
        The means over held-out windows.

    Notes
    -----
    The first is of what the code cannot carry, the second of a code that is unlike all that
    were seen: either is reason enough. The distance is between reconstructions, which have no gaps, whatever the
    windows have. Of repeating series each place in a period needs references of its own: with 20,000 of them
    VUS-PR on heartbeats is 0.69, with 2,048 it was 0.57 (one seed; neighbours of windows 0.68).
    """

    def __init__(self, references: np.ndarray, error: float, distance: float):
        self.references, self.error, self.distance = references, error, distance
        self._index = torch.from_numpy(references)

    @classmethod
    def measure(cls, estimator: AutoEncoder, train: Windows, held_out: Windows) -> tuple[WindowCosts, np.ndarray]:
        """Return the costs' measure, and the costs of the held-out windows."""
        index = np.flatnonzero(judgeable(train))
        most = min(len(index), MOST_REFERENCES, max(1, MOST_VALUES // (train.length * train.rows.values.shape[1])))
        some = index[np.unique(np.linspace(0, len(index) - 1, most).astype(np.int64))]
        references = torch.cat([one.expected.flatten(1) for one in passes(estimator, train, some)])
        costs = cls(references.float().numpy(), 1.0, 1.0)
        error, distance = costs.parts(estimator, held_out)
        costs.error, costs.distance = (max(float(np.nanmean(part)), LEAST) for part in (error, distance))
        return costs, costs._sum(error, distance)

    def costs(self, estimator: AutoEncoder, windows: Windows) -> np.ndarray:
        """Return the cost of each window, ``(k,)``; NaN where it has too little to be judged by."""
        return self._sum(*self.parts(estimator, windows))

    def parts(self, estimator: AutoEncoder, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Return error and distance of each window, per value; NaN where it cannot be judged."""
        error, distance = np.full(len(windows), np.nan), np.full(len(windows), np.nan)
        for one in passes(estimator, windows, np.flatnonzero(judgeable(windows))):
            error[one.which] = np.nanmean(one.error, axis=(1, 2))
            found, _ = nearest(one.expected.flatten(1).float(), self._index, min(NEIGHBORS, len(self._index)))
            distance[one.which] = found.double().mean(1).square().numpy() / self._index.shape[1]
        return error, distance

    def state(self) -> dict[str, Any]:
        """Return it as JSON values and an array."""
        return {"references": self.references, "error": self.error, "distance": self.distance}

    @classmethod
    def restored(cls, state: Mapping[str, Any], values: int) -> WindowCosts:
        """Return what :meth:`state` was asked of.

        Raises
        ------
        ValueError
            If it is not that.
        """
        references = np.asarray(state.get("references"), np.float32)
        units = [state.get(name) for name in ("error", "distance")]
        if references.ndim != 2 or not len(references) or references.shape[1] != values:
            raise ValueError(f"the detector's references should be (r, {values}) numbers, got {references.shape}.")
        if not np.isfinite(references).all() or not all(isinstance(one, float) and one > 0 for one in units):
            raise ValueError(f"the detector's units should be numbers above 0, got {units}.")
        return cls(references, *(float(one) for one in units if one is not None))

    def _sum(self, error: np.ndarray, distance: np.ndarray) -> np.ndarray:
        return np.maximum(error / self.error, distance / self.distance)
