"""An auto-encoder as the predictor of arrays: what its decoder makes of codes that are sent along."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from isthmus.coding import CorruptStreamError, decode_field, decode_near, encode_field, encode_near
from isthmus.estimator import AutoEncoder
from isthmus.guards import threads_set
from isthmus.jobs.identity import identity

__all__ = ["ModelPredictor"]

# What is kept of the bound for predictions that come out a little different elsewhere.
SLACK = 1 / 32
PROBES = 16
# Steps of the codes, as shares of their standard deviations, that are tried on the first block.
GRAINS = (1 / 2, 1 / 8, 1 / 32, 1 / 128)
HEAD = struct.Struct("<II")


class ModelPredictor:
    """Codes blocks of rows as rounded codes of an auto-encoder, and what its decoder misses.

    Parameters
    ----------
    model : AutoEncoder or job
        Fitted on rows such as ``array[i]``.

    Notes
    -----
    Codes are rounded to steps and sent as whole numbers; the prediction is what the decoder
    makes of the *rounded* codes, computed with one thread on the rows of one block, in the
    encoder just as in the decoder. What is left is coded in steps from there, and its entropy
    coding never looks at the prediction: a stream always decodes to the same whole numbers.

    What is added to them, the prediction, is floating-point work of a network, and another
    processor or version of torch may give it other last bits. A thirty-second part of the bound is
    kept for that: the bound holds wherever predictions are within ``bound / 32`` of the
    encoder's. Sixteen predictions of each block are in the file, and a decoder that finds one
    of them farther off refuses. That is a sample, not a proof; who needs one on machines not
    under control codes without a model, where everything is exact.

    Stream: number of codes of a row (u32), length of the codes (u32), their steps (f64 each),
    16 predictions (f64 each), codes, what is left.
    """

    def __init__(self, model: Any):
        check_is_fitted(model)
        self._model = getattr(model, "estimator_", model)
        if not isinstance(self._model, AutoEncoder):
            raise TypeError(f"model must be a fitted AutoEncoder or a job, got {type(model).__name__}.")
        self.id = int(identity(self._model.module_, {}), 16)
        self._grains: tuple[float, ...] = GRAINS

    def encode(self, values: np.ndarray, bound: float) -> bytes | None:
        """Return the stream of a block of rows ``(n, ...)``; None if its bound is too narrow."""
        finite = np.where(np.isfinite(values), values, values.dtype.type(0))
        with threads_set(1):
            codes = np.asarray(self._model.transform(finite.astype(np.float64)), np.float64)
        tried = {grain: self._encode(values, bound, codes, grain) for grain in self._grains}
        streams = {grain: stream for grain, stream in tried.items() if stream is not None}
        if not streams:
            return None
        best = min(streams, key=lambda grain: len(streams[grain]))
        self._grains = (best,)
        return streams[best]

    def decode(self, data: memoryview, shape: tuple[int, ...], dtype: np.dtype, bound: float) -> np.ndarray:
        """Return the block of a stream.

        Raises
        ------
        CorruptStreamError
            If it is damaged.
        ValueError
            If this machine's predictions are too far from those of the encoder.
        """
        if len(data) < HEAD.size:
            raise CorruptStreamError(f"a block of codes cannot have {len(data)} bytes.")
        size, length = HEAD.unpack_from(data)
        floats, begin = size + PROBES, HEAD.size + 8 * (size + PROBES)
        if size != int(np.prod(self._model.code_shape_)) or begin + length > len(data):
            raise CorruptStreamError("a block of codes is damaged: its header does not fit.")
        numbers = np.frombuffer(data, "<f8", floats, HEAD.size)
        steps, probes = numbers[:size], numbers[size:]
        codes = decode_field(data[begin : begin + length], (shape[0], size))
        predicted = self._predict(codes, steps, shape)
        off = float(np.abs(predicted.ravel()[_probed(predicted.size)] - probes).max())
        if not off <= bound * SLACK:
            raise ValueError(
                f"the model predicts otherwise here than where the file was written, by {off:.2g}; the bound leaves "
                f"{bound * SLACK:.2g}. Decompress it with the versions it was written with, on a processor."
            )
        return decode_near(data[begin + length :], shape, dtype, prediction=predicted)

    def _encode(self, values: np.ndarray, bound: float, codes: np.ndarray, grain: float) -> bytes | None:
        steps = np.maximum(codes.std(axis=0) * grain, 2.0**-100)
        whole = np.rint(np.clip(codes / steps, -(2.0**40), 2.0**40)).astype(np.int64)
        predicted = self._predict(whole, steps, values.shape)
        left = encode_near(values, bound * (1 - SLACK), prediction=predicted)
        if left is None:
            return None
        packed = encode_field(whole)
        probes = predicted.ravel()[_probed(predicted.size)]
        numbers = np.concatenate([steps, probes]).astype("<f8").tobytes()
        return HEAD.pack(len(steps), len(packed)) + numbers + packed + left

    def _predict(self, codes: np.ndarray, steps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the finite predictions of a block from its rounded codes, float64."""
        with threads_set(1), np.errstate(all="ignore"):
            rows = np.asarray(self._model.inverse_transform(codes * steps), np.float64)
        return np.nan_to_num(rows.reshape(shape), nan=0.0, posinf=0.0, neginf=0.0)


def _probed(size: int) -> np.ndarray:
    return np.linspace(0, size - 1, PROBES).astype(np.intp)
