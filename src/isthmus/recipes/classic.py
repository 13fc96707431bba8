"""Codes that reconstruct, from rows made harder or penalised."""

from __future__ import annotations

from typing import Any

from isthmus.bottlenecks import Linear
from isthmus.corruptions import Mask, MaskPatches
from isthmus.estimator import AutoEncoder
from isthmus.networks import MLPDecoder, MLPEncoder, RecurrentDecoder, RecurrentEncoder
from isthmus.penalties import Contractive, KLSparsity
from isthmus.recipes.making import Modality, joined

__all__ = [
    "contractive_autoencoder",
    "deep_autoencoder",
    "denoising_autoencoder",
    "masked_autoencoder",
    "seq2seq_autoencoder",
    "sparse_autoencoder",
]


def deep_autoencoder(
    modality: Modality = None,
    *,
    hidden: tuple[int, ...] = (1000, 500, 250),
    size: int = 30,
    activation: str = "silu",
    **options: Any,
) -> AutoEncoder:
    """Deep auto-encoder (Hinton & Salakhutdinov, Science 313, 2006).

    Differs: SiLU for logistic units; mirrored layers, which begin at PCA, for layer-wise
    pre-training; AdamW for conjugate gradients.

    Parameters
    ----------
    modality : Part or str, optional
        As of :class:`~isthmus.estimator.AutoEncoder`.
    hidden : tuple of int, default=(1000, 500, 250)
        The encoder's layers; the decoder's are the same, reversed.
    size : int, default=30
        Dimensions of the code.
    activation : str, default='silu'
        silu, gelu, relu or softplus.
    **options
        Of :class:`~isthmus.estimator.AutoEncoder`.
    """
    layers: dict[str, Any] = {"activation": activation, "shortcut": False, "mirrored": True}
    parts = {
        "bottleneck": Linear(size),
        "encoder": MLPEncoder(hidden, **layers),
        "decoder": MLPDecoder(tuple(hidden)[::-1], **layers),
    }
    return joined(modality, parts, options)


def sparse_autoencoder(
    modality: Modality = None, *, size: int = 100, activity: float = 0.05, weight: float = 3.0, **options: Any
) -> AutoEncoder:
    """Sparse auto-encoder (Ng, CS294A lecture notes, 2011): sigmoid units that are seldom on.

    Differs: weight decay is AdamW's.
    """
    parts = {
        "bottleneck": Linear(size, activation="sigmoid"),
        "encoder": MLPEncoder((), shortcut=False),
        "decoder": MLPDecoder((), shortcut=False),
        "penalties": (KLSparsity(activity, weight),),
    }
    return joined(modality, parts, options)


def denoising_autoencoder(
    modality: Modality = None, *, size: int | None = None, share: float = 0.25, **options: Any
) -> AutoEncoder:
    """Denoising auto-encoder (Vincent et al., ICML 2008): a share of the cells is hidden.

    Differs: the encoder is told which cells are hidden; the loss counts all cells alike.
    """
    return joined(modality, {"bottleneck": Linear(size), "corruption": Mask(share)}, options)


def contractive_autoencoder(
    modality: Modality = None, *, size: int = 1000, weight: float = 0.1, **options: Any
) -> AutoEncoder:
    """Contractive auto-encoder (Rifai et al., ICML 2011): one layer of sigmoid units, tied weights."""
    parts = {
        "bottleneck": Linear(size, activation="sigmoid"),
        "encoder": MLPEncoder((), shortcut=False),
        "decoder": MLPDecoder(tied=True, shortcut=False),
        "penalties": (Contractive(weight),),
    }
    return joined(modality, parts, options)


def masked_autoencoder(
    modality: Modality = None, *, size: int = 64, patch: int = 4, share: float = 0.75, **options: Any
) -> AutoEncoder:
    """Masked auto-encoder (He et al., CVPR 2022, https://arxiv.org/abs/2111.06377): most patches hidden.

    Differs: one code for the whole image instead of one for each visible patch; the modality's
    network in place of a vision transformer; the loss counts visible patches too.
    """
    return joined(modality, {"bottleneck": Linear(size), "corruption": MaskPatches(patch, share)}, options)


def seq2seq_autoencoder(
    modality: Modality = "sequences", *, size: int = 16, width: int = 128, cell: str = "lstm", **options: Any
) -> AutoEncoder:
    """Recurrent auto-encoder (Srivastava et al., 2015, https://arxiv.org/abs/1502.04681): read, then say backwards."""
    parts = {
        "bottleneck": Linear(size),
        "encoder": RecurrentEncoder(cell, width),
        "decoder": RecurrentDecoder(cell, width, autoregressive=True, reversed=True),
    }
    return joined(modality, parts, options)
