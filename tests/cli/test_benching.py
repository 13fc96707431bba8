"""`isthmus bench`: the repository's benchmarks are found and run, or it is said where they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from isthmus.cli import around, benching, main

ROOT = Path(__file__).resolve().parents[2]


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")


def test_a_table_is_run_in_the_repository_and_its_status_is_ours(monkeypatch, tmp_path):
    calls = []

    def called(words, cwd):
        calls.append((words, cwd))
        return subprocess.CompletedProcess(words, 1)

    monkeypatch.setattr(benching.subprocess, "run", called)
    monkeypatch.chdir(tmp_path)
    assert run("bench", "anomalies", "wisconsin", "fraud", "--quick", "--out", "here").exit_code == 1
    assert run("bench", "speed").exit_code == 1
    words = [sys.executable, "-m", "benchmarks.anomalies", "wisconsin", "fraud", "--quick", "--out"]
    assert calls == [([*words, str(tmp_path / "here")], ROOT), ([sys.executable, "-m", "benchmarks"], ROOT)]


def test_each_table_is_there():
    assert tuple(benching.PACKAGES) == around.TABLES
    for package in benching.PACKAGES.values():
        assert (ROOT / package.replace(".", "/") / "__main__.py").is_file()


def test_without_a_repository_one_line_says_what_to_do(monkeypatch, tmp_path):
    with pytest.raises(click.UsageError, match="call this in a checkout"):
        benching.repository([tmp_path])
    assert benching.repository([tmp_path, ROOT]) == ROOT
    monkeypatch.setattr(benching.isthmus, "__file__", str(tmp_path / "site" / "isthmus" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    result = run("bench", "papers")
    assert result.exit_code == 2
    assert result.stderr.startswith("isthmus: the benchmarks are in the repository") and result.stderr.count("\n") == 1
