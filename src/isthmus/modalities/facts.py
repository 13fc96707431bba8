"""What the facts of a modality must be: a saved model may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from isthmus.modalities.columns import KINDS, NUMERIC

__all__ = ["check_image_facts", "check_sequence_facts", "check_table_facts", "check_vector_facts"]

CONTAINERS = ("numpy", "pandas", "polars")
NUMBERS = ("low", "high", "center", "scale")


def check_table_facts(columns: Any, ignored: Any, container: Any, rank: Any) -> None:
    """Raise ValueError unless these are what ``Tables.fit`` learns."""
    if not isinstance(columns, Sequence) or not columns or not all(isinstance(column, dict) for column in columns):
        raise ValueError(f"the facts of a table are a dict for each column, got {columns!r:.80}.")
    for column in columns:
        _check_column(column)
    if len({column["name"] for column in columns}) != len(columns):
        raise ValueError("two columns of a table's facts have one name.")
    _require(_is_texts(ignored), "ignored", "a list of names", ignored)
    _require(container in CONTAINERS, "container", f"one of {', '.join(CONTAINERS)}", container)
    _require(_is_count(rank, 1), "rank", "a whole number of at least 1", rank)


def check_image_facts(shape: Any, dtype: Any, low: Any, high: Any, channels_named: Any, rank: Any) -> None:
    """Raise ValueError unless these are what ``Images.fit`` learns."""
    sides = isinstance(shape, Sequence) and len(shape) == 3 and all(_is_count(side, 1) for side in shape)
    _require(sides and shape[2] in (1, 3, 4), "shape", "height, width and 1, 3 or 4 channels", shape)
    _require(isinstance(dtype, str) and np.dtype(dtype).kind in "fiub", "dtype", "a type of numbers", dtype)
    _require(_is_number(low) and _is_number(high) and low < high, "low", "a number below high", low)
    _require(isinstance(channels_named, bool), "channels_named", "true or false", channels_named)
    _require(channels_named or shape[2] == 1, "channels_named", "true for images in colour", channels_named)
    _require(_is_count(rank, 1), "rank", "a whole number of at least 1", rank)


def check_sequence_facts(
    shape: Any, channels: Any, is_list: Any, is_flat: Any, dtype: Any, missing: Any, rank: Any
) -> None:
    """Raise ValueError unless these are what ``Sequences.fit`` learns."""
    sides = isinstance(shape, Sequence) and len(shape) == 2 and all(_is_count(side, 1) for side in shape)
    _require(sides, "shape", "steps and channels", shape)
    fits = isinstance(channels, Sequence) and len(channels) == shape[1] and all(isinstance(c, dict) for c in channels)
    _require(fits, "channels", "a dict for each channel", channels)
    for i, channel in enumerate(channels):
        _check_range(channel, f"of channel {i}")
    for name, value in (("is_list", is_list), ("is_flat", is_flat), ("missing", missing)):
        _require(isinstance(value, bool), name, "true or false", value)
    _require(not is_flat or shape[1] == 1, "is_flat", "false for more than one channel", is_flat)
    _require(dtype in ("float32", "float64"), "dtype", "float32 or float64", dtype)
    _require(_is_count(rank, 1), "rank", "a whole number of at least 1", rank)


def check_vector_facts(center: Any, scale: Any, dtype: Any, rank: Any) -> None:
    """Raise ValueError unless these are what ``Vectors.fit`` learns."""
    fits = isinstance(center, Sequence) and not isinstance(center, str) and bool(center)
    _require(fits and all(map(_is_number, center)), "center", "a list of finite numbers", center)
    _require(_is_number(scale) and scale > 0, "scale", "a number above 0", scale)
    _require(dtype in ("float16", "float32", "float64"), "dtype", "float16, float32 or float64", dtype)
    _require(_is_count(rank, 1), "rank", "a whole number of at least 1", rank)


def _check_column(column: dict[str, Any]) -> None:
    name, kind = column.get("name"), column.get("kind")
    _require(isinstance(name, str), "name", "text", name)
    where = f"of column {name[:40]!r}"
    _require(kind in KINDS and kind != "ignore", f"kind {where}", f"one of {', '.join(KINDS)}", kind)
    _require(isinstance(column.get("dtype"), str), f"dtype {where}", "text", column.get("dtype"))
    _require(_is_count(column.get("missing"), 0), f"missing {where}", "a count", column.get("missing"))
    unit, zone = column.get("unit", "us"), column.get("zone")
    _require(unit in ("ms", "us", "ns"), f"unit {where}", "ms, us or ns", unit)
    _require(zone is None or isinstance(zone, str), f"zone {where}", "text or none", zone)
    origin = column.get("origin", {"label": name, "dtype": "object"})
    fits = isinstance(origin, dict) and set(origin) == {"label", "dtype"} and isinstance(origin["dtype"], str)
    _require(fits and isinstance(origin["label"], int | str), f"origin {where}", "a label and a dtype", origin)
    if kind == "category":
        _check_values(column, where)
    elif kind == "boolean":
        share = column.get("share")
        _require(_is_number(share) and 0 <= share <= 1, f"share {where}", "within 0 and 1", share)
    else:
        _check_range(column, where)
    if "sketch" in column:
        # Models saved before there were sketches have none.
        _check_sketch(column, where)


def _check_sketch(column: dict[str, Any], where: str) -> None:
    sketch, kind = column["sketch"], column["kind"]
    lists = {"category": ("counts",), "boolean": ()}.get(kind, ("points", "below"))
    fits = isinstance(sketch, dict) and set(sketch) == {"count", *lists} and _is_count(sketch["count"], 0)
    _require(fits, f"sketch {where}", " and ".join(("a count", *lists)), sketch)
    fits = all(isinstance(sketch[name], Sequence) and not isinstance(sketch[name], str) for name in lists)
    _require(fits, f"sketch {where}", "lists of numbers", sketch)
    count, counts = sketch["count"], sketch.get("counts", sketch.get("below", []))
    _require(all(_is_count(one, 0) and one <= count for one in counts), f"sketch {where}", "counts", counts)
    if kind == "category":
        fits = len(counts) == len(column["values"]) and sum(counts) <= count
        _require(fits, f"sketch {where}", "a count of each value", counts)
    elif lists:
        points = sketch["points"]
        rising = all(map(_is_number, points)) and all(one < next for one, next in pairwise(points))
        _require(rising and len(points) == len(counts), f"sketch {where}", "rising points", points)
        rising = all(one <= next for one, next in pairwise(counts))
        _require(rising and counts[-1:] in ([], [count]), f"sketch {where}", "rising counts", counts)


def _check_values(column: dict[str, Any], where: str) -> None:
    values, levels = column.get("values"), column.get("levels", [])
    _require(_is_texts(values), f"values {where}", "a list of different texts", values)
    _require(_is_texts(levels), f"levels {where}", "a list of different texts", levels)
    if "levels" in column:
        _require(set(values) <= set(levels), f"levels {where}", "all that its values are of", levels)
    wanted = NUMERIC.get(column["dtype"])
    if wanted is not None and wanted != pl.Boolean:
        numbers = pl.Series(values, dtype=pl.String).cast(wanted, strict=False)
        _require(not numbers.has_nulls(), f"values {where}", f"texts of {column['dtype']} numbers", values)


def _check_range(column: dict[str, Any], where: str) -> None:
    for name in NUMBERS:
        _require(_is_number(column.get(name)), f"{name} {where}", "a finite number", column.get(name))
    _require(column["scale"] > 0, f"scale {where}", "above 0", column["scale"])
    _require(column["low"] <= column["high"], f"low {where}", "at most high", column["low"])
    squash = column.get("squash")
    fits = isinstance(squash, Sequence) and len(squash) == 2 and all(map(_is_number, squash)) and squash[1] > 0
    _require(squash is None or fits, f"squash {where}", "none, or a middle and a unit above 0", squash)


def _require(fits: bool, name: str, wanted: str, got: Any) -> None:
    if not fits:
        raise ValueError(f"the fact {name} should be {wanted}, got {got!r:.80}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_texts(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, str) for item in value)
        and len(set(value)) == len(value)
    )
