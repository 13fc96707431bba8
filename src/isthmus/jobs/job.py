"""The one base class of jobs: a scikit-learn meta-estimator around one auto-encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from isthmus import names
from isthmus.building import require_ability
from isthmus.estimator import AutoEncoder
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows, as_rows

__all__ = ["Job", "choose", "is_table", "needs_labels"]


class Job(BaseEstimator, ABC):
    """What a code is good for: one verb, its baselines, and the figures of both.

    A job holds an auto-encoder as the parameter ``estimator`` (a prototype, cloned before it
    is fitted; None: :meth:`default_estimator`), and after ``fit`` the fitted one as
    ``estimator_``. Everything else that fitting found is in :meth:`state`.

    Attributes
    ----------
    verb : str
        The job's name on the command line, and of its main method there.
    needs : tuple of str
        Abilities that it asks of the bottleneck, such as 'sample'.
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    n_features_in_ : int
        Columns of the table, or values of an image.
    feature_names_in_ : ndarray of str
        Names of the columns, for data frames.
    """

    verb: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    estimator: AutoEncoder | None
    random_state: Any
    estimator_: AutoEncoder

    @abstractmethod
    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the unfitted auto-encoder that suits this job on these rows."""

    @abstractmethod
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the auto-encoder, and what the job needs besides."""

    @abstractmethod
    def baselines(self) -> dict[str, Any]:
        """Return what a user would use instead: name, then unfitted scikit-learn estimator."""

    @abstractmethod
    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return a row of figures for the job and for each baseline, on the same split.

        A job that is not fitted is cloned and fitted on ``train``; a fitted one is taken as
        it is. Each row has ``method`` and the job's figures.
        """

    def state(self) -> dict[str, Any]:
        """Return what fitting found besides the auto-encoder: JSON values and numpy arrays."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned; ``estimator_`` is set by the caller.

        Raises
        ------
        ValueError
            If a value is not there, or is not of the kind that :meth:`state` gives.
        """
        return self

    @property
    def n_features_in_(self) -> int:
        """Columns of the table, or values of an image."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns, for data frames."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def _prepared(self, rows: Rows) -> AutoEncoder:
        """Return the auto-encoder to fit: a clone of the user's, or the default."""
        if self.estimator is not None and not isinstance(self.estimator, AutoEncoder):
            raise TypeError(f"estimator must be an AutoEncoder or None, got {type(self.estimator).__name__}.")
        estimator = self.default_estimator(rows) if self.estimator is None else clone(self.estimator)
        if self.estimator is not None:
            # clone copies deeply; a callback that owns a terminal or a file must stay itself.
            estimator.callback = self.estimator.callback
        if estimator.random_state is None and self.random_state is not None:
            estimator.random_state = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._check_needs(estimator)
        return estimator

    def _check_needs(self, estimator: AutoEncoder) -> None:
        given = estimator.bottleneck
        bottleneck = names.parse(given, "bottlenecks") if isinstance(given, str) else given
        for ability in self.needs:
            require_ability(bottleneck, ability, type(self).__name__)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.estimator_.module_.parameters()).dtype

    @property
    def _device(self) -> str:
        return str(next(self.estimator_.module_.parameters()).device)

    def _rows(self, X: Any) -> Rows:
        """Return rows of the width that was fitted."""
        check_is_fitted(self, "estimator_")
        rows = as_rows(X)
        wide = rows.array.shape[1] if isinstance(rows, ArrayRows) and rows.array.ndim == 2 else self.n_features_in_
        if wide != self.n_features_in_:
            raise ValueError(
                f"X has {wide} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return rows

    def _fitted(self, train: Any) -> Self:
        """Return this job if it is fitted, else a clone fitted on these rows."""
        return self if hasattr(self, "estimator_") else clone(self).fit(train)


class _Chosen:
    """Some of the rows of a reader, loaded as they are asked for."""

    def __init__(self, rows: Rows, index: np.ndarray):
        self._rows, self._index = rows, index
        self.set_aside = ()

    def __len__(self) -> int:
        return len(self._index)

    def take(self, index: Any) -> Any:
        return self._rows.take(self._index[index])


def choose(rows: Rows, index: np.ndarray) -> Rows:
    """Return the rows at these positions, as rows of the same kind."""
    if isinstance(rows, ArrayRows):
        return ArrayRows(rows.array[index])
    if isinstance(rows, FrameRows):
        return FrameRows(rows.frame[index], rows.container)
    if isinstance(rows, SequenceRows):
        return rows.choose(index)
    return _Chosen(rows, index)


def needs_labels(job: Job) -> bool:
    """Whether ``fit`` of this job learns from labels, and ``compare`` takes those of both parts."""
    return bool(get_tags(job).target_tags.required)


def is_table(X: Any) -> bool:
    """Whether these rows are a table, rather than images or series."""
    rows = as_rows(X)
    return isinstance(rows, FrameRows) or (isinstance(rows, ArrayRows) and rows.array.ndim == 2)
