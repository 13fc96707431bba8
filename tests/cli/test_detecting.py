"""`isthmus detect` as its users see it: which rows are alerts, how they are written, the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

from isthmus.cli import main
from isthmus.cli.detecting import Pieces, alert_records, rule_of
from isthmus.decisions import DiscoveriesAlong, benjamini_hochberg
from isthmus.rows import as_rows
from isthmus.saving import load

JOB = ("--for", "detect", "--set", "estimator__max_epochs=3", "--set", "estimator__threads=1")


def run(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, (words, result.stderr)
    return result


def make_frame(n, seed=0):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    return pl.DataFrame(
        {
            "length": 10 + size + 0.1 * random.normal(size=n),
            "width": 5 + size + 0.1 * random.normal(size=n),
            "kind": ["ash" if value > 0 else "oak" for value in size],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("detect")
    make_frame(300).write_csv(root / "old.csv")
    run("fit", root / "old.csv", "-o", root / "model", *JOB, "--set", "validation_fraction=0.4")
    new = make_frame(80, seed=1).with_columns(
        pl.Series("fraud", [0] * 72 + [1] * 8),
        pl.Series("when", ["2024-05-01T10:00"] * 40 + ["2024-05-02T11:30"] * 40),
    )
    width = [None, *new["width"][1:72], *(50.0 + np.arange(8.0))]
    new.with_columns(pl.Series("width", width)).write_csv(root / "new.csv")
    return root


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_record_has_all_that_the_python_one_has(folder, tmp_path):
    run("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", "--reasons", 2)
    alerts = lines(tmp_path / "a.jsonl")
    detector = load(folder / "model")
    expected = detector.alerts(pl.read_csv(folder / "new.csv"), n_reasons=2)
    # The header is line 1, the first row line 2.
    assert alerts == [{"line": alert.pop("row") + 2} | alert for alert in expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--budget", 8), list(range(74, 82))),
        (("--budget", 1, "--day", "when"), [81]),
        (("--fdr", "0.2"), list(range(74, 82))),
    ],
)
def test_the_options_choose_the_rows_that_they_name(folder, tmp_path, options, expected):
    run("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", *options)
    found = sorted(alert["line"] for alert in lines(tmp_path / "a.jsonl"))
    assert found[-len(expected) :] == expected
    if "--fdr" in options:
        scores = load(folder / "model").p_values(pl.read_csv(folder / "new.csv"))
        assert len(found) == benjamini_hochberg(scores, 0.2).sum()
    else:
        # One of either day, or eight of all.
        assert len(found) == (2 if "--day" in options else 8)


def test_a_budget_of_a_number_of_rows_a_day_is_a_threshold(folder, tmp_path):
    words = ("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", "--json")
    by_day = json.loads(run(*words, "--budget", 30, "--rows-per-day", 300).stdout)
    by_rate = json.loads(run(*words, "--false-alarms", 0.1).stdout)
    assert by_day == by_rate
    careful = json.loads(run(*words, "--false-alarms", 0.1, "--confidence", 0.95).stdout)
    assert careful["threshold"] < by_rate["threshold"]
    assert careful["false_alarm_interval"][1] < 0.12 < by_rate["false_alarm_interval"][1]


def test_tables_hold_what_the_lines_hold(folder, tmp_path):
    words = ("detect", folder / "model", folder / "new.csv", "--budget", 5, "-o")
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        run(*words, tmp_path / name)
    alerts, frame = lines(tmp_path / "a.jsonl"), pl.read_parquet(tmp_path / "a.parquet")
    assert frame["line"].to_list() == [alert["line"] for alert in alerts]
    assert frame["p_value"].to_list() == [alert["p_value"] for alert in alerts]
    assert frame["reasons"].str.contains("width is 5").all()
    csv = pl.read_csv(tmp_path / "a.csv")
    assert csv.columns == frame.columns
    assert csv["reasons"].to_list() == frame["reasons"].to_list()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_no_alert_is_a_file_that_can_be_read_and_says_why(folder, tmp_path, name):
    make_frame(200, seed=3).write_csv(tmp_path / "new.csv")
    result = run("detect", folder / "model", tmp_path / "new.csv", "-o", tmp_path / name, "--fdr", "0.01")
    assert "0 alerts" in result.stderr
    assert "120 held-out rows can vouch for this rate only of 166 alerts or more" in result.stderr
    if name == "a.jsonl":
        assert lines(tmp_path / name) == []
    else:
        read = pl.read_csv if name == "a.csv" else pl.read_parquet
        assert read(tmp_path / name).shape == (0, 9)


def test_missing_cells_are_issues_and_every_row_can_be_written(folder, tmp_path):
    run("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", "--all")
    every = lines(tmp_path / "a.jsonl")
    assert [record["line"] for record in every] == list(range(2, 82))
    assert every[0]["issues"] == [{"feature": "width", "issue": "missing"}]
    assert all((record["score"] < record["threshold"]) == record["alert"] for record in every)
    assert all(bool(record["reasons"]) == record["alert"] for record in every)


def test_labels_say_how_right_the_alerts_are(folder, tmp_path):
    words = ("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", "--labels", "fraud", "--json")
    result = run(*words, "--budget", 10)
    figures = json.loads(result.stdout)
    assert (figures["anomalies"], figures["true_alerts"], figures["precision"], figures["found"]) == (8, 8, 0.8, 1.0)
    assert figures["observed_false_alarms"] == 2 / 72
    assert "anomalies are the rows labelled 1 (8 of 80)" in result.stderr
    assert "8 of 8 known anomalies found; of 10 alerts with a label that is 80 %" in result.stderr


def test_lines_of_labels_are_not_taken_for_positions_of_an_array(folder, tmp_path):
    rows = pl.read_csv(folder / "new.csv").drop("fraud", "when")
    rows.write_parquet(tmp_path / "new.parquet")
    # A blank line is a label less: which one is not known, for rows of Parquet have no lines.
    (tmp_path / "labels.csv").write_text("fraud\n" + "0\n" * 40 + "\n" + "1\n" * 39)
    words = ("detect", folder / "model", tmp_path / "new.parquet", "-o", tmp_path / "a.jsonl", "--labels")
    assert "79 labels for the 80 rows" in run(*words, tmp_path / "labels.csv", status=1).stderr


def test_the_report_stands_alone_and_says_what_it_left_out(folder, tmp_path):
    words = (
        "detect",
        folder / "model",
        folder / "new.csv",
        "-o",
        tmp_path / "a.jsonl",
        "--report",
        tmp_path / "r.html",
    )
    run(*words)
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 2
    assert "Left out: PCA, neighbours and an isolation forest" in page
    assert "://" not in page
    run(*words, "--labels", "fraud", "--baselines", folder / "old.csv")
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 3
    assert "isolation forest</td>" in page
    assert "Model " + load(folder / "model").model_id_ in page


def test_the_report_of_images_shows_them_beside_what_was_expected(tmp_path):
    digits = load_digits().images
    np.save(tmp_path / "old.npy", digits[:150])
    spoilt = digits[150:170].copy()
    spoilt[3, 2:5, 2:5] = 16 - spoilt[3, 2:5, 2:5]
    np.save(tmp_path / "new.npy", spoilt)
    run("fit", tmp_path / "old.npy", "-o", tmp_path / "model", *JOB)
    words = ("detect", tmp_path / "model", tmp_path / "new.npy", "-o", tmp_path / "a.jsonl", "--budget", 9)
    run(*words, "--report", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    # The scores, eight alerts and one more, and the map.
    assert page.count("<img") == 4
    assert "Alerts 1 to 8: each image, its reconstruction" in page and "Alerts 9 to 9" in page
    assert "A reason is a square of pixels" in page


def test_the_report_of_no_alert_is_a_page_too(folder, tmp_path):
    make_frame(60, seed=3).write_csv(tmp_path / "new.csv")
    words = ("detect", folder / "model", tmp_path / "new.csv", "-o", tmp_path / "a.jsonl", "--fdr", "0.01")
    run(*words, "--report", tmp_path / "r.html")
    assert "No row was far enough" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--budget", 3, "--fdr", "0.1"), "--budget and --fdr are different ways to decide; give one"),
        (("--false-alarms", "0.1", "--budget", 3), "--false-alarms and --budget are different"),
        (("--day", "when"), "--day says what a budget is of; give --budget K too"),
        (("--rows-per-day", 9), "--rows-per-day says what a budget is of"),
        (("--budget", 3, "--day", "when", "--rows-per-day", 9), "different budgets"),
        (("--budget", 9, "--rows-per-day", 9), "every row would be an alert"),
        (("--budget", 3, "--confidence", "0.9"), "--confidence is of a rate of false alarms"),
        (("--budget", 0), "--budget"),
        (("--fdr", 1), "--fdr"),
        (("--baselines", "old.csv"), "--baselines is for the report"),
        (("--report", "r.pdf"), "should end in .html"),
        (("--budget", 3, "--day", "kin"), "--day 'kin' is no file, and no column"),
    ],
)
def test_calls_that_contradict_themselves_are_refused(folder, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(folder)
    result = run("detect", "model", "new.csv", "-o", tmp_path / "a.jsonl", *options, status=2)
    assert said in result.stderr
    assert not (tmp_path / "a.jsonl").exists()


def test_days_that_are_no_dates_are_refused(folder, tmp_path):
    words = ("detect", folder / "model", folder / "new.csv", "-o", tmp_path / "a.jsonl", "--budget", 3)
    assert "'ash' is no date" in run(*words, "--day", "kind", status=1).stderr.replace("'oak'", "'ash'")


@pytest.mark.parametrize("size", [7, 1_000])
@pytest.mark.parametrize("asked", [{}, {"false_alarms": 0.2}, {"budget": 5}, {"fdr": 0.3}])
def test_records_are_the_same_in_pieces_of_any_size(folder, size, asked):
    detector, frame = load(folder / "model"), pl.read_csv(folder / "new.csv")
    rule = rule_of(detector, **asked)
    pieces = Pieces(as_rows(frame), range(len(frame)), size)
    found = sorted(alert_records(detector, pieces, rule), key=lambda one: one["score"])
    batch = {name: value for name, value in asked.items() if name != "false_alarms"}
    expected = detector.alerts(frame, **batch)
    assert [one["row"] for one in found] == [one["row"] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], rtol=1e-5)


def test_a_stream_is_decided_row_by_row_and_rules_of_a_batch_refuse_it(folder):
    detector, frame = load(folder / "model"), pl.read_csv(folder / "new.csv")
    stream = lambda: iter(Pieces(as_rows(frame), range(len(frame)), 16))  # noqa: E731 - each a new one
    rule = rule_of(detector, fdr=0.1, is_stream=True)
    assert isinstance(rule, DiscoveriesAlong)
    found = list(alert_records(detector, stream(), rule))
    again = rule_of(detector, fdr=0.1, is_stream=True).decide(detector.score_samples(frame)).alert
    assert [one["row"] for one in found] == np.flatnonzero(again).tolist() != []
    with pytest.raises(TypeError, match="must see all rows before it decides"):
        list(alert_records(detector, stream(), rule_of(detector, budget=3)))
    with pytest.raises(ValueError, match="--rows-per-day"):
        rule_of(detector, budget=3, is_stream=True)


def test_as_a_process_alerts_go_to_standard_output_and_talk_to_standard_error(folder):
    words = ("detect", folder / "model", folder / "new.csv", "-o", "-", "--budget", 2)
    found = subprocess.run(
        [sys.executable, "-m", "isthmus", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr
    alerts = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(alerts) == 2
    assert {alert["line"] for alert in alerts} <= set(range(74, 82))
    assert alerts[0]["score"] <= alerts[1]["score"]
    assert "80 rows scored, 2 alerts: the 2 least normal; written to standard output" in found.stderr
