"""Denoising: what the code cannot carry is noise."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state

from isthmus.batch import Batch
from isthmus.estimator import AutoEncoder
from isthmus.guards import seeded
from isthmus.jobs.baselines import PCAProjection, Smooth, Unchanged, matrix_of
from isthmus.jobs.job import Job, is_table
from isthmus.modalities import Images
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = ["Denoiser"]


class Denoiser(Job):
    """Give back the clean row behind a noisy one.

    Fitted on clean rows: the auto-encoder's corruption makes the noise that it learns to
    take away, so it should be like the noise that is to come. Missing cells of a table are
    filled in as well.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder, with a corruption; by default :meth:`default_estimator`.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own, and of the noise in :meth:`compare`.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    n_features_in_, feature_names_in_
        As of the auto-encoder.

    Raises
    ------
    ValueError
        If the auto-encoder has no corruption.

    References
    ----------
    Vincent et al., "Extracting and composing robust features with denoising autoencoders",
    ICML 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images[:300]
    >>> model = AutoEncoder(corruption="gaussian_noise(scale=0.3)", max_epochs=3, random_state=0)
    >>> Denoiser(model).fit(images).denoise(images[:2]).shape
    (2, 8, 8)
    """

    verb: ClassVar[str] = "denoise"

    def __init__(self, estimator: AutoEncoder | None = None, *, random_state: Any = None):
        self.estimator = estimator
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given.

        Images learn to lose Gaussian noise, a fifth of the range of pixels; tables to put
        right cells that were swapped with another row's. The code is wide: it is the
        corruption, not the bottleneck, that keeps the model from copying.
        """
        if is_table(X):
            return AutoEncoder(bottleneck="linear(size=32)", corruption="swap_rows")
        return AutoEncoder(bottleneck="linear(size=64)", corruption="gaussian_noise(scale=0.2)")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on clean rows; the auto-encoder's corruption makes the noise.

        Parameters
        ----------
        X : array-like, data frame or Rows
            Clean rows.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        rows = as_rows(X)
        estimator = self._prepared(rows)
        if estimator.corruption is None:
            raise ValueError(
                "a Denoiser learns from a corruption, and its estimator has none; "
                "give it one that is like your noise, such as AutoEncoder(corruption='gaussian_noise(scale=0.2)')."
            )
        self.estimator_ = estimator.fit(rows)
        return self

    def denoise(self, X: Any) -> Any:
        """Return the rows without noise, as the fitted rows were."""
        rows = self._rows(X)
        return self.estimator_.reconstruct(rows)

    def baselines(self) -> dict[str, Any]:
        """Return doing nothing, PCA, and the filters that images have besides.

        They are fitted on noisy rows and the clean rows behind them, and choose their own
        strength by these: all are given the benefit of knowing the noise.
        """
        known: dict[str, Any] = {"nothing": Unchanged(), "PCA": PCAProjection()}
        if hasattr(self, "estimator_") and not isinstance(self.estimator_.modality_, Images):
            return known
        return known | {"median filter": Smooth("median"), "Gaussian filter": Smooth("gaussian")}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return the error per method.

        Parameters
        ----------
        train : array-like, data frame or Rows
            Clean rows.
        test : array-like, data frame or Rows
            Noisy rows; without ``y`` clean ones, on which the auto-encoder's own corruption
            is put.
        y : array-like, data frame or Rows, optional
            The clean rows of ``test``.

        Returns
        -------
        list of dict
            ``method`` and ``mse``: the mean squared error of a number, in the units of the
            batch (pixels between 0 and 1, or a column's standard deviations), and with
            categories ``wrong``, the share of them that are not right.
        """
        job = self._fitted(train)
        model, modality = job.estimator_, job.estimator_.modality_
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        clean_train, noisy = job._batch(train), job._batch(test)
        noisy_train = job._corrupted(clean_train, seed)
        clean, noisy = (noisy, job._corrupted(noisy, seed + 1)) if y is None else (job._batch(y), noisy)
        restored = noisy.with_x(model.reconstruct_batch(noisy))
        table = [{"method": "auto-encoder"} | _figures(modality, clean, _numbers(modality, Batch(restored.x)))]
        for name, baseline in job.baselines().items():
            baseline.fit(_numbers(modality, noisy_train), _numbers(modality, clean_train))
            given = baseline.transform(_numbers(modality, noisy))
            table.append({"method": name} | _figures(modality, clean, given))
        return table

    def _batch(self, X: Any) -> Batch:
        modality = self.estimator_.modality_
        return modality.expand(modality.to_batch(self._rows(X), self._dtype))

    def _corrupted(self, clean: Batch, seed: int) -> Batch:
        """Return the batch with the auto-encoder's corruption on it: one seed, one noise, on any device."""
        corruption = clone(self.estimator_.module_.corruption).build(**self.estimator_.modality_.example())
        with seeded(seed), torch.no_grad():
            return corruption(clean)


def _numbers(modality: Part, batch: Batch) -> np.ndarray:
    """Return what a baseline reads: pixels ``(n, h, w, c)``, or a matrix."""
    return batch.x.double().numpy() if isinstance(modality, Images) else matrix_of(modality, batch)


def _figures(modality: Part, clean: Batch, restored: np.ndarray) -> dict[str, float]:
    truth = _numbers(modality, clean)
    symbols = modality.example().get("categories")
    if not symbols:
        return {"mse": float(np.square(truth - restored)[_observed(clean).reshape(truth.shape)].mean())}
    squares, wrong, start = [], [], 0
    for column, kind in enumerate(symbols):
        cells = slice(start, start + max(1, kind))
        start = cells.stop
        seen = slice(None) if clean.mask is None else clean.mask[:, column].numpy()
        right, given = truth[..., cells][seen], restored[..., cells][seen]
        if kind > 1:
            wrong.append(right.argmax(1) != given.argmax(1))
        else:
            squares.append(((right - given) ** 2).ravel())
    figures = {"mse": float(np.concatenate(squares).mean())} if squares else {}
    return figures | ({"wrong": float(np.concatenate(wrong).mean())} if wrong else {})


def _observed(batch: Batch) -> np.ndarray:
    """Return which values were observed, in the shape of ``x``; a mask over positions covers all channels."""
    if batch.mask is None:
        return np.ones(batch.x.shape, bool)
    mask = batch.mask if batch.mask.ndim == batch.x.ndim else batch.mask.unsqueeze(-1)
    return mask.expand_as(batch.x).numpy()
