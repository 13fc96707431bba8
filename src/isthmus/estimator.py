"""The estimator: an auto-encoder as scikit-learn knows it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus import names
from isthmus.batch import Batch, Step
from isthmus.building import (
    SLOT_OF,
    asked_options,
    begin,
    build_module,
    check_settings,
    device_of,
    dtype_of,
    part_of,
    require_ability,
    wants_labels,
)
from isthmus.data import blocks, gathered, joined, label_codes, load
from isthmus.guards import seeded, threads_set
from isthmus.inference import code_shape, costs, decode, encode, log_likelihood, steps
from isthmus.modalities.choice import default_modality
from isthmus.options import Options, choose_options
from isthmus.part import Part
from isthmus.rows import FrameRows, Rows, as_rows, check_width, float_of, width_of
from isthmus.training import Callback, train

__all__ = ["AutoEncoder"]

logger = logging.getLogger(__name__)


class AutoEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learn a compact code of rows, and the way back.

    Six choices make an auto-encoder: modality, corruption, encoder, bottleneck, decoder,
    loss; penalties besides. Each is a part or its name, such as ``"gaussian(size=8)"``. A
    part is a prototype: it is cloned, then built to fit the data.

    Parameters
    ----------
    modality : Part or str, optional
        What rows are. By default :class:`~isthmus.modalities.Tables` for data frames and 2-D
        arrays, :class:`~isthmus.modalities.Images` for 3-D and 4-D arrays and folders,
        :class:`~isthmus.modalities.Sequences` for lists of arrays.
    bottleneck : Part or str, default='linear'
        What the code is.
    encoder, decoder, loss : Part or str, optional
        By default the modality's own.
    corruption : Part or str, optional
        What the encoder must see through while training; by default nothing.
    objective : Part or str, optional
        What becomes of the nats of codes that are drawn, such as ``"importance_weighted"``;
        by default their sum.
    penalties : sequence of Part or str, default=()
        What the code should be besides sufficient.
    max_epochs, batch_size, patience : int, optional
        By default chosen from the number of rows: :func:`isthmus.options.choose_options`.
    learning_rate : float, optional
        By default chosen from the numbers of rows and weights, 4e-3 to 1e-2.
    weight_decay : float, default=0.03
        Decoupled decay of weight matrices.
    clip : float, default=5.0
        Cut gradients longer than this many times their running mean length; 0: never.
    ema : float, default=0.999
        Decay of the moving average of the weights, which is what is kept; 0: no average.
    validation_fraction : float, default=0.1
        Share of rows held out for early stopping; none of fewer than 20 rows.
    dtype : {'auto', 'float32', 'float64', 'bfloat16'}, default='auto'
        Of the arithmetic. 'auto': bfloat16 on a GPU that has it, else float32.
    device : str, default='auto'
        'auto': a GPU if there is one, else the processor.
    threads : int, optional
        Processor threads while fitting; by default one for small networks, else torch's.
    random_state : int, RandomState instance or None, default=None
        An int makes fits repeatable bit for bit on one machine.
    checkpoint : str or Path, optional
        File for the state of the fit, written every ``checkpoint_seconds`` and on Ctrl-C.
    checkpoint_seconds : float, default=30
        Least time between two checkpoints.
    resume : bool, default=False
        Go on from the checkpoint if it is there.
    callback : callable, optional
        Called with a dict after each epoch.

    Attributes
    ----------
    history_ : list of dict
        Per epoch: epoch, step, learning_rate, cost, error, validation_cost,
        validation_error, seconds; epoch 0 is the start. Costs are nats, errors sums of
        squares per row.
    modality_ : Part
        The fitted modality.
    module_ : AutoEncoderModule
        The fitted network.
    options_ : Options
        How the fit ran, with all that was chosen for it.
    code_shape_ : tuple of int
        Shape of one code.
    n_features_in_ : int
        Columns of the table, or values of an image.
    feature_names_in_ : ndarray of str
        Names of the columns, for data frames.
    classes_ : ndarray
        The labels' classes, where a part needs labels.

    Raises
    ------
    ValueError, TypeError
        If data or parts are not what is described above.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=20, random_state=0).fit(X)
    >>> model.transform(X).shape
    (150, 2)
    >>> model.inverse_transform(model.transform(X)).shape
    (150, 4)
    """

    options_: Options
    classes_: np.ndarray

    def __init__(
        self,
        modality: Part | str | None = None,
        bottleneck: Part | str = "linear",
        *,
        encoder: Part | str | None = None,
        decoder: Part | str | None = None,
        corruption: Part | str | None = None,
        loss: Part | str | None = None,
        objective: Part | str | None = None,
        penalties: Sequence[Part | str] = (),
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        patience: int | None = None,
        weight_decay: float = 0.03,
        clip: float = 5.0,
        ema: float = 0.999,
        validation_fraction: float = 0.1,
        dtype: str = "auto",
        device: str = "auto",
        threads: int | None = None,
        random_state: Any = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 30.0,
        resume: bool = False,
        callback: Callback | None = None,
    ):
        self.modality = modality
        self.bottleneck = bottleneck
        self.encoder = encoder
        self.decoder = decoder
        self.corruption = corruption
        self.loss = loss
        self.objective = objective
        self.penalties = penalties
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.weight_decay = weight_decay
        self.clip = clip
        self.ema = ema
        self.validation_fraction = validation_fraction
        self.dtype = dtype
        self.device = device
        self.threads = threads
        self.random_state = random_state
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.resume = resume
        self.callback = callback

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``bottleneck__size=8`` reaches into a part given by name too."""
        for name in {key.partition("__")[0] for key in params if "__" in key}:
            if name in SLOT_OF and isinstance(params.get(name, getattr(self, name)), str):
                setattr(self, name, names.parse(params.pop(name, getattr(self, name)), SLOT_OF[name]))
        return super().set_params(**params)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the code of rows.

        Parameters
        ----------
        X : array-like, data frame or Rows of n rows
            A table ``(n, columns)`` or images ``(n, height, width[, channels])``.
        y : array-like of n labels, optional
            Only for parts that need labels; -1, None or NaN where one is not known.

        Returns
        -------
        Self
        """
        data, seed = self._begin(X, y)
        self._choose(data, seed)
        with threads_set(self.options_.threads):
            begin(self.module_, data, self.options_)
            self.history_, _ = train(
                self.module_,
                data,
                self.options_,
                callback=self.callback,
                checkpoint=None if self.checkpoint is None else Path(self.checkpoint),
                checkpoint_seconds=self.checkpoint_seconds,
                resume=self.resume,
            )
        self._finish()
        return self

    def build(self, X: Any, y: Any = None) -> Self:
        """Do what :meth:`fit` does before the first step: learn types and scales, build the network.

        The weights are random and ``history_`` is empty: for what trains the network by itself.
        """
        self._choose(*self._begin(X, y))
        self.history_ = []
        self._finish()
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one pass over these rows, from where the last call ended.

        The first call learns types and scales and builds the network; the learning rate is
        constant and nothing is held out or averaged.
        """
        first = not hasattr(self, "module_")
        if first:
            data, self._seed = self._begin(X, y)
            self.history_ = []
        else:
            rows = self._rows(X)
            data = self._load(rows, self._labels(y, len(rows), getattr(self, "classes_", None)))
            self._seed = getattr(self, "_seed", 0) + 1
        asked = asked_options(self, self._seed) | {"ema": 0.0, "validation_fraction": 0.0, "max_epochs": 1}
        self.options_ = choose_options(len(data), self.module_, asked, constant=True)
        with threads_set(self.options_.threads):
            if first:
                begin(self.module_, data, self.options_)
            state = getattr(self, "_optimizer_state", None)
            history, self._optimizer_state = train(
                self.module_, data, self.options_, callback=self.callback, state=state
            )
        self.history_ = self.history_ + history
        self._finish()
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of rows, ``(n, values of a code)``; a map or sequence is flattened."""
        rows = self._rows(X)
        codes = torch.cat([encode(self.module_, stored) for stored in self._blocks(rows)])
        return codes.numpy().astype(float_of(rows), copy=False)

    def inverse_transform(self, Z: Any) -> Any:
        """Return the rows that codes ``(n, values of a code)`` stand for, as the fitted data were."""
        check_is_fitted(self, "module_")
        Z = np.asarray(Z, dtype=np.float64)
        wanted = int(np.prod(self.code_shape_))
        if Z.ndim != 2 or Z.shape[1] != wanted:
            raise ValueError(f"expected codes of shape (n, {wanted}), got {Z.shape}.")
        z = torch.from_numpy(Z).view(len(Z), *self.code_shape_)
        return self.modality_.to_rows(decode(self.module_, z, self.module_.loss.mean))

    def reconstruct(self, X: Any) -> Any:
        """Return what the decoder makes of the rows' codes, as the fitted data were."""
        rows = self._rows(X)
        return joined([self.modality_.to_rows(self.reconstruct_batch(block)) for block in self._blocks(rows)], rows)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction cost in nats, ``(n,)``: higher is more normal."""
        found = [costs(self.module_, stored) for stored in self._blocks(self._rows(X))]
        return -torch.cat(found).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of :meth:`score_samples`."""
        return float(self.score_samples(X).mean())

    def log_likelihood(self, X: Any, n_samples: int = 100, random_state: Any = None) -> np.ndarray:
        """Return estimates of the rows' log-likelihood in nats, ``(n,)``, by importance sampling.

        Too low on average, by less with more samples. Raises ValueError if the code has no
        density. See :func:`isthmus.inference.log_likelihood`.
        """
        rows = self._rows(X)
        require_ability(self.module_.bottleneck, "draw", "log_likelihood")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        found = [log_likelihood(self.module_, block, n_samples, seed + i) for i, block in enumerate(self._blocks(rows))]
        return torch.cat(found).numpy()

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Return rows drawn from the model, as the fitted data were.

        Raises
        ------
        ValueError
            If the bottleneck has no prior to draw codes from.
        """
        check_is_fitted(self, "module_")
        bottleneck = self.module_.bottleneck
        require_ability(bottleneck, "sample")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        with seeded(seed, str(self._weight.device)), torch.no_grad():
            z = bottleneck.sample(n_samples, self.code_shape_[:-1])
            return self.modality_.to_rows(decode(self.module_, z, self.module_.loss.draw))

    def steps(self, stored: Batch) -> Iterator[tuple[slice, Step]]:
        """Yield ``(slice, step)`` for stored rows in pieces: all that the network makes of them."""
        return steps(self.module_, stored)

    def reconstruct_batch(self, stored: Batch) -> Tensor:
        """Return the expected values of stored rows, on the processor."""
        return torch.cat([self.module_.loss.mean(step.output).cpu() for _, step in self.steps(stored)])

    @property
    def _n_features_out(self) -> int:
        return int(np.prod(self.code_shape_))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _begin(self, X: Any, y: Any) -> tuple[Any, int]:
        """Build the network for rows; return them as stored examples, and the seed of the fit."""
        check_settings(self)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows = self._fit_modality(as_rows(X))
        self._remember_features(rows)
        labels, device = self._labels(y, len(rows), None), device_of(self.device)
        classes = len(getattr(self, "classes_", ()))
        with seeded(seed, device):
            self.module_ = build_module(self.modality_, vars(self), device, dtype_of(self.dtype, device), classes)
        return self._load(rows, labels), seed

    def _choose(self, data: Any, seed: int) -> None:
        self.options_ = choose_options(len(data), self.module_, asked_options(self, seed))
        logger.info("fit %d rows: %s", len(data), self.options_)

    def _fit_modality(self, rows: Rows) -> Rows:
        """Fit the modality, and return the rows as it counts them."""
        modality = part_of(default_modality(rows) if self.modality is None else self.modality, "modalities")
        rows = gathered(modality, rows)
        # A closed form's small matrices gain nothing from threads, and lose much on a busy machine.
        with threads_set(1):
            self.modality_ = modality.fit(rows)
        return rows

    def _remember_features(self, rows: Rows) -> None:
        if isinstance(rows, FrameRows) and rows.container != "numpy":
            self.feature_names_in_ = np.array(rows.frame.columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.n_features_in_ = width_of(rows) or int(np.prod(self.modality_.example()["shape"]))

    def _labels(self, y: Any, n: int, classes: np.ndarray | None) -> Tensor | None:
        """Return the labels as positions in ``classes_``, if a part asks for them."""
        if not wants_labels(vars(self)):
            if hasattr(self, "classes_"):
                del self.classes_  # of an earlier fit
            return None
        self.classes_, labels = label_codes(y, n, classes)
        return labels

    def _load(self, rows: Rows, labels: Tensor | None) -> Any:
        return load(rows, self.modality_, self._weight.dtype, self._weight.device.type, labels)

    def _finish(self) -> None:
        self.code_shape_ = code_shape(self.module_.eval())

    @property
    def _weight(self) -> Tensor:
        """Any weight, for the device and dtype of them all."""
        return next(self.module_.parameters())

    def _blocks(self, rows: Rows) -> Iterator[Batch]:
        return blocks(rows, self.modality_, self._weight.dtype)

    def _rows(self, X: Any) -> Rows:
        check_is_fitted(self, "module_")
        rows = gathered(self.modality_, as_rows(X))
        check_width(rows, self.n_features_in_, type(self).__name__)
        return rows
