"""Run benchmarks of one folder, each in a process of its own, and write their results as one table."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import click

from benchmarks.harness import ROOT
from benchmarks.table import markdown

__all__ = ["command", "rows_of"]


def rows_of(package: ModuleType, shared: Sequence[str]) -> tuple[str, ...]:
    """Return the modules of a package that are benchmarks: all but those that these share."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(name for name in names if name not in ("__main__", *shared))


def command(package: str, rows: Sequence[str], out: Path, about: str | None) -> click.Command:
    """Return ``python -m PACKAGE [ROW]... [--quick] [--out FOLDER]``."""

    @click.command(help=about)
    @click.argument("rows", nargs=-1, type=click.Choice(rows))
    @click.option("--quick", is_flag=True, help="Small data and few steps: to see that they work, not to quote.")
    @click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=out,
        help=f"Folder for ROW.json, pictures and summary.md.  [default: {out.relative_to(ROOT)}]",
    )
    def main(rows: tuple[str, ...], quick: bool, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        failed = [row for row in rows or every if not _run(f"{package}.{row}", out.resolve() / f"{row}.json", quick)]
        records = {row: json.loads(path.read_text()) for row in every if (path := out / f"{row}.json").exists()}
        table = markdown(records)
        (out / "summary.md").write_text(table)
        click.echo("\n" + table)
        if failed:
            raise click.ClickException(f"{', '.join(failed)} did not finish; what was said is above.")

    every = tuple(rows)
    return main


def _run(module: str, out: Path, quick: bool) -> bool:
    """Run one benchmark and return whether it finished."""
    click.echo(f"{module.rpartition('.')[2]} ...", nl=False)
    arguments = [sys.executable, "-m", module, "--out", str(out), *(["--quick"] if quick else [])]
    # From the root, or the package would not be found under the name it is run by.
    done = subprocess.run(arguments, cwd=ROOT)
    click.echo(" failed" if done.returncode else " done")
    return not done.returncode
