"""Predicting labels that few rows have: the code is learned from all rows, the label from those that have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets

from isthmus.building import check_number
from isthmus.estimator import AutoEncoder
from isthmus.jobs.pretraining import Pretrained
from isthmus.jobs.supervised import Classes, Numbers

__all__ = ["PretrainedClassifier", "PretrainedRegressor"]

VARIANCE = 0.95


class PretrainedClassifier(ClassifierMixin, Pretrained):
    r"""Predict classes that few rows are labelled with.

    An auto-encoder learns from all rows; then a linear head on its encoder, and with
    ``head='fine_tune'`` the encoder under it, learn the labels from the rows that have one.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder to pre-train; by default :meth:`default_estimator`.
    strategy : {'end_to_end', 'layerwise', 'fitted', 'none'}, default='end_to_end'
        How it is trained: as a whole; each layer as an auto-encoder of its own
        (:func:`~isthmus.jobs.layerwise.fit_layers`); it was fitted before, on these rows or on
        others like them, and is taken as it is; not at all, for comparison.
    head : {'fine_tune', 'linear'}, default='fine_tune'
        Whether the encoder goes on learning from the labels, or stays as it is under a
        logistic regression.
    layer : {'features', 'code'}, default='features'
        What the head reads: the encoder's features (their mean over positions, where there are
        some), or the code, which is often too narrow to tell what the decoder does not need.
    consistency : float, default=0.0
        Weight of what is asked of rows without a label while fine-tuning: to be classified
        alike before and after corruption. It needs a corruption that leaves the class as it
        is. Labelled rows are then repeated to be as many as the others.
    smoothing : float, default=0.0
        Share of a label's probability that is spread over all classes while fine-tuning.
    dropout : float, default=0.2
        Share of what the head reads that is dropped while fine-tuning.
    corrupt : bool, default=True
        Whether rows are corrupted while fine-tuning too, by the auto-encoder's corruption.
    max_epochs : int, optional
        Passes while fine-tuning; by default chosen from the number of rows.
    learning_rate : float, default=0.001
        While fine-tuning.
    unlabelled : int or str, optional
        A label that stands for 'not known', besides None and NaN: -1 as elsewhere in
        scikit-learn. Without it, -1 is a class.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own, and of the fine-tuning.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The auto-encoder as it was pre-trained; fine-tuning changes a copy of its encoder.
    network_ : Module
        That copy, with the head.
    classes_ : ndarray
        The classes.
    head_history_ : list of dict
        Of the fine-tuning, as ``history_`` of an auto-encoder; errors are shares of wrong answers.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If fewer than two classes are among the labels, or a parameter is not one of those above.

    Notes
    -----
    Fine-tuning minimises, over rows x with a label y and, with ``consistency`` w, rows u without,

    .. math:: -\log p(y \mid 	ilde x) + w\, [\max_k p(k \mid u) \ge 0.95]\,
              (-\log p(rg\max_k p(k \mid u) \mid 	ilde u))

    where a tilde is a corruption. Of 1,000 labelled rows and more a tenth is held out to choose
    the best epoch, unless there is a consistency; of fewer, all are learned from to the end.

    References
    ----------
    Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010. Sohn et al., "FixMatch",
    NeurIPS 2020, https://arxiv.org/abs/2001.07685, for the consistency. Differs: one kind of
    corruption, where they have a weak and a strong one.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> few = np.where(np.arange(150) % 5 == 0, y, -1)
    >>> model = AutoEncoder(corruption="gaussian_noise", max_epochs=20, random_state=0)
    >>> job = PretrainedClassifier(model, unlabelled=-1, random_state=0).fit(X, few)
    >>> job.predict(X[:3])
    array([0, 0, 0])
    """

    verb: ClassVar[str] = "pretrain"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        strategy: str = "end_to_end",
        head: str = "fine_tune",
        layer: str = "features",
        consistency: float = 0.0,
        smoothing: float = 0.0,
        dropout: float = 0.2,
        corrupt: bool = True,
        max_epochs: int | None = None,
        learning_rate: float = 1e-3,
        unlabelled: int | str | None = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.strategy = strategy
        self.head = head
        self.layer = layer
        self.consistency = consistency
        self.smoothing = smoothing
        self.dropout = dropout
        self.corrupt = corrupt
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.unlabelled = unlabelled
        self.random_state = random_state

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row."""
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, ``(n, classes)``."""
        return softmax(self._outputs(X), axis=1)

    def baselines(self) -> dict[str, Any]:
        """Return logistic regression, and the nearest neighbour on principal components."""
        return {
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
            "nearest on PCA": make_pipeline(PCA(VARIANCE, svd_solver="full"), KNeighborsClassifier(1)),
        }

    def state(self) -> dict[str, Any]:
        """Return the classes, and the weights of encoder, bottleneck and head."""
        return super().state() | {"classes": self.classes_.tolist()}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        classes = state.get("classes")
        plain = isinstance(classes, list) and all(isinstance(one, str | int | float) for one in classes)
        if not plain or len({type(one) for one in classes}) != 1 or len(set(classes)) < 2:
            raise ValueError(f"classes should be at least two texts or numbers, got {classes!r:.80}.")
        self.classes_ = np.array(classes)
        return super().restore(state)

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self, "smoothing", "a number of at least 0 and below 1", lambda v: 0 <= v < 1)

    def _targets(self, y: np.ndarray) -> np.ndarray:
        values = y.tolist()
        known = np.array(
            [v is not None and v == v and (self.unlabelled is None or v != self.unlabelled) for v in values]
        )
        given = np.array([value for value, is_known in zip(values, known, strict=True) if is_known])
        if not len(given):
            raise ValueError(f"none of the {len(y)} rows has a label: all are None, NaN or {self.unlabelled!r}.")
        if given.dtype.kind == "f" and not np.isfinite(given).all():
            raise ValueError("y contains infinity; a class is a text or a whole number.")
        # Its message is scikit-learn's own, which says that the labels are continuous.
        check_classification_targets(given)
        self.classes_, codes = np.unique(given, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels are of 1 class, {self.classes_[0]}; to tell classes apart takes two or more.")
        targets = np.full(len(y), -1, dtype=np.int64)
        targets[known] = codes
        return targets

    def _loss(self) -> Classes:
        return Classes(self.smoothing)

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _probe(self, codes: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fitted = LogisticRegression(max_iter=1_000).fit(codes, targets)
        if len(self.classes_) > 2:
            return fitted.coef_, fitted.intercept_
        # Of two classes scikit-learn has the second's logit alone.
        return np.vstack([0 * fitted.coef_, fitted.coef_]), np.append(0.0, fitted.intercept_)


class PretrainedRegressor(RegressorMixin, Pretrained):
    """Predict a number that few rows have.

    An auto-encoder learns from all rows; then a linear head on its encoder, and with
    ``head='fine_tune'`` the encoder under it, learn the number from the rows that have it.

    Parameters
    ----------
    estimator, strategy, layer, consistency, dropout, corrupt, max_epochs, learning_rate, random_state
        As for :class:`PretrainedClassifier`.
    head : {'fine_tune', 'linear'}, default='fine_tune'
        Whether the encoder goes on learning, or stays as it is under a ridge regression.

    Attributes
    ----------
    estimator_, network_, head_history_, n_features_in_, feature_names_in_
        As of :class:`PretrainedClassifier`; errors are squares of standardised numbers.
    mean_, scale_ : float
        Mean and standard deviation of the known numbers.

    Raises
    ------
    ValueError
        If no number is known, or a parameter is not one of those above.

    Notes
    -----
    The loss is half the squared difference of standardised numbers (and a constant), in nats;
    with ``consistency`` w, half w times the squared difference of the answers for a row
    without a number before and after corruption.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) % 4 == 0, y, np.nan)
    >>> model = AutoEncoder(max_epochs=5, random_state=0)
    >>> PretrainedRegressor(model, head="linear").fit(X, few).predict(X[:3]).shape
    (3,)
    """

    verb: ClassVar[str] = "regress"

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        strategy: str = "end_to_end",
        head: str = "fine_tune",
        layer: str = "features",
        consistency: float = 0.0,
        dropout: float = 0.2,
        corrupt: bool = True,
        max_epochs: int | None = None,
        learning_rate: float = 1e-3,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.strategy = strategy
        self.head = head
        self.layer = layer
        self.consistency = consistency
        self.dropout = dropout
        self.corrupt = corrupt
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.random_state = random_state

    def predict(self, X: Any) -> np.ndarray:
        """Return the expected number of each row."""
        outputs = self._outputs(X)
        return self.mean_ + self.scale_ * outputs[:, 0]

    def baselines(self) -> dict[str, Any]:
        """Return ridge regression, and the nearest neighbour on principal components."""
        return {
            "ridge regression": make_pipeline(StandardScaler(), Ridge()),
            "nearest on PCA": make_pipeline(PCA(VARIANCE, svd_solver="full"), KNeighborsRegressor(1)),
        }

    def state(self) -> dict[str, Any]:
        """Return mean and scale, and the weights of encoder, bottleneck and head."""
        return super().state() | {"mean": self.mean_, "scale": self.scale_}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        for name in ("mean", "scale"):
            value = state.get(name)
            if not isinstance(value, int | float) or not np.isfinite(value):
                raise ValueError(f"{name} should be a finite number, got {value!r:.80}.")
            setattr(self, f"{name}_", float(value))
        return super().restore(state)

    def _targets(self, y: np.ndarray) -> np.ndarray:
        try:
            numbers = np.array([np.nan if value is None else value for value in y.tolist()], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must be numbers, None or NaN where one is not known: {error}.") from error
        if np.isinf(numbers).any():
            raise ValueError("y contains infinity; leave such rows out, or give NaN for a number that is not known.")
        known = np.isfinite(numbers)
        if not known.any():
            raise ValueError(f"none of the {len(y)} rows has a number: all are None or NaN.")
        self.mean_ = float(numbers[known].mean())
        self.scale_ = float(numbers[known].std()) or 1.0
        return (numbers - self.mean_) / self.scale_

    def _loss(self) -> Numbers:
        return Numbers()

    def _n_outputs(self) -> int:
        return 1

    def _probe(self, codes: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fitted = Ridge().fit(codes, targets)
        return fitted.coef_[None], np.array([fitted.intercept_])
