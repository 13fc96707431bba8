"""Bottlenecks: what the code is."""

from isthmus.bottlenecks.gaussian import Gaussian
from isthmus.bottlenecks.linear import Linear

__all__ = ["Gaussian", "Linear"]
