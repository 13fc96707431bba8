"""Quantizers made of quantizers: what the first left over, or a group of channels each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from isthmus.bottlenecks.quantizer import Quantizer, check_quantizer
from isthmus.bottlenecks.vector import VectorQuantizer
from isthmus.layers import principal_components
from isthmus.part import Part

__all__ = ["Grouped", "Residual"]

MOST = 256


class Residual(Quantizer):
    r"""``z = sum_k c_k``: each quantizer codes what those before it left over.

    Parameters
    ----------
    quantizer : Part, optional
        Prototype of every level; by default ``VectorQuantizer()``.
    depth : int, default=4
        Levels, and so symbols per position.
    shared : bool, default=False
        One codebook for all levels rather than one each.
    prior : Part, optional
        As in :class:`VectorQuantizer`.

    Facts
    -----
    width : int
        Channels of the features.
    positions : list of int, default=()
        Shape of the positions that have a code each.
    level : int, optional
        Place within another quantizer.

    Attributes
    ----------
    perplexity, share_used : float
        As in :class:`VectorQuantizer`.

    Raises
    ------
    ValueError
        If depth is not from 1 to 256, or the quantizer is no discrete code, or has codes of length one,
        or is to be shared and has no codebook.

    Notes
    -----
    .. math:: r_0 = h, \qquad c_k = Q_k(r_k), \qquad r_{k+1} = r_k - c_k

    The first level's projection makes h. The gradient passes from z to h once, not once a level,
    and there is one commitment, of h to z: pulled to its own codes too, the first level would leave nothing to
    the next (error on Fashion-MNIST, two levels of 8 codes, 12,000 images, 6 epochs, one seed: 7.9, and 8.9
    with a commitment at each level).

    References
    ----------
    Zeghidour et al., "SoundStream", 2021, https://arxiv.org/abs/2107.03312, algorithm 1; Lee et
    al., 2022, https://arxiv.org/abs/2203.01941 (shared codebook). Differs: no levels are dropped
    while training, and no level has a commitment of its own.

    Examples
    --------
    >>> code = Residual(VectorQuantizer(64), depth=3).build(width=16)(torch.randn(5, 16))
    >>> code.z.shape, code.indices.shape
    (torch.Size([5, 8]), torch.Size([5, 3]))
    """

    def __init__(self, quantizer: Part | None = None, depth: int = 4, shared: bool = False, prior: Part | None = None):
        super().__init__()
        self.quantizer = quantizer
        self.depth = depth
        self.shared = shared
        self.prior = prior

    def setup(self, width: int, positions: Sequence[int] = (), level: int | None = None) -> None:
        """Create the levels."""
        if not 1 <= self.depth <= MOST:
            raise ValueError(f"depth must be a whole number from 1 to {MOST}, got {self.depth}.")
        made = _several(self, 1 if self.shared else self.depth)
        if self.depth > 1 and any(getattr(one, "cosine", False) for one in made[0].modules()):
            raise ValueError(
                "codes of length one cannot be what others left over: leave cosine=True out of a residual."
            )
        begin = level or 0
        first = made[0].build(width=width, positions=list(positions), level=begin)
        if self.shared and not any(hasattr(one, "codebook") for one in first.modules()):
            raise ValueError(f"shared=True is for one codebook at all levels, and {first!r} has no codebook.")
        for number, one in enumerate(made[1:], begin + 1):
            one.build(width=first.dimensions, positions=list(positions), level=number)
        self.levels = nn.ModuleList(made)
        self.join(first.alphabet * self.depth, first.dimensions, positions, level)

    def project(self, features: Tensor) -> Tensor:
        """Return the vectors ``(b, *p, d)`` to quantize."""
        return self.levels[0].project(features)

    def assign(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sum of codes, all levels' symbols, and the sum of their nats."""
        total, penalty, symbols = torch.zeros_like(h), h.new_zeros(len(h)), []
        for number, one in enumerate(self._chain(), 1):
            left = h - total.detach()
            # The last level's pull is that of h to the sum. Those before would pull h to their own codes alone.
            code, indices, nats = one.assign(left if number == self.depth else left.detach())
            total, penalty = total + code, penalty + nats
            symbols.append(indices)
        return total, torch.cat(symbols, -1), penalty

    def pass_through(self, h: Tensor, code: Tensor) -> Tensor:
        """Return codes whose gradient goes on to ``h``, as the quantizer has it."""
        return self.levels[0].pass_through(h, code)

    def disturb(self, z: Tensor) -> Tensor:
        """Return what the decoder sees of codes while training."""
        return self.levels[0].disturb(z)

    def nudge(self, z: Tensor) -> Tensor | None:
        """Return noise that is small beside what the last level leaves over."""
        return self.levels[-1].nudge(z)

    def notice(self, gradient: Tensor, nudge: Tensor) -> None:
        """Let each level look at the gradient that reaches their sum."""
        for one in self.levels:
            one.notice(gradient, nudge)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, q)``."""
        pieces = indices.split(indices.shape[-1] // self.depth, -1)
        return torch.stack([one.look_up(piece) for one, piece in zip(self._chain(), pieces, strict=True)]).sum(0)

    def start_projection(self, features: Tensor) -> None:
        """Begin as the quantizer does."""
        self.levels[0].start_projection(features)

    def start_codes(self, h: Tensor) -> None:
        """Begin each level at what those before it leave over, a shared one at all of it."""
        seen = [h]
        for number, one in enumerate(self._chain()):
            one.start_codes(torch.cat(seen) if self.shared else seen[-1])
            if number < self.depth - 1:
                left = seen[-1]
                seen.append(left - one.eval().assign(left)[0])

    def _chain(self) -> list[Any]:
        return [self.levels[0]] * self.depth if self.shared else list(self.levels)


class Grouped(Quantizer):
    r"""``z = (c_1, ..., c_g)``: each group of channels has a quantizer of its own.

    Parameters
    ----------
    quantizer : Part, optional
        Prototype of every group; by default ``VectorQuantizer()``.
    groups : int, default=8
        Groups, and so symbols per position.
    prior : Part, optional
        As in :class:`VectorQuantizer`.

    Facts
    -----
    width : int
        Channels of the features.
    positions : list of int, default=()
        Shape of the positions that have a code each.
    level : int, optional
        Place within another quantizer.

    Attributes
    ----------
    perplexity, share_used : float
        As in :class:`VectorQuantizer`.

    Raises
    ------
    ValueError
        If groups is not from 1 to 256, or the quantizer is no discrete code.

    Notes
    -----
    Product quantisation: ``groups`` codebooks of K vectors stand for ``K**groups`` codes. This is
    the discrete code for tables and dense networks, whose example is one vector: by default
    ``8 * 9`` bits. Each group begins at principal components of its own, dealt out so that the
    products of their variances are alike, which is where equal bits for all groups lose least.

    References
    ----------
    Jégou, Douze & Schmid, "Product quantization for nearest neighbor search", TPAMI 2011; Ge et
    al., "Optimized product quantization", CVPR 2013, section 3.2.1 (the deal).

    Examples
    --------
    >>> code = Grouped(VectorQuantizer(64, size=4), groups=3).build(width=16)(torch.randn(5, 16))
    >>> code.z.shape, code.indices.shape
    (torch.Size([5, 12]), torch.Size([5, 3]))
    """

    def __init__(self, quantizer: Part | None = None, groups: int = 8, prior: Part | None = None):
        super().__init__()
        self.quantizer = quantizer
        self.groups = groups
        self.prior = prior

    def setup(self, width: int, positions: Sequence[int] = (), level: int | None = None) -> None:
        """Create the groups."""
        if not 1 <= self.groups <= MOST:
            raise ValueError(f"groups must be a whole number from 1 to {MOST}, got {self.groups}.")
        if level and width % self.groups:
            raise ValueError(f"vectors of {width} numbers do not split into groups={self.groups} alike.")
        made = _several(self, self.groups)
        for one in made:
            one.build(width=width // self.groups if level else width, positions=list(positions), level=level or 0)
        self.parts = nn.ModuleList(made)
        self._projects = not level
        self.join(made[0].alphabet * self.groups, made[0].dimensions * self.groups, positions, level)

    def project(self, features: Tensor) -> Tensor:
        """Return the vectors ``(b, *p, d)`` to quantize, group by group."""
        return torch.cat([one.project(features) for one in self.parts], -1) if self._projects else features

    def assign(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes and symbols group by group, and the sum of their nats."""
        found = [one.assign(piece) for one, piece in self._split(h)]
        codes, symbols, nats = zip(*found, strict=True)
        return torch.cat(codes, -1), torch.cat(symbols, -1), torch.stack(nats).sum(0)

    def pass_through(self, h: Tensor, code: Tensor) -> Tensor:
        """Return codes whose gradient goes on to ``h``, as each group's quantizer has it."""
        pairs = zip(self._split(h), self._split(code), strict=True)
        return torch.cat([one.pass_through(piece, own) for (one, piece), (_, own) in pairs], -1)

    def disturb(self, z: Tensor) -> Tensor:
        """Return what the decoder sees of codes while training."""
        return torch.cat([one.disturb(piece) for one, piece in self._split(z)], -1)

    def nudge(self, z: Tensor) -> Tensor | None:
        """Return each group's own noise, small beside its error; none if a group has none."""
        own = [noise for one, piece in self._split(z) if (noise := one.nudge(piece)) is not None]
        return torch.cat(own, -1) if len(own) == self.groups else None

    def notice(self, gradient: Tensor, nudge: Tensor) -> None:
        """Let each group look at its own part of the gradient."""
        for (one, piece), (_, noise) in zip(self._split(gradient), self._split(nudge), strict=True):
            one.notice(piece, noise)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, q)``."""
        return torch.cat([one.look_up(piece) for one, piece in self._split(indices)], -1)

    def start_projection(self, features: Tensor) -> None:
        """Begin each group at principal components of its own."""
        if not self._projects:
            return
        flat = features.flatten(0, -2)
        components, scales, mean = principal_components(flat[:4096], self.dimensions)
        centred = flat.double() - mean
        for one, mine in zip(self.parts, dealt(scales, self.groups), strict=True):
            if mine:
                own = components[mine]
                one.start_projection((centred @ own.T @ own + mean).to(flat))

    def start_codes(self, h: Tensor) -> None:
        """Begin each group where its own vectors are."""
        for one, piece in self._split(h):
            one.start_codes(piece)

    def _split(self, values: Tensor) -> list[tuple[Quantizer, Tensor]]:
        return list(zip(self.parts, values.chunk(self.groups, -1), strict=True))


def dealt(scales: Tensor, groups: int) -> list[list[int]]:
    """Return which components each group gets: equally many, with products of variances alike."""
    hands: list[list[int]] = [[] for _ in range(groups)]
    products = [0.0] * groups
    logs = (scales / scales.min()).log().tolist() if len(scales) else []
    most = -(-len(logs) // groups)
    for component, log in enumerate(logs):
        group = min((g for g in range(groups) if len(hands[g]) < most), key=lambda g: (products[g], len(hands[g])))
        hands[group].append(component)
        products[group] += log
    return hands


def _several(owner: Residual | Grouped, number: int) -> list[Quantizer]:
    """Return so many clones of the quantizer within another one."""
    inner = check_quantizer(owner, VectorQuantizer() if owner.quantizer is None else owner.quantizer)
    return [clone(inner) for _ in range(number)]
