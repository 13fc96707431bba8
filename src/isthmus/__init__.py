"""Isthmus: learn a compact code of your own data, and put it to work.

Names are loaded on first use, so that ``isthmus --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AutoEncoder": "estimator",
    "Part": "part",
    "Batch": "batch",
    "Code": "batch",
    "Step": "batch",
}

__all__ = ["AutoEncoder", "Batch", "Code", "Part", "Step", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"isthmus.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isthmus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
