"""What ``bench`` does: find the repository's benchmarks, and run them in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

import isthmus

__all__ = ["bench", "repository"]

PACKAGES = {
    "papers": "benchmarks.papers",
    "anomalies": "benchmarks.anomalies",
    "compression": "benchmarks.compression",
    "speed": "benchmarks",
}


def bench(table: str, rows: Sequence[str], quick: bool, out: Path | None) -> int:
    """Run the rows of a table; return the exit status."""
    root = repository((Path(isthmus.__file__).parents[2], Path.cwd()))
    words = [sys.executable, "-m", PACKAGES[table], *rows, *["--quick"] * quick]
    words += [] if out is None else ["--out", str(out.resolve())]
    return subprocess.run(words, cwd=root).returncode


def repository(places: Sequence[Path]) -> Path:
    """Return the first of these folders that is a checkout with benchmarks.

    Raises
    ------
    click.UsageError
        If none is.
    """
    for place in places:
        if (place / "benchmarks" / "harness.py").is_file() and (place / "src" / "isthmus").is_dir():
            return place
    raise click.UsageError(
        "the benchmarks are in the repository of Isthmus, not in the installed package: call this in a checkout of it.",
        click.get_current_context(silent=True),
    )
