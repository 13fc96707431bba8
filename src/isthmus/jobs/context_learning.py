"""Learning by what sums of neighbours a latent is coded: weights in floating point, then whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.coding import LatentCoder, LinearContexts, channel_groups
from isthmus.coding.linear_contexts import BINS, CROSS, LATTICES, MARGIN, ONE, PER_OCTAVE
from isthmus.guards import seeded

__all__ = ["coders_of", "learned_coder"]

# Channels of a group at most: each knows of those before it at its own position. Channels with means.
WIDEST, MEANS = 16, 32
# Logarithms of the mean magnitude that the bins of scale lie between.
LOWEST, HIGHEST = -8.0, 4.5
# Steps at most, positions of a step, and how often each position is seen at most.
STEPS, BATCH, PASSES = 600, 2400, 30
RATE, WARM = 4e-3, 20
# Two Laplace distributions, as multiples of the mean magnitude, and their shares: tails are long.
SPREADS = ((0.6, 0.65), (1.6, 0.35))
# One map of so many judges the weights, so often; and as many numbers at most are counted for tables.
HELD_OUT, JUDGED = 10, 6
MOST_COUNTED = 1 << 24
# Maps of a level that are coded by both kinds of contexts.
COMPARED = 32


def coders_of(numbers: Sequence[np.ndarray], seed: int = 0) -> list[LatentCoder]:
    """Return one coder by learned contexts, or one a level without where those code no better: of few images.

    ``numbers`` and ``seed`` are as :func:`learned_coder` takes them.
    """
    learned = learned_coder(numbers, seed)
    counted = [LatentCoder.fit(list(of_level)) for of_level in numbers]
    chosen = range(0, len(numbers[0]), max(1, len(numbers[0]) // COMPARED))
    bits = [0.0, 0.0]
    for level, (of_level, plain) in enumerate(zip(numbers, counted, strict=True)):
        bits[0] += sum(learned.at(level).bits(of_level[one]) for one in chosen)
        bits[1] += sum(plain.bits(of_level[one]) for one in chosen)
    return [learned] if bits[0] < bits[1] else counted


def learned_coder(numbers: Sequence[np.ndarray], seed: int = 0) -> LatentCoder:
    r"""Return one coder for all levels of quality, by learned contexts.

    Parameters
    ----------
    numbers : sequence of ndarray of int, shape (n, h, w, c)
        For each level the whole numbers of the same images.
    seed : int, default=0
        Of which maps are looked at when.

    Notes
    -----
    Minimises the bits of all values under a discretised mixture of two Laplace distributions
    about the mean :math:`\mu`, with the mean magnitude :math:`e^s` (:class:`~isthmus.coding.LinearContexts`),
    by Adam; begun where each channel has its own scale and nothing else is known. The weights
    that code held-out maps best are kept, then rounded; tables are counted over maps by the rounded
    ones.
    """
    groups = channel_groups(numbers[0].shape[3], WIDEST)
    with seeded(seed):
        order = torch.randperm(len(numbers[0])).numpy()
        held_out, learned = np.split(order, [len(order) // HELD_OUT])
        model = _Weights(groups, numbers, learned)
        _learn(model, numbers, learned, held_out if len(held_out) else learned)
    contexts = model.rounded()
    each = max(1, math.prod(numbers[0].shape[1:]))
    kept = np.sort(order[: max(1, MOST_COUNTED // (each * len(numbers)))])
    of_each = zip(map(contexts.at, range(len(numbers))), numbers, strict=True)
    return LatentCoder.counted([(of, of_level[one].astype(np.int64)) for of, of_level in of_each for one in kept])


class _Weights(nn.Module):
    """The weights of :class:`~isthmus.coding.LinearContexts` before they are rounded.

    Scales are logarithms of mean magnitudes here, and loudness is ``log2(1 + m)``.
    """

    def __init__(self, groups: tuple[int, ...], numbers: Sequence[np.ndarray], learned: np.ndarray):
        super().__init__()
        self.groups = groups
        channels = sum(groups)
        begins = np.cumsum((0, *groups))
        self.k = int(max(begin for begin in begins if begin <= MEANS))
        typical = np.stack([np.abs(one[learned], dtype=np.float64).mean(axis=(0, 1, 2)) for one in numbers])
        scales = torch.from_numpy(np.log(typical + 1e-3)).float()
        stages = len(LATTICES)
        self.bias = nn.Parameter(scales[:, None].repeat(1, stages, 1))
        self.gain = nn.Parameter(torch.zeros(len(numbers), stages, channels))
        self.before = nn.Parameter(torch.zeros(3, channels, channels))
        self.own = nn.Parameter(torch.zeros(stages - 1, channels, channels))
        self.mean_before = nn.Parameter(torch.zeros(5, self.k, self.k))
        self.mean_own = nn.Parameter(torch.zeros(stages - 1, 4, self.k, self.k))
        of = torch.from_numpy(np.repeat(np.arange(len(groups)), groups))
        self.register_buffer("earlier", (of[None] < of[:, None]).float(), persistent=False)
        self.register_buffer("same", (of[None] == of[:, None]).float(), persistent=False)

    def forward(self, values: Tensor, levels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield values, scales and means of a part of all positions after the other."""
        height, width = values.shape[1:3]
        margins = (0, 0, MARGIN, MARGIN, MARGIN, MARGIN)
        loud = F.pad(torch.log2(1 + values.abs()), margins)
        shown = F.pad(values[..., : self.k], margins)
        before, mean_before = self.before * self.earlier, self.mean_before * self._first(self.earlier)
        four = sum(loud.roll(offset, (1, 2)) for offset in CROSS)
        diagonal = sum(loud.roll((i, j), (1, 2)) for i in (-1, 1) for j in (-1, 1))
        for stage, (lattices, offsets) in enumerate(LATTICES):
            for row, column, step in lattices:

                def at(image: Tensor, i: int = 0, j: int = 0, row=row, column=column, step=step) -> Tensor:
                    rows = slice(MARGIN + row + i, MARGIN + height + i, step)
                    return image[:, rows, MARGIN + column + j : MARGIN + width + j : step]

                scale = at(loud) @ before[0].T + at(four) @ before[1].T + at(diagonal) @ before[2].T
                sides = ((0, 0), *CROSS)
                mean = sum(at(shown, *side) @ one.T for side, one in zip(sides, mean_before, strict=True))
                if offsets:
                    scale = scale + sum(at(loud, *offset) for offset in offsets) @ (self.own[stage - 1] * self.same).T
                    own = self.mean_own[stage - 1] * self._first(self.same)
                    mean = mean + sum(at(shown, *side) @ one.T for side, one in zip(offsets, own, strict=True))
                bias, gain = (one[levels, stage][:, None, None] for one in (self.bias, self.gain))
                scale = bias + gain.exp() * scale
                found = values[:, row::step, column::step]
                yield found, scale, F.pad(mean, (0, found.shape[3] - self.k))

    def bits(self, values: Tensor, levels: Tensor) -> Tensor:
        """Return the bits of all values ``(b, h, w, c)`` together."""
        return sum((_bits(*part).sum() for part in self(values, levels)), values.new_zeros(()))

    @torch.no_grad()
    def rounded(self) -> LinearContexts:
        """Return the contexts, in whole numbers."""
        bin_of = BINS / (HIGHEST - LOWEST) * ONE
        widest, begins = max(self.groups), np.cumsum((0, *self.groups))
        own = _whole(self.own * self.same * bin_of / PER_OCTAVE, np.int16)
        mean_own = _whole(self.mean_own * self._first(self.same) * ONE, np.int16)
        compact = np.zeros((*own.shape[:2], widest), np.int16)
        mean_compact = np.zeros((len(own), self.k, widest, 4), np.int16)
        for begin, size in zip(begins, self.groups, strict=False):
            group = slice(begin, begin + size)
            compact[:, group, :size] = own[:, group, group]
            if begin < self.k:
                mean_compact[:, group, :size] = np.moveaxis(mean_own[:, :, group, group], 1, -1)
        return LinearContexts(
            self.groups,
            biases=_whole((self.bias - LOWEST) * bin_of, np.int32),
            gains=_whole(self.gain.exp() * ONE, np.int16),
            before=np.moveaxis(_whole(self.before * self.earlier * bin_of / PER_OCTAVE, np.int16), 0, -1),
            own=compact,
            mean_before=np.moveaxis(_whole(self.mean_before * self._first(self.earlier) * ONE, np.int16), 0, -1),
            mean_own=mean_compact,
        )

    def _first(self, mask: Tensor) -> Tensor:
        return mask[: self.k, : self.k]


def _learn(model: _Weights, numbers: Sequence[np.ndarray], learned: np.ndarray, judging: np.ndarray) -> None:
    """Learn, and keep the weights that code other maps best."""
    area = numbers[0].shape[1] * numbers[0].shape[2]
    batch = max(1, BATCH // area)
    steps = min(STEPS, math.ceil(PASSES * len(learned) * len(numbers) / batch))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    least, best = _judged(model, numbers, judging, batch), _copied(model)
    for step in range(steps):
        rate = RATE * min(1, (step + 1) / WARM) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate
        rows = learned[torch.randint(len(learned), (batch,)).numpy()]
        levels = torch.randint(len(numbers), (batch,))
        values = _maps(numbers, levels, rows)
        optimizer.zero_grad()
        (model.bits(values, levels) / values.numel()).backward()
        optimizer.step()
        if (step + 1) % max(1, steps // JUDGED) == 0 or step + 1 == steps:
            bits = _judged(model, numbers, judging, batch)
            if bits < least:
                least, best = bits, _copied(model)
    model.load_state_dict(best)


@torch.no_grad()
def _judged(model: _Weights, numbers: Sequence[np.ndarray], judging: np.ndarray, batch: int) -> float:
    """Return the bits of some maps at the levels in turn, not of more than a few batches."""
    judging = judging[: 8 * batch]
    total = 0.0
    for begin in range(0, len(judging), batch):
        rows = judging[begin : begin + batch]
        levels = torch.arange(begin, begin + len(rows)) % len(numbers)
        total += float(model.bits(_maps(numbers, levels, rows), levels))
    return total


def _maps(numbers: Sequence[np.ndarray], levels: Tensor, rows: np.ndarray) -> Tensor:
    found = np.stack([numbers[level][row] for level, row in zip(levels.tolist(), rows, strict=True)])
    return torch.from_numpy(found).float()


def _bits(values: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
    r"""Return what each value costs by a mixture of discretised Laplace distributions.

    One of rate r has, about a whole number, the mean magnitude x / (1 - x^2) with
    :math:`x = e^{-r/2}`; solved for x, then r.
    """
    off = (values - mean).abs()
    magnitude = scale.clamp(LOWEST - 1, HIGHEST + 1.5).exp()
    held: Tensor | float = 0.0
    for spread, share in SPREADS:
        typical = magnitude * spread
        x = 2 * typical / (1 + (1 + 4 * typical.square()).sqrt())
        rate = -2 * x.log()
        beyond = 0.5 * (-(off - 0.5).clamp_min(0) * rate).exp() * -torch.expm1(-rate)
        about = 1 - 0.5 * (-(0.5 - off).clamp_min(0) * rate).exp() - 0.5 * (-(0.5 + off) * rate).exp()
        held = held + share * torch.where(off >= 0.5, beyond, about)
    return -torch.log2(held + 1e-7)


def _copied(model: _Weights) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _whole(weights: Tensor, kind: type[np.signedinteger]) -> np.ndarray:
    limits = np.iinfo(kind)
    return np.clip(np.rint(weights.double().numpy()), limits.min, limits.max).astype(kind)
