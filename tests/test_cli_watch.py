"""The verb watch: alarms and steps of series from a table, as Python gives them."""

import json
import math

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus import saving
from isthmus.cli import main

QUICK = ("--set", "estimator__max_epochs=2", "--set", "estimator__threads=1")


def isthmus(*words, status=0):
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert done.exit_code == status, done.stderr
    return done


def table(n, seed, odd=None):
    random = np.random.default_rng(seed)
    load = np.sin(np.arange(n) / 4) + 0.1 * random.normal(size=n)
    if odd is not None:
        load[odd : odd + 6] = 3
    start = pl.datetime(2026, 1, 1)
    when = pl.datetime_range(start, start + pl.duration(hours=n - 1), "1h", eager=True)
    return pl.DataFrame({"when": when, "load": load, "heat": random.normal(size=n)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch")
    table(400, 0).write_csv(path / "normal.csv")
    later = table(200, 1, odd=120)
    later.with_columns(wrong=pl.Series(["no"] * 120 + ["yes"] * 6 + ["no"] * 74)).write_csv(path / "later.csv")
    isthmus("fit", path / "normal.csv", "-o", path / "model", "--for", "watch", "--set", "window=16", *QUICK)
    return path


def test_alarms_are_those_of_python_with_times_and_spans(folder, tmp_path):
    done = isthmus(
        "watch", folder / "model", folder / "later.csv", "-o", tmp_path / "a.jsonl", "--picture", tmp_path / "a.png"
    )
    alarms = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    detector = saving.load(folder / "model")
    assert alarms == detector.alarms(pl.read_csv(folder / "later.csv", try_parse_dates=True).drop("wrong"))
    worst = min(alarms, key=lambda alarm: alarm["score"])
    assert 118 <= worst["span"][0] <= worst["span"][1] <= 127
    assert worst["reasons"][0]["feature"] == "load"
    assert worst["start_time"].startswith("2026-01-0")
    assert f"200 steps watched, {len(alarms)} alarm" in done.stderr
    assert "wrong" in done.stderr and "false alarms in 1,000 normal steps" in done.stderr
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_every_step_can_be_had_and_a_table_of_alarms(folder, tmp_path):
    isthmus("watch", folder / "model", folder / "later.csv", "-o", tmp_path / "s.csv", "--all")
    steps = pl.read_csv(tmp_path / "s.csv")
    assert steps.columns == ["series", "step", "time", "score", "below", "alarm"]
    assert steps["step"].to_list() == list(range(200)) and steps["alarm"][122]
    isthmus("watch", folder / "model", folder / "later.csv", "-o", tmp_path / "a.csv")
    assert "load is 3, expected" in pl.read_csv(tmp_path / "a.csv").sort("score")["reasons"][0]


def test_the_rate_can_be_set_anew_without_a_fit(folder):
    figures = [
        json.loads(
            isthmus("watch", folder / "model", folder / "later.csv", "-o", folder / "x.jsonl", "--json", *more).stdout
        )
        for more in ((), ("--false-alarms", "0.3"))
    ]
    assert figures[0]["threshold"] < figures[1]["threshold"]
    assert figures[1]["false_alarm_rate"] == 0.3
    assert math.isfinite(figures[0]["held_out"]["at_most"])


def test_another_job_is_refused_with_what_to_do(folder, tmp_path):
    pl.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) % 7}).write_csv(tmp_path / "rows.csv")
    isthmus("fit", tmp_path / "rows.csv", "-o", tmp_path / "rows", "--for", "detect", *QUICK)
    done = isthmus("watch", tmp_path / "rows", folder / "later.csv", "-o", "-", status=2)
    assert "--for watch" in done.stderr


def test_compare_says_before_it_fits_that_no_labelled_step_would_be_judged(tmp_path):
    labels = pl.Series("wrong", ["no"] * 60 + ["yes"] * 6 + ["no"] * 134)
    table(200, 1).with_columns(labels).write_csv(tmp_path / "t.csv")
    done = isthmus("compare", tmp_path / "t.csv", "--for", "watch", "--labels", "wrong", status=1)
    assert "the last 60 are judged, and all have one label there; 6 steps labelled yes" in done.stderr
    assert "epoch" not in done.stderr


@pytest.mark.slow
def test_compare_fits_on_the_beginning_and_judges_the_end(tmp_path):
    labels = pl.Series("wrong", ["no"] * 160 + ["yes"] * 6 + ["no"] * 34)
    table(200, 1, odd=160).with_columns(labels).write_csv(tmp_path / "t.csv")
    done = isthmus("compare", tmp_path / "t.csv", "--for", "watch", "--labels", "wrong", "--set", "window=16", *QUICK)
    for name in ("auto-encoder", "window PCA", "window 5-NN", "plain auto-encoder", "vus"):
        assert name in done.stdout
