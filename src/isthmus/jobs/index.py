"""An index of codes: exact, or faiss's where there are too many for that."""

from __future__ import annotations

import importlib.util
import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from isthmus.nearest import METRICS, among, nearest, pack_bits

__all__ = ["KINDS", "CodeIndex"]

KINDS = ("exact", "flat", "hnsw", "ivf")
LINKS = 32
BREADTH = 128
SPARE = 4
ROWS_TO_LEARN_FROM = 40


class CodeIndex:
    """Codes, prepared for a metric, that can be asked for the nearest of others.

    Parameters
    ----------
    metric : {'euclidean', 'cosine', 'hamming'}
        Hamming: each number of a code becomes a bit, whether it is above its threshold.
    kind : {'exact', 'flat', 'hnsw', 'ivf'}
        'exact' needs nothing. The others are faiss's: 'flat' is exact too, 'hnsw' (a graph)
        and 'ivf' (lists around centroids) look at a part of the codes only.

    Attributes
    ----------
    codes : Tensor of shape (n, d) or (n, bytes)
        What was put in; bits are packed.
    threshold : Tensor of shape (d,) or None
        For 'hamming'.

    Notes
    -----
    The threshold of a number is its median; where it has two values only (a binary code's),
    the middle between them. faiss only names candidates: their distances are measured again
    here, so that an exact index gives the same as 'exact', and where it names too few of
    them, the exact search answers.

    References
    ----------
    Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using
    hierarchical navigable small world graphs", 2018, https://arxiv.org/abs/1603.09320;
    Douze et al., "The Faiss library", 2024, https://arxiv.org/abs/2401.08281.
    """

    def __init__(self, metric: str = "euclidean", kind: str = "exact"):
        for name, value, known in (("metric", metric, METRICS), ("index", kind, KINDS)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")
        if kind != "exact" and importlib.util.find_spec("faiss") is None:
            raise ValueError(f"index={kind!r} needs faiss: pip install 'isthmus[search]', or use index='exact'.")
        self.metric, self.kind = metric, kind
        self.codes = torch.empty(0, 0)
        self.threshold: Tensor | None = None
        self._faiss: Any = None

    def __len__(self) -> int:
        return len(self.codes)

    def __getstate__(self) -> dict[str, Any]:
        # faiss's own part belongs to this process; it is made anew when it is asked for.
        return vars(self) | {"_faiss": None}

    def fit(self, codes: Tensor) -> Self:
        """Put in the first codes ``(n, d)``; they decide the thresholds."""
        if self.metric == "hamming":
            self.threshold = _thresholds(codes)
        self.codes = self._prepared(codes)
        self._faiss = None
        return self

    def put(self, codes: Tensor, threshold: Tensor | None) -> Self:
        """Take codes that were prepared before, and their thresholds."""
        self.codes, self.threshold, self._faiss = codes, threshold, None
        return self

    def add(self, codes: Tensor) -> None:
        """Put in more codes, after the others."""
        prepared = self._prepared(codes)
        self.codes = torch.cat([self.codes, prepared])
        if self._faiss is not None:
            self._faiss.add(_array(prepared, self.metric))

    def search(self, codes: Tensor | None, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return distances and positions of the nearest, nearest first.

        Parameters
        ----------
        codes : Tensor of shape (m, d) or None
            None: those of the index, each without itself.
        n_neighbors : int
            How many.
        """
        own = codes is None
        queries = self.codes if codes is None else self._prepared(codes)
        if self.kind == "exact" or n_neighbors + own + SPARE > len(self):
            found = nearest(queries, self.codes, n_neighbors, self.metric, own=own)
        else:
            found = self._by_faiss(queries, n_neighbors, own)
        distances, positions = found
        return distances.numpy(), positions.numpy()

    def _prepared(self, codes: Tensor) -> Tensor:
        return codes if self.threshold is None else pack_bits(codes > self.threshold)

    def _by_faiss(self, queries: Tensor, n_neighbors: int, own: bool) -> tuple[Tensor, Tensor]:
        if self._faiss is None:
            self._faiss = _built(self.codes, self.metric, self.kind)
        wanted = n_neighbors + own + SPARE
        _, positions = self._faiss.search(_array(queries, self.metric), wanted)
        candidates = torch.from_numpy(positions.astype(np.int64))
        short = (candidates < 0).any(1)
        if bool(short.any()):
            # Of its own rows each is its own neighbour at distance 0, and left out below.
            candidates[short] = nearest(queries[short], self.codes, wanted, self.metric)[1]
        return among(queries, self.codes, candidates, n_neighbors, self.metric, own=own)


def _thresholds(codes: Tensor) -> Tensor:
    low, high = codes.amin(0), codes.amax(0)
    two = ((codes == low) | (codes == high)).all(0)
    return torch.where(two, (low + high) / 2, codes.quantile(0.5, dim=0) if len(codes) < 2**20 else codes.median(0)[0])


def _array(codes: Tensor, metric: str) -> np.ndarray:
    """Return codes as faiss takes them: bytes, or float32, for cosines of length one."""
    if metric == "cosine":
        codes = torch.nn.functional.normalize(codes)
    return codes.contiguous().numpy().astype(np.uint8 if metric == "hamming" else np.float32)


def _built(codes: Tensor, metric: str, kind: str) -> Any:
    """Return a faiss index of these codes."""
    import faiss  # an extra of the installation

    array, wide = _array(codes, metric), codes.shape[1]
    lists = max(1, min(int(4 * math.sqrt(len(codes))), len(codes) // ROWS_TO_LEARN_FROM))
    if metric == "hamming":
        flat = faiss.IndexBinaryFlat(8 * wide)
        made = {"flat": lambda: flat, "hnsw": lambda: faiss.IndexBinaryHNSW(8 * wide, LINKS)}
        index = made.get(kind, lambda: faiss.IndexBinaryIVF(flat, 8 * wide, lists))()
    else:
        measure = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
        flat = faiss.IndexFlat(wide, measure)
        made = {"flat": lambda: flat, "hnsw": lambda: faiss.IndexHNSWFlat(wide, LINKS, measure)}
        index = made.get(kind, lambda: faiss.IndexIVFFlat(flat, wide, lists, measure))()
    if kind == "ivf":
        index.nprobe = max(1, lists // 8)
        index.cp.min_points_per_centroid = 1
        index.train(array)
    elif kind == "hnsw":
        index.hnsw.efConstruction = index.hnsw.efSearch = BREADTH
    index.add(array)
    return index
