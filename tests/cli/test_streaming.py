"""`isthmus detect` piece by piece: standard input, damage, batches of any size, and real crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main
from isthmus.cli.streaming import arriving
from isthmus.saving import load

JOB = ("--for", "detect", "--set", "estimator__max_epochs=2", "--set", "estimator__threads=1")
COMMAND = [sys.executable, "-m", "isthmus"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def run(*words, status=0, given=None):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus", input=given)
    assert result.exit_code == status, (words, result.stdout[-500:], result.stderr)
    return result


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def frame(n, seed=0):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    odd = random.random(n) < 0.05
    return pl.DataFrame(
        {
            "amount": 10 + size,
            "fee": np.where(odd, -5.0, size + 0.1 * random.normal(size=n)),
            "kind": ["ash" if value > 0 else "oak" for value in size],
            "gap": [None if value < -1 else value for value in size.tolist()],
        }
    )


def assert_alike(scores, expected):
    """Scores are 0 for a typical row: 1e-5 is of their range, not of each."""
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5 * np.ptp(expected))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("stream")
    frame(400).write_csv(root / "train.csv")
    frame(200, 1).write_csv(root / "new.csv")
    frame(200, 1).write_ndjson(root / "new.jsonl")
    frame(200, 1).write_parquet(root / "new.parquet")
    run("fit", root / "train.csv", "-o", root / "model", *JOB)
    return root


@pytest.fixture(scope="module")
def scores(folder):
    return load(folder / "model").score_samples(frame(200, 1))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("batch", [(), ("--batch", 1), ("--batch", 7), ("--batch", 100_000)])
def test_standard_input_gives_the_scores_of_python_for_batches_of_any_size(folder, scores, kind, batch):
    given = (folder / f"new.{kind}").read_bytes()
    result = run("detect", folder / "model", "-", "--all", *batch, given=given)
    records = lines_of(result.stdout)
    assert [record["line"] for record in records] == [i + (2 if kind == "csv" else 1) for i in range(200)]
    assert_alike([record["score"] for record in records], scores)
    assert "200 rows: 200 scored, " in result.stderr


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_piece_by_piece_gives_the_alerts_of_the_whole_in_their_order(folder, tmp_path, kind):
    run("detect", folder / "model", folder / f"new.{kind}", "-o", tmp_path / "whole.jsonl")
    run("detect", folder / "model", folder / f"new.{kind}", "-o", tmp_path / "pieces.jsonl", "--batch", 9)
    whole, pieces = (lines_of((tmp_path / f"{name}.jsonl").read_text()) for name in ("whole", "pieces"))
    where = "row" if kind == "parquet" else "line"
    assert [one[where] for one in pieces] == sorted(one[where] for one in whole)
    known = {one[where]: one for one in whole}
    for one in pieces:
        other = known[one[where]]
        assert one["score"] == pytest.approx(other["score"], rel=1e-5, abs=1e-4)
        assert [one["issues"], one["p_value"]] == [other["issues"], other["p_value"]]
        assert [why["feature"] for why in one["reasons"]] == [why["feature"] for why in other["reasons"]]


def test_a_line_that_cannot_be_used_is_answered_with_its_number_and_reason(folder):
    rows = (folder / "new.csv").read_text().splitlines()
    rows[3:3] = ["1,2", "x,1,ash,1", '{"amount": 1}']
    result = run("detect", folder / "model", "-", "--all", given="\n".join(rows))
    records = lines_of(result.stdout)
    assert [record["line"] for record in records] == list(range(2, 205))
    assert {record["line"]: record["error"] for record in records if "error" in record} == {
        4: "2 fields where the header has 4",
        5: "text 'x' in the numeric column 'amount'",
        6: "1 field where the header has 4",
    }
    assert "203 rows: 200 scored, 3 set aside, " in result.stderr


def test_of_alerts_alone_there_are_errors_too_and_columns_not_used_are_said_once(folder):
    objects = [json.dumps(row | {"more": 1}) for row in frame(50, 1).to_dicts()]
    given = "\n".join([*objects[:20], "not json", *objects[20:]])
    result = run("detect", folder / "model", "-", "--batch", 5, given=given)
    records = lines_of(result.stdout)
    assert [record["line"] for record in records if "error" in record] == [21]
    assert [record["line"] for record in records] == sorted(record["line"] for record in records)
    assert 1 <= len(records) < 25
    assert result.stderr.count("fitted without: more") == 1


def test_a_missing_column_ends_the_stream_and_a_missing_cell_is_an_issue(folder):
    result = run("detect", folder / "model", "-", given="amount,kind,gap\n1,ash,1\n", status=1)
    assert "standard input lacks the column fee" in result.stderr
    result = run("detect", folder / "model", "-", "--all", given='{"amount": 10, "fee": null, "kind": "elm"}\n')
    (record,) = lines_of(result.stdout)
    assert record["issues"] == [
        {"feature": "fee", "issue": "missing"},
        {"feature": "kind", "issue": "unseen category", "value": "elm"},
        {"feature": "gap", "issue": "missing"},
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-", "--labels", "kind"), "--labels needs all rows at once"),
        (("-", "--report", "a.html"), "--report needs all rows at once"),
        (("-", "--budget", "5"), "--rows-per-day"),
        (("-", "--resume", "-o", "a.jsonl"), "--resume goes on with a file"),
        (("-", "-o", "a.csv"), "lines of JSON are written"),
        (("new.csv",), "Missing option '-o'"),
        (("new.csv", "--batch", "5"), "Missing option '-o'"),
        (("new.csv", "--batch", "5", "-o", "new.jsonl", "--resize"), "--resize is for images"),
        (("new.csv", "--resume", "-o", "new.jsonl"), "without new.jsonl.progress"),
    ],
)
def test_calls_that_cannot_be_are_refused(folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    assert said in run("detect", "model", *words, status=2, given="").stderr


@pytest.mark.parametrize("way", [(), ("--fdr", "0.2"), ("--all",), ("--budget", 3, "--rows-per-day", 100)])
def test_work_that_stopped_anywhere_goes_on_to_the_same_lines(folder, tmp_path, monkeypatch, way):
    from isthmus.cli import ledger

    words = ("detect", folder / "model", folder / "new.csv", *way, "--batch", 17)
    run(*words, "-o", tmp_path / "whole.jsonl")
    entries, real = [], ledger.write_json

    def crash(path, tree):
        entries.append(1)
        if len(entries) % 3 == 0:
            raise OSError(5, "no disk any more")
        real(path, tree)

    monkeypatch.setattr(ledger, "write_json", crash)
    for _ in range(4):
        run(*words, "-o", tmp_path / "part.jsonl", "--resume", status=1)
    monkeypatch.setattr(ledger, "write_json", real)
    result = run(*words, "-o", tmp_path / "part.jsonl", "--resume", "--json")
    assert (tmp_path / "part.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert json.loads(result.stdout)["rows"] == 200
    assert "complete already" in run(*words, "-o", tmp_path / "part.jsonl", "--resume").stderr


def test_bytes_come_as_they_are_there_and_an_error_is_passed_on():
    class Source:
        def __init__(self, *chunks):
            self.chunks = list(chunks)

        def read1(self, size):
            chunk = self.chunks.pop(0)
            if isinstance(chunk, Exception):
                raise chunk
            return chunk

        def fileno(self):
            raise OSError

    assert b"".join(arriving(Source(b"ab", b"c", b""))) == b"abc"
    assert list(arriving(Source(b"ab", b"cd", b""), most=2)) == [b"ab", b"cd"]
    with pytest.raises(OSError, match="gone"):
        list(arriving(Source(b"ab", OSError("gone"))))


@pytest.mark.slow
def test_each_line_is_answered_before_the_next_is_written(folder):
    rows = (folder / "new.csv").read_text().splitlines(keepends=True)
    command = [*COMMAND, "detect", folder / "model", "-", "--all"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, env=ENVIRONMENT) as process:
        process.stdin.write(rows[0])
        for i, row in enumerate(rows[1:6], 2):
            process.stdin.write(row)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == i
        process.stdin.close()
        assert process.wait(60) == 0
        assert "5 rows: 5 scored" in process.stderr.read()


@pytest.mark.slow
def test_killed_while_scoring_and_resumed_every_row_has_one_line(folder, tmp_path):
    n = 2_000
    frame(n, 2).write_csv(tmp_path / "many.csv")
    out = tmp_path / "out.jsonl"
    words = ["detect", folder / "model", tmp_path / "many.csv", "--all", "--batch", 40, "--resume", "-o", out]
    command = [*COMMAND, *map(str, words)]
    for least in (1, 250_000):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
        limit = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < limit:
            if out.exists() and out.stat().st_size >= least:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
    result = run(*words)
    assert "going on after" in result.stderr
    records = lines_of(out.read_text())
    assert [record["line"] for record in records] == list(range(2, n + 2))
    expected = load(folder / "model").score_samples(pl.read_csv(tmp_path / "many.csv"))
    assert_alike([record["score"] for record in records], expected)


@pytest.mark.slow
def test_of_many_rows_the_damaged_ones_are_set_aside_and_none_is_lost(folder, tmp_path):
    n, random = 20_000, np.random.default_rng(0)
    lines = frame(n, 3).write_csv().encode().splitlines()
    header, rows = lines[0], lines[1:]
    damaged = np.sort(random.choice(n, n // 100, replace=False))
    spoil = [
        lambda row: row + b",9",
        lambda row: row.split(b",")[0],
        lambda row: b"many" + row,
        lambda row: row.replace(b"a", b"\xff").replace(b"o", b"\xff"),
        lambda row: row.replace(b",ash", b',"ash').replace(b",oak", b',"oak'),
        lambda row: b"inf," + row.partition(b",")[2],
    ]
    for i, row in enumerate(damaged.tolist()):
        # A quote that never closes eats what follows up to the next one: only the last can be told.
        kind = 4 if i == len(damaged) - 1 else (i % 6 if i % 6 != 4 else 0)
        rows[row] = spoil[kind](rows[row])
    (tmp_path / "many.csv").write_bytes(b"\n".join([header, *rows]) + b"\n")
    run("detect", folder / "model", tmp_path / "many.csv", "--all", "--batch", 5_000, "-o", tmp_path / "out.jsonl")
    records = lines_of((tmp_path / "out.jsonl").read_text())
    assert [record["line"] for record in records] == list(range(2, n + 2))
    assert [record["line"] - 2 for record in records if "error" in record] == damaged.tolist()
