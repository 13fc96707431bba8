"""Lines that go on after a crash at any moment, each there once."""

from __future__ import annotations

import click
import pytest

from isthmus.cli import ledger as module
from isthmus.cli.ledger import Ledger

JOB = {"model": "abc", "data": "x.csv"}


class Crash(Exception):
    pass


def work(path, crash_at=None, resume=True, lines=5):
    """Enter lines 0, 1, 2, ...; crash before the n-th record is written."""
    with Ledger(path, JOB, resume) as ledger:
        for i in range(ledger.state.get("next", 0), lines):
            if i == crash_at:
                raise_in_record()
            ledger.enter(f"line {i}\n", {"next": i + 1}, done=i == lines - 1)
        return ledger


def raise_in_record():
    def crash(*_):
        raise Crash

    module.write_json = crash


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setattr(module, "write_json", module.write_json)


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("second", [None, 0, 2, 4])
def test_after_crashes_every_line_is_there_once(tmp_path, first, second):
    path, real = tmp_path / "out.jsonl", module.write_json
    for crash_at in (first, second):
        if crash_at is not None:
            try:
                work(path, crash_at)
            except Crash:
                # Lines were on the disk, and nobody had said so.
                assert path.read_text().endswith(f"line {crash_at}\n")
            module.write_json = real
    work(path)
    assert path.read_text() == "".join(f"line {i}\n" for i in range(5))
    with Ledger(path, JOB, True) as ledger:
        assert ledger.is_done


def test_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "out.jsonl"
    work(path, lines=3)
    with path.open("a") as opened:
        opened.write('{"half a li')
    with Ledger(path, JOB, True) as ledger:
        assert ledger.state == {"next": 3}
    assert path.read_text().endswith("line 2\n")


def test_without_resume_the_work_begins_anew(tmp_path):
    path = tmp_path / "out.jsonl"
    work(path)
    with Ledger(path, JOB, False) as ledger:
        assert (ledger.state, ledger.is_done, path.read_text()) == ({}, False, "")


def test_another_job_or_a_file_without_a_record_is_refused(tmp_path):
    path = tmp_path / "out.jsonl"
    work(path)
    with pytest.raises(click.UsageError, match="begun otherwise: model was 'abc'"):
        Ledger(path, JOB | {"model": "other"}, True)
    path.write_text("short")
    with pytest.raises(click.UsageError, match="has 5 bytes"):
        Ledger(path, JOB, True)
    path.with_name("out.jsonl.progress").write_text("[]")
    with pytest.raises(click.UsageError, match="no record"):
        Ledger(path, JOB, True)
    path.with_name("out.jsonl.progress").unlink()
    with pytest.raises(click.UsageError, match=r"without .*out.jsonl.progress"):
        Ledger(path, JOB, True)
