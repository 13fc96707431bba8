"""What the scripts share that draw the documents' pictures: a command with a name for each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from isthmus import pictures

__all__ = ["command"]


def command(place: str, every: Sequence[Callable[[], Any]], about: str | None) -> click.Command:
    """Return ``python docs/SCRIPT.py [NAME ...]``, which draws into this folder of docs/pictures."""
    folder = Path(__file__).resolve().parent / "pictures" / place

    @click.command(help=about)
    @click.argument("names", nargs=-1, type=click.Choice([draw.__name__ for draw in every]))
    def main(names: tuple[str, ...]) -> None:
        for draw in every:
            if not names or draw.__name__ in names:
                click.echo(pictures.save(draw(), folder / f"{draw.__name__}.png"))

    return main
