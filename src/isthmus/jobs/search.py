"""Similarity search: the rows whose codes are nearest to those of other rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from isthmus.estimator import AutoEncoder
from isthmus.jobs.baselines import Matrix
from isthmus.jobs.index import CodeIndex
from isthmus.jobs.job import Job, choose
from isthmus.jobs.places import from_arrays, to_arrays
from isthmus.rows import Rows, as_rows

__all__ = ["SimilaritySearch", "average_precision", "precision_at"]

COMPARED_AT = 10
MOST_COMPARED = 5_000


class SimilaritySearch(Job):
    """Find the rows that are most like others, by their codes.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder; by default :meth:`default_estimator`.
    n_neighbors : int, default=10
        How many rows :meth:`kneighbors` returns where it is not told.
    metric : {'cosine', 'euclidean', 'hamming'}, default='cosine'
        Between codes. Hamming: each number becomes a bit, whether it is above its median, and
        codes are kept as packed bits, a thirty-second of their size in float32; meant for binary bottlenecks.
    index : {'exact', 'flat', 'hnsw', 'ivf'}, default='exact'
        'exact' compares all codes, by products of matrices, in bounded memory: the right
        choice up to some million rows. The others need faiss (``pip install
        'isthmus[search]'``): 'flat' is exact, 'hnsw' and 'ivf' look at a part of the codes.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own.

    Attributes
    ----------
    codes_ : ndarray of shape (n, code size)
        Codes of the indexed rows; for 'hamming' packed bits ``(n, bytes)``.
    places_ : ndarray of shape (n,)
        Where each indexed row came from: its number, or a name given by :meth:`name`.
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If a parameter is none of those above, or faiss is asked for and not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images[:200]
    >>> model = AutoEncoder(bottleneck="linear(size=8)", max_epochs=3, random_state=0)
    >>> search = SimilaritySearch(model).fit(images[:150])
    >>> distances, rows = search.kneighbors(images[150:152], 3)
    >>> rows.shape
    (2, 3)
    >>> len(search.add(images[150:]).codes_)
    200
    """

    verb: ClassVar[str] = "search"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        n_neighbors: int = 10,
        metric: str = "cosine",
        index: str = "exact",
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.index = index
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given.

        A code of 32 numbers that also keeps neighbours together. Measured on labels that no
        method was told, each test row the query for the others: precision at 10, and mean
        average precision.

        ====================================  ============  =============
        .                                     digits        Fashion-MNIST
        ====================================  ============  =============
        pixels, euclidean                     0.908, 0.664  0.684, 0.446
        pixels, cosine                        0.910, 0.656  0.697, 0.479
        32 principal components, cosine       0.905, 0.680  0.705, 0.477
        the same, whitened                    0.805, 0.424  0.688, 0.323
        code of 8, cosine                     0.859, 0.653  0.684, 0.489
        code of 16, cosine                    0.875, 0.603  0.715, 0.464
        code of 32, cosine                    0.842, 0.508  0.726, 0.422
        code of 32, cosine, whitened          0.799, 0.420  0.686, 0.315
        code of 16, L2 of weight 1, cosine    0.854, 0.551  0.699, 0.445
        code of 16, denoising, cosine         0.884, 0.615  0.714, 0.458
        **code of 32, neighbors, cosine**     0.906, 0.785  0.703, 0.481
        the same, euclidean                   0.915, 0.818  0.668, 0.445
        the same of weight 3, cosine          0.912, 0.801  0.676, 0.470
        ====================================  ============  =============

        Digits: 1,200 rows to fit on, 597 judged; Fashion-MNIST: 6,000 and 1,500, 12 epochs; one
        seed. No plain code is better than the pixels on both; with neighbours it is level with
        them over the first ten, and better further down the ranking where classes are apart.
        """
        return AutoEncoder(bottleneck="linear(size=32)", penalties=["neighbors(weight=1.0)"])

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the code of rows, and index them.

        Parameters
        ----------
        X : array-like, data frame or Rows
            A table or images, as :class:`AutoEncoder` takes them.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        index, rows = CodeIndex(self.metric, self.index), as_rows(X)
        self._check_count(self.n_neighbors)
        self.estimator_ = self._prepared(rows).fit(rows)
        self._index = index.fit(self._codes(rows))
        self.places_ = np.arange(len(rows))
        return self

    def add(self, X: Any, places: Sequence[Any] | None = None) -> Self:
        """Index more rows, without learning from them.

        Parameters
        ----------
        X : array-like, data frame or Rows
            The rows.
        places : sequence of int or str, optional
            Where each came from; by default they are counted on.
        """
        rows = self._rows(X)
        before = len(self._index)
        self._index.add(self._codes(rows))
        added = np.arange(before, before + len(rows)) if places is None else np.asarray(places)
        return self.name([*self.places_.tolist(), *added.tolist()])

    def name(self, places: Sequence[Any]) -> Self:
        """Say where each indexed row came from: a number or a name for each, in their order.

        Raises
        ------
        ValueError
            If there are not as many as rows, or they are neither all numbers nor all text.
        """
        check_is_fitted(self, "estimator_")
        if len(places) != len(self._index):
            raise ValueError(f"expected a place for each of the {len(self._index)} indexed rows, got {len(places)}.")
        self.places_ = from_arrays(to_arrays(places), len(places))
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Return the indexed rows that are nearest to these, nearest first.

        Parameters
        ----------
        X : array-like, data frame or Rows, optional
            The rows to find others like. By default the indexed ones, and none is its own
            neighbour.
        n_neighbors : int, optional
            How many; by default the parameter of that name, or as many as there are.
        return_distance : bool, default=True
            Whether to return distances as well.

        Returns
        -------
        distances : ndarray of shape (rows, n_neighbors)
            Only with ``return_distance``.
        positions : ndarray of shape (rows, n_neighbors)
            ``int64``, in the order of indexing.

        Raises
        ------
        ValueError
            If so many are not indexed.
        """
        check_is_fitted(self, "estimator_")
        codes = None if X is None else self._codes(self._rows(X))
        most = len(self._index) - (X is None)
        wanted = min(self.n_neighbors, most) if n_neighbors is None else n_neighbors
        self._check_count(wanted)
        distances, positions = self._index.search(codes, int(wanted))
        return (distances, positions) if return_distance else positions

    @property
    def codes_(self) -> np.ndarray:
        """Codes of the indexed rows."""
        check_is_fitted(self, "estimator_")
        return self._index.codes.numpy()

    def baselines(self) -> dict[str, Any]:
        """Return the rows themselves, and as many principal components as the code has numbers."""
        size = int(np.prod(self.estimator_.code_shape_)) if hasattr(self, "estimator_") else None
        return {"rows themselves": Matrix(), "PCA": make_pipeline(Matrix(), PCA(size, svd_solver="full"))}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return how good neighbours are, of each test row among the other test rows.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others; of more than 5,000 test rows the first 5,000.
        y : array-like, optional
            Labels of the test rows: a neighbour is right if it has the same.

        Returns
        -------
        list of dict
            ``method``; ``numbers`` that a row is kept as; ``recall`` (share of the ten nearest
            by the rows themselves that are among the ten nearest); with ``y``,
            ``precision_at_10`` and ``mean_average_precision``;
            ``milliseconds`` a query, by exact search.
        """
        job, rows = self._fitted(train), choose(as_rows(test), np.arange(min(len(as_rows(test)), MOST_COMPARED)))
        labels = None if y is None else np.asarray(y)[: len(rows)]
        k = max(1, min(COMPARED_AT, len(rows) - 1))
        spaces = {"auto-encoder": job._codes(rows)}
        modality, size = job.estimator_.modality_, int(np.prod(job.estimator_.code_shape_))
        before, after = (Matrix(modality).fit(train).transform(part) for part in (train, rows))
        spaces["rows themselves"] = torch.from_numpy(after)
        pca = PCA(min(size, *before.shape), svd_solver="full").fit(before)
        spaces["PCA"] = torch.from_numpy(pca.transform(after))
        truth = CodeIndex("euclidean").fit(spaces["rows themselves"]).search(None, k)[1]
        table = []
        for name, codes in spaces.items():
            plain = name == "rows themselves" and self.metric == "hamming"
            index = CodeIndex("euclidean" if plain else self.metric).fit(codes)
            began = time.perf_counter()
            near = index.search(None, k)[1]
            spent = 1000 * (time.perf_counter() - began) / len(rows)
            shared = [len(np.intersect1d(one, other)) for one, other in zip(near, truth, strict=True)]
            row: dict[str, Any] = {"method": name, "numbers": codes.shape[1], "recall": float(np.mean(shared)) / k}
            if labels is not None:
                row["precision_at_10"] = precision_at(near, labels)
                row["mean_average_precision"] = average_precision(index.search(None, len(rows) - 1)[1], labels)
            table.append(row | {"milliseconds": spent})
        return table

    def state(self) -> dict[str, Any]:
        """Return the codes, the thresholds of bits, and where the rows came from."""
        check_is_fitted(self, "estimator_")
        threshold = self._index.threshold
        bits = {} if threshold is None else {"threshold": threshold.numpy()}
        return {"codes": self.codes_} | bits | to_arrays(self.places_.tolist())

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        self._check_count(self.n_neighbors)
        index = CodeIndex(self.metric, self.index)
        size = int(np.prod(self.estimator_.code_shape_))
        bits = self.metric == "hamming"
        codes = _numbers(state, "codes", (-1, -(-size // 8) if bits else size), np.uint8 if bits else None)
        threshold = torch.from_numpy(_numbers(state, "threshold", (size,))) if bits else None
        self._index = index.put(torch.from_numpy(codes), threshold)
        self.places_ = from_arrays(state, len(codes))
        return self

    def _codes(self, rows: Rows) -> torch.Tensor:
        """Return the rows' codes, in the type of the network's weights."""
        return torch.from_numpy(self.estimator_.transform(rows)).to(self._dtype)

    @staticmethod
    def _check_count(n_neighbors: Any) -> None:
        if isinstance(n_neighbors, bool) or n_neighbors != int(n_neighbors) or n_neighbors < 1:
            raise ValueError(f"n_neighbors must be a whole number of at least 1, got {n_neighbors!r}.")


def precision_at(positions: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean share of neighbours with the row's own label; row i is the query i."""
    return float((labels[positions] == labels[:, None]).mean())


def average_precision(ranking: np.ndarray, labels: np.ndarray) -> float:
    r"""Return the mean over queries of :math:`\sum_r P(r) [r \text{ is right}] / \sum_r [r \text{ is right}]`.

    Parameters
    ----------
    ranking : ndarray of shape (n, n - 1)
        For each row all others, nearest first.
    labels : ndarray of shape (n,)
        A row with a label of its own alone is not counted.
    """
    right = labels[ranking] == labels[:, None]
    found = right.cumsum(1)
    precision = found / np.arange(1, ranking.shape[1] + 1)
    asked = found[:, -1] > 0
    if not asked.any():
        return 0.0
    return float(((precision * right).sum(1)[asked] / found[asked, -1]).mean())


def _numbers(state: Mapping[str, Any], name: str, shape: tuple[int, ...], kind: Any = None) -> np.ndarray:
    """Return an array of the state if it is finite and of this shape; -1 stands for any length above 0."""
    array = state.get(name)
    if (
        not isinstance(array, np.ndarray)
        or (array.dtype != kind if kind is not None else array.dtype.kind != "f")
        or not np.isfinite(array).all()
    ):
        raise ValueError(f"the search's {name} should be an array of finite numbers, got {str(array)[:60]}.")
    if (
        len(shape) != array.ndim
        or not array.size
        or any(w not in (-1, h) for w, h in zip(shape, array.shape, strict=True))
    ):
        raise ValueError(f"the search's {name} should be of shape {shape}, got {array.shape}.")
    return array
