"""Verbs around the others, which take neither model nor data. Nothing here imports torch or numpy."""

from __future__ import annotations

from pathlib import Path

import click

from isthmus.cli.arguments import Out, traceback

__all__ = ["bench", "completion", "demo"]

TABLES = ("papers", "anomalies", "compression", "speed")


@click.command()
@click.option(
    "-o",
    "--out",
    type=Out(),
    metavar="FOLDER",
    default="isthmus-demo",
    show_default=True,
    help="Folder for the report.",
)
@traceback
def demo(out: Path) -> None:
    """Fit auto-encoders to real data that come with scikit-learn, and write a report."""
    from isthmus import demo as demonstration
    from isthmus.cli.talk import say

    done = demonstration.run(out, say)
    for name, value in done.figures.items():
        click.echo(f"{name}: {value}")
    click.echo(f"The report is in {done.report}; open it in a browser.")


@click.command()
@click.argument("table", metavar=f"[{'|'.join(TABLES)}]", type=click.Choice(TABLES))
@click.argument("rows", metavar="[ROW]...", nargs=-1)
@click.option("--quick", is_flag=True, help="Small data and few steps: to see that they work, not to quote.")
@click.option("--out", type=Out(), metavar="FOLDER", help="Folder for the results; by default the repository's.")
@traceback
def bench(table: str, rows: tuple[str, ...], quick: bool, out: Path | None) -> int:
    """Measure again what Isthmus claims: a table of benchmarks, or some of its ROWs.

    They are in the repository, not in the installed package, and take minutes to hours. A wrong ROW lists
    them all. Public data are looked for in the folder that ISTHMUS_DATA names; a row whose data
    are not there says so.
    """
    from isthmus.cli import benching

    return benching.bench(table, rows, quick, out)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@traceback
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes verbs and options.

    \b
    bash, in ~/.bashrc:  eval "$(isthmus completion bash)"
    zsh, in ~/.zshrc:    eval "$(isthmus completion zsh)"
    fish:                isthmus completion fish > ~/.config/fish/completions/isthmus.fish
    """  # noqa: D301 - click wants the character itself
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(ctx.find_root().command, {}, "isthmus", "_ISTHMUS_COMPLETE").source())
