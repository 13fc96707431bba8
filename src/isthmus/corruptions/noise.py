"""Noise on values: Gaussian, salt and pepper."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.part import Part

__all__ = ["GaussianNoise", "SaltAndPepper"]


class GaussianNoise(Part):
    """Add normal noise to every number; booleans and categories stay as they are.

    Parameters
    ----------
    scale : float, default=0.1
        Standard deviation of the noise, in the units of the batch: standard deviations of
        a table's column, or the range 0 to 1 of an image.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Symbols in each column of a table; 0 for a number.

    Raises
    ------
    ValueError
        If scale is negative.

    References
    ----------
    Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> noise = GaussianNoise(0.5).build(shape=[3])
    >>> noise(Batch(torch.zeros(2, 3))).x.shape
    torch.Size([2, 3])
    """

    def __init__(self, scale: float = 0.1):
        super().__init__()
        self.scale = scale

    def setup(self, shape, categories=None) -> None:
        """Remember which channels may be changed."""
        if not self.scale >= 0:
            raise ValueError(f"scale must be at least 0, got {self.scale}.")
        self.register_buffer("numbers", _channels(shape, categories, most=0), persistent=False)

    def forward(self, target: Batch) -> Batch:
        """Return the batch with noise."""
        return target.with_x(target.x + self.scale * self.numbers * torch.randn_like(target.x))


class SaltAndPepper(Part):
    """Set a share of the values to the batch's lowest or highest, at even odds.

    Per channel; categories stay as they are.

    Parameters
    ----------
    share : float, default=0.1
        Probability of each value to be hit.

    Facts
    -----
    shape, categories
        As for :class:`GaussianNoise`.

    Raises
    ------
    ValueError
        If share is not within 0 and 1.

    References
    ----------
    Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010, section 3.3.

    Examples
    --------
    >>> noise = SaltAndPepper(1.0).build(shape=[1])
    >>> sorted(set(noise(Batch(torch.rand(50, 1).round())).x.flatten().tolist()))
    [0.0, 1.0]
    """

    def __init__(self, share: float = 0.1):
        super().__init__()
        self.share = share

    def setup(self, shape, categories=None) -> None:
        """Remember which channels may be changed."""
        check_share("share", self.share)
        self.register_buffer("flat", _channels(shape, categories, most=1) > 0, persistent=False)

    def forward(self, target: Batch) -> Batch:
        """Return the batch with salt and pepper."""
        x = target.x
        over = tuple(range(x.ndim - 1))
        extreme = torch.where(torch.rand_like(x) < 0.5, x.amin(over), x.amax(over))
        hit = (torch.rand_like(x) < self.share) & self.flat
        return target.with_x(torch.where(hit, extreme, x))


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless value is a share."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be within 0 and 1, got {value}.")


def _channels(shape, categories, most: int) -> Tensor:
    """Return 1.0 for each channel with at most this many symbols, else 0.0."""
    kinds = torch.tensor(categories or [0] * shape[-1])
    return (kinds <= most).float()
