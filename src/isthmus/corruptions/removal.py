"""Taking values away: masked cells and positions, cells swapped between rows."""

from __future__ import annotations

import torch

from isthmus.batch import Batch
from isthmus.corruptions.noise import check_share
from isthmus.part import Part

__all__ = ["Mask", "SwapRows"]


class Mask(Part):
    """Hide a share of the cells of a table, or of the positions of anything else.

    What is hidden reads as not observed: zero, with the mask beside it where the encoder
    reads masks. The loss still asks for it, so the model learns to fill in.

    Parameters
    ----------
    share : float, default=0.25
        Probability of each cell or position to be hidden.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If share is not within 0 and 1.

    References
    ----------
    Vincent et al., 2008, "Extracting and composing robust features with denoising
    autoencoders" (masking noise). Differs: the encoder is told what was hidden.

    Examples
    --------
    >>> Mask(1.0).build(shape=[3])(Batch(torch.ones(2, 3))).mask.any()
    tensor(False)
    """

    def __init__(self, share: float = 0.25):
        super().__init__()
        self.share = share

    def setup(self, shape, categories=None) -> None:
        """Remember whether values or positions are hidden."""
        check_share("share", self.share)
        self.is_flat = len(shape) == 1

    def forward(self, target: Batch) -> Batch:
        """Return the batch with less in its mask, and zero where nothing shows."""
        x = target.x
        kept = torch.rand(x.shape if self.is_flat else x.shape[:-1], device=x.device) >= self.share
        mask = kept
        if target.mask is not None:
            mask = target.mask & (kept if target.mask.ndim == kept.ndim else kept.unsqueeze(-1))
        return Batch(x * (mask if mask.ndim == x.ndim else mask.unsqueeze(-1)), mask, target.condition)


class SwapRows(Part):
    """Replace a share of the values by the same channel's value in another row of the batch.

    Fits every type of column: what is put in is always a value that occurs.

    Parameters
    ----------
    share : float, default=0.15
        Probability of each value to be replaced.

    Facts
    -----
    shape, categories
        As for :class:`Mask`.

    Raises
    ------
    ValueError
        If share is not within 0 and 1.

    References
    ----------
    M. Jahrer, first place in "Porto Seguro's safe driver prediction", 2017 ("swap noise").

    Examples
    --------
    >>> rows = torch.arange(4.0)[:, None]
    >>> sorted(SwapRows(0.0).build(shape=[1])(Batch(rows)).x.flatten().tolist())
    [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, share: float = 0.15):
        super().__init__()
        self.share = share

    def setup(self, shape, categories=None) -> None:
        """Check the params."""
        check_share("share", self.share)

    def forward(self, target: Batch) -> Batch:
        """Return the batch with values (and their masks) swapped in."""
        x, mask = target.x, target.mask
        hit = torch.rand(x.shape, device=x.device) < self.share
        row = torch.arange(len(x), device=x.device).view(-1, *[1] * (x.ndim - 1))
        donor = (row + torch.randint(1, max(2, len(x)), x.shape, device=x.device)) % len(x)
        if mask is not None and mask.shape == x.shape:
            mask = torch.where(hit, mask.gather(0, donor), mask)
        elif mask is not None:
            # One mask for all channels cannot say that some of them came from a hidden position.
            hit &= mask.unsqueeze(-1).expand_as(x).gather(0, donor)
        return Batch(torch.where(hit, x.gather(0, donor), x), mask, target.condition)
