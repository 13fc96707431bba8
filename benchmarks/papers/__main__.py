"""Run rows of the papers' table, each in a process of its own, and write them as one table."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import click

import benchmarks.papers
from benchmarks.harness import RESULTS, ROOT
from benchmarks.table import markdown

# Not rows of the table: what they share.
SHARED = ("__main__", "data", "classifier", "larochelle", "sprites")
ROWS = tuple(sorted(module.name for module in pkgutil.iter_modules(benchmarks.papers.__path__)))
ROWS = tuple(name for name in ROWS if name not in SHARED)


@click.command(help=__doc__)
@click.argument("rows", nargs=-1, type=click.Choice(ROWS))
@click.option("--quick", is_flag=True, help="Small data and few steps: to see that they work, not to quote.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS / "papers",
    help="Folder for ROW.json, pictures and summary.md.  [default: benchmarks/results/papers]",
)
def main(rows: tuple[str, ...], quick: bool, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for row in rows or ROWS:
        click.echo(f"{row} ...", nl=False)
        command = [sys.executable, "-m", f"benchmarks.papers.{row}", "--out", str(out.resolve() / f"{row}.json")]
        # From the root, or the package would not be found under the name it is run by.
        done = subprocess.run([*command, *(["--quick"] if quick else [])], cwd=ROOT)
        if done.returncode:
            failed.append(row)
        click.echo(" failed" if done.returncode else " done")
    records = {row: json.loads(path.read_text()) for row in ROWS if (path := out / f"{row}.json").exists()}
    table = markdown(records)
    (out / "summary.md").write_text(table)
    click.echo("\n" + table)
    if failed:
        raise click.ClickException(f"{', '.join(failed)} did not finish; what was said is above.")


if __name__ == "__main__":
    main()
