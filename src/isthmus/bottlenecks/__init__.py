"""Bottlenecks: what the code is."""

from isthmus.bottlenecks.binary import Binary
from isthmus.bottlenecks.entropy import EntropyBottleneck
from isthmus.bottlenecks.gaussian import Gaussian
from isthmus.bottlenecks.linear import Linear
from isthmus.bottlenecks.onehot import OneHot
from isthmus.bottlenecks.picture_file import PictureFile
from isthmus.bottlenecks.residual import Grouped, Residual
from isthmus.bottlenecks.scalar import FiniteScalar
from isthmus.bottlenecks.sphere import Directions, Hyperspherical
from isthmus.bottlenecks.split import Split
from isthmus.bottlenecks.vector import VectorQuantizer

__all__ = [
    "Binary",
    "Directions",
    "EntropyBottleneck",
    "FiniteScalar",
    "Gaussian",
    "Grouped",
    "Hyperspherical",
    "Linear",
    "OneHot",
    "PictureFile",
    "Residual",
    "Split",
    "VectorQuantizer",
]
