"""`isthmus watch MODEL -`: a series from standard input, judged as the same file is."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main

QUICK = ("--set", "estimator__max_epochs=2", "--set", "estimator__threads=1", "--set", "window=12", "--set", "mute=20")


def run(*words, status=0, given=None):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus", input=given)
    assert result.exit_code == status, (words, result.stdout[-500:], result.stderr)
    return result


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def table(n, seed, odd=()):
    random = np.random.default_rng(seed)
    load = np.sin(np.arange(n) / 4) + 0.1 * random.normal(size=n)
    for step in odd:
        load[step : step + 5] = 3
    start = pl.datetime(2026, 1, 1)
    when = pl.datetime_range(start, start + pl.duration(hours=n - 1), "1h", eager=True)
    return pl.DataFrame({"when": when, "load": load, "heat": random.normal(size=n)})


def pumps(n, seed, odd=()):
    frames = [table(n, seed + i, odd if i == 1 else ()).with_columns(pump=pl.lit(f"p{i}")) for i in range(3)]
    return pl.concat(frames).sort("when", maintain_order=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("follow")
    table(400, 0).write_csv(path / "normal.csv")
    later = table(150, 1, odd=(60, 140))
    later.write_csv(path / "later.csv")
    later.write_ndjson(path / "later.jsonl")
    run("fit", path / "normal.csv", "-o", path / "model", "--for", "watch", *QUICK)
    pumps(150, 2).write_csv(path / "pumps.csv")
    pumps(100, 9, odd=(40,)).write_csv(path / "new_pumps.csv")
    several = ("--modality", "sequences(id='pump', time='when', step=3600.0)")
    run("fit", path / "pumps.csv", "-o", path / "fleet", "--for", "watch", *several, *QUICK)
    return path


@pytest.fixture(scope="module")
def batch(folder):
    """Steps and alarms of the file, read as a whole."""
    run("watch", folder / "model", folder / "later.csv", "-o", folder / "steps.jsonl", "--all")
    run("watch", folder / "model", folder / "later.csv", "-o", folder / "alarms.jsonl")
    return [lines_of((folder / f"{name}.jsonl").read_text()) for name in ("steps", "alarms")]


def assert_same_steps(found, expected):
    assert [(one["series"], one["step"], one["time"], one["below"]) for one in found] == [
        (one["series"], one["step"], one["time"], one["below"]) for one in expected
    ]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], rtol=1e-5)


def assert_same_alarms(found, expected):
    over = [alarm for alarm in found if alarm["over"]]
    exact = ("series", "start", "rang", "end", "worst", "start_time", "rang_time", "end_time", "span")
    assert [[alarm[name] for name in exact] for alarm in over] == [
        [alarm[name] for name in exact] for alarm in expected
    ]
    np.testing.assert_allclose([one["score"] for one in over], [one["score"] for one in expected], rtol=1e-5)
    assert [one["rang"] for one in found if not one["over"]] == [one["rang"] for one in expected]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_standard_input_gives_scores_and_alarms_of_the_file(folder, batch, kind):
    given = (folder / f"later.{kind}").read_bytes()
    result = run("watch", folder / "model", "-", "--all", given=given)
    steps = lines_of(result.stdout)
    assert_same_steps(steps, batch[0])
    assert [one["step"] for one in steps if one["rings"]] == [alarm["rang"] for alarm in batch[1]]
    result = run("watch", folder / "model", "-", given=given)
    assert_same_alarms(lines_of(result.stdout), batch[1])
    assert f"150 steps watched, {len(batch[1])} alarms" in result.stderr
    assert "false alarms in 1,000 normal steps" in result.stderr


def test_several_series_with_gaps_are_watched_at_once(folder, tmp_path):
    lines = (folder / "new_pumps.csv").read_text().splitlines(keepends=True)
    given = "".join(line for i, line in enumerate(lines) if not 100 <= i < 110)
    (tmp_path / "gap.csv").write_text(given)
    run("watch", folder / "fleet", tmp_path / "gap.csv", "-o", tmp_path / "steps.jsonl", "--all")
    run("watch", folder / "fleet", tmp_path / "gap.csv", "-o", tmp_path / "alarms.jsonl")
    steps = lines_of(run("watch", folder / "fleet", "-", "--all", given=given).stdout)
    assert_same_steps(
        sorted(steps, key=lambda one: (one["series"], one["step"])), lines_of((tmp_path / "steps.jsonl").read_text())
    )
    alarms = lines_of(run("watch", folder / "fleet", "-", given=given).stdout)
    expected = lines_of((tmp_path / "alarms.jsonl").read_text())
    assert "p1" in {alarm["series"] for alarm in expected}
    assert_same_alarms(sorted(alarms, key=lambda one: (one["series"], one["rang"])), expected)


def test_lines_that_cannot_be_used_are_answered_with_their_number(folder, batch):
    lines = (folder / "later.csv").read_text().splitlines()
    wrong = {3: "2026-01-01T02:00:00,hot,1", 5: "2025-12-31,1,1", 7: "1", 9: ",1,2"}
    for line, text in wrong.items():
        lines.insert(line - 1, text)
    result = run("watch", folder / "model", "-", "--all", given="\n".join(["\ufeff" + lines[0], *lines[1:]]))
    found = lines_of(result.stdout)
    errors = {one["line"]: one["error"] for one in found if "error" in one}
    assert list(errors) == list(wrong)
    said = ("text 'hot' in the numeric column 'load'", "or a later one", "1 field where the header has 3", "no time")
    assert all(part in error for part, error in zip(said, errors.values(), strict=True))
    assert_same_steps([one for one in found if "error" not in one], batch[0])
    assert "4 lines set aside" in result.stderr


def test_a_column_more_is_said_and_a_channel_less_is_an_error(folder):
    given = table(20, 3).with_columns(more=pl.lit("x")).select("more", "heat", "when", "load").write_csv()
    result = run("watch", folder / "model", "-", "--all", given=given)
    assert "1 column not fitted on, and left out: more" in result.stderr
    assert len(lines_of(result.stdout)) == 20
    result = run("watch", folder / "model", "-", given="when,load\n2026-01-01,1\n", status=1)
    assert "lacks the column heat" in result.stderr
    result = run("watch", folder / "model", "-", given="when,load,heat\n2026-01-01,1\n", status=1)
    assert "no row that can be used; the first: line 2: 2 fields where the header has 3" in result.stderr


def test_another_rate_and_figures(folder, tmp_path):
    words = ("watch", folder / "model", "-", "-o", tmp_path / "a.jsonl", "--json", "--false-alarms", "0.4")
    figures = json.loads(run(*words, given=(folder / "later.csv").read_bytes()).stdout)
    assert figures["false_alarm_rate"] == 0.4 and figures["steps"] == 150
    written = lines_of((tmp_path / "a.jsonl").read_text())
    assert sum(not alarm["over"] for alarm in written) == figures["alarms"] > 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-", "--picture", "a.png"), "--picture needs the whole series"),
        (("-", "-o", "a.csv"), "lines of JSON are written"),
        (("later.csv",), "Missing option '-o'"),
        (("-", "--json"), "both write to standard output"),
    ],
)
def test_calls_that_cannot_be_are_refused(folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    assert said in run("watch", "model", *words, status=2, given="").stderr


@pytest.mark.slow
def test_a_step_is_answered_before_the_next_line_is_written(folder):
    rows = (folder / "later.csv").read_text().splitlines(keepends=True)
    command = [sys.executable, "-m", "isthmus", "watch", folder / "model", "-", "--all"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, env=environment) as process:
        process.stdin.write("".join(rows[:12]))
        for i, row in enumerate(rows[12:16]):
            process.stdin.write(row)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["step"] == i
        process.stdin.close()
        assert process.wait(60) == 0
        assert len(process.stdout.read().splitlines()) == 11
