"""Run benchmarks, each in a process of its own, and write their results as one table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click

from benchmarks.harness import RESULTS, ROOT
from benchmarks.table import markdown

NAMES = ("startup", "step", "scoring", "fit_score", "peak", "memory", "mnist")


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--quick", is_flag=True, help="Small data and few runs: to see that they work, not to quote.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    help="Folder for NAME.json and summary.md.  [default: benchmarks/results]",
)
def main(names: tuple[str, ...], quick: bool, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names or NAMES:
        click.echo(f"{name} ...", nl=False)
        arguments = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(out.resolve() / f"{name}.json")]
        # From the root, or the package would not be found under the name it is run by.
        done = subprocess.run([*arguments, *(["--quick"] if quick else [])], cwd=ROOT, env=os.environ)
        if done.returncode:
            failed.append(name)
        click.echo(" failed" if done.returncode else " done")
    records = {name: json.loads(path.read_text()) for name in NAMES if (path := out / f"{name}.json").exists()}
    table = markdown(records)
    (out / "summary.md").write_text(table)
    click.echo("\n" + table)
    if failed:
        raise click.ClickException(f"{', '.join(failed)} did not finish; what was said is above.")


if __name__ == "__main__":
    main()
