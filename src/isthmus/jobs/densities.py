"""Densities of codes, fitted after the auto-encoder: where codes lie, so that new ones can be drawn."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isthmus import names
from isthmus.batch import Batch, Code, Step
from isthmus.data import Resident
from isthmus.guards import seeded, threads_set
from isthmus.options import choose_options
from isthmus.part import Part
from isthmus.training import train

__all__ = ["density_from", "density_state", "fit_density"]

WEIGHT = "density_weight_"
# Codes that a density starts from; the fit after it sees them all.
MOST_AT_START = 20_000


def fit_density(prior: Part, z: Tensor, seed: int, threads: int = 1) -> Part:
    """Fit a prior to codes by maximum likelihood, in the one training loop.

    Parameters
    ----------
    prior : Part
        A prototype of ``isthmus.priors``; it is built here.
    z : Tensor
        Codes, ``(n, d)``.
    seed : int
        Of its weights and of the fit.
    threads : int, default=1
        Processor threads.

    Returns
    -------
    Part
        Built, fitted, in evaluation mode.

    Raises
    ------
    ValueError
        If it is a prior of symbols, or one that needs a bottleneck.
    """
    if "symbols" in inspect.signature(prior.setup).parameters:
        raise ValueError(f"{prior!r} is a prior of symbols: give it to the bottleneck, as vector_quantizer(prior=...).")
    with seeded(seed), threads_set(threads):
        prior.build_with({"size": z.shape[1], "width": z.shape[1], "positions": []}).to(z)
        some = z[torch.randperm(len(z))[:MOST_AT_START]]
        prior.start(some, some)
    if not any(parameter.requires_grad for parameter in prior.parameters()):
        return prior.eval()
    module = _Density(prior)
    asked = dict.fromkeys(("max_epochs", "batch_size", "learning_rate", "patience"))
    asked |= {"weight_decay": 1e-4, "clip": 5.0, "ema": 0.999, "validation_fraction": 0.1, "threads": threads}
    asked |= {"dtype": str(z.dtype).removeprefix("torch."), "device": "cpu", "seed": seed}
    with threads_set(threads):
        train(module, Resident(Batch(z)), choose_options(len(z), module, asked))
    return prior.eval()


def density_state(prior: Part) -> dict[str, Any]:
    """Return a fitted density as JSON values and arrays; :func:`density_from` reads them."""
    weights = {WEIGHT + name: value.cpu().numpy() for name, value in prior.state_dict().items()}
    return {"density": names.describe(prior), "density_facts": names.to_json(prior.facts)} | weights


def density_from(state: dict[str, Any]) -> Part:
    """Return the density that :func:`density_state` described.

    Raises
    ------
    ValueError
        If the weights are not those that params and facts ask for.
    """
    prior = names.restore(state["density"], "priors")
    prior.build(**state["density_facts"])
    wanted = prior.state_dict()
    given = {name.removeprefix(WEIGHT): np.asarray(v) for name, v in state.items() if name.startswith(WEIGHT)}
    for name in set(wanted) ^ set(given):
        raise ValueError(f"the density's weights {name[:80]!r} are on one side only, of its params and of the file.")
    for name, value in given.items():
        if value.shape != tuple(wanted[name].shape) or not np.isfinite(value).all():
            raise ValueError(f"the density's weights {name!r} are not {tuple(wanted[name].shape)} finite numbers.")
    prior.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in given.items()})
    return prior.to(torch.from_numpy(next(iter(given.values()))).dtype if given else torch.float32).eval()


class _Density(nn.Module):
    """What the loop trains: a line whose cost is the nats of a code under the density."""

    is_game = False

    def __init__(self, density: Part):
        super().__init__()
        self.density = density
        self.loss = _NoError()

    def arrange(self, data: Any, training: Tensor, batch_size: int) -> Any:
        """Return the rows as they are: a code has no row that it belongs beside."""
        return data

    def forward(self, stored: Batch, as_training: bool | None = None) -> Step:
        return Step(stored, stored, stored.x, Code(stored.x, stored.x.new_zeros(len(stored))), stored.x)

    def cost(self, step: Step) -> Tensor:
        return -self.density.log_prob(step.code.z)

    def usage(self) -> dict[str, float]:
        """Return nothing: codes are data here, and none is discrete."""
        return {}

    def after_step(self, progress: float) -> None:
        if hasattr(self.density, "after_step"):
            self.density.after_step(progress)


class _NoError(nn.Module):
    """Nothing is reconstructed, so there is no error."""

    def error(self, output: Tensor, target: Batch) -> Tensor:
        return output.new_zeros(len(output))
