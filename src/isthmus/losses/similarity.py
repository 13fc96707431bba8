"""Multi-scale structural similarity: an error of images nearer to what people see."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import bounded
from isthmus.losses.gaussian import observed
from isthmus.losses.pixels import PixelError

__all__ = ["StructuralSimilarity"]

# Wang et al., section 3.2: how much each scale counts, the finest first.
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
# Similarities below this count as this; a power near zero has no finite slope.
LEAST = 0.01


class StructuralSimilarity(PixelError):
    r"""One minus the multi-scale structural similarity of images between 0 and 1, in bits a pixel.

    Parameters
    ----------
    weight : float, default=1280.0
        Bits a pixel that a similarity of 0 costs more than one of 1, where the bottleneck does not weigh
        examples itself. The default makes the trade-offs of :class:`EntropyBottleneck` those that are
        usual for this measure (2.4 to 220).

    Facts
    -----
    shape : list of int
        ``(h, w, c)``.
    categories : list of int, optional
        Taken for every loss; images have none.

    Raises
    ------
    ValueError
        If weight is not positive, or the examples are not images.

    Notes
    -----
    .. math:: w \, n \ln 2 \, (1 - \text{MS}), \qquad
              \text{MS} = (\overline{l_M\, cs_M})^{\beta_M} \prod_{j<M} (\overline{cs_j})^{\beta_j},
              l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}, \quad
              cs = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}

    with means and covariances under a Gaussian window of 11 x 11 pixels, cs (at the last scale
    l cs) averaged over the image, each scale half of the one before; n pixels; the mean over
    channels. A loss of whole images has no cells of its own: :meth:`cells` shares it equally.
    What was not observed is taken to be as the output is.

    References
    ----------
    Wang, Simoncelli & Bovik, "Multi-scale structural similarity for image quality assessment",
    2003, equation 7. Differs: images with a side below 176 pixels have as many scales as the
    window fits into, whose exponents then sum to one, and those below 11 a smaller window; an odd row is
    left out when a scale is halved; similarities below 0.01 count as 0.01.

    Examples
    --------
    >>> loss = StructuralSimilarity().build(shape=[16, 16, 3])
    >>> image = torch.rand(1, 16, 16, 3)
    >>> abs(float(loss(image, Batch(image)))) < 1e-2
    True
    """

    def __init__(self, weight: float = 1280.0):
        super().__init__()
        self.weight = weight

    def setup(self, shape, categories=None) -> None:
        """Choose window and scales."""
        if not self.weight > 0:
            raise ValueError(f"weight must be above 0, got {self.weight}.")
        if len(shape) != 3:
            raise ValueError(
                f"structural similarity is for images (height, width, channels), got examples of shape {tuple(shape)}."
            )
        height, width, self.width = shape
        side = min(height, width)
        length = min(WINDOW, side - (side % 2 == 0))
        scales = min(len(EXPONENTS), int(math.log2(side / length)) + 1)
        self.exponents = [one / sum(EXPONENTS[:scales]) for one in EXPONENTS[:scales]]
        place = torch.arange(length) - length // 2
        window = torch.exp(-0.5 * (place / SIGMA) ** 2)
        self.register_buffer("window", window / window.sum(), persistent=False)
        self.factor = self.weight * math.log(2) * height * width

    def forward(self, output: Tensor, target: Batch) -> Tensor:
        """Return nats, ``(b,)``."""
        seen = self.mean(output)
        x = target.x
        if target.mask is not None:
            mask = target.mask if target.mask.ndim == x.ndim else target.mask.unsqueeze(-1)
            x = torch.where(mask, x, seen)
        return (1 - self.similarity(seen, x)) * self.factor

    def similarity(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the multi-scale structural similarity of images ``(b, h, w, c)``, ``(b,)``, up to 1."""
        x, y = (rearrange(image, "b h w c -> b c h w") for image in (one, other))
        total = x.new_ones(x.shape[:2])
        for scale, exponent in enumerate(self.exponents):
            last = scale == len(self.exponents) - 1
            luminance, structure = self._compared(x, y)
            # The mean of the product over the image, as in single-scale similarity.
            found = (luminance * structure if last else structure).mean((2, 3))
            total = total * bounded(found, LEAST, math.inf).pow(exponent)
            if not last:
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        return total.mean(1)

    def cells(self, output: Tensor, target: Batch) -> Tensor:
        """Return each observed value's equal share of the nats, ``(b, *p, c)``."""
        share = observed(torch.ones_like(target.x), target)
        nats = self.forward(output, target)
        return share * (nats / share.flatten(1).sum(1).clamp_min(1))[:, None, None, None]

    def _compared(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return luminance and structure compared at each place, ``(b, c, h', w')``."""
        mean_x, mean_y, xx, yy, xy = (self._windowed(image) for image in (x, y, x * x, y * y, x * y))
        means = mean_x * mean_y
        squares = mean_x.square() + mean_y.square()
        return (2 * means + C1) / (squares + C1), (2 * (xy - means) + C2) / (xx + yy - squares + C2)

    def _windowed(self, image: Tensor) -> Tensor:
        flat = image.flatten(0, 1).unsqueeze(1)
        flat = F.conv2d(F.conv2d(flat, self.window[None, None, :, None]), self.window[None, None, None])
        return flat.view(*image.shape[:2], *flat.shape[2:])
