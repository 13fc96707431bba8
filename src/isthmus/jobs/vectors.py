"""Compression of vectors: embeddings in some bytes each, and search among them as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from isthmus.coding import CorruptStreamError, Tables
from isthmus.estimator import AutoEncoder
from isthmus.guards import threads_set
from isthmus.jobs.additive import SYMBOLS, AdditiveCode, Lookup
from isthmus.jobs.additive_learning import learn
from isthmus.jobs.identity import identity
from isthmus.jobs.job import Job
from isthmus.jobs.vector_baselines import LeadingComponents, ProductQuantizer
from isthmus.jobs.vector_stream import VectorFacts, open_vectors, symbols_of, write_vectors
from isthmus.modalities import Vectors
from isthmus.nearest import nearest
from isthmus.reading.limits import memory
from isthmus.rows import ArrayRows, Rows, as_rows

__all__ = ["VectorCompressor"]

MOST_BYTES = 32
MOST_BEAM = 256
# Vectors that the tables of symbols are counted over; that are compared, and queries among them.
MOST_COUNTED = 2**16
MOST_COMPARED, MOST_QUERIES = 50_000, 1_000
COMPARED_AT = 10


class VectorCompressor(Job):
    """Keep vectors in a few bytes each, and search among them without unpacking.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        Whose codes are quantised; by default :meth:`default_estimator`, which turns vectors only.
    n_bytes : int, default=8
        Bytes of a vector, 1 to 32; files are a little smaller, for the bytes are entropy-coded.
    beam : int, default=16
        Beginnings of a vector's code that are kept while it is searched for, 1 to 256: more take more
        time, and err less.
    random_state : int, RandomState instance or None, default=None
        Of the codebooks, and of the auto-encoder where it has none of its own.

    Attributes
    ----------
    codebooks_ : ndarray of shape (n_bytes, 256, code size)
        What the bytes stand for: a code is the sum of one vector of each codebook.
    tables_ : Tables
        How frequent each byte is; files are coded by them.
    model_ : int
        First eight bytes of the identity of weights, codebooks and tables; files say which model they need.
    estimator_ : AutoEncoder
        The fitted auto-encoder.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the rows are no array of finite numbers ``(n, d)``.

    Notes
    -----
    Bytes come back from a file as they were on every machine; the numbers that they stand for
    are floating-point sums and may differ in the last places.

    Distances are those between codes of the auto-encoder, times its modality's scale. With the default
    one these are the vectors' own. For cosines or products give vectors of length one: their order is then
    that of the distances.

    References
    ----------
    See :class:`~isthmus.jobs.additive.AdditiveCode` and :func:`~isthmus.jobs.additive_learning.learn`.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    >>> job = VectorCompressor(n_bytes=4, random_state=0).fit(X)
    >>> data = job.compress(X)
    >>> len(data) < X.nbytes / 5, job.decompress(data).shape
    (True, (500, 6))
    >>> distances, rows = job.search(X[:3], data, 5)
    >>> rows[:, 0].tolist()
    [0, 1, 2]
    """

    verb: ClassVar[str] = "vectors"

    def __init__(
        self, estimator: AutoEncoder | None = None, *, n_bytes: int = 8, beam: int = 16, random_state: Any = None
    ):
        self.estimator = estimator
        self.n_bytes = n_bytes
        self.beam = beam
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given: a rotation onto the principal components, all of them.

        It loses nothing and keeps distances. Of very wide vectors ``bottleneck="linear(size=128,
        whiten=False)"`` keeps the first components alone, which saves time.
        """
        rows = as_rows(X)
        width = rows.array.shape[-1] if isinstance(rows, ArrayRows) else 1
        return AutoEncoder(
            Vectors(),
            f"linear(size={width}, whiten=False)",
            encoder="mlp_encoder(hidden=(), shortcut=False)",
            decoder="mlp_decoder(tied=True, shortcut=False)",
            weight_decay=0.0,
            max_epochs=1,
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the auto-encoder, then the codebooks to its codes, then count symbols.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Vectors like those to be compressed: some ten thousand, if there are.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        rows = as_rows(X)
        self._check_params()
        if not isinstance(rows, ArrayRows) or rows.array.ndim != 2:
            raise ValueError("a VectorCompressor takes an array of numbers (n, d); of a data frame its to_numpy().")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        estimator = self._prepared(rows).fit(rows)
        with threads_set(1):
            z = torch.from_numpy(estimator.transform(rows)).float()
            code = learn(z, self.n_bytes, seed=seed)
            some = z[np.unique(np.linspace(0, len(z) - 1, min(len(z), MOST_COUNTED)).astype(np.int64))]
            symbols = code.encode(some, self.beam).numpy()
        counts = np.stack([np.bincount(one, minlength=SYMBOLS) for one in symbols.T])
        self.estimator_ = estimator
        return self._take(code.codebooks.numpy(), Tables.from_counts(counts))

    def codes(self, X: Any) -> np.ndarray:
        """Return the bytes of vectors, ``uint8`` ``(n, n_bytes)``."""
        z = self._codes_of(self._rows(X))
        with threads_set(1):
            return self._code.encode(z, self.beam).numpy().astype(np.uint8)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the vectors that bytes stand for, of the type that was fitted."""
        z = self._code.decode(torch.from_numpy(self._checked(codes)).long())
        return self.estimator_.inverse_transform(z.numpy())

    def compress(self, X: Any) -> bytes:
        """Return vectors as the bytes of a file."""
        rows = self._rows(X)
        dtype = np.asarray(rows.take(slice(0, 1))).dtype.newbyteorder("=")
        return write_vectors(self.codes(rows), self.n_features_in_, dtype, self.tables_, self.model_)

    def decompress(self, data: bytes | memoryview, *, limit: int | None = None) -> np.ndarray:
        """Return the vectors of a file, ``(n, d)``, of the type of those that were compressed.

        Parameters
        ----------
        data : bytes-like
            From :meth:`compress`.
        limit : int, optional
            Most bytes of the vectors; by default half of the machine's memory.

        Raises
        ------
        CorruptStreamError
            If the file is damaged, cut short, or none.
        ValueError
            If it needs another model, or is larger than the limit.
        """
        facts, symbols = self._opened(data, limit)
        return self.decode(symbols).astype(facts.dtype, copy=False)

    def unpack(self, data: bytes | memoryview, *, limit: int | None = None) -> np.ndarray:
        """Return the bytes of a file's vectors, as :meth:`codes` gave them; see :meth:`decompress`."""
        return self._opened(data, limit)[1]

    def _opened(self, data: bytes | memoryview, limit: int | None) -> tuple[VectorFacts, np.ndarray]:
        """Return what a file says of itself, and its vectors' bytes."""
        check_is_fitted(self, "estimator_")
        facts, chunks = open_vectors(data)
        self._check_facts(facts, memory() // 2 if limit is None else limit)
        return facts, symbols_of(facts, chunks, self.tables_)

    def search(self, queries: Any, among: Any, n_neighbors: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Return the compressed vectors that are nearest to queries, nearest first.

        Parameters
        ----------
        queries : array-like of shape (m, d)
            Vectors, which are not compressed for this.
        among : bytes-like, or ndarray of shape (n, n_bytes)
            A file's contents, or bytes as :meth:`codes` gives them.
        n_neighbors : int, default=10
            At most n.

        Returns
        -------
        distances : ndarray of shape (m, n_neighbors)
            Between the query and what the bytes stand for.
        positions : ndarray of shape (m, n_neighbors)
            Of the vectors, from 0.
        """
        rows = self._rows(queries)
        symbols = self._checked(among if isinstance(among, np.ndarray) else self.unpack(among))
        scale = getattr(self.estimator_.modality_, "scale", 1.0)
        with threads_set(1):
            found = Lookup(self._code, torch.from_numpy(symbols)).nearest(self._codes_of(rows), n_neighbors)
        return found[0].numpy() * scale, found[1].numpy()

    def baselines(self) -> dict[str, Any]:
        """Return a product quantiser of as many bytes, and as many principal components as take them in float32."""
        return {
            "product quantizer": ProductQuantizer(self.n_bytes, random_state=0),
            "PCA, float32": LeadingComponents(max(1, self.n_bytes // 4)),
        }

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return how well vectors come back and are found, per method, at equally many bytes.

        Returns
        -------
        list of dict
            ``method``; ``bytes`` of a vector; ``error``, the squared error as a share of the test
            vectors' variance; ``recall_at_1`` and ``recall_at_10``, of up to 1,000 test vectors the share
            whose nearest among the others is the first found, or among the first ten.
        """
        job = self._fitted(train)
        rows = np.asarray(job._rows(test).take(slice(0, MOST_COMPARED)), np.float64)
        m = min(MOST_QUERIES, max(1, len(rows) // 5))
        queries, base = rows[:m], rows[m:]
        truth = nearest(torch.from_numpy(queries), torch.from_numpy(base), 1)[1]
        fitted = np.asarray(as_rows(train).take(slice(None)), np.float64)
        restored = {"auto-encoder": (job.n_bytes, job.decode(job.codes(base)))}
        for name, method in job.baselines().items():
            made = method.fit(fitted)
            restored[name] = (made.n_bytes, made.transform(base))
        variance = np.square(base - base.mean(0)).sum(1).mean() or 1.0
        table, k = [], min(COMPARED_AT, len(base))
        for name, (n_bytes, again) in restored.items():
            found = nearest(torch.from_numpy(queries), torch.from_numpy(again.astype(np.float64)), k)[1] == truth
            error = float(np.square(base - again).sum(1).mean() / variance)
            row = {"method": name, "bytes": n_bytes, "error": error, "recall_at_1": float(found[:, 0].float().mean())}
            table.append(row | {"recall_at_10": float(found.any(1).float().mean())})
        return table

    def state(self) -> dict[str, Any]:
        """Return the codebooks, and the tables as bytes."""
        check_is_fitted(self, "estimator_")
        return {"codebooks": self.codebooks_, "tables": np.frombuffer(self.tables_.to_bytes(), np.uint8).copy()}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        self._check_params()
        books, tables = state.get("codebooks"), state.get("tables")
        shape = (self.n_bytes, SYMBOLS, int(np.prod(self.estimator_.code_shape_)))
        if not (isinstance(books, np.ndarray) and books.dtype == np.float32 and books.shape == shape):
            raise ValueError(f"the codebooks should be float32 of shape {shape}, got {str(books)[:60]}.")
        if not np.isfinite(books).all():
            raise ValueError("the codebooks should be finite numbers.")
        if not (isinstance(tables, np.ndarray) and tables.dtype == np.uint8 and tables.ndim == 1):
            raise ValueError(f"the tables should be bytes, got {str(tables)[:60]}.")
        return self._take(books, Tables.from_bytes(tables.tobytes()))

    def _take(self, codebooks: np.ndarray, tables: Tables) -> Self:
        """Keep codebooks and tables, and name the model by them and the weights."""
        if tables.frequencies.shape != codebooks.shape[:2]:
            raise ValueError(f"the tables should be of {codebooks.shape[:2]}, got {tables.frequencies.shape}.")
        self.codebooks_, self.tables_ = codebooks, tables
        self._code = AdditiveCode(torch.from_numpy(codebooks))
        self.model_ = int(identity(self.estimator_.module_, self.state()), 16)
        return self

    def _codes_of(self, rows: Rows) -> torch.Tensor:
        return torch.from_numpy(self.estimator_.transform(rows)).float()

    def _checked(self, codes: np.ndarray) -> np.ndarray:
        check_is_fitted(self, "estimator_")
        if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != self.n_bytes:
            raise ValueError(f"expected codes (n, {self.n_bytes}) of uint8, got {codes.shape} of {codes.dtype}.")
        return codes

    def _check_facts(self, facts: VectorFacts, limit: int) -> None:
        if facts.model != self.model_:
            raise ValueError(
                f"the file needs the model {facts.model:016x}; this one is {self.model_:016x}. "
                "Give the model it was compressed with."
            )
        if (facts.width, facts.depth) != (self.n_features_in_, self.n_bytes):
            raise CorruptStreamError("the header of the vectors is not of this model's making.")
        if facts.nbytes > limit:
            raise ValueError(f"the vectors have {facts.nbytes:,} bytes, more than the limit of {limit:,}. Raise it.")

    def _check_params(self) -> None:
        for name, most in (("n_bytes", MOST_BYTES), ("beam", MOST_BEAM)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
