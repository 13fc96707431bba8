"""From what a user asked for to a network: parts by name or as prototypes, device, dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from sklearn.base import clone

from isthmus import names
from isthmus.guards import seeded, threads_set
from isthmus.module import AutoEncoderModule
from isthmus.options import Options, at_once, split
from isthmus.part import Part

__all__ = [
    "SLOT_OF",
    "asked_options",
    "begin",
    "build_module",
    "check_number",
    "check_settings",
    "device_of",
    "dtype_of",
    "part_of",
    "quick_dtype",
    "require_ability",
    "wants_labels",
]

SLOT_OF = {
    "modality": "modalities",
    "bottleneck": "bottlenecks",
    "encoder": "networks",
    "decoder": "networks",
    "corruption": "corruptions",
    "loss": "losses",
    "objective": "objectives",
    "penalties": "penalties",
}
START_ROWS = 4_096
WEIGHTS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


def part_of(given: Any, slot: str) -> Any:
    """Return a fresh part: parsed from its name, or cloned from a prototype; None stays None.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return names.parse(given, slot)
    if not isinstance(given, Part):
        raise TypeError(f"{slot} take a part or its name, got {type(given).__name__}.")
    return clone(given)


def wants_labels(choices: Mapping[str, Any]) -> bool:
    """Whether one of the chosen parts, or a part within it, asks for labels."""
    given = [choices[name] for name in SLOT_OF if name not in ("modality", "penalties")]
    slots = [SLOT_OF[name] for name in SLOT_OF if name not in ("modality", "penalties")]
    pairs = [*zip(given, slots, strict=True), *((penalty, "penalties") for penalty in choices["penalties"])]
    return any(_wants_labels(part_of(part, slot)) for part, slot in pairs if part is not None)


def _wants_labels(part: Part) -> bool:
    within = part.get_params(deep=True).values()
    return any(getattr(one, "needs_labels", False) for one in (part, *within))


def build_module(
    modality: Part, choices: Mapping[str, Any], device: str, dtype: str, labels: int = 0
) -> AutoEncoderModule:
    """Return the network of these choices, the modality's own where none was made.

    Parameters
    ----------
    modality : Part
        Fitted.
    choices : mapping
        The estimator's encoder, bottleneck, decoder, loss, corruption, objective and penalties.
    device, dtype : str
        Resolved.
    labels : int, default=0
        Classes of the rows' labels, for parts that ask for them.
    """
    chosen = {
        name: part_of(choices[name], slot) for name, slot in SLOT_OF.items() if name not in ("modality", "penalties")
    }
    module = AutoEncoderModule(
        modality,
        chosen["encoder"] or modality.encoder(),
        chosen["bottleneck"],
        chosen["decoder"] or modality.decoder(),
        chosen["loss"] or modality.loss(),
        chosen["corruption"],
        [part_of(penalty, "penalties") for penalty in choices["penalties"]],
        chosen["objective"],
        labels,
    )
    return module.to(device, WEIGHTS[dtype])


def begin(module: AutoEncoderModule, data: Any, options: Options) -> None:
    """Let a network's parts start from a sample of the training rows."""
    # Of these alone: a start that has seen the held-out rows would look too good on them.
    training, _ = split(len(data), options)
    most = at_once(START_ROWS, data.take(training[:1]).x[0].numel())
    with seeded(options.seed, options.device), threads_set(1):
        module.start(data.take(training[:most]).to(options.device))


def asked_options(estimator: Any, seed: int) -> dict[str, Any]:
    """Return what an estimator was asked for of :class:`isthmus.options.Options`."""
    named = ("max_epochs", "batch_size", "learning_rate", "patience", "weight_decay", "clip", "ema")
    asked = {name: getattr(estimator, name) for name in (*named, "validation_fraction", "threads")}
    device = device_of(estimator.device)
    return asked | {"dtype": dtype_of(estimator.dtype, device), "device": device, "seed": seed}


def require_ability(bottleneck: Any, ability: str, who: str = "") -> None:
    """Raise ValueError, naming the bottlenecks that can, unless this one has an ability such as 'sample'."""
    if not hasattr(bottleneck, ability):
        able = [name for name, cls in names.slots()["bottlenecks"].items() if hasattr(cls, ability)]
        says = (
            f"{who} needs a bottleneck that can {ability}, got {bottleneck!r}"
            if who
            else f"{bottleneck!r} cannot {ability}"
        )
        raise ValueError(f"{says}. Bottlenecks that can: {', '.join(able)}.")


def device_of(device: str) -> str:
    """Return the device that 'auto' stands for, or the one named."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype_of(dtype: str, device: str) -> str:
    """Return the dtype that 'auto' stands for on a device, or the one named.

    Raises
    ------
    ValueError
        If there is no such dtype.
    """
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    if dtype not in WEIGHTS:
        raise ValueError(f"dtype must be 'auto' or one of {', '.join(WEIGHTS)}, got {dtype!r}.")
    return dtype


def quick_dtype() -> str:
    """Return the dtype that networks of convolutions learn in fastest: 'bfloat16' on processors that multiply it.

    On others, and where there is a GPU, 'auto'. Weights and losses are float32 in any case.
    """
    if torch.cuda.is_available():
        return "auto"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "auto"


def check_number(owner: Any, name: str, wanted: str, fits: Callable[[Any], bool]) -> None:
    """Raise ValueError unless an attribute is a number that fits."""
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")


def check_settings(estimator: Any) -> None:
    """Raise ValueError unless the numbers that say how to fit are such numbers.

    Parameters
    ----------
    estimator : AutoEncoder
        With the attributes of that name.
    """
    for name in ("max_epochs", "batch_size", "patience", "threads"):
        if getattr(estimator, name) is not None:
            check_number(
                estimator, name, "a whole number of at least 1, or None", lambda v: v >= 1 and float(v).is_integer()
            )
    if estimator.learning_rate is not None:
        check_number(estimator, "learning_rate", "a number above 0, or None", lambda v: v > 0)
    for name in ("ema", "validation_fraction"):
        check_number(estimator, name, "a number of at least 0 and below 1", lambda v: 0 <= v < 1)
    for name in ("weight_decay", "clip", "checkpoint_seconds"):
        check_number(estimator, name, "a number of at least 0", lambda v: v >= 0)
    dtype_of(estimator.dtype, device_of(estimator.device))
