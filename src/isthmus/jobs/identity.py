"""Which model it was: a short name for weights, facts and all else that answers come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from isthmus import names
from isthmus.module import AutoEncoderModule

__all__ = ["identity"]

LENGTH = 16


def identity(module: AutoEncoderModule, state: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits that name a fitted model by its contents.

    Parameters
    ----------
    module : AutoEncoderModule
        Its weights and the facts of its modality.
    state : mapping of str
        What a job's ``state`` gives: JSON values and arrays.

    Notes
    -----
    The beginning of the SHA-256 of all values, in the order of their names. It is the same
    after saving and loading and on every device, and does not depend on settings that only
    move the threshold.
    """
    found = hashlib.sha256(json.dumps(names.to_json(module.modality.facts), sort_keys=True).encode())
    weights = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    for name, value in sorted((weights | dict(state)).items()):
        found.update(name.encode())
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        else:
            found.update(json.dumps(value, sort_keys=True).encode())
    return found.hexdigest()[:LENGTH]
