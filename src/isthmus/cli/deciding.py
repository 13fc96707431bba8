"""The options that say which rows are alerts, and which of them contradict one another. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["check_along", "check_deciding", "check_following", "deciding"]


def deciding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which rows are alerts; :func:`check_deciding` refuses those that contradict."""
    share = click.FloatRange(0, 1, min_open=True, max_open=True)
    for option in reversed(
        (
            click.option(
                "--false-alarms",
                type=share,
                metavar="RATE",
                help="Share of normal rows that may be called an alert; by default what the model was fitted for.",
            ),
            click.option("--budget", type=click.IntRange(1), metavar="K", help="Instead: the K least normal rows."),
            click.option(
                "--fdr", type=share, metavar="Q", help="Instead: as many as leave at most this share of false alerts."
            ),
            click.option(
                "--confidence",
                type=share,
                metavar="C",
                help="Keep the rate of false alarms with this confidence, such as 0.95, not only on average.",
            ),
            click.option("--day", metavar="COLUMN|FILE", help="With --budget: K of each day, by these dates."),
            click.option(
                "--rows-per-day",
                type=click.FloatRange(0, min_open=True),
                metavar="N",
                help="With --budget: a threshold by which K of N normal rows a day are alerts.",
            ),
        )
    ):
        command = option(command)
    return command


def check_deciding(asked: dict[str, Any]) -> None:
    """Refuse options of two ways to decide."""
    ways = {"--false-alarms": "false_alarms", "--budget": "budget", "--fdr": "fdr"}
    given = [option for option, name in ways.items() if asked[name] is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} are different ways to decide; give one.")
    of_budget = [option for option in ("--day", "--rows-per-day") if asked[option[2:].replace("-", "_")] is not None]
    if of_budget and asked["budget"] is None:
        raise click.UsageError(f"{of_budget[0]} says what a budget is of; give --budget K too.")
    if len(of_budget) > 1:
        raise click.UsageError("--day and --rows-per-day are different budgets; give one.")
    if asked["rows_per_day"] is not None and asked["budget"] >= asked["rows_per_day"]:
        raise click.UsageError(
            f"--budget {asked['budget']} is no fewer than --rows-per-day {asked['rows_per_day']:g}: "
            "every row would be an alert."
        )
    is_rate = asked["fdr"] is None and (asked["budget"] is None or asked["rows_per_day"] is not None)
    if asked["confidence"] is not None and not is_rate:
        raise click.UsageError("--confidence is of a rate of false alarms; give it with --false-alarms.")


def check_along(asked: dict[str, Any], resume: bool) -> None:
    """Refuse what needs all rows at once where they come piece by piece; drop the options that do."""
    for name in ("labels", "report", "baselines", "day"):
        if asked.pop(name) is not None:
            raise click.UsageError(f"--{name} needs all rows at once; these come piece by piece.")
    if asked.pop("resize"):
        raise click.UsageError("--resize is for images; only tables come piece by piece.")
    is_stream = str(asked["data"]) == "-"
    asked["out"] = Path("-") if asked["out"] is None and is_stream else asked["out"]
    if asked["out"] is None:
        raise click.UsageError("Missing option '-o' / '--out'.")
    if asked["out"].suffix.lower() not in (".jsonl", ""):
        raise click.UsageError(f"piece by piece, lines of JSON are written (.jsonl or -), got {asked['out']}.")
    if resume and (is_stream or str(asked["out"]) == "-"):
        raise click.UsageError("--resume goes on with a file of alerts about a file of rows; give both names.")


def check_following(asked: dict[str, Any]) -> None:
    """Refuse what needs a whole series where its steps come one by one; drop the options that do."""
    if asked.pop("picture") is not None:
        raise click.UsageError("--picture needs the whole series; these steps come one by one.")
    del asked["data"]
    asked["out"] = asked["out"] or Path("-")
    if asked["out"].suffix.lower() not in (".jsonl", ""):
        raise click.UsageError(f"of standard input, lines of JSON are written (.jsonl or -), got {asked['out']}.")
