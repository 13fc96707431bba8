"""Corruptions: what the encoder must see through, while training only."""

from isthmus.corruptions.chain import Chain
from isthmus.corruptions.hiding import MaskPatches, MaskSpans, MaskTime
from isthmus.corruptions.mixing import Blend
from isthmus.corruptions.noise import GaussianNoise, SaltAndPepper
from isthmus.corruptions.removal import Mask, SwapRows
from isthmus.corruptions.warping import Affine, CutOut, Elastic

__all__ = [
    "Affine",
    "Blend",
    "Chain",
    "CutOut",
    "Elastic",
    "GaussianNoise",
    "Mask",
    "MaskPatches",
    "MaskSpans",
    "MaskTime",
    "SaltAndPepper",
    "SwapRows",
]
