"""Deep InfoMax: the code of an example and its pieces belong together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Step
from isthmus.layers import check_choice
from isthmus.part import Part
from isthmus.penalties.sparse import check_weight

__all__ = ["DeepInfoMax"]

BOUNDS = ("infonce", "jsd")
PIECES = ("features", "input")


class DeepInfoMax(Part):
    r"""Mutual information between the code and each local piece of its example.

    Parameters
    ----------
    weight : float, default=1.0
        Of the nats below.
    local : {'features', 'input'}, optional
        What a piece is: a position of the encoder's features (their whole, where they have no
        positions), or a patch of the input. By default patches of data with positions whose
        features have lost them, else features.
    bound : {'infonce', 'jsd'}, default='infonce'
        The estimate of mutual information.
    patch : int, default=4
        Side of a patch; the last ones are filled up with zeros.
    size : int, default=64
        Dimensions in which code and pieces are compared.

    Facts
    -----
    shape : list of int
        ``(*p, c)`` of an example.
    code : list of int
        ``(*p, d)`` of a code; its mean over positions stands for the example.
    width : int
        Channels of the features.
    positions : list of int
        Positions of the features.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or patches are to be cut of a table.

    Notes
    -----
    A small network f of the code and another, g, of a piece give the score
    :math:`s(i, j, l) = f(z_i)^T g(x_{j,l})` of example i's code with piece l of example j. By
    InfoNCE the code of i is told from those of other examples j by the piece, by JSD pairs are
    classified; both are averaged over the L pieces:

    .. math:: \frac1L \sum_l -\log \frac{\exp s(i, i, l)}{\sum_j \exp s(j, i, l)}, \qquad
              \frac1L \sum_l \log(1 + e^{-s(i, i, l)})
              + \frac{1}{n - 1} \sum_{j \ne i} \log(1 + e^{s(j, i, l)}).

    References
    ----------
    Hjelm et al., "Learning deep representations by mutual information estimation and
    maximization", ICLR 2019, https://arxiv.org/abs/1808.06670, equations 4, 5 and 8, with the
    encode-and-dot-product critic. Differs: as the decoder's loss holds the code, no prior is
    matched (``adversarial_prior`` does); where the encoder keeps no positions, pieces are
    patches of the input, not a layer within it.

    Examples
    --------
    >>> penalty = DeepInfoMax(patch=7).build(shape=[28, 28, 1], code=[10], width=64, positions=[])
    >>> penalty.pieces(torch.zeros(2, 28, 28, 1)).shape
    torch.Size([2, 16, 64])
    """

    def __init__(
        self,
        weight: float = 1.0,
        local: str | None = None,
        bound: str = "infonce",
        patch: int = 4,
        size: int = 64,
    ):
        super().__init__()
        self.weight = weight
        self.local = local
        self.bound = bound
        self.patch = patch
        self.size = size

    def setup(
        self,
        shape: Sequence[int],
        code: Sequence[int],
        width: int,
        positions: Sequence[int],
    ) -> None:
        """Create the two networks."""
        check_weight(self.weight)
        check_choice("bound", self.bound, BOUNDS)
        if self.local is not None:
            check_choice("local", self.local, PIECES)
        if self.patch < 1 or self.size < 1:
            raise ValueError(f"patch and size must be at least 1, got {self.patch} and {self.size}.")
        rank = len(shape) - 1
        self.cuts = self.local == "input" or (self.local is None and rank > 0 and not positions)
        if self.cuts and not rank:
            raise ValueError("a table has no patches: use deep_info_max(local='features').")
        channels = shape[-1] * self.patch**rank if self.cuts else width
        self.of_code = nn.Sequential(nn.Linear(code[-1], self.size), nn.ReLU(), nn.Linear(self.size, self.size))
        self.of_piece = nn.Sequential(nn.Linear(channels, self.size), nn.ReLU(), nn.Linear(self.size, self.size))

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z = step.code.z
        whole = z if z.ndim == 2 else z.flatten(1, -2).mean(1)
        pieces = self.pieces(_shown(step) if self.cuts else step.features)
        scores = torch.einsum("jd, ild -> lij", self.of_code(whole), pieces)
        nats = _told(scores) if self.bound == "infonce" else _classified(scores)
        return self.weight * nats

    def pieces(self, x: Tensor) -> Tensor:
        """Return each piece of features or input ``(b, *p, c)`` as g sees it, ``(b, pieces, size)``."""
        if self.cuts:
            return self.of_piece(_patches(x, self.patch))
        return self.of_piece(x.unsqueeze(1) if x.ndim == 2 else x.flatten(1, -2))


def _shown(step: Step) -> Tensor:
    """Return the source with zeros where nothing was observed."""
    x, mask = step.source.x, step.source.mask
    if mask is None:
        return x
    return x * (mask if mask.ndim == x.ndim else mask.unsqueeze(-1))


def _patches(x: Tensor, side: int) -> Tensor:
    """Return ``(b, pieces, side**rank * c)`` of ``(b, *p, c)``, whatever its rank."""
    rank = x.ndim - 2
    # F.pad counts from the last axis, which is the channels.
    fill = [n for extent in x.shape[-2:0:-1] for n in (0, -extent % side)]
    x = F.pad(x, [0, 0, *fill])
    for axis in range(1, rank + 1):
        x = x.unfold(axis, side, side)
    return x.flatten(rank + 1).flatten(1, rank)


def _told(scores: Tensor) -> Tensor:
    """Return InfoNCE of scores ``(pieces, i, j)`` of piece i and code j, ``(b,)``."""
    own = scores.diagonal(dim1=1, dim2=2)
    return (scores.logsumexp(2) - own).mean(0)


def _classified(scores: Tensor) -> Tensor:
    """Return the same by classifying each pair."""
    n = scores.shape[1]
    own = F.softplus(-scores.diagonal(dim1=1, dim2=2))
    others = F.softplus(scores) * (1 - torch.eye(n).to(scores))
    return (own + others.sum(2) / max(n - 1, 1)).mean(0)
