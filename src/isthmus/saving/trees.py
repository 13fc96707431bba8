"""Values as JSON, with the arrays among them put aside; and a checksum of the whole."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["checksum", "pack", "unpack"]

ARRAY, FLOAT = "$array", "$float"
MAX_DEPTH = 20
PREFIX = "array."


def pack(value: Any, arrays: dict[str, Tensor], where: str, depth: int = 0) -> Any:
    """Return a value as JSON-able values, its arrays put into ``arrays``.

    Raises
    ------
    TypeError
        If it holds what neither JSON nor a safetensors file can.
    """
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} is nested deeper than {MAX_DEPTH} levels, which cannot be saved.")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray):
        name = f"{PREFIX}{len(arrays)}"
        arrays[name] = _tensor(value, where)
        return {ARRAY: name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {FLOAT: str(value)}
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [pack(item, arrays, where, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: pack(item, arrays, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    raise TypeError(
        f"{where} is a {type(value).__name__}, which cannot be saved. Use numbers below 2**63, text, booleans, None, "
        "lists, arrays of numbers, and dicts whose keys are text that does not begin with '$'."
    )


def unpack(value: Any, arrays: Mapping[str, Tensor], depth: int = 0) -> Any:
    """Return the value that :func:`pack` packed; tuples come back as lists.

    Raises
    ------
    ValueError
        If it names an array that is not there, or is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"values are nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, list):
        return [unpack(item, arrays, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {FLOAT} and value[FLOAT] in ("nan", "inf", "-inf"):
        return float(value[FLOAT])
    if set(value) == {ARRAY}:
        if not isinstance(value[ARRAY], str) or value[ARRAY] not in arrays:
            raise ValueError(f"there is no array called {value[ARRAY]!r:.80}.")
        return arrays[value[ARRAY]].numpy().copy()
    return {key: unpack(item, arrays, depth + 1) for key, item in value.items()}


def checksum(tree: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON object but for its own ``checksum``, spaces and order aside."""
    body = {key: value for key, value in tree.items() if key != "checksum"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _tensor(array: np.ndarray, where: str) -> Tensor:
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{where} is an array of {array.dtype}, which cannot be saved; use numbers or booleans.")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
