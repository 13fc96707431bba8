"""Results as a Markdown table."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Claim

__all__ = ["markdown"]

HEAD = "| what | measured | spread | must | aim | reached |\n|---|---|---|---|---|---|\n"


def markdown(records: dict[str, dict[str, Any]]) -> str:
    """Return one table of all claims, and what they depend on below it."""
    text = HEAD + "".join(_rows(name, record) for name, record in records.items())
    lines = {_machine(record["machine"]) for record in records.values()}
    text += "\n" + "\n".join(sorted(lines)) + "\n"
    if any(record["quick"] for record in records.values()):
        text += "\nSome of these are quick runs (marked): not to be quoted.\n"
    busy = [name for name, record in records.items() if _is_busy(record["machine"])]
    if busy:
        text += f"\nThe machine was busy when these began, so they may be off: {', '.join(busy)}.\n"
    return text


def _rows(name: str, record: dict[str, Any]) -> str:
    mark = " (quick)" if record["quick"] else ""
    if record["skipped"]:
        return f"| **{name}**: {record['title']} | skipped: {record['skipped']} | | | | |\n"
    rows = f"| **{name}**: {record['title']}{mark} | | | | | |\n"
    for fields in record["claims"]:
        claim = Claim(**fields)
        spread = "" if claim.low is None else f"{_number(claim.low)} to {_number(claim.high)} ({claim.spread})"
        sign = "≤" if claim.better == "lower" else "≥"
        must, aim = (
            "" if limit is None else f"{sign} {_number(limit)}{claim.unit}" for limit in (claim.must, claim.aim)
        )
        rows += (
            f"| {claim.what} | {_number(claim.measured)}{claim.unit} | {spread} | {must} | {aim} | {claim.verdict} |\n"
        )
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _machine(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items() if number)
    vectors = f", {facts['vector_instructions']}" if "vector_instructions" in facts else ""
    threads = f", torch on {facts['threads']} threads" if "threads" in facts else ""
    return (
        f"{facts['date']}: {facts['system']}, {facts['processors']} processors{vectors}{threads}; "
        f"Python {facts['python']}, {versions}."
    )


def _is_busy(facts: dict[str, Any]) -> bool:
    return (facts["load_before"] or 0) > 0.5 * (facts["processors"] or 1)
