"""What is said while working: on standard error, so that results stay clean."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from isthmus.modalities import Images, Sequences, Tables, Vectors
from isthmus.options import Options
from isthmus.part import Part
from isthmus.rows import Rows
from isthmus.training import Callback

__all__ = [
    "count",
    "figures",
    "json_text",
    "modality_said",
    "options_said",
    "progress",
    "say",
    "set_aside_said",
    "table",
    "told_options",
]

NAMES_SAID = 6
REASONS_SAID = 3
# Where a reader's reason goes on with what to do in Python.
RESIZE = "; give size="


def say(text: str) -> None:
    """Print a line of talk; above a progress bar, if one is shown."""
    # Not click.echo, which reaches past the bar to the terminal under it.
    print(text, file=sys.stderr, flush=True)


def count(n: int, what: str) -> str:
    """Return a number and its noun: ``1 row``, ``1,797 rows``."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def set_aside_said(rows: Rows, resizing: str) -> None:
    """Say how many rows were set aside, and the first reasons; ``resizing`` is the option against some."""
    aside = rows.set_aside
    if aside:
        reasons = "; ".join(f"{one.where}: {one.why.partition(RESIZE)[0]}" for one in aside[:REASONS_SAID])
        more = f"; and {len(aside) - REASONS_SAID} more" if len(aside) > REASONS_SAID else ""
        say(f"{count(len(aside), 'row')} set aside: {reasons}{more}")
        if any(RESIZE in one.why for one in aside):
            say(f"to use images of every size: {resizing}")


def modality_said(modality: Part) -> list[str]:
    """Return lines that say what was inferred of the data.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> modality_said(Tables().fit(as_rows([[1.0, 2.0], [3.0, 5.0]])))
    ['read as tables: 2 numbers (x0, x1)']
    """
    if isinstance(modality, Images):
        height, width, channels = modality.shape
        return [f"read as images: {height} x {width}, {count(channels, 'channel')}, {modality.dtype}"]
    if isinstance(modality, Sequences):
        steps, channels = modality.shape
        gaps = ", shorter ones or gaps among them" if modality.missing else ""
        return [f"read as sequences: {count(steps, 'step')}, {count(channels, 'channel')}{gaps}"]
    if isinstance(modality, Vectors):
        return [f"read as vectors of {count(len(modality.center), 'number')}"]
    if not isinstance(modality, Tables):
        return [f"read as {modality!r}"]
    kinds: dict[str, list[str]] = {}
    for column in modality.columns:
        kinds.setdefault(column["kind"], []).append(column["name"])
    said = [f"{count(len(names), kind)} ({_some(names)})" for kind, names in kinds.items()]
    lines = [f"read as tables: {', '.join(said).replace('categorys', 'categories')}"]
    missing = [f"{column['name']}: {column['missing']}" for column in modality.columns if column["missing"]]
    if missing:
        lines.append(f"missing cells: {_some(missing)}")
    constant = [column["name"] for column in modality.columns if column.get("low", 0) == column.get("high", 1)]
    if constant:
        lines.append(f"nothing to learn from: {_some(constant)} (one value, or none, in all rows)")
    unasked = [name for name in modality.ignored if name not in (modality.types or {})]
    if unasked:
        lines.append(
            f"left out: {_some(unasked)} (a value of its own in nearly every row); "
            "to use one: modality__types=\"{'NAME': 'category'}\""
        )
    return lines


@contextmanager
def told_options(say_start: Callable[[Options], None]) -> Iterator[None]:
    """Call a function with the options of every fit that begins."""
    logger = logging.getLogger("isthmus")
    handler = _Options(say_start)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Options(logging.Handler):
    """Hands on the options that a fit logs; what goes wrong is raised or warned of besides."""

    def __init__(self, function: Callable[[Options], None]):
        super().__init__(logging.INFO)
        self._function = function

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Options):
                self._function(argument)


def options_said(options: Options) -> str:
    """Return a line that says how a fit will run."""
    return (
        f"options: at most {count(options.max_epochs, 'epoch')}, batch size {options.batch_size}, "
        f"learning rate {options.learning_rate:g}, {count(options.threads, 'thread')}, "
        f"{options.dtype} on {options.device}"
    )


@contextmanager
def progress() -> Iterator[Callback]:
    """Give a callback that shows epochs: a bar on a terminal, some lines elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        # A function, not a method: scikit-learn's clone copies arguments, and would copy the screen.
        def show(event: dict[str, Any]) -> None:
            if event["kind"] == "epoch":
                bar.update(task, completed=event["epoch"], total=event["max_epochs"], description=_figures(event))

        yield show


def _lines() -> Callback:
    shown = {"tenth": -1, "time": 0.0}

    def show(event: dict[str, Any]) -> None:
        if event["kind"] != "epoch":
            return
        tenth = 10 * event["epoch"] // event["max_epochs"]
        now = time.monotonic()
        # A minute is long to wait where an epoch takes one.
        if tenth > shown["tenth"] or now - shown["time"] > 60:
            shown.update(tenth=tenth, time=now)
            say(f"epoch {event['epoch']} of {event['max_epochs']}: {_figures(event)}")

    return show


def _figures(event: dict[str, Any]) -> str:
    held_out = f", {event['validation_cost']:.4g} held out" if "validation_cost" in event else ""
    return f"cost {event['cost']:.4g} nats a row{held_out}"


def json_text(value: Any) -> str:
    """Return values as JSON on one line; numbers that are not finite, which JSON lacks, as null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def figures(values: dict[str, Any], as_json: bool) -> None:
    """Print figures on standard output: one JSON object, or a line for each."""
    if as_json:
        click.echo(json_text(values))
        return
    flat = {name: value for name, value in values.items() if value is not None}
    width = max((len(name) for name in flat), default=0)
    for name, value in flat.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value)}")


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of figures as a table on standard output."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows for name in row))
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        numeric = any(type(row.get(name)) in (int, float) for row in rows)
        shown.add_column(name.replace("_", " "), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*(_cell(row.get(name)) for name in names))
    # A pipe has no width: a line is as long as it must be.
    wide = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, width=wide).print(shown, soft_wrap=wide is not None)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(one) for one in value)
    return str(value)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SAID])
    return shown if len(names) <= NAMES_SAID else f"{shown}, and {len(names) - NAMES_SAID} more"


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
