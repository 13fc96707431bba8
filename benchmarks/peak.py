"""Training 784-1000-500-250-30 and back, batch 256, as a share of the machine's peak.

The peak is the rate of a square matrix product (2048, into a kept result) in the same run,
interleaved with the training, in the same type and on the same threads: two, or one if
OMP_NUM_THREADS says so. Counted are the multiplications and additions of the linear layers
alone: 2 b i o for the forward pass of a layer of i inputs and o outputs, as much for the
gradient of its weights, and as much for the gradient of its input, which the first layer has
no use for and is not counted. Activations, loss, clipping, optimizer, averaging and gathering
rows take time and count as nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import bare, ours
from benchmarks.harness import Claim, Result, chained, interleaved, main, range_of
from isthmus.batch import Batch, Step
from isthmus.data import Resident
from isthmus.guards import seeded, threads_set
from isthmus.modalities import Tables
from isthmus.module import AutoEncoderModule
from isthmus.optimizing import FlatAdamW
from isthmus.rows import as_rows
from isthmus.training import train

TITLE = "training 784-1000-500-250-30 and back, batch 256, as a share of the matrix-product peak"
INPUTS, HIDDEN, CODE, BATCH, SIDE = 784, (1000, 500, 250), 30, 256, 2048


def run(quick: bool) -> Result:
    """Interleave matrix products and training, in float32 and in bfloat16."""
    steps, rounds = (10, 2) if quick else (100, 7)
    threads = min(2, torch.get_num_threads())
    with seeded(0):
        rows = torch.rand(steps * BATCH, INPUTS)
    modality = Tables(heavy_tails="keep").fit(as_rows(rows[:512].numpy()))
    data = Resident(Batch(rows))
    claims: list[Claim] = []
    figures: dict[str, Any] = {"threads": threads, "steps_a_run": steps}
    with threads_set(threads):
        for dtype in ("float32", "bfloat16"):
            shares, figures[dtype] = _measure(modality, data, dtype, threads, rounds)
            claims += [
                Claim(f"{dtype}, {name}", better="higher", must=must, aim=aim, **range_of(share))
                for name, (share, must, aim) in shares.items()
            ]
    return Result(TITLE, claims, figures)


def _measure(
    modality: Any, data: Resident, dtype: str, threads: int, rounds: int
) -> tuple[dict[str, tuple[list[float], float | None, float | None]], dict[str, Any]]:
    """Return each loop's shares of the peak with their limits, and what they were made from."""
    kind = getattr(torch, dtype)
    left, right = torch.rand(2, SIDE, SIDE).to(kind)
    product = torch.empty(SIDE, SIDE, dtype=kind)
    steps = len(data) // BATCH

    # Each network is made once and trained on, round after round.
    networks = {False: _network(modality, False), True: _network(modality, True)}
    rival = bare.Plain(INPUTS, HIDDEN, CODE, nn.SiLU)

    def by_hand() -> None:
        with seeded(0), torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            bare.train(rival, data.batch.x, BATCH, 1)

    def isthmus(shortcut: bool) -> None:
        train(networks[shortcut], data, ours.options(BATCH, 1, threads, dtype))

    times = interleaved(
        {
            "product": lambda: [torch.mm(left, right, out=product) for _ in range(10)],
            "isthmus": lambda: isthmus(False),
            "isthmus, with shortcuts": lambda: isthmus(True),
            "bare torch loop": by_hand,
        },
        rounds,
    )
    product_times = times.pop("product")
    peaks = [10 * 2 * SIDE**3 / seconds for seconds in product_times.wall]
    cpu_peak = 10 * 2 * SIDE**3 / statistics.median(product_times.cpu)
    counts = {name: operations(networks["shortcuts" in name]) for name in times}
    limits = {"isthmus": (0.85, 0.95)}
    shares = {}
    for name, spent in times.items():
        rates = [steps * counts[name] / seconds for seconds in spent.wall]
        shares[name] = ([rate / peak for rate, peak in zip(rates, peaks, strict=True)], *limits.get(name, (None, None)))
    figures = {
        "peak_gigaflops": [peak / 1e9 for peak in peaks],
        "megaflop_a_step": {name: count / 1e6 for name, count in counts.items()},
        "milliseconds_a_step": {name: 1e3 * spent.median / steps for name, spent in times.items()},
        # The same by processor time: on one thread it holds on a busy machine too.
        "share_by_processor_time": {
            name: steps * counts[name] / statistics.median(spent.cpu) / cpu_peak for name, spent in times.items()
        },
        "pieces_s": _pieces(modality, data, dtype),
    }
    return shares, figures


def operations(module: AutoEncoderModule) -> int:
    """Return the floating-point operations that one training step does in linear layers."""
    counted = 0

    def count(layer: nn.Linear, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal counted
        products = 3 if inputs[0].requires_grad else 2
        counted += products * 2 * len(inputs[0]) * layer.in_features * layer.out_features

    hooks = [layer.register_forward_pre_hook(count) for layer in module.modules() if isinstance(layer, nn.Linear)]
    module.train()(Batch(torch.zeros(BATCH, INPUTS)))
    for hook in hooks:
        hook.remove()
    return counted


def _network(modality: Any, shortcut: bool) -> AutoEncoderModule:
    return ours.module(modality, HIDDEN, CODE, "silu", shortcut)


def _pieces(modality: Any, data: Resident, dtype: str) -> dict[str, float]:
    """Return seconds of the pieces of a step."""
    module = _network(modality, shortcut=False).train()
    optimizer = FlatAdamW(module)

    def forward(batch: Batch) -> Step:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            return module(batch)

    pieces: dict[str, Callable[[Any], Any]] = {
        "gather": data.take,
        "forward": forward,
        "cost": lambda step: module.cost(step._replace(output=step.output.float())).mean(),
        "zero_grad": lambda _: optimizer.zero_grad(),
        "backward": lambda cost: cost.backward(),
        "clip, update, average": lambda _: optimizer.step(1e-3),
    }
    seconds = chained(pieces, [torch.randperm(len(data))[:BATCH] for _ in range(30)])
    optimizer.release()
    return seconds


if __name__ == "__main__":
    main(run)
