"""Codecs: auto-encoders whose codes are whole numbers, weighed by what it takes to write them."""

from __future__ import annotations

from typing import Any

from isthmus.bottlenecks import EntropyBottleneck
from isthmus.building import quick_dtype
from isthmus.estimator import AutoEncoder
from isthmus.losses import SquaredError
from isthmus.networks import GDNDecoder, GDNEncoder, LappedDecoder, LappedEncoder
from isthmus.recipes.making import Modality, joined

__all__ = ["gdn_codec", "lapped_codec"]

TRADE_OFFS = (0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483, 0.0932, 0.18)


def lapped_codec(
    modality: Modality = "images",
    *,
    channels: int = 192,
    branch: tuple[int, ...] = (64, 96),
    filter: tuple[int, ...] = (96, 96),
    trade_offs: tuple[float, ...] = TRADE_OFFS,
    **options: Any,
) -> AutoEncoder:
    """Compressive auto-encoder (Theis et al., 2017, https://arxiv.org/abs/1703.00395) for a processor.

    Theirs: rounding with the identity's gradient, the gradient of clipping, scales for other rates,
    blocks of pixels as channels. Differs: networks are a lapped transform, begun in closed form,
    and a small filter, a fraction of the arithmetic; a rate of uniform noise under mixed logistic
    densities for a bound of Gaussian mixtures; all qualities learn at once rather than scales after
    the rest; no channels are unmasked one by one, as they begin in order; the averaged weights are kept.

    Parameters
    ----------
    modality : Part or str, default='images'
        As of :class:`~isthmus.estimator.AutoEncoder`. Fit on crops: :class:`~isthmus.reading.ImageCrops`.
    channels : int, default=192
        Coefficients for each block of 16 x 16 pixels.
    branch : tuple of int, default=(64, 96)
        Of :class:`~isthmus.networks.LappedEncoder`: costs the decoder nothing.
    filter : tuple of int, default=(96, 96)
        Of :class:`~isthmus.networks.LappedDecoder`.
    trade_offs : tuple of float
        Of :class:`~isthmus.bottlenecks.EntropyBottleneck`.
    **options
        Of :class:`~isthmus.estimator.AutoEncoder`.
    """
    parts = {
        "encoder": LappedEncoder(channels, branch=branch),
        "bottleneck": EntropyBottleneck(trade_offs),
        "decoder": LappedDecoder(filter=filter, told=True),
        "loss": SquaredError(),
    }
    return joined(modality, parts, _schedule() | options)


def gdn_codec(
    modality: Modality = "images",
    *,
    channels: tuple[int, ...] = (128, 128, 128),
    back: tuple[int, ...] = (128, 96, 64),
    size: int = 192,
    trade_offs: tuple[float, ...] = TRADE_OFFS,
    **options: Any,
) -> AutoEncoder:
    """Factorised-prior codec (Balle et al., 2017, https://arxiv.org/abs/1611.01704, and 2018, 1802.01436) for a GPU.

    Differs: a lapped transform beside the convolutions, with which it begins; simplified
    normalisation (Johnston et al., 2019); a narrower decoder; one model for all qualities (gains of
    Cui et al., 2021); the decoder sees rounded numbers and the rate noisy ones; mixed logistics
    for their density of monotone networks.

    Parameters
    ----------
    modality : Part or str, default='images'
        As of :class:`~isthmus.estimator.AutoEncoder`. Fit on crops: :class:`~isthmus.reading.ImageCrops`.
    channels, back : tuple of int, default=(128, 128, 128), (128, 96, 64)
        Of :class:`~isthmus.networks.GDNEncoder` and :class:`~isthmus.networks.GDNDecoder`.
    size : int, default=192
        Numbers for each block of 16 x 16 pixels.
    trade_offs : tuple of float
        Of :class:`~isthmus.bottlenecks.EntropyBottleneck`.
    **options
        Of :class:`~isthmus.estimator.AutoEncoder`.
    """
    parts = {
        "encoder": GDNEncoder(channels, size),
        "bottleneck": EntropyBottleneck(trade_offs),
        "decoder": GDNDecoder(back, told=True),
        "loss": SquaredError(),
    }
    return joined(modality, parts, _schedule() | options)


def _schedule() -> dict[str, Any]:
    """Return how codecs are fitted: small batches of large crops, and no decay of transforms that are orthonormal.

    In bfloat16 where processors have it: twice the steps a minute, and held-out costs are the same.
    """
    return {"batch_size": 8, "learning_rate": 1e-3, "weight_decay": 0.0, "dtype": quick_dtype()}
