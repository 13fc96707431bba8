"""Codes that know what belongs together, or keep it apart."""

from __future__ import annotations

from typing import Any

from isthmus.bottlenecks import Gaussian, Linear, Split
from isthmus.estimator import AutoEncoder
from isthmus.losses import GaussianLikelihood
from isthmus.penalties import ContrastivePrediction, DeepInfoMax, LabelClassifier
from isthmus.recipes.making import Modality, joined

__all__ = [
    "content_style_autoencoder",
    "contrastive_predictive_coding",
    "deep_infomax",
]


def content_style_autoencoder(
    modality: Modality = None, *, content: int = 8, style: int = 4, adversarial: bool = False, **options: Any
) -> AutoEncoder:
    """Content and style apart (Chou et al., 2018, https://arxiv.org/abs/1804.02812, and 2019, 1904.05742).

    Content is coded at each position from features without their mean and spread, style once
    for the example. With ``adversarial`` (and labels of the style, ``fit(X, y)``) a critic
    keeps the label out of the content.
    """
    factors = {"content": Linear(content), "style": Gaussian(style)}
    penalties = (LabelClassifier(adversarial=True, factor="content"),) if adversarial else ()
    parts = {
        "bottleneck": Split(factors, pooled=("style",), normalized=("content",)),
        "penalties": penalties,
    }
    return joined(modality, parts, options)


def contrastive_predictive_coding(
    modality: Modality = "sequences", *, size: int = 32, ahead: int = 3, **options: Any
) -> AutoEncoder:
    """Contrastive predictive coding (van den Oord et al., 2018, https://arxiv.org/abs/1807.03748).

    Differs: a weak reconstruction stays beside it.
    """
    parts = {
        "bottleneck": Linear(size),
        "encoder": "temporal_encoder(summary='steps')",
        "loss": GaussianLikelihood(5.0),
        "penalties": (ContrastivePrediction(ahead=ahead),),
    }
    return joined(modality, parts, options)


def deep_infomax(modality: Modality = None, *, size: int = 64, **options: Any) -> AutoEncoder:
    """Deep InfoMax (Hjelm et al., 2019, https://arxiv.org/abs/1808.06670): the code knows its image's patches.

    Differs: a weak reconstruction stays beside it.
    """
    parts = {"bottleneck": Linear(size), "loss": GaussianLikelihood(5.0), "penalties": (DeepInfoMax(),)}
    return joined(modality, parts, options)
