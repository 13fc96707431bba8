"""The model card: what a stranger should know before using a model, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["card"]

MAX_ROWS = 100
LIMITS = (
    "It knows rows like those it was fitted on. Codes and reconstructions of other rows mean little; "
    "their score is low, which is what scores are for.",
    "Scores (nats) compare rows under this model; they do not compare models of other columns, sizes or likelihoods.",
    "The validation figures come from rows held out at random from the same data. Data from another place or time "
    "does worse.",
    "`model.json` holds column names, ranges, averages and the values of categories of the data. Look at them before "
    "you pass the model on.",
)


def card(tree: Mapping[str, Any]) -> str:
    """Return the card of a model, from what ``model.json`` says."""
    module, about = tree["module"], tree["about"]
    names = ("modality", "corruption", "encoder", "bottleneck", "decoder", "loss")
    line = " → ".join(_code(_part(module[name])) for name in names if module[name])
    pieces = [
        f"# {_text(tree['kind'])}",
        f"An auto-encoder made with Isthmus {_text(tree['versions']['isthmus'])}: "
        f"{line}" + "".join(f", with {_code(_part(penalty))}" for penalty in module["penalties"]) + ".",
        "## Use",
        '```python\nfrom isthmus.saving import load\n\nmodel = load("path/to/this/folder")\n```',
        "## Data",
        _bullets({name: value for name, value in about.items() if not _is_table(value)}),
        *_columns(module["facts"]),
        "## Fit",
        _bullets(_fit(tree["fitted"], tree["module"].get("game", False))),
        *(f"## {_heading(name)}\n\n{_table(value)}" for name, value in about.items() if _is_table(value)),
        "## Limits",
        "\n".join(f"- {limit}" for limit in LIMITS),
        "## Versions",
        _bullets(tree["versions"]),
    ]
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _fit(fitted: Mapping[str, Any], is_game: bool) -> dict[str, Any]:
    """Return the settings that matter, and the figures of the weights that were kept."""
    options, history = fitted["options"], fitted["history"]
    said = {name: options[name] for name in ("batch_size", "learning_rate", "dtype", "device", "seed")}
    if not history:
        return said
    measured = [row for row in history if isinstance(row.get("validation_cost"), float)]
    # With held-out rows the best weights are kept; without them, and in a game, the last.
    by_cost = measured and not is_game
    kept = min(measured, key=lambda row: row["validation_cost"]) if by_cost else (measured or history)[-1]
    named = ("cost", "error", "validation_cost", "validation_error", "perplexity", "share_used")
    figures = {name: kept[name] for name in named if name in kept}
    units = {name: f"{name} ({_unit(name)})" for name in figures}
    return (
        said
        | {"epochs": history[-1].get("epoch"), "best epoch": kept.get("epoch")}
        | {units[name]: value for name, value in figures.items()}
        | {"seconds": sum(row.get("seconds", 0.0) for row in history)}
    )


def _unit(name: str) -> str:
    if name in ("perplexity", "share_used"):
        return "of the code's symbols"
    return "nats per row" if "cost" in name else "sum of squares per row"


def _columns(facts: Mapping[str, Any]) -> list[str]:
    """Return a table of the columns, or for anything else the shape of an example."""
    columns = facts.get("columns")
    if not isinstance(columns, list) or not all(isinstance(column, Mapping) for column in columns):
        return [_bullets({name: facts[name] for name in ("shape", "dtype") if name in facts})]
    rows = [
        {
            "column": column.get("name"),
            "type": column.get("kind"),
            "missing while fitting": column.get("missing"),
            "values": f"{column['low']:.6g} to {column['high']:.6g}"
            if "low" in column
            else f"{len(column['values'])} categories"
            if "values" in column
            else "",
        }
        for column in columns
    ]
    return [_table(rows)]


def _part(described: Mapping[str, Any]) -> str:
    said = ", ".join(
        f"{name}={_part(value) if isinstance(value, Mapping) and 'part' in value else value!r}"
        for name, value in described["params"].items()
        if value is not None
    )
    return f"{described['part']}({said})"


def _is_table(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _bullets(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {_heading(name)}: {_value(value)}" for name, value in values.items())


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, ["---"] * len(heads)]
    lines += [[_value(row.get(head, "")) for head in heads] for row in rows[:MAX_ROWS]]
    more = f"\n\n... and {len(rows) - MAX_ROWS} more, in `model.json`." if len(rows) > MAX_ROWS else ""
    first = [_text(head) for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [first, *lines[1:]]) + more


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping) and set(value) == {"$float"}:
        return str(value["$float"])
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(name)} {_value(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_value(inner) for inner in value[:MAX_ROWS]) or "none"
    return _text(value)


def _heading(name: str) -> str:
    said = _text(name.replace("_", " "))
    return said[:1].upper() + said[1:]


def _text(value: Any) -> str:
    """Return text of the data as text: no markup, on one line."""
    said = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", said[:300])


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', chr(39)).split())[:500]}`"
