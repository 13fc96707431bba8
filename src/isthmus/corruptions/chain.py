"""Several corruptions, one after another."""

from __future__ import annotations

from sklearn.base import clone
from torch import nn

from isthmus.batch import Batch
from isthmus.part import Part

__all__ = ["Chain"]


class Chain(Part):
    """Corrupt in several ways, first to last.

    Parameters
    ----------
    corruptions : tuple of Part, default=()
        Prototypes; each gets what the one before made.

    Facts
    -----
    shape, categories
        As each of them takes them.

    Raises
    ------
    ValueError
        If one of them does not fit the data.

    Examples
    --------
    >>> import torch
    >>> from isthmus.corruptions import Affine, GaussianNoise
    >>> both = Chain((Affine(both=True), GaussianNoise(0.2))).build(shape=[8, 8, 1])
    >>> both(Batch(torch.zeros(2, 8, 8, 1))).x.shape
    torch.Size([2, 8, 8, 1])
    """

    def __init__(self, corruptions: tuple[Part, ...] = ()):
        super().__init__()
        self.corruptions = corruptions

    def setup(self, shape, categories=None) -> None:
        """Build each."""
        # Prototypes stay prototypes: clones are built.
        self.links = nn.ModuleList(clone(one).build(shape=shape, categories=categories) for one in self.corruptions)

    def forward(self, target: Batch) -> Batch:
        """Return the batch with all corruptions on it."""
        for link in self.links:
            target = link(target)
        return target

    def augment(self, target: Batch) -> Batch:
        """Return what source and target are both made from."""
        for link in self.links:
            if hasattr(link, "augment"):
                target = link.augment(target)
        return target
