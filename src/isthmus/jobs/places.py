"""Where rows came from, as arrays of numbers: what a model file can hold at any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["from_arrays", "to_arrays"]

LONGEST = 4_096


def to_arrays(places: Sequence[Any]) -> dict[str, np.ndarray]:
    """Return numbers as one array; names as one array of UTF-8 bytes and one of where each ends.

    Raises
    ------
    ValueError
        If they are neither all whole numbers nor all text, or a text has more than 4,096 bytes.

    Examples
    --------
    >>> to_arrays(["a", "bc"])["place_ends"]
    array([1, 3])
    """
    if all(isinstance(place, int | np.integer) and not isinstance(place, bool) for place in places):
        return {"places": np.array(places, dtype=np.int64)}
    if not all(isinstance(place, str) for place in places):
        kinds = sorted({type(place).__name__ for place in places})
        raise ValueError(f"places must all be whole numbers or all be text, got {', '.join(kinds)}.")
    # File names may hold what is no Unicode.
    encoded = [place.encode("utf-8", "surrogateescape") for place in places]
    if max(map(len, encoded)) > LONGEST:
        raise ValueError(f"a place may have {LONGEST} bytes, got one of {max(map(len, encoded))}.")
    return {
        "place_bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(),
        "place_ends": np.cumsum([len(one) for one in encoded], dtype=np.int64),
    }


def from_arrays(arrays: Mapping[str, Any], n: int) -> np.ndarray:
    """Return the ``n`` places that :func:`to_arrays` made arrays of.

    Raises
    ------
    ValueError
        If the arrays are not such.
    """
    numbers, text, ends = (arrays.get(name) for name in ("places", "place_bytes", "place_ends"))
    if numbers is not None and _is(numbers, np.int64, n) and text is None and ends is None:
        return numbers
    if numbers is None and text is not None and _is(text, np.uint8) and ends is not None and _is(ends, np.int64, n):
        begins = np.concatenate([[0], ends[:-1]])
        lengths = ends - begins
        if ends[0] >= 0 and lengths.min() >= 0 and lengths.max() <= LONGEST and ends[-1] == len(text):
            whole = text.tobytes()
            pieces = [whole[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
            return np.array([piece.decode("utf-8", "surrogateescape") for piece in pieces], dtype=object)
    raise ValueError(f"the search's places should be one for each of {n} rows.")


def _is(array: Any, kind: Any, n: int | None = None) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == kind and array.ndim == 1 and n in (None, len(array))
