"""How a fit runs: what the user asked for, and what the data's size decides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Options", "at_once", "choose_options", "split"]

# Numbers in the rows that are run at once, at most: a network's layers hold many times as many.
MOST_VALUES = 2**26


@dataclass(frozen=True)
class Options:
    """How a fit runs; every field of it is recorded in the model.

    Attributes
    ----------
    batch_size, max_epochs : int
        Rows a step, and passes over the training rows.
    learning_rate : float
        Highest step size; it is reached after ``warm_up`` steps and falls as a cosine.
    weight_decay, clip, ema : float
        As for :class:`isthmus.optimizing.FlatAdamW`.
    warm_up : int
        Steps over which the learning rate rises from zero.
    validation_fraction : float
        Share of the rows held out, at random.
    patience : int
        Epochs without a better validation cost after which the fit stops.
    constant : bool
        Keep the learning rate constant (for ``partial_fit``).
    dtype : {'float32', 'float64', 'bfloat16'}
        Of the arithmetic; bfloat16 keeps float32 weights and losses.
    device : str
        Where the arithmetic runs.
    threads : int
        Processor threads, while fitting.
    seed : int
        Of all that is random.
    """

    batch_size: int
    max_epochs: int
    learning_rate: float
    weight_decay: float
    clip: float
    ema: float
    warm_up: int
    validation_fraction: float
    patience: int
    constant: bool
    dtype: str
    device: str
    threads: int
    seed: int


def choose_options(n: int, module: nn.Module, asked: dict[str, Any], constant: bool = False) -> Options:
    """Choose what the user left open (None) from the number of rows and of weights.

    Small data gets small batches and many passes, large data the reverse, so that a fit
    takes some 1,200 steps (of batches above 256, as many as see 300,000 rows) where that
    makes at least 8 passes. Narrow networks take a higher learning rate than wide ones. One
    thread where a step is too small to share.
    """
    fraction = asked["validation_fraction"]
    held_out = int(n * fraction) if n >= 20 else 0
    n_train = n - held_out
    most = 256 if n < 30_000 else 512
    batch_size = asked["batch_size"] or min(most, max(16, 2 ** int(math.log2(max(n_train, 2) / 16))))
    batch_size = min(batch_size, n_train)
    per_epoch = math.ceil(n_train / batch_size)
    steps = 1_200 * min(1.0, 256 / batch_size)
    epochs = asked["max_epochs"] or min(300, max(8, math.ceil(steps / per_epoch)))
    weights = sum(parameter.numel() for parameter in module.parameters())
    return Options(
        batch_size=batch_size,
        max_epochs=epochs,
        learning_rate=asked["learning_rate"] or _learning_rate(n, weights),
        weight_decay=asked["weight_decay"],
        clip=asked["clip"],
        ema=asked["ema"],
        warm_up=min(200, max(1, epochs * per_epoch // 20)),
        validation_fraction=held_out / n,
        patience=asked["patience"] or max(10, epochs // 4),
        constant=constant,
        dtype=asked["dtype"],
        device=asked["device"],
        threads=asked["threads"] or (1 if weights * batch_size < 50_000_000 else torch.get_num_threads()),
        seed=asked["seed"],
    )


def _learning_rate(n: int, weights: int) -> float:
    """Return the rate that measured best on tables of 118 to 40,000 rows and on MNIST."""
    if weights >= 100_000:
        return 4e-3
    return 1e-2 if n >= 20_000 else 5e-3


def split(n: int, options: Options) -> tuple[Tensor, Tensor]:
    """Return positions of the training and the held-out rows, a function of the seed alone."""
    held_out = round(n * options.validation_fraction)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(options.seed))
    return order[held_out:], order[:held_out]


def at_once(most: int, values: int) -> int:
    """Return how many rows of so many values to run at once: ``most``, of large images fewer."""
    return min(most, max(1, MOST_VALUES // values))
