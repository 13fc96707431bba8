"""Codes of symbols."""

from __future__ import annotations

from typing import Any

from isthmus.bottlenecks import Binary, FiniteScalar, Grouped, OneHot, Residual, VectorQuantizer
from isthmus.estimator import AutoEncoder
from isthmus.losses import GaussianLikelihood
from isthmus.penalties import Consistency, Information
from isthmus.priors import Autoregressive
from isthmus.recipes.making import Modality, joined

__all__ = [
    "fsq_vae",
    "gumbel_softmax_vae",
    "imsat",
    "rq_vae",
    "semantic_hashing",
    "vq_vae",
]


def gumbel_softmax_vae(
    modality: Modality = None, *, groups: int = 20, categories: int = 10, **options: Any
) -> AutoEncoder:
    """Categorical VAE (Jang et al., https://arxiv.org/abs/1611.01144; Maddison et al., both 2017)."""
    return joined(modality, {"bottleneck": OneHot(categories, groups=groups)}, options)


def semantic_hashing(modality: Modality = None, *, bits: int = 32, balance: float = 0.1, **options: Any) -> AutoEncoder:
    """Semantic hashing (Salakhutdinov & Hinton, 2009): binary codes to search by.

    Differs: straight-through gradients for noise that saturates the units, as in NASH (Shen et
    al., 2018, https://arxiv.org/abs/1805.05361); bits are held to be on half of the time.
    """
    return joined(modality, {"bottleneck": Binary(bits, balance=balance)}, options)


def vq_vae(
    modality: Modality = None, *, symbols: int = 512, groups: int = 1, prior: bool = True, **options: Any
) -> AutoEncoder:
    """VQ-VAE (van den Oord et al., 2017, https://arxiv.org/abs/1711.00937).

    ``groups`` symbols for each vector, for networks that give one vector an example; with
    ``prior`` an autoregressive prior learns beside, so that the model generates.

    Differs: codebooks follow running means, in a narrow space, begin at k-means, and revive
    dead codes; the prior is a small transformer that learns in the same fit.
    """
    density = Autoregressive() if prior else None
    quantizer = VectorQuantizer(symbols)
    bottleneck = Grouped(quantizer, groups, prior=density) if groups > 1 else VectorQuantizer(symbols, prior=density)
    return joined(modality, {"bottleneck": bottleneck}, options)


def fsq_vae(
    modality: Modality = None, *, levels: tuple[int, ...] = (8, 5, 5), groups: int = 1, **options: Any
) -> AutoEncoder:
    """Finite scalar quantisation (Mentzer et al., 2024, https://arxiv.org/abs/2309.15505)."""
    quantizer = FiniteScalar(levels)
    return joined(modality, {"bottleneck": Grouped(quantizer, groups) if groups > 1 else quantizer}, options)


def rq_vae(modality: Modality = None, *, symbols: int = 256, depth: int = 4, **options: Any) -> AutoEncoder:
    """Residual quantisation (Lee et al., 2022, https://arxiv.org/abs/2203.01941): each codebook refines the last.

    Differs: a codebook for each depth.
    """
    return joined(modality, {"bottleneck": Residual(VectorQuantizer(symbols), depth)}, options)


def imsat(modality: Modality = None, *, clusters: int = 10, **options: Any) -> AutoEncoder:
    """Information-maximising clusters (Hu et al., 2017, https://arxiv.org/abs/1702.08720): the code is the cluster.

    Differs: a weak reconstruction stays beside consistency and information.
    """
    parts = {
        "bottleneck": OneHot(clusters, beta=0.0),
        "loss": GaussianLikelihood(5.0),
        "penalties": (Consistency(), Information()),
    }
    return joined(modality, parts, options)
