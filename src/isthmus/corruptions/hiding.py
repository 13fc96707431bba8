"""Hiding whole positions: patches of images, spans of positions, steps of time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.corruptions.noise import check_share
from isthmus.part import Part

__all__ = ["MaskPatches", "MaskSpans", "MaskTime", "hide"]


class MaskPatches(Part):
    """Hide a share of an image's square patches, as masked auto-encoders do.

    Exactly ``round(share * patches)`` of every image, at random. What is hidden reads as not
    observed: zero, with the mask beside it where the encoder reads masks. The loss still
    asks for it.

    Parameters
    ----------
    size : int, default=4
        Height and width of a patch in pixels; those at the lower and right border are
        smaller where the image is no multiple of it.
    share : float, default=0.75
        Share of the patches to hide.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If the examples are not images, size is below 1, or share is not within 0 and 1.

    References
    ----------
    He et al., "Masked autoencoders are scalable vision learners", CVPR 2022,
    https://arxiv.org/abs/2111.06377. Differs: the encoder is given the whole image with zeros
    and a mask, not the visible patches alone, so that every encoder can be used; the loss
    counts visible pixels as well.

    Examples
    --------
    >>> MaskPatches(4, 0.75).build(shape=[8, 8, 1])(Batch(torch.ones(1, 8, 8, 1))).mask.sum()
    tensor(16)
    """

    def __init__(self, size: int = 4, share: float = 0.75):
        super().__init__()
        self.size = size
        self.share = share

    def setup(self, shape, categories=None) -> None:
        """Count the patches."""
        check_share("share", self.share)
        check_least("size", self.size, 1)
        self.height, self.width, _ = image_shape(self, shape)
        self.grid = (math.ceil(self.height / self.size), math.ceil(self.width / self.size))

    def forward(self, target: Batch) -> Batch:
        """Return the images with patches hidden."""
        n = self.grid[0] * self.grid[1]
        # The ranks of random numbers are a random order of the patches.
        order = torch.rand(len(target), n, device=target.x.device).argsort(1).argsort(1)
        kept = (order >= round(self.share * n)).view(-1, *self.grid)
        pixels = kept.repeat_interleave(self.size, 1).repeat_interleave(self.size, 2)
        return hide(target, pixels[:, : self.height, : self.width])


class MaskSpans(Part):
    """Hide runs of neighbouring positions, so that filling in takes more than the two beside.

    Positions are taken in reading order: the steps of a sequence, the pixels of an image line
    by line. A span begins at each position with equal probability and is ``length`` long;
    spans may overlap and are cut at the end.

    Parameters
    ----------
    share : float, default=0.15
        Expected share of the positions that are hidden, far from the first.
    length : int, default=3
        Positions in a span.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` with at least one position.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If examples have no positions, share is not within 0 and 1, or length is below 1.

    Notes
    -----
    A position stays visible if none of the ``length`` positions up to it begins a span, so a
    span begins with probability ``1 - (1 - share) ** (1 / length)``.

    References
    ----------
    Baevski et al., "wav2vec 2.0", NeurIPS 2020, https://arxiv.org/abs/2006.11477, section 3.1
    (spans of one length that may overlap). Differs: hidden positions read zero, not a learned
    vector; the mask tells the encoder.

    Examples
    --------
    >>> MaskSpans(1.0).build(shape=[5, 2])(Batch(torch.ones(1, 5, 2))).mask
    tensor([[False, False, False, False, False]])
    """

    def __init__(self, share: float = 0.15, length: int = 3):
        super().__init__()
        self.share = share
        self.length = length

    def setup(self, shape, categories=None) -> None:
        """Find how often a span must begin."""
        check_share("share", self.share)
        check_least("length", self.length, 1)
        check_positions(self, shape)
        self.begins = 1 - (1 - self.share) ** (1 / self.length)

    def forward(self, target: Batch) -> Batch:
        """Return the examples with spans hidden."""
        positions = target.x.shape[1:-1]
        begun = torch.rand(len(target), math.prod(positions), device=target.x.device) < self.begins
        before = begun.cumsum(1)
        # How many spans began among the last `length` positions.
        ended = torch.nn.functional.pad(before, (self.length, 0))[:, : before.shape[1]]
        return hide(target, (before == ended).view(-1, *positions))


class MaskTime(Part):
    """Hide a few blocks of whole steps: everything that happens in some stretches of time.

    Steps are the first axis of positions; of a spectrogram ``(t, frequencies, c)`` a hidden
    step hides all frequencies.

    Parameters
    ----------
    blocks : int, default=2
        Blocks in an example; they may overlap.
    longest : float, default=0.2
        Greatest length of a block as a share of all steps; each length up to it is as likely.

    Facts
    -----
    shape : list of int
        ``(t, *p, c)``.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If examples have no positions, blocks is below 1, or longest is not within 0 and 1.

    References
    ----------
    Park et al., "SpecAugment", Interspeech 2019, https://arxiv.org/abs/1904.08779, section 2
    (time masking). Differs: the encoder is told by the mask.

    Examples
    --------
    >>> hidden = MaskTime(blocks=1, longest=0.5).build(shape=[10, 2])(Batch(torch.ones(50, 10, 2))).mask
    >>> int((~hidden).sum(1).max()) <= 5
    True
    """

    def __init__(self, blocks: int = 2, longest: float = 0.2):
        super().__init__()
        self.blocks = blocks
        self.longest = longest

    def setup(self, shape, categories=None) -> None:
        """Find the greatest length in steps."""
        check_share("longest", self.longest)
        check_least("blocks", self.blocks, 1)
        check_positions(self, shape)
        self.steps, self.most = shape[0], int(self.longest * shape[0])

    def forward(self, target: Batch) -> Batch:
        """Return the examples with blocks of steps hidden."""
        size, device = (len(target), self.blocks, 1), target.x.device
        length = torch.randint(0, self.most + 1, size, device=device)
        # Every place at which the block lies within the example is as likely.
        first = (torch.rand(size, device=device) * (self.steps - length + 1)).long()
        step = torch.arange(self.steps, device=device)
        kept = ((step < first) | (step >= first + length)).all(1)
        rest = target.x.shape[2:-1]
        return hide(target, kept.view(-1, self.steps, *[1] * len(rest)).expand(-1, -1, *rest))


def hide(target: Batch, kept: Tensor) -> Batch:
    """Return the batch with zeros and a mask of False where ``kept``, ``(b, *p)``, is False."""
    x, mask = target.x, target.mask
    if mask is not None and mask.ndim == x.ndim:  # a mask for each value
        mask = mask & kept.unsqueeze(-1)
        return Batch(x * mask, mask, target.condition)
    mask = kept if mask is None else mask & kept
    return Batch(x * mask.unsqueeze(-1), mask, target.condition)


def check_least(name: str, value: float, least: float) -> None:
    """Raise ValueError unless value is at least this."""
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


def check_positions(part: Part, shape: list[int]) -> None:
    """Raise ValueError for a table."""
    if len(shape) < 2:
        raise ValueError(
            f"{part!r} hides positions, and a row of a table has none. For cells of a table use mask(share=...)."
        )


def image_shape(part: Part, shape: list[int]) -> tuple[int, int, int]:
    """Return height, width and channels, or raise ValueError where examples are not images."""
    if len(shape) != 3:
        raise ValueError(f"{part!r} is for images (height, width, channels), got examples of shape {list(shape)}.")
    return shape[0], shape[1], shape[2]
