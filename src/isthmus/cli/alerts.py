"""How alerts are written: as lines of JSON, or as a table with the reasons in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from isthmus.cli.outputs import write_lines, write_table

__all__ = ["issues_said", "reasons_said", "write_alerts"]

PIECE = 8_192
TABLES = (".csv", ".parquet")
KINDS = {
    "score": pl.Float64,
    "percentile": pl.Float64,
    "p_value": pl.Float64,
    "threshold": pl.Float64,
    "severity": pl.Float64,
    "alert": pl.Boolean,
    "reasons": pl.String,
    "issues": pl.String,
    "model": pl.String,
}


def write_alerts(out: Path, records: Iterable[dict[str, Any]], where: str, every: bool) -> None:
    """Write records as ``.jsonl`` or on standard output, or as a table ``.csv`` or ``.parquet``."""
    if out.suffix.lower() not in TABLES:
        write_lines(out, records)
        return
    kinds = {name: kind for name, kind in KINDS.items() if every or name != "alert"}
    frames = [pl.DataFrame(piece, schema_overrides=kinds, infer_schema_length=None) for piece in _flat(records)]
    empty = pl.DataFrame(schema={where: pl.String} | kinds)
    write_table(out, pl.concat(frames, how="vertical_relaxed") if frames else empty)


def _flat(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    flat = (
        record | {"reasons": reasons_said(record["reasons"]), "issues": issues_said(record["issues"])}
        for record in records
    )
    while piece := list(islice(flat, PIECE)):
        yield piece


def reasons_said(reasons: Iterable[dict[str, Any]]) -> str:
    """Return reasons in words.

    Examples
    --------
    >>> reasons_said([{"feature": "amount", "value": 9000.0, "expected": 31.2, "share": 0.9}])
    'amount is 9000, expected 31.2 (90 %)'
    """
    return "; ".join(map(_reason, reasons))


def issues_said(issues: Iterable[dict[str, Any]]) -> str:
    """Return issues in words.

    Examples
    --------
    >>> issues_said([{"feature": "age", "issue": "missing"}, {"feature": "fee", "issue": "out of range", "value": 9.5}])
    'age: missing; fee 9.5: out of range'
    """
    said = []
    for issue in issues:
        value = f" {_short(issue['value'])}" if "value" in issue else ""
        said.append(f"{issue['feature']}{value}: {issue['issue']}")
    return "; ".join(said)


def _reason(reason: dict[str, Any]) -> str:
    said = str(reason["feature"])
    if "value" in reason:
        said += f" is {_short(reason['value'])}"
    if "expected" in reason:
        said += f", expected {_short(reason['expected'])}"
    elif reason.get("likely"):
        said += f", likely {_short(reason['likely'][0]['value'])}"
    return f"{said} ({100 * reason['share']:.0f} %)"


def _short(value: Any) -> str:
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
