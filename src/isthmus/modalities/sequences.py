"""Sequences: numeric series of different lengths, with gaps, in and out."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import check_choice, principal_components
from isthmus.losses import GaussianLikelihood
from isthmus.modalities.columns import decode_numbers, encode_numbers, learn_numbers
from isthmus.modalities.facts import check_sequence_facts
from isthmus.networks import (
    MLPDecoder,
    MLPEncoder,
    RecurrentDecoder,
    RecurrentEncoder,
    TemporalDecoder,
    TemporalEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from isthmus.part import Part
from isthmus.reading.series import from_table
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows

__all__ = ["Sequences"]

# Values encoded at once, and those looked at while fitting.
CHUNK = 2**20
SAMPLE = 2**24
# Above so many values, a linear path from all of them to all features has too many weights.
MOST_FLAT = 2**13
NETWORKS: dict[str, tuple[Any, Any]] = {
    "dense": (MLPEncoder, MLPDecoder),
    "recurrent": (RecurrentEncoder, RecurrentDecoder),
    "temporal": (TemporalEncoder, TemporalDecoder),
    "transformer": (TransformerEncoder, TransformerDecoder),
}


class Sequences(Part):
    """Numeric series: steps in time, one or more channels, different lengths, gaps.

    Rows are a list of arrays ``(t, channels)`` of any lengths; an array ``(n, t, channels)``,
    or ``(n, t)`` of one channel; or a table of one record a row, with ``id``. NaN is a value
    that is missing; a step at which every value is NaN is a missing step. Each channel is
    standardised by what was observed of it.

    Parameters
    ----------
    length : int, optional
        Steps of an example: all series are padded to it. By default those of the longest
        series while fitting. A longer series is refused: cut it into windows.
    id : str, optional
        For a table of one record a row, the column that says which series a record is of.
    time : str, optional
        With ``id``, the column that its records are sorted by; by default they are in order.
    values : tuple of str, optional
        With ``id``, the columns of the channels; by default all others.
    step : float, optional
        With ``time``, the time from one step to the next (of dates, in seconds): a step
        without a record is then missing. By default records follow each other.
    heavy_tails : {'auto', 'keep', 'squash'}, default='keep'
        As for :class:`~isthmus.modalities.Tables`, which squashes by default. A series' spikes
        are its shape: on 12,990 windows of the Numenta benchmark, held-out squared error in
        the data's unit was 0.95 of PCA's without squashing, 2.3 of it with 'auto'.
    network : {'auto', 'dense', 'recurrent', 'temporal', 'transformer'}, default='auto'
        The default networks.

    Attributes
    ----------
    channels : list of dict
        Centre, scale, range and tail treatment of each.

    Raises
    ------
    ValueError
        If rows are no series, a series is longer than ``length``, the channels are not those
        fitted, or a value is infinite.

    Notes
    -----
    Every batch has one shape ``(b, length, channels)``; what it costs is bounded by the longest
    series. Data that lie end to end are padded a block at a time, never as a whole, unless
    they are small; and the networks for sequences compute no step beyond the longest of a
    mini-batch. The mask is ``(b, t)`` for one channel, else ``(b, t, c)``: padding is what was
    not observed at the end, and the length of an example one more than its last observed step.
    Series come back as long as they were; codes alone say nothing of a length, so that
    ``sample`` and ``inverse_transform`` give ``length`` steps.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> rows = as_rows([np.array([1.0, 2.0, 3.0]), np.array([4.0, np.nan])])
    >>> sequences = Sequences().fit(rows)
    >>> batch = sequences.to_batch(rows)
    >>> batch.x.shape, batch.mask.tolist()
    (torch.Size([2, 3, 1]), [[True, True, True], [True, False, False]])
    """

    def __init__(
        self,
        length: int | None = None,
        id: str | None = None,
        time: str | None = None,
        values: tuple[str, ...] | None = None,
        step: float | None = None,
        heavy_tails: str = "keep",
        network: str = "auto",
    ):
        super().__init__()
        self.length = length
        self.id = id
        self.time = time
        self.values = values
        self.step = step
        self.heavy_tails = heavy_tails
        self.network = network

    def gather(self, rows: Rows) -> Rows:
        """Return the series of a table of records; other rows pass, and a table of numbers is one of steps."""
        if not isinstance(rows, FrameRows):
            return self._as_series(rows)
        if self.id is not None:
            return from_table(rows, self.id, self.time, self.values, self.step)
        if not all(dtype.is_numeric() for dtype in rows.frame.dtypes):
            raise ValueError(
                "a table holds series either with one record a row, then name the column of their names in id, "
                "or with one step a column, all numbers. For a table as such, use the tables modality."
            )
        return ArrayRows(rows.frame.to_numpy().astype(np.float64), list(rows.set_aside), rows.lines)

    def fit(self, rows: Rows) -> Self:
        """Learn length, channels and scales."""
        self._check_types()
        self._check_params()
        rows = self.gather(rows)
        first = rows.take(slice(0, 1))
        is_list = not isinstance(first, np.ndarray)
        kind, is_flat, dtype, channels = _kind(first)
        longest = int(rows.lengths.max()) if isinstance(rows, SequenceRows) else len(first[0])
        values, lengths = _laid(rows.take(_evenly(len(rows), SAMPLE // (longest * channels))))
        _check_finite(values, lengths, 0)
        facts = {
            "shape": [self._length(longest), channels],
            "channels": [_learn(values[:, i], self.heavy_tails) for i in range(channels)],
            "is_list": is_list,
            "is_flat": is_flat,
            "dtype": dtype,
            "missing": bool((lengths != self._length(longest)).any() or (kind == "f" and np.isnan(values).any())),
        }
        self.build(**facts, rank=1)
        sample = self.to_batch(_Some(rows, _evenly(len(rows), CHUNK // (longest * channels))))
        self.build(**facts, rank=_rank(sample.x))
        return self

    def setup(self, shape, channels, is_list, is_flat, dtype, missing, rank) -> None:
        """Take what was learned of the series."""
        check_sequence_facts(shape, channels, is_list, is_flat, dtype, missing, rank)
        self._check_params()
        self.shape = tuple(shape)
        self.channels = channels
        self.is_list = is_list
        self.is_flat = is_flat
        self.dtype = dtype
        self.missing = missing
        self.rank = rank

    def example(self) -> dict[str, Any]:
        """Return the facts of an example, which the other parts are built from."""
        return {"shape": list(self.shape)}

    def blank(self, n: int) -> Batch:
        """Return ``n`` series of average values."""
        shape = self.shape[:1] if self.shape[1] == 1 else self.shape
        mask = torch.ones(n, *shape, dtype=torch.bool) if self.missing else None
        return Batch(torch.zeros(n, *self.shape), mask)

    def expand(self, stored: Batch) -> Batch:
        """Return a stored batch as networks read it: unchanged."""
        return stored

    def to_batch(self, rows: Rows, dtype: torch.dtype = torch.float32) -> Batch:
        """Return series as a batch ``(b, t, c)``, with a mask where any step or value is missing."""
        rows = self.gather(rows)
        n = len(rows)
        x = torch.zeros(n, *self.shape, dtype=dtype)
        observed = torch.zeros(n, *self.shape, dtype=torch.bool)
        size = max(1, CHUNK // math.prod(self.shape))
        for begin in range(0, n, size):
            piece = slice(begin, min(begin + size, n))
            cells, seen = self._encode(rows.take(piece), begin)
            x[piece], observed[piece] = torch.from_numpy(cells), torch.from_numpy(seen)
        if bool(observed.all()):
            return Batch(x)
        return Batch(x, observed[..., 0] if self.shape[1] == 1 else observed)

    def to_rows(self, x: Tensor) -> Any:
        """Return values ``(b, t, c)`` as series of the kind that was fitted, all of ``t`` steps."""
        series = np.empty(x.shape, self.dtype)
        cells = x.detach().cpu().double().numpy()
        for i, facts in enumerate(self.channels):
            # float32 has no number for what float64 still has.
            most = float(np.finfo(series.dtype).max)
            series[..., i] = decode_numbers(cells[..., i], facts).clip(-most, most)
        series = series[..., 0] if self.is_flat else series
        return list(series) if self.is_list else series

    def encoder(self) -> Part:
        """Return the encoder for series of this size."""
        return self._network(0)

    def decoder(self) -> Part:
        """Return the decoder for series of this size."""
        return self._network(1)

    def loss(self) -> Part:
        """Return the likelihood of numbers."""
        return GaussianLikelihood()

    def _as_series(self, rows: Rows) -> Rows:
        """Return an array of other steps than were fitted on as series; all else passes."""
        if self.facts is None or not isinstance(rows, ArrayRows) or rows.array.ndim != 2 or self.shape[1] > 1:
            return rows
        n, steps = rows.array.shape
        if steps == self.shape[0]:
            return rows
        return SequenceRows(rows.array.reshape(-1, 1), np.arange(n + 1) * steps, True, rows.set_aside, rows.lines)

    def _network(self, which: int) -> Part:
        is_small = math.prod(self.shape) <= MOST_FLAT
        name = ("dense" if is_small else "temporal") if self.network == "auto" else self.network
        if name == "dense":
            return NETWORKS[name][which]()
        return NETWORKS[name][which](shortcut=is_small)

    def _check_params(self) -> None:
        check_choice("heavy_tails", self.heavy_tails, ("auto", "keep", "squash"))
        check_choice("network", self.network, ("auto", *NETWORKS))
        if self.length is not None and self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}.")
        if self.step is not None and not self.step > 0:
            raise ValueError(f"step must be above 0, got {self.step}.")
        asked = {"time": self.time, "values": self.values, "step": self.step}
        alone = [name for name, value in asked.items() if value is not None and self.id is None]
        if alone or (self.step is not None and self.time is None):
            raise ValueError(
                f"{', '.join(alone) or 'step'} is for tables with the columns id and time; name these too."
            )

    def _length(self, longest: int) -> int:
        if self.length is not None and longest > self.length:
            raise ValueError(
                f"the longest series has {longest} steps, length={self.length} takes fewer: cut series into windows."
            )
        return self.length or longest

    def _encode(self, given: Any, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values in standard deviations and which were observed, both ``(n, t, c)``."""
        values, lengths = _laid(given)
        steps, channels = self.shape
        if values.shape[1] != channels:
            raise ValueError(f"series of {values.shape[1]} channels were given to a model of {channels}.")
        if lengths.max() > steps:
            first = int((lengths > steps).argmax())
            raise ValueError(
                f"series {begin + first} has {lengths[first]} steps, the model takes up to {steps}; "
                "cut it into windows, or fit with length=."
            )
        _check_finite(values, lengths, begin)
        scaled = np.stack([encode_numbers(values[:, i], facts) for i, facts in enumerate(self.channels)], 1)
        inside = np.arange(steps) < lengths[:, None]
        cells, observed = np.zeros((len(lengths), *self.shape)), np.zeros((len(lengths), *self.shape), bool)
        cells[inside], observed[inside] = scaled, ~np.isnan(values)
        return cells, observed


class _Some:
    """Some of the rows."""

    def __init__(self, rows: Rows, index: np.ndarray):
        self._rows, self._index = rows, index
        self.set_aside = ()

    def __len__(self) -> int:
        return len(self._index)

    def take(self, index) -> Any:
        return self._rows.take(self._index[index])


def _evenly(n: int, most: int) -> np.ndarray:
    """Return positions spread evenly over all, at most so many but 64."""
    return np.unique(np.linspace(0, n - 1, min(n, max(64, most))).astype(np.int64))


def _kind(given: Any) -> tuple[str, bool, str, int]:
    """Return the kind of number, whether a series has no axis of channels, the type to return, and the channels."""
    array = np.asarray(given[0]) if len(given) else np.zeros(0)
    is_flat = array.ndim == 1
    if array.ndim not in (1, 2) or 0 in array.shape or array.dtype.kind not in "fiub":
        raise ValueError(
            "expected series: an array of numbers (n, t) or (n, t, channels), or a list of arrays (t, channels); "
            f"got {type(given).__name__} of {array.dtype} {array.shape}."
        )
    dtype = "float32" if array.dtype == np.float32 else "float64"
    return array.dtype.kind, is_flat, dtype, 1 if is_flat else array.shape[-1]


def _laid(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return values ``(steps of all series, c)`` as float64, and the steps of each series."""
    _kind(given)
    if isinstance(given, np.ndarray):
        n, steps, *channels = given.shape
        return given.reshape(n * steps, *channels or [1]).astype(np.float64), np.full(n, steps)
    values = np.concatenate(given).astype(np.float64)
    return values if values.ndim == 2 else values[:, None], np.array([len(one) for one in given])


def _learn(values: np.ndarray, heavy_tails: str) -> dict[str, Any]:
    return learn_numbers(values[~np.isnan(values)], heavy_tails)


def _check_finite(values: np.ndarray, lengths: np.ndarray, begin: int) -> None:
    infinite = np.isinf(values).any(1)
    if infinite.any():
        step = int(infinite.argmax())
        series = int(np.searchsorted(lengths.cumsum(), step, side="right"))
        raise ValueError(
            f"series {begin + series} has infinity at step {step - int(lengths[:series].sum())}; replace it by a "
            "number, or by NaN to leave it missing."
        )


def _rank(x: Tensor) -> int:
    """Return how many principal components hold 95 % of the variance, at most 32."""
    _, deviations, _ = principal_components(x, 64)
    total = x.flatten(1).double().var(0).sum().clamp_min(1e-30) if len(x) > 1 else torch.ones(())
    share = deviations.square().cumsum(0) / total
    return max(1, min(32, int((share < 0.95).sum()) + 1, max(1, math.prod(x.shape[1:]) - 1)))
