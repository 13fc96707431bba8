"""Tables: numbers, booleans, categories, dates and gaps, in and out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import check_choice, principal_components
from isthmus.losses import CellLikelihood, GaussianLikelihood
from isthmus.modalities.columns import (
    KINDS,
    Encoder,
    decode,
    infer,
    learn,
    learn_numbers,
)
from isthmus.modalities.facts import check_table_facts
from isthmus.modalities.sketches import points_for, sketch_numbers
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.part import Part
from isthmus.rows import FrameRows, Rows

__all__ = ["Tables"]

logger = logging.getLogger(__name__)

# Cells encoded at once: their float64 copies stay in the processor's cache.
CHUNK_CELLS = 2**18
SAMPLE = 4_096


class Tables(Part):
    """Rows of cells: a numpy array, or a pandas or polars data frame.

    Numbers are standardised (heavy tails pass through asinh first), booleans are 0 or 1,
    text is a category with a learned embedding, dates are numbers. Missing cells are masked
    out of input and loss. Integer columns that hold only 0 and 1 are booleans. Text columns
    in which nearly every row has a value of its own are identifiers and left out. Rows come
    back as they were given: polars, pandas or numpy, in the columns' own types.

    Parameters
    ----------
    types : dict of str to str, optional
        A column's type where the inferred one is wrong: number, integer, boolean, category,
        date, datetime, or ignore. Columns of an array are called x0, x1, ...
    heavy_tails : {'auto', 'keep', 'squash'}, default='auto'
        Whether numbers pass through ``asinh((v - median) / unit)`` before they are
        standardised; 'auto': those whose kurtosis is above 30.

    Attributes
    ----------
    columns : list of dict
        What was learned of each column that is used.
    ignored : list of str
        Columns that are not.

    Raises
    ------
    ValueError
        If no column is left, a number is infinite, a column is missing at scoring or of
        another type.

    Notes
    -----
    At scoring, columns are found by name in any order; extra ones are not looked at, which is
    logged once. A
    category never seen while fitting is the symbol 0, which has probability close to none.
    Standardised values are held within a million standard deviations.

    Examples
    --------
    >>> import numpy as np
    >>> from isthmus.rows import as_rows
    >>> table = Tables().fit(as_rows(np.array([[1.0, 10.0], [3.0, np.nan]])))
    >>> batch = table.to_batch(as_rows(np.array([[2.0, np.nan]])))
    >>> batch.x, batch.mask
    (tensor([[0., 0.]]), tensor([[ True, False]]))
    """

    def __init__(self, types: Mapping[str, str] | None = None, heavy_tails: str = "auto"):
        super().__init__()
        self.types = types
        self.heavy_tails = heavy_tails

    def fit(self, rows: Rows) -> Self:
        """Learn the columns' types, ranges, vocabularies and scales."""
        self._check_types()
        check_choice("heavy_tails", self.heavy_tails, ("auto", "keep", "squash"))
        types = dict(self.types or {})
        for name, kind in types.items():
            check_choice(f"the type of column {name!r}", kind, KINDS)
        given = rows.take(slice(None))
        if isinstance(given, np.ndarray) and not types and _is_plain(given) and given.dtype.kind == "f":
            columns, ignored = self._learn_array(given), list[str]()
        else:
            columns, ignored = self._learn_frame(_to_frame(given), types)
        if isinstance(rows, FrameRows) and rows.origin:
            columns = [column | {"origin": rows.origin[column["name"]]} for column in columns]
        if not columns:
            raise ValueError(f"no column is left to learn from; left out: {', '.join(ignored)}. Name types for them.")
        container = rows.container if isinstance(rows, FrameRows) else "numpy"
        self.build(columns=columns, ignored=ignored, container=container, rank=1)
        sample = self.to_batch(_Sample(rows, SAMPLE))
        assert self.facts is not None
        self.build(**self.facts | {"rank": self._find_rank(sample.x)})
        return self

    def setup(self, columns, ignored, container, rank) -> None:
        """Take what was learned of the columns."""
        check_table_facts(columns, ignored, container, rank)
        self.columns = columns
        self.ignored = ignored
        self.container = container
        self.rank = rank
        self.names = [column["name"] for column in columns]
        self._told = False
        self.missing = any(column["missing"] for column in columns)
        self._categories = [
            len(column["values"]) + 1 if column["kind"] == "category" else int(column["kind"] == "boolean")
            for column in columns
        ]
        self._is_plain = all(column["kind"] in ("number", "integer") for column in columns)
        self._encoder = Encoder(columns)

    def example(self) -> dict[str, Any]:
        """Return the facts of an example, which the other parts are built from."""
        facts: dict[str, Any] = {"shape": [len(self.columns)]}
        return facts | ({"categories": self._categories} if any(self._categories) else {})

    def blank(self, n: int) -> Batch:
        """Return ``n`` rows of average cells."""
        return Batch(
            torch.zeros(n, len(self.columns)),
            torch.ones(n, len(self.columns), dtype=torch.bool) if self.missing else None,
        )

    def expand(self, stored: Batch) -> Batch:
        """Return a stored batch as networks read it: unchanged."""
        return stored

    def to_batch(self, rows: Rows, dtype: torch.dtype = torch.float32) -> Batch:
        """Return rows as a batch ``(b, c)``, with a mask where any cell is missing."""
        n = len(rows)
        x = torch.empty(n, len(self.columns), dtype=dtype)
        mask: Tensor | None = None
        step = max(1, CHUNK_CELLS // len(self.columns))
        for begin in range(0, n, step):
            piece = slice(begin, min(begin + step, n))
            cells, missing = self._encode(rows.take(piece), begin)
            x[piece] = torch.from_numpy(cells)
            if missing.any():
                mask = torch.ones(n, len(self.columns), dtype=torch.bool) if mask is None else mask
                mask[piece] = torch.from_numpy(~missing)
        return Batch(x, mask)

    def to_rows(self, x: Tensor) -> Any:
        """Return cells ``(b, c)`` as a table of the kind, columns and types that was fitted."""
        cells = x.detach().cpu().double().numpy()
        frame = pl.DataFrame([decode(cells[:, i], column) for i, column in enumerate(self.columns)])
        if self.container == "polars":
            return frame
        if self.container == "numpy":
            plain = all(dtype.is_numeric() or dtype == pl.Boolean for dtype in frame.dtypes)
            if plain:
                return np.stack([series.to_numpy() for series in frame], 1)
            return np.array([series.to_list() for series in frame], dtype=object).T
        return _to_pandas(frame, [column.get("origin") for column in self.columns])

    def arrange(self, given: np.ndarray | pl.DataFrame) -> pl.DataFrame:
        """Return our columns, in our order; names decide, or for nameless data the position.

        Raises
        ------
        ValueError
            If a column is missing. Of columns that are not ours a note is logged, once.
        """
        frame = _to_frame(given)
        columns = frame.columns
        if columns == self.names:
            return frame
        nameless = isinstance(given, np.ndarray) or self.container == "numpy"
        if nameless and not self.ignored and frame.width == len(self.names):
            return frame.rename(dict(zip(columns, self.names, strict=True)))
        absent = sorted({*self.names} - {*columns}, key=self.names.index)
        if absent:
            raise ValueError(
                f"the table lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}; "
                f"it has {', '.join(columns)}. The model was fitted on {', '.join(self.names)}."
            )
        extra = [] if self._told else [name for name in columns if name not in {*self.names, *self.ignored}]
        if extra:
            self._told = True
            logger.warning("not used, for the model was fitted without: %s", ", ".join(extra))
        return frame.select(self.names)

    def encoder(self) -> Part:
        """Return the encoder for tables."""
        return MLPEncoder()

    def decoder(self) -> Part:
        """Return the decoder for tables."""
        return MLPDecoder()

    def loss(self) -> Part:
        """Return the likelihood that fits the columns."""
        return CellLikelihood() if any(self._categories) else GaussianLikelihood()

    def _learn_array(self, array: np.ndarray) -> list[dict[str, Any]]:
        columns, n_points = [], points_for(array.shape[1])
        dtype = "Float32" if array.dtype == np.float32 else "Float64"
        for i in range(array.shape[1]):
            values = array[:, i]
            missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool)
            _check_finite(values, f"x{i}")
            observed = values[~missing] if missing.any() else values
            facts = learn_numbers(observed, self.heavy_tails) | {"sketch": sketch_numbers(observed, n_points)}
            columns.append({"name": f"x{i}", "kind": "number", "dtype": dtype, "missing": int(missing.sum())} | facts)
        return columns

    def _learn_frame(self, frame: pl.DataFrame, types: dict[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
        unknown = sorted(set(types) - set(frame.columns))
        if unknown:
            raise ValueError(
                f"types names columns that are not there: {', '.join(unknown)}; there are: {', '.join(frame.columns)}."
            )
        columns, ignored, n_points = [], [], points_for(frame.width)
        for series in frame:
            kind = types.get(series.name) or infer(series)
            if kind == "ignore":
                ignored.append(series.name)
            else:
                columns.append(learn(series, kind, self.heavy_tails, n_points))
        return columns, ignored

    def _find_rank(self, x: Tensor) -> int:
        """Return how many principal components hold 95 % of the variance, at most 32."""
        pieces = []
        for i, symbols in enumerate(self._categories):
            if symbols <= 1:
                pieces.append(x[:, i : i + 1])
            else:
                one_hot = torch.nn.functional.one_hot(x[:, i].long().clamp(max=32), 33).to(x)
                pieces.append(one_hot / one_hot.var(0, correction=0).sum().sqrt().clamp_min(1e-6))
        _, deviations, _ = principal_components(torch.cat(pieces, 1), 512)
        share = deviations.square().cumsum(0) / deviations.square().sum().clamp_min(1e-30)
        rank = int((share < 0.95).sum()) + 1
        return max(1, min(rank, 32, max(1, len(self.columns) - 1)))

    def _encode(self, given: np.ndarray | pl.DataFrame, begin: int) -> tuple[np.ndarray, np.ndarray]:
        """Return cells and where they are missing, of rows from this position on."""
        if not (isinstance(given, np.ndarray) and self._is_plain and _is_plain(given) and not self.ignored):
            return self._encoder(self.arrange(given), begin)
        self._check_width(given.shape[1])
        values = np.array(given, dtype=np.float64)
        if not np.isfinite(values).all():
            for i, name in enumerate(self.names):
                _check_finite(given[:, i], name, begin)
        return self._encoder.scaled(values)

    def _check_width(self, width: int) -> None:
        if width != len(self.columns):
            raise ValueError(f"X has {width} features, but Tables is expecting {len(self.columns)} features as input.")


class _Sample:
    """Rows spread evenly over all rows, at most so many."""

    def __init__(self, rows: Rows, most: int):
        self._rows = rows
        self._index = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))
        self.set_aside = ()

    def __len__(self) -> int:
        return len(self._index)

    def take(self, index) -> Any:
        return self._rows.take(self._index[index])


def _is_plain(array: np.ndarray) -> bool:
    return array.ndim == 2 and array.dtype.kind in "fiub"


def _to_frame(given: np.ndarray | pl.DataFrame) -> pl.DataFrame:
    if isinstance(given, pl.DataFrame):
        return given
    if isinstance(given, list):
        raise ValueError("a table has rows of one length, got a list of series. Use modality=Sequences() for these.")
    if given.ndim != 2:
        raise ValueError(
            f"a table has rows and columns, got an array of shape {given.shape}. For images, use modality=Images()."
        )
    return pl.DataFrame({f"x{i}": np.ascontiguousarray(given[:, i]) for i in range(given.shape[1])})


def _to_pandas(frame: pl.DataFrame, origins: list[dict[str, Any] | None]) -> Any:
    """Return a pandas frame with the labels and types that the fitted one had."""
    import pandas  # only where the caller's own data was a pandas frame

    columns = []
    for series, origin in zip(frame, origins, strict=True):
        plain = series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Datetime)
        column = pandas.Series(series.to_numpy() if plain else series.to_list(), dtype=None if plain else object)
        dtype = origin["dtype"] if origin else "object"
        if dtype.startswith("datetime64") and "," in dtype:
            column = column.dt.tz_localize("UTC")
        columns.append(column.astype(dtype if origin or not plain else column.dtype))
    joined = pandas.concat(columns, axis=1)
    joined.columns = [origin["label"] if origin else name for name, origin in zip(frame.columns, origins, strict=True)]
    return joined


def _check_finite(values: np.ndarray, name: str, begin: int = 0) -> None:
    if values.dtype.kind == "f" and np.isinf(values).any():
        row = begin + int(np.isinf(values).argmax())
        raise ValueError(
            f"Input X contains infinity: column {name!r}, row {row}. Replace it by a number, "
            "or by NaN to leave it missing."
        )
