"""What the checks run on: small data of each modality, and small parts beside the one at test."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.base import clone

from isthmus.batch import Batch, Step
from isthmus.bottlenecks import Gaussian, Grouped, Linear, VectorQuantizer
from isthmus.guards import seeded
from isthmus.losses import SquaredError
from isthmus.modalities import Images, Sequences, Tables
from isthmus.modalities.choice import default_modality
from isthmus.module import AutoEncoderModule
from isthmus.networks import CompactEncoder, ConvEncoder, LappedEncoder, MLPDecoder, MLPEncoder, TemporalEncoder
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = ["Case", "Setting", "map_settings", "of_symbols", "require", "settings", "wider_settings"]

N_ROWS = 24
N_LABELS = 3


def require(holds: bool, message: str) -> None:
    """Raise AssertionError with this message unless it holds."""
    if not holds:
        raise AssertionError(message)


@dataclass(frozen=True)
class Setting:
    """Data, and what stands beside the part that is checked.

    Attributes
    ----------
    name : str
        For messages.
    X : array, data frame or Rows
        At least 16 rows.
    modality : Part
        A prototype that takes them.
    beside : dict of str to Part
        Prototypes for the other roles: encoder, bottleneck, decoder, loss, corruption.
    """

    name: str
    X: Any
    modality: Part
    beside: dict[str, Any] = field(default_factory=dict)

    def assemble(self, role: str, part: Part, dtype: torch.dtype, device: str) -> tuple[AutoEncoderModule, Batch]:
        """Build a line with ``part`` in its role, weights moved off their start, and the data as a batch."""
        rows = as_rows(self.X)
        modality = clone(part if role == "modality" else self.modality).fit(rows)
        parts: dict[str, Any] = {
            "encoder": MLPEncoder((12, 10)),
            "bottleneck": Linear(3, activation="sigmoid"),
            "decoder": MLPDecoder((10, 12)),
            "loss": modality.loss(),
        }
        parts |= {name: clone(one) for name, one in self.beside.items()}
        if role != "modality":
            parts |= self.in_role(role, clone(part))
        with seeded(0, device):
            module = AutoEncoderModule(modality, **parts, labels=N_LABELS).to(device, dtype)
            with torch.no_grad():
                # Many weights start at zero, where nothing behind them shows or has a gradient.
                for parameter in module.parameters():
                    parameter.add_(0.2 * torch.randn_like(parameter))
        batch = modality.to_batch(rows, dtype)
        return module, replace(batch, condition=torch.from_numpy(self.labels())).to(device)

    def in_role(self, role: str, part: Part) -> dict[str, Any]:
        """Return the argument of an auto-encoder that puts a part in its role."""
        if role == "penalty":
            return {"penalties": [part]}
        if role == "prior":
            # Two places, or a prior of symbols would have nothing to look back at in a table.
            if of_symbols(part):
                return {"bottleneck": Grouped(VectorQuantizer(4, size=2), groups=2, prior=part)}
            return {"bottleneck": Gaussian(3, prior=part)}
        if role == "objective":
            return {"bottleneck": Gaussian(3), "objective": part}
        return {role: part}

    def labels(self) -> np.ndarray:
        """Return a label for each row, some of them unknown."""
        return np.arange(len(as_rows(self.X))) % (N_LABELS + 1) - 1

    def step(self, module: AutoEncoderModule, batch: Batch, training: bool, seed: int = 0) -> Step:
        """Run the line once."""
        device = str(batch.x.device)
        with seeded(seed, device):
            return module.train(training)(batch)


@dataclass(frozen=True)
class Case:
    """A part in its role, on some data.

    Attributes
    ----------
    setting : Setting
        The data and what stands beside the part.
    role : str
        encoder, bottleneck, prior, decoder, loss, objective, corruption, penalty or modality.
    prototype : Part
        What is checked.
    device : str
        Where.
    """

    setting: Setting
    role: str
    prototype: Part
    device: str

    @property
    def what(self) -> str:
        """How messages begin."""
        return f"{self.prototype!r} as {self.role} on {self.setting.name}"

    def line(self, dtype: torch.dtype = torch.float64) -> tuple[AutoEncoderModule, Batch, Part]:
        """Return the line, the stored data, and the part within the line."""
        module, batch = self.setting.assemble(self.role, self.prototype, dtype, self.device)
        bottleneck: Any = module.bottleneck
        inner = {"penalty": lambda: module.penalties[0], "prior": lambda: bottleneck.prior}
        part: Any = inner[self.role]() if self.role in inner else getattr(module, self.role)
        return module, batch, part

    def call(self, part: Any, given: tuple[Any, ...]) -> Any:
        """Let the part do what it is for."""
        return part.log_prob(given[0]) if self.role == "prior" else part(*given)

    def inputs(self, step: Step, module: AutoEncoderModule) -> tuple[Any, ...]:
        """Return what the part was given in this step."""
        if self.role == "objective":
            if step.code.log_ratio is None:  # in evaluation codes are means; an objective is given drawn ones
                step = self._drawn(step, module)
            return module.loss(step.output, step.target), step.code
        return {
            "encoder": (step.source,),
            "bottleneck": (step.features,),
            "decoder": (step.code.z, step.target),
            "loss": (step.output, step.target),
            "penalty": (step,),
            "corruption": (step.target,),
            "prior": (step.code.indices if of_symbols(self.prototype) else step.code.z, step.features),
        }[self.role]

    def _drawn(self, step: Step, module: Any) -> Step:
        draws = module.objective.draws
        features, target = step.features.repeat_interleave(draws, 0), step.target.repeat(draws)
        with seeded(0, self.device):
            code = module.bottleneck.draw(features)
        return Step(target, target, features, code, module.decoder(code.z, target))


def of_symbols(prior: Part) -> bool:
    """Whether a prior is one of discrete codes: its setup names their symbols."""
    return "symbols" in inspect.signature(prior.setup).parameters


def settings(X: Any = None, modality: Part | None = None, beside: dict[str, Any] | None = None) -> Iterator[Setting]:
    """Yield the data to try a part on: the caller's, or a sample of each kind that we know."""
    beside = beside or {}
    if X is not None:
        if modality is None:
            modality = default_modality(as_rows(X))
        yield Setting("the data given", X, modality, beside)
        return
    random = np.random.default_rng(0)
    numbers = random.normal(size=(N_ROWS, 5)) @ random.normal(size=(5, 5)) + 3
    yield Setting("a table of numbers", numbers, modality or Tables(), beside)
    gaps = np.where(random.random(numbers.shape) < 0.2, np.nan, numbers)
    yield Setting("a table with gaps", gaps, modality or Tables(), beside)
    yield Setting("a table of mixed columns", _mixed(random), modality or Tables(), beside)
    # Height, width and channels all differ, so that no two can be taken for each other.
    pixels = random.integers(0, 256, (N_ROWS, 8, 6, 3), dtype=np.uint8)
    yield Setting("images", pixels, modality or Images(), beside)
    yield Setting("series", _series(random), modality or Sequences(), beside)


def wider_settings(known: list[Setting]) -> Iterator[Setting]:
    """Yield the same data beside rarer neighbours: a drawn code, and one that keeps positions.

    For penalties that ask for a posterior, or for codes in a row.
    """
    for setting in known:
        drawn = {"bottleneck": Gaussian(3)} | setting.beside
        if isinstance(setting.modality, Images):
            yield replace(setting, beside={"encoder": ConvEncoder((4,), flatten=False)} | drawn)
        elif isinstance(setting.modality, Sequences):
            yield replace(setting, beside={"encoder": TemporalEncoder((4,), summary="steps")} | drawn)
        elif setting is known[0]:
            yield replace(setting, beside=drawn)


def map_settings(known: list[Setting]) -> Iterator[Setting]:
    """Yield the images coded as a map of blocks, and as smaller images, for decoders and bottlenecks that need one."""
    for setting in known:
        if isinstance(setting.modality, Images):
            for encoder in (LappedEncoder(6), CompactEncoder((4,))):
                yield replace(setting, beside={"encoder": encoder, "loss": SquaredError()} | setting.beside)


def _series(random: np.random.Generator) -> list[np.ndarray]:
    """Return series of two channels and different lengths, some values and some whole steps missing."""
    series = []
    for _ in range(N_ROWS):
        walk = random.normal(size=(int(random.integers(4, 10)), 2)).cumsum(0) + (5, 0)
        walk[random.random(walk.shape) < 0.1] = np.nan
        walk[int(random.integers(1, len(walk)))] = np.nan
        series.append(walk)
    return series


def _mixed(random: np.random.Generator) -> pl.DataFrame:
    def some(values: list[Any]) -> list[Any]:
        return [None if random.random() < 0.1 else values[int(random.integers(len(values)))] for _ in range(N_ROWS)]

    return pl.DataFrame(
        {
            "length": random.normal(size=N_ROWS),
            "colour": some(["red", "green", "blue"]),
            "count": random.integers(0, 9, N_ROWS),
            "open": some([True, False]),
            "place": some(["here", "there"]),
        }
    )
