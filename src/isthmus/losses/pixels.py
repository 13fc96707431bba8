"""What errors of pixels share: the output is cut to their range."""

from __future__ import annotations

from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import bounded
from isthmus.losses.gaussian import observed
from isthmus.part import Part

__all__ = ["PixelError"]


class PixelError(Part):
    """Base of the errors of values between 0 and 1; nobody's instance."""

    def error(self, output: Tensor, target: Batch) -> Tensor:
        """Return the sum of squared differences over the observed values, ``(b,)``."""
        return observed((self.mean(output) - target.x).square(), target).flatten(1).sum(1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the values, ``(b, *p, c)``, between 0 and 1."""
        return bounded(output, 0.0, 1.0)

    def draw(self, output: Tensor) -> Tensor:
        """Return the values: an error has no distribution to draw from."""
        return self.mean(output)

    def guess(self, target: Batch) -> Tensor:
        """Return an output that would fit the target: where a decoder starts."""
        return target.x
