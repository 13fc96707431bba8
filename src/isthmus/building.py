"""From what a user asked for to a network: parts by name or as prototypes, device, dtype."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from sklearn.base import clone

from isthmus import names
from isthmus.module import AutoEncoderModule
from isthmus.part import Part

__all__ = ["SLOT_OF", "build_module", "check_number", "device_of", "dtype_of", "part_of"]

SLOT_OF = {
    "modality": "modalities",
    "bottleneck": "bottlenecks",
    "encoder": "networks",
    "decoder": "networks",
    "corruption": "corruptions",
    "loss": "losses",
    "penalties": "penalties",
}
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


def build_module(modality: Part, choices: Mapping[str, Any], device: str, dtype: str) -> AutoEncoderModule:
    """Return the network of these choices, the modality's own where none was made.

    Parameters
    ----------
    modality : Part
        Fitted.
    choices : mapping
        The estimator's encoder, bottleneck, decoder, loss, corruption and penalties.
    device, dtype : str
        Resolved.
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
    )
    return module.to(device, WEIGHTS[dtype])


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


def check_number(owner: Any, name: str, wanted: str, fits: Callable[[Any], bool]) -> None:
    """Raise ValueError unless an attribute is a number that fits."""
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")
