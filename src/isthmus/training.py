"""The training loop: the only one; it reads from top to bottom."""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from isthmus.batch import Batch
from isthmus.files import read_tensors, write_tensors
from isthmus.guards import interruptible, seeded
from isthmus.module import AutoEncoderModule
from isthmus.optimizing import FlatAdamW
from isthmus.options import Options, at_once, split

__all__ = ["Callback", "Data", "evaluate", "train"]

logger = logging.getLogger(__name__)

Callback = Callable[[dict[str, Any]], None]
PROGRESS = ("epoch", "offset", "step", "stale", "rate", "sums", "history")
BLOCK_BYTES = 2**24
EVALUATION_BATCH = 4_096


class Data(Protocol):
    """Stored examples, in memory or not."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor, /) -> Batch:
        """Return the stored examples at these positions."""
        ...


def train(
    module: AutoEncoderModule,
    data: Data,
    options: Options,
    *,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    state: dict[str, Tensor] | None = None,
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Fit a module; on return it holds the best weights seen, in evaluation mode.

    Parameters
    ----------
    module : AutoEncoderModule
        Built, on the device, in the dtype. Any module does that answers as this one does:
        ``forward(stored, as_training)`` and ``cost``, ``loss.error``, ``arrange``,
        ``after_step``, ``usage`` and ``is_game``.
    data : Data
        Stored examples.
    options : Options
        Complete.
    callback : callable, optional
        Called with a dict after each epoch: the event's ``kind`` and the epoch's figures.
    checkpoint : Path, optional
        File to write the state of the fit to, at most every ``checkpoint_seconds``, at the
        end of an epoch or within it, and on Ctrl-C.
    checkpoint_seconds : float, default=30
        Least time between two checkpoints.
    resume : bool, default=False
        Go on from the checkpoint if there is one; the result is bit for bit that of a fit
        that was never interrupted.
    state : dict of str to Tensor, optional
        The optimizer's state from an earlier call, for ``partial_fit``.

    Returns
    -------
    history : list of dict
        For each epoch: epoch, step, learning_rate, cost and error (training; the error from
        one mini-batch in each block), validation_cost and validation_error (held-out rows,
        averaged weights), seconds; perplexity and share_used of a discrete code. Epoch 0 is the
        start, and has held-out figures only.
    state : dict of str to Tensor
        The optimizer's state.

    Raises
    ------
    ValueError
        If the cost is not finite before any epoch was evaluated, or the checkpoint belongs
        to another fit.
    KeyboardInterrupt
        On Ctrl-C, after the checkpoint was written.
    """
    training, held_out = split(len(data), options)
    data = module.arrange(data, training, options.batch_size)
    per_epoch = math.ceil(len(training) / options.batch_size)
    total = per_epoch * options.max_epochs
    block = options.batch_size * max(1, BLOCK_BYTES // max(1, options.batch_size * data.take(training[:1]).nbytes))
    fit = _Fit(module, FlatAdamW(module, options.weight_decay, options.clip, options.ema), options, len(data))
    if state is not None:
        fit.optimizer.load(state)
    with seeded(options.seed, options.device), interruptible() as interrupted:
        if resume and checkpoint is not None and checkpoint.exists():
            fit.load(checkpoint)
        else:
            # Where the parts start may be the best that these rows allow: PCA, for one.
            fit.evaluate_start(data, held_out)
        saved = time.monotonic()
        while fit.epoch < options.max_epochs and fit.stale < options.patience and not fit.failed:
            order = training[_order(len(training), options.seed, fit.epoch)]
            began = time.monotonic()
            module.train()
            while fit.offset < len(order) and not fit.failed:
                rows = order[fit.offset : fit.offset + block]
                fit.run_block(data.take(rows).to(options.device), total)
                fit.offset += len(rows)
                due = time.monotonic() - saved > checkpoint_seconds
                if checkpoint is not None and (due or interrupted.is_set()) and not fit.failed:
                    fit.save(checkpoint)
                    saved = time.monotonic()
                if interrupted.is_set():
                    raise KeyboardInterrupt(_how_to_go_on(fit, checkpoint))
            if not fit.failed:
                fit.end_epoch(data, held_out, time.monotonic() - began, callback)
        fit.finish()
    return fit.history, fit.optimizer_state


class _Fit:
    """The state of a fit: all that a checkpoint must hold, and what changes it."""

    def __init__(self, module: AutoEncoderModule, optimizer: FlatAdamW, options: Options, n: int):
        self.module, self.optimizer, self.options, self.n = module, optimizer, options, n
        self.epoch = self.offset = self.step = self.stale = 0
        self.rate = 0.0
        self.failed = ""
        # Of this epoch: summed costs, the rows behind them, summed errors, the rows behind them.
        self.sums = [0.0, 0.0, 0.0, 0.0]
        self.history: list[dict[str, float]] = []
        self.best_cost = math.inf
        self.best: dict[str, Tensor] = {}
        self.optimizer_state: dict[str, Tensor] = {}

    def run_block(self, block: Batch, total: int) -> None:
        """Take one step for every mini-batch of a block."""
        module, optimizer, size = self.module, self.optimizer, self.options.batch_size
        costs: list[Tensor] = []
        share = torch.empty(0)
        seen = None
        for batch in _mini_batches(block, size):
            with _autocast(self.options):
                seen = module(batch)
            cost = module.cost(_in_full(seen, self.options))
            if len(share) != len(cost):
                share = torch.full_like(cost, 1 / len(cost))
            optimizer.zero_grad()
            cost.backward(share)  # the gradient of the batch's mean
            self.rate = self._learning_rate(total)
            optimizer.step(self.rate)
            self.step += 1
            module.after_step(self.step / total)
            costs.append(cost.detach())
        # One transfer a block: asking for each cost would wait for the device at every step.
        values = torch.cat(costs).double().cpu()
        if not bool(values.isfinite().all()):
            self._fail([float(cost.double().mean()) for cost in costs], block)
            return
        assert seen is not None
        with torch.no_grad():
            errors = module.loss.error(_in_full(seen, self.options).output, seen.target)
        added = (float(values.sum()), float(len(values)), float(errors.sum()), float(len(errors)))
        self.sums = [old + new for old, new in zip(self.sums, added, strict=True)]

    def end_epoch(self, data: Data, held_out: Tensor, seconds: float, callback: Callback | None) -> None:
        """Evaluate, remember the best, say so."""
        self.epoch, self.offset = self.epoch + 1, 0
        row = {
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": self.rate,
            "cost": self.sums[0] / self.sums[1],
            "error": self.sums[2] / self.sums[3],
        }
        self.sums = [0.0, 0.0, 0.0, 0.0]
        last = self.epoch == self.options.max_epochs
        # With few steps an epoch, evaluating after each would take longer than training.
        every = max(1, 25 * self.epoch // self.step)
        if last or self.epoch % every == 0:
            row |= self.evaluate(data, held_out, every)
        row["seconds"] = seconds
        # How much of a discrete code is in use: what collapses does so long before the error tells.
        row |= self.module.usage()
        self.history.append(row)
        if callback is not None:
            callback({"kind": "epoch", "max_epochs": self.options.max_epochs} | row)

    def evaluate(self, data: Data, held_out: Tensor, epochs: int = 1) -> dict[str, float]:
        """Evaluate the averaged weights on the held-out rows, and remember them if they are the best."""
        with self.optimizer.averaged():
            if not len(held_out):
                # The latest average is the best that is known.
                self._remember(math.inf)
                return {}
            cost, error = evaluate(self.module, data, held_out, self.options)
            if cost < self.best_cost or self.module.is_game:
                self._remember(cost)
                self.stale = 0
            else:
                self.stale += epochs
        return {"validation_cost": cost, "validation_error": error}

    def evaluate_start(self, data: Data, held_out: Tensor) -> None:
        """Count the weights before the first step among the candidates, as epoch 0 of the history."""
        began = time.monotonic()
        figures = self.evaluate(data, held_out)
        if figures:
            self.history.append({"epoch": 0, "step": 0, **figures, "seconds": time.monotonic() - began})

    def finish(self) -> None:
        """Put the best weights into the module."""
        self.optimizer_state = self.optimizer.state()
        if self.failed and not self.best:
            self.optimizer.release()
            raise ValueError(self.failed)
        if self.failed:
            message = f"{self.failed} The best weights so far are kept, from before epoch {self.epoch + 1}."
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        if self.best:
            self._restore(self.best)
        self.optimizer.release()
        self.module.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        numbers = {name: getattr(self, name) for name in PROGRESS} | {
            "best_cost": self.best_cost if math.isfinite(self.best_cost) else None
        }
        tensors = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"buffer.{name}": value for name, value in self.module.named_buffers()}
        tensors["random"] = torch.get_rng_state()
        if self.options.device.startswith("cuda"):
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.options.device)
        write_tensors(path, tensors, {"fit": json.dumps(self._identity()), "numbers": json.dumps(numbers)})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        tensors, metadata = read_tensors(path)
        if "numbers" not in metadata or metadata.get("fit") != json.dumps(self._identity()):
            raise ValueError(
                f"{path} belongs to another fit: other rows, parts or options. "
                "Repeat the call that was interrupted, or delete the file to start anew."
            )
        numbers = json.loads(metadata["numbers"])
        self.best_cost = math.inf if numbers["best_cost"] is None else numbers["best_cost"]
        for name in PROGRESS:
            setattr(self, name, numbers[name])
        self.optimizer.load(_under("optimizer.", tensors))
        self.best = _under("best.", tensors)
        buffers = dict(self.module.named_buffers())
        for name, value in _under("buffer.", tensors).items():
            buffers[name].copy_(value)
        torch.set_rng_state(tensors["random"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.options.device)

    def _identity(self) -> dict[str, Any]:
        shapes = [[name, list(value.shape)] for name, value in self.module.state_dict().items()]
        return {"n": self.n, "options": asdict(self.options), "weights": shapes}

    def _remember(self, cost: float) -> None:
        self.best_cost = cost
        weights = {f"weights.{i}": value for i, value in enumerate(self.optimizer.weights())}
        self.best = weights | {f"buffers.{name}": value.clone() for name, value in self.module.named_buffers()}

    def _restore(self, best: dict[str, Tensor]) -> None:
        weights = _under("weights.", best)
        self.optimizer.put([weights[str(i)] for i in range(len(weights))])
        buffers = dict(self.module.named_buffers())
        for name, value in _under("buffers.", best).items():
            buffers[name].copy_(value)

    def _learning_rate(self, total: int) -> float:
        """Return the rate of the step to come: a linear rise, then half a cosine."""
        peak, rise = self.options.learning_rate, self.options.warm_up
        if self.options.constant:
            return peak
        if self.step < rise:
            return peak * (self.step + 1) / rise
        return peak * 0.5 * (1 + math.cos(math.pi * (self.step - rise) / max(1, total - rise)))

    def _fail(self, costs: list[float], block: Batch) -> None:
        first = next(i for i, cost in enumerate(costs) if not math.isfinite(cost))
        step = self.step - len(costs) + first + 1
        largest = float(block.x.to(torch.float64).abs().max())
        cause = "the learning rate is too high"
        if not math.isfinite(largest):
            cause = "the data are not finite"
        elif largest > 1e4 and block.x.dtype != torch.uint8:
            cause = f"a value lies {largest:.3g} standard deviations from its mean; look for wrong cells"
        elif self.options.dtype == "bfloat16":
            cause = "bfloat16 is too coarse for these data; use dtype='float32'"
        self.failed = (
            f"the cost became {costs[first]} at step {step}, learning rate {self.rate:.3g}; "
            f"likely cause: {cause}. Try learning_rate={self.options.learning_rate / 10:.3g}."
        )
        logger.warning(self.failed)


@torch.no_grad()
def evaluate(module: AutoEncoderModule, data: Data, rows: Tensor, options: Options) -> tuple[float, float]:
    """Return mean cost and mean error of these rows, with the same corruption and draws every time."""
    was_training = module.training
    module.eval()
    cost = error = 0.0
    size = at_once(EVALUATION_BATCH, data.take(rows[:1]).x[0].numel())
    with seeded(options.seed + 1, options.device):
        for index in rows.split(size):
            with _autocast(options):
                step = module(data.take(index).to(options.device), as_training=True)
            step = _in_full(step, options)
            cost += float(module.cost(step).double().sum())
            # Where codes were drawn more than once, every example has equally many rows.
            error += float(module.loss.error(step.output, step.target).double().mean()) * len(index)
    module.train(was_training)
    return cost / len(rows), error / len(rows)


def _how_to_go_on(fit: _Fit, checkpoint: Path | None) -> str:
    where = f"interrupted in epoch {fit.epoch + 1}, step {fit.step}"
    if checkpoint is None:
        return f"{where}; nothing was kept, as no checkpoint was asked for."
    return f"{where}; the state is in {checkpoint}: repeat the call with resume to go on."


def _mini_batches(block: Batch, size: int) -> Iterator[Batch]:
    """Yield a block's mini-batches; a single row left over joins the one before."""
    begin = 0
    while begin < len(block):
        # Batch normalisation has no variance of one row.
        end = len(block) if len(block) - begin <= size + 1 else begin + size
        yield block[begin:end]
        begin = end


def _order(n: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the rows in an epoch, a function of seed and epoch alone."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))


def _autocast(options: Options):
    kind = options.device.partition(":")[0]
    return torch.autocast(kind, torch.bfloat16, enabled=options.dtype == "bfloat16")


def _in_full(step: Any, options: Options) -> Any:
    """Return a step whose output and code are float32 again: losses are summed in full."""
    if options.dtype != "bfloat16":
        return step
    code = step.code
    code = code._replace(
        z=code.z.float(),
        penalty=code.penalty.float(),
        factors=None if code.factors is None else {name: piece.float() for name, piece in code.factors.items()},
        log_ratio=None if code.log_ratio is None else code.log_ratio.float(),
    )
    return step._replace(output=step.output.float(), features=step.features.float(), code=code)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
