"""How hard an encoder tries: whole numbers are moved where the file saves more than the picture loses."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from isthmus.guards import threads_set
from isthmus.jobs.image_codec import ImageCodec
from isthmus.losses import SquaredError

__all__ = ["DEFAULT", "EFFORTS", "THROUGH_DECODER", "numbers_of"]

EFFORTS = range(4)
DEFAULT = 1
# From this effort on, pictures are decoded to see what a move costs: so many times, after the last few of which
# next to nothing moves. Of the numbers one in so many may move at a time.
THROUGH_DECODER = 2
ROUNDS = {2: 4, 3: 12}
TURNS = 4
# Share of the numbers that move for their curvature.
SPARSE = 1 / 8
# What an error of one step costs, in bits: 6 nats where steps balance rate and distortion, and more for what the
# decoder's filter no longer mends, and for what neighbours tell of each other (20 gave the least bits and error on
# photographs).
BITS_OF_STEP = 20 / math.log(2)
LEVELS = 255


def numbers_of(codec: ImageCodec, features: Tensor, level: float, effort: int, pixels: np.ndarray) -> np.ndarray:
    r"""Return the whole numbers ``(h, w, c)`` that features are written as.

    Parameters
    ----------
    codec : ImageCodec
        Networks and tables.
    features : Tensor
        Shape ``(h, w, c)``.
    level : float
        The quality, as the bottleneck counts it.
    effort : int
        0: rounded. 1: moved towards zero by one where bits saved outweigh the error, in steps. 2, 3:
        moved either way, the error being that of decoded pixels; in 4 and in 12 rounds. Of a codec
        fitted for another loss than :class:`SquaredError` they are as 1.
    pixels : ndarray
        What is to be decoded, ``(height, width, colours)``; not looked at below effort 2.

    Notes
    -----
    Bits R are those of the codec's own tables, in the context of what is chosen already. At effort 1
    a feature u is off by ``s k - u`` steps, and

    .. math:: R(k) + \frac{20}{\ln 2} (s k - u)^2

    is lowered, greedily: steps in balance with their trade-off cost 6 nats (:class:`EntropyBottleneck`), and
    a decoder that has learned from rounded numbers shows the errors of moved ones more.
    From effort 2 on the error D is that of the pixels, times the trade-off, to the second order in
    the numbers: its gradient is computed through the decoder anew in each round, its curvature once,
    for each channel, from the gradient's change by random moves of a few numbers (Hutchinson's estimate). As
    errors of numbers that move together add up, a round moves one number of four only, in turn. Bits are
    those of the numbers alone, and what they tell of others is left out: so what a round came to
    is computed, and the best round's numbers are written.

    The same on one machine every time: one thread, fixed random moves.

    References
    ----------
    Ramchandran & Vetterli, 1994 (thresholding by rate and distortion), as video encoders do since;
    Yang, Bamler & Mandt, "Improving inference for neural image compression", 2020,
    https://arxiv.org/abs/2006.04240 (the gap that encoding image by image closes). Differs: whole
    numbers throughout in place of annealed noise.
    """
    numbers = codec.numbers(features, level)
    if effort == 0:
        return numbers
    with threads_set(1):
        if effort < THROUGH_DECODER or not isinstance(codec.module.loss, SquaredError):
            return _by_steps(codec, features, level, numbers)
        return _Region(codec, level, pixels).refined(numbers, ROUNDS[effort])


def _by_steps(codec: ImageCodec, features: Tensor, level: float, numbers: np.ndarray) -> np.ndarray:
    exact, stretch = (one[0].cpu().numpy() for one in codec.module.bottleneck.exact(features[None], level))
    slope = 2 * BITS_OF_STEP * stretch * (stretch * numbers - exact)
    return codec.coder(level).lighter(numbers, slope, BITS_OF_STEP * stretch**2)


class _Region:
    """A region of an image at a level: what moves of its numbers do to its pixels."""

    def __init__(self, codec: ImageCodec, level: float, pixels: np.ndarray):
        self.codec, self.level = codec, level
        self.target = codec.batch(pixels).x[0]
        self.bits_of_error = codec.module.bottleneck.trade_off(level) * LEVELS**2 / self.target.shape[2]

    def refined(self, numbers: np.ndarray, rounds: int) -> np.ndarray:
        """Return better numbers than these: the best of all rounds, for moves are judged before they are made."""
        coder = self.codec.coder(self.level)
        bend = self.bend(numbers)
        turns = np.indices(numbers.shape).sum(axis=0)
        least, best = math.inf, numbers
        for turn in range(rounds + 1):
            error, slope = self.slope(numbers)
            cost = error + coder.bits(numbers)
            if cost < least:
                least, best = cost, numbers
            if turn == rounds:
                break
            moved = coder.lighter(numbers, slope, bend, both=True)
            numbers = np.where((turns + turn) % TURNS == 0, moved, numbers)
        return best

    def slope(self, numbers: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the error of numbers, and its gradient, in bits."""
        given = torch.from_numpy(numbers).to(self.target).requires_grad_()
        values = self.codec.values(given, self.level)
        height, width = np.minimum(values.shape, self.target.shape)[:2]
        error = self.bits_of_error * (values[:height, :width] - self.target[:height, :width]).square().sum()
        return error.item(), torch.autograd.grad(error, given)[0].cpu().numpy()

    def bend(self, numbers: np.ndarray) -> np.ndarray:
        """Return half the second derivative in each number, averages over positions.

        Few numbers move for it, as few would be moved: all at once would leave the range of pixels.
        """
        random = np.random.default_rng(0)
        moves = random.choice((-1, 0, 1), numbers.shape, p=(SPARSE / 2, 1 - SPARSE, SPARSE / 2))
        found = 0.5 * moves * (self.slope(numbers + moves)[1] - self.slope(numbers)[1])
        many = np.abs(moves).sum(axis=(0, 1))
        return np.broadcast_to(np.maximum(found.sum(axis=(0, 1)) / np.maximum(many, 1), 0), numbers.shape)
