"""Corruptions: what the encoder must see through, while training only."""

from isthmus.corruptions.noise import GaussianNoise, SaltAndPepper
from isthmus.corruptions.removal import Mask, SwapRows

__all__ = ["GaussianNoise", "Mask", "SaltAndPepper", "SwapRows"]
