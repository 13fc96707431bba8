"""A file of lines that is written as they come, and goes on after a crash where its last whole entry ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import click

from isthmus.files import read_json, write_json

__all__ = ["Ledger"]

FORMAT = 1


class Ledger:
    """Lines in a file, and beside it a record of how far they go.

    Lines are on the disk before the record says so, and the record changes as a whole: after
    a crash at any moment the file has at least what the record says. What it has beyond that is
    cut off when the work goes on, so that each line is there once.

    Parameters
    ----------
    path : Path
        The file; the record is ``path`` with ``.progress`` behind it.
    job : mapping
        JSON values that say what the lines are of. Only the same work goes on.
    resume : bool
        Go on where the same job stopped; else begin anew.

    Attributes
    ----------
    state : dict
        What was last entered; empty at the beginning.
    is_done : bool
        Whether the job had ended.

    Raises
    ------
    click.UsageError
        If there is another job's record, or a file without one.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], resume: bool):
        self.path, self._record = path, path.with_name(path.name + ".progress")
        self._job = dict(job)
        self.state: dict[str, Any] = {}
        self.is_done = False
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self._recorded() if resume else 0
        if not self.state:
            # Before there is a line: a file that nobody vouches for cannot go on.
            self._write(0)
        self._file = path.open("r+b" if path.exists() and size else "wb")
        self._file.truncate(size)
        self._file.seek(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def enter(self, lines: str, state: Mapping[str, Any], done: bool = False) -> None:
        """Write lines, and then that they are written and what comes next."""
        self._file.write(lines.encode("utf-8", errors="backslashreplace"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.state, self.is_done = dict(state), done
        self._write(self._file.tell())

    def _write(self, size: int) -> None:
        record = {"format": FORMAT, "job": self._job, "bytes": size, "state": self.state, "done": self.is_done}
        write_json(self._record, record)

    def _recorded(self) -> int:
        """Take what the record says; return how many bytes of the file it vouches for."""
        if not self._record.exists():
            if self.path.exists() and self.path.stat().st_size:
                raise _wrong(f"{self.path} is there, without {self._record} to say how far it goes")
            return 0
        record = read_json(self._record)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise _wrong(f"{self._record} is no record of this program")
        there = self.path.stat().st_size if self.path.exists() else 0
        if there < record["bytes"]:
            raise _wrong(f"{self.path} has {there} bytes, its record says {record['bytes']}")
        other = [name for name, value in self._job.items() if record["job"].get(name) != value]
        if other:
            was = ", ".join(f"{name} was {record['job'].get(name)!r}" for name in other)
            raise _wrong(f"{self.path} was begun otherwise: {was}")
        self.state, self.is_done = record["state"], record["done"]
        return record["bytes"]


def _wrong(why: str) -> click.UsageError:
    said = f"--resume: {why}. Without --resume the work begins anew, and the file is written over."
    return click.UsageError(said, click.get_current_context(silent=True))
