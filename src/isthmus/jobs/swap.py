"""Swapping: a row with one named factor of another, such as what is said by who says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.batch import Batch
from isthmus.bottlenecks import Gaussian, Linear, Split
from isthmus.building import part_of
from isthmus.data import gathered
from isthmus.estimator import AutoEncoder
from isthmus.jobs.baselines import matrix_of
from isthmus.jobs.factors import factors_of, no_factors, pieces_of, swap_factor
from isthmus.jobs.job import Job, choose
from isthmus.modalities import Images
from isthmus.modalities.choice import default_modality
from isthmus.networks import ConvDecoder, ConvEncoder
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = ["Blend", "FactorSwapper"]

NEIGHBORS = 5
MOST_COMPARED = 2_000


class FactorSwapper(Job):
    """Give a row one named factor of another row, and leave it all others of its own.

    The code must have named factors: its bottleneck is a
    :class:`~isthmus.bottlenecks.Split`, or another that gives ``Code.factors``.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder; by default :meth:`default_estimator`.
    factor : str, optional
        The factor that :meth:`swap` exchanges where it is not told which; by default the last.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own, and of the pairs in :meth:`compare`.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    factor_names_ : tuple of str
        The factors of its code.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If the code has no named factors, or none of that name.

    Notes
    -----
    What goes into which factor is decided by how they differ. A pooled factor has room for
    what an example has once, a normalised one none for it
    (:class:`~isthmus.bottlenecks.Split`); a classifier or an adversary on a factor puts labels
    in or keeps them out (``penalties``). Without any of these two factors are two halves of
    one code, and nothing says what a swap will change.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images[:200]
    >>> split = Split({"content": Linear(4), "style": Linear(2)})
    >>> job = FactorSwapper(AutoEncoder(bottleneck=split, max_epochs=3, random_state=0)).fit(images)
    >>> job.factor_names_
    ('content', 'style')
    >>> job.swap(images[:5], images[5:10], "style").shape
    (5, 8, 8)
    """

    verb: ClassVar[str] = "swap"

    def __init__(self, estimator: AutoEncoder | None = None, *, factor: str | None = None, random_state: Any = None):
        self.estimator = estimator
        self.factor = factor
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given.

        Of images, ``content`` is a map of normalised features and ``style`` two numbers that
        an image has once: with many more, a style would tell of the content as well. The
        default networks of other rows leave no positions to tell the two by: both are Gaussian
        codes alike.
        """
        if not isinstance(default_modality(as_rows(X)), Images):
            return AutoEncoder(bottleneck=Split({"content": Gaussian(), "style": Gaussian()}))
        split = Split({"content": Linear(8), "style": Linear(2)}, pooled=("style",), normalized=("content",))
        return AutoEncoder(
            bottleneck=split, encoder=ConvEncoder((32, 64), flatten=False), decoder=ConvDecoder((64, 32))
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the factors of rows.

        Parameters
        ----------
        X : array-like, data frame or Rows
            Rows, as :class:`AutoEncoder` takes them.
        y : array-like of n labels, optional
            Only for parts that need labels.

        Returns
        -------
        Self
        """
        rows = as_rows(X)
        estimator = self._prepared(rows)
        bottleneck = part_of(estimator.bottleneck, "bottlenecks")
        # Before the fit where it can be known: ours that have factors have them as a param.
        if not hasattr(bottleneck, "factors"):
            raise ValueError(no_factors(bottleneck))
        self.estimator_ = estimator.fit(rows, y)
        self._name(None)
        return self

    @property
    def factor_names_(self) -> tuple[str, ...]:
        """The factors of the code."""
        check_is_fitted(self, "estimator_")
        return factors_of(self.estimator_)

    def swap(self, A: Any, B: Any, factor: str | None = None) -> Any:
        """Return the rows of A, each with the factor of the row of B in its place.

        Parameters
        ----------
        A : array-like, data frame or Rows of n rows
            Rows that keep all factors but one.
        B : array-like, data frame or Rows of n rows or one
            Rows that give theirs; one gives it to all.
        factor : str, optional
            Which; by default the job's.

        Returns
        -------
        array, data frame or list
            ``n`` rows, as the fitted rows were.
        """
        return swap_factor(self.estimator_, self._rows(A), self._rows(B), self._name(factor))

    def baselines(self) -> dict[str, Any]:
        """Return what costs nothing: the row unchanged, a copy of the other, and the mean of both."""
        return {"unchanged": Blend(0.0), "copy of the other": Blend(1.0), "mean of both": Blend(0.5)}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return how far a swap changes the factor alone, and what was known of the rows with it.

        Pairs are drawn at random among the test rows, at most 2,000; with labels from a half
        of them, of pairs whose labels differ.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others.
        y : array-like of n labels, or of shape (n, 2), optional
            What the factor should carry, for each test row; in a second column what the other
            factors should.

        Returns
        -------
        list of dict
            ``method``. ``taken``: 1 if the row's factor, encoded again, is that of B, 0 if it
            is as far from it as A's. ``kept``: the same of the other factors, and A's. (Left
            out where a code says nothing, or has no other factors.) With labels,
            ``label_of_other``: share of rows to which their five nearest real rows give the
            label of B; with a second column ``label_kept``, share with the second label of A,
            and ``both``.

        Notes
        -----
        ``taken`` and ``kept`` are the auto-encoder's own opinion, of the baselines too: the copy
        has 1 and 0, the row unchanged 0 and 1. The labels are the opinion of neighbours in
        the other half of the test rows.
        """
        job = self._fitted(train)
        modality = job.estimator_.modality_
        rows = gathered(modality, as_rows(test))
        labels = None if y is None else _labels(y, len(rows))
        real, first, second = _pairs(labels, len(rows), check_random_state(self.random_state))
        A, B = choose(rows, first), choose(rows, second)
        before, other = job._batch(A), job._batch(B)
        made = {"auto-encoder": job._batch(job.swap(A, B))}
        made |= {name: blend.transform(before, other, modality) for name, blend in job.baselines().items()}
        judges = [] if labels is None else [_judge(job._matrix(choose(rows, real)), one[real]) for one in labels]
        figures = []
        for name, batch in made.items():
            row = {"method": name} | job._opinion(batch, before, other)
            if labels is not None:
                given = [judge.predict(matrix_of(modality, batch)) for judge in judges]
                row |= _told(given, [one[index] for one, index in zip(labels, (second, first), strict=False)])
            figures.append(row)
        return figures

    def _name(self, factor: str | None) -> str:
        """Return the factor to exchange, checked."""
        known = self.factor_names_
        wanted = factor or self.factor or known[-1]
        if wanted not in known:
            raise ValueError(f"the code has no factor {wanted!r}; there are: {', '.join(known)}.")
        return wanted

    def _batch(self, X: Any) -> Batch:
        modality = self.estimator_.modality_
        return modality.expand(modality.to_batch(gathered(modality, as_rows(X)), self._dtype))

    def _matrix(self, X: Any) -> np.ndarray:
        return matrix_of(self.estimator_.modality_, self._batch(X))

    def _opinion(self, batch: Batch, before: Batch, other: Batch) -> dict[str, float]:
        """Return how near the auto-encoder sees a batch to the other's factor, and to its own others."""
        found, own, given = (pieces_of(self.estimator_, [one]) for one in (batch, before, other))
        factor = self._name(None)
        rest = [name for name in found if name != factor]
        figures = {"taken": _nearness([factor], found, given, own), "kept": _nearness(rest, found, own, given)}
        return {name: value for name, value in figures.items() if value is not None}


class Blend(BaseEstimator):
    """A row between two rows, which knows nothing of factors.

    Parameters
    ----------
    share : float, default=0.5
        How much of the second row: 0 is the first, 1 the second. Symbols are those of the
        first row up to one half.
    """

    def __init__(self, share: float = 0.5):
        self.share = share

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, first: Batch, second: Batch, modality: Part) -> Batch:
        """Return the blend of two expanded batches of a modality."""
        if self.share in (0, 1):
            return second if self.share else first
        x = torch.lerp(first.x, second.x, self.share)
        symbols = torch.tensor([kind > 0 for kind in modality.example().get("categories") or []])
        if symbols.any():
            x = torch.where(symbols, first.x if self.share <= 0.5 else second.x, x)
        # What one row lacks cannot be blended.
        masks = [mask for mask in (first.mask, second.mask) if mask is not None]
        return Batch(x, torch.stack(masks).all(0) if masks else None)


def _nearness(
    chosen: Sequence[str], found: dict[str, Tensor], wanted: dict[str, Tensor], unwanted: dict[str, Tensor]
) -> float | None:
    """Return 1 where factors are the wanted ones, 0 as far from these as the unwanted; None if both are the same."""
    off = sum(float((found[name] - wanted[name]).double().square().sum()) for name in chosen)
    apart = sum(float((unwanted[name] - wanted[name]).double().square().sum()) for name in chosen)
    return 1 - off / apart if apart > 0 else None


def _labels(y: Any, n: int) -> list[np.ndarray]:
    labels = np.asarray(y)
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or labels.shape[1] not in (1, 2) or len(labels) != n:
        raise ValueError(f"labels should be of shape ({n},) or ({n}, 2), got {np.shape(y)}.")
    return [np.unique(labels[:, i].astype(str), return_inverse=True)[1] for i in range(labels.shape[1])]


def _pairs(
    labels: list[np.ndarray] | None, n: int, random: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows that judges learn from, and the first and second rows of pairs, of different labels if known."""
    order = random.permutation(n)
    if labels is None:
        first = order[:MOST_COMPARED]
        return order[:0], first, np.roll(first, 1)
    real, others = order[: n // 2], order[n // 2 :][:MOST_COMPARED]
    kinds = labels[0][others]
    if len(np.unique(kinds)) < 2:
        raise ValueError("all labels are the same: a swap would have nothing to change.")
    second = [random.choice(others[kinds != kind]) for kind in kinds]
    return real, others, np.array(second)


def _judge(matrix: np.ndarray, labels: np.ndarray) -> KNeighborsClassifier:
    return KNeighborsClassifier(min(NEIGHBORS, len(matrix))).fit(matrix, labels)


def _told(given: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the shares of labels that are the other row's, and of second labels that are the row's own."""
    right = [one == other for one, other in zip(given, wanted, strict=True)]
    figures = {"label_of_other": float(right[0].mean())}
    if len(right) == 2:
        figures |= {"label_kept": float(right[1].mean()), "both": float((right[0] & right[1]).mean())}
    return figures
