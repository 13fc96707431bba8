"""A limit on the memory that building a model from a file may take."""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Budget"]

# What an operation raises where it cannot run on tensors without values.
WITHOUT_VALUES = (RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError)
# Bytes of the widest number, complex128.
WIDEST = 16
POINTWISE = (torch.ops.aten.mse_loss.default,)
PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


class Budget(TorchDispatchMode):
    """Within it, no tensor is made that would take the tensors alive beyond a limit.

    Sizes are found out before anything is allocated: memory that is only promised would be
    handed out gladly, and the process killed when it is written to. Where a crude bound (the
    product of all sizes that go in) does not settle it, the operation is run on tensors
    without values first.

    Parameters
    ----------
    limit : int
        Bytes.

    Raises
    ------
    ValueError
        From the operation that would go beyond the limit.

    Examples
    --------
    >>> with Budget(1_000):  # doctest: +ELLIPSIS
    ...     torch.zeros(10_000)
    Traceback (most recent call last):
        ...
    ValueError: it would take 40000 more bytes of memory, and of 1000 are left 1000. If you trust it, ...
    """

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit
        self._held = 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else torch imports its whole compiler, two seconds, at the first operation.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation if what it makes is within the limit."""
        kwargs = kwargs or {}
        free = self.limit - self._held
        if _at_most(func, [*args, *kwargs.values()]) > free:
            needed = _new_bytes(func, args, kwargs)
            if needed > free:
                raise ValueError(
                    f"it would take {needed} more bytes of memory, and of {self.limit} are left {free}. "
                    "If you trust it, allow more with load(path, memory=...)."
                )
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            self._watch(tensor)
        return result

    def _watch(self, tensor: Tensor) -> None:
        # Views and parameters share a storage, which lives as long as the last of them.
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._held += size
            weakref.finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._held -= size


def _at_most(func: Any, given: list[Any]) -> int:
    """Return a number of bytes that what an operation makes of these does not exceed."""
    tensors = _tensors(given)
    # These by their own rule: torch's imports its compiler, a second, when it is first asked.
    if torch.Tag.pointwise in func.tags or func in POINTWISE:
        aligned = itertools.zip_longest(*(reversed(tensor.shape) for tensor in tensors), fillvalue=1)
        return WIDEST * math.prod(max(sizes) for sizes in aligned)
    if func in PRODUCTS:
        return WIDEST * tensors[-2].shape[0] * tensors[-1].shape[1]
    elements = WIDEST * math.prod(tensor.numel() + 1 for tensor in tensors)
    for value in given:
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, int | float) and math.isfinite(number):
                elements *= max(1, math.ceil(abs(number)))
    return elements


def _new_bytes(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """Return how much an operation will allocate; 0 where that depends on values."""
    # Those that depend on values select from their inputs, and so stay within their size.
    args, like = _without_values(args), {name: _without_values(value) for name, value in kwargs.items()}
    given = [*_tensors(args), *_tensors(list(like.values()))]
    if not given or "device" in like:
        like["device"] = torch.device("meta")
    try:
        made = _tensors(func(*args, **like))
    except WITHOUT_VALUES:
        return 0
    known = {id(tensor.untyped_storage()) for tensor in given}
    return sum(tensor.untyped_storage().nbytes() for tensor in made if id(tensor.untyped_storage()) not in known)


def _without_values(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, tuple | list):
        return type(value)(_without_values(item) for item in value)
    return value


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, tuple | list) else []
