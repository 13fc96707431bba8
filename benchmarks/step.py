"""One training step of a small network, batch 256, against a bare torch loop with fused Adam.

The layers are the same in both, 30-64-32-8-32-64-30 with GELU, once plain and once with our
default linear shortcuts, and so are rows, batch, number of steps and threads (one, which is
what a fit chooses at this size). Ours is `isthmus.training.train` as a whole: gathering
blocks, clipping, schedule, averaged weights, history. Nothing is held out, as the bare loop
holds nothing out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import bare, ours
from benchmarks.harness import Claim, Result, Times, chained, interleaved, main, range_of, ratios
from benchmarks.made import correlated
from isthmus.data import Resident
from isthmus.guards import seeded, threads_set
from isthmus.modalities import Tables
from isthmus.optimizing import FlatAdamW
from isthmus.rows import as_rows
from isthmus.training import train

TITLE = "a training step of 30-64-32-8-32-64-30, batch 256, as a multiple of a bare torch loop's"
COLUMNS, HIDDEN, CODE, BATCH = 30, (64, 32), 8, 256
STEPS_AN_EPOCH = 100


def run(quick: bool) -> Result:
    """Time both networks in both loops, then the pieces of a step."""
    epochs, rounds = (3, 3) if quick else (10, 11)
    table = correlated(STEPS_AN_EPOCH * BATCH, COLUMNS, seed=1)
    modality = Tables().fit(as_rows(table))
    data = Resident(modality.to_batch(as_rows(table)))
    steps = epochs * STEPS_AN_EPOCH
    claims: list[Claim] = []
    figures: dict[str, Any] = {"steps_a_run": steps}
    with threads_set(1):
        for name, shortcut in (("plain layers", False), ("default layers, with shortcuts", True)):
            times = _race(modality, data, shortcut, epochs, rounds)
            mine, theirs = times["isthmus"], times["bare"]
            claims.append(Claim(name, must=1.10, aim=0.8, **range_of(ratios(mine.wall, theirs.wall))))
            # With one thread, processor time says the same, even on a machine that others use.
            claims.append(Claim(f"{name}, by processor time", **range_of(ratios(mine.cpu, theirs.cpu))))
            figures[name] = {
                "microseconds_a_step": {who: 1e6 * spent.median / steps for who, spent in times.items()},
                "times": {who: spent.summary() for who, spent in times.items()},
                "pieces_s": _pieces(modality, data, shortcut, 200 if quick else 1_000),
            }
    return Result(TITLE, claims, figures)


def _race(modality: Any, data: Resident, shortcut: bool, epochs: int, rounds: int) -> dict[str, Times]:
    kind = bare.WithShortcuts if shortcut else bare.Plain

    def isthmus() -> None:
        train(ours.module(modality, HIDDEN, CODE, "gelu", shortcut), data, ours.options(BATCH, epochs, threads=1))

    def by_hand() -> None:
        with seeded(0):
            bare.train(kind(COLUMNS, HIDDEN, CODE, nn.GELU), data.batch.x, BATCH, epochs)

    return interleaved({"isthmus": isthmus, "bare": by_hand}, rounds)


def _pieces(modality: Any, data: Resident, shortcut: bool, repeats: int) -> dict[str, dict[str, float]]:
    """Return seconds of the pieces of a step, ours and the bare loop's."""
    module = ours.module(modality, HIDDEN, CODE, "gelu", shortcut).train()
    network = (bare.WithShortcuts if shortcut else bare.Plain)(COLUMNS, HIDDEN, CODE, nn.GELU)
    optimizer = FlatAdamW(module)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(len(data))
    block = data.take(order)
    mine: dict[str, Callable[[Any], Any]] = {
        "slice": lambda i: block[i : i + BATCH],
        "forward": lambda batch: module(batch),
        "cost": lambda step: module.cost(step).mean(),
        "zero_grad": lambda _: optimizer.zero_grad(),
        "backward": lambda cost: cost.backward(),
        "clip, update, average": lambda _: optimizer.step(1e-3),
    }
    seen: dict[str, Any] = {}
    theirs: dict[str, Callable[[Any], Any]] = {
        "index": lambda i: seen.setdefault("x", data.batch.x[order[i : i + BATCH]]),
        "forward": lambda x: network(x),
        "cost": lambda output: F.mse_loss(output, seen.pop("x")),
        "zero_grad": lambda _: adam.zero_grad(set_to_none=True),
        "backward": lambda cost: cost.backward(),
        "update": lambda _: adam.step(),
    }
    begins = [BATCH * (turn % STEPS_AN_EPOCH) for turn in range(repeats)]
    pieces = {"isthmus": chained(mine, begins), "bare": chained(theirs, begins)}
    optimizer.release()
    return pieces


if __name__ == "__main__":
    main(run)
