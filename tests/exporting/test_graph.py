"""A detector as an ONNX file gives what the detector gives, from raw cells, without isthmus."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import isthmus.exporting.graph
from isthmus import AutoEncoder
from isthmus.exporting import to_onnx
from isthmus.jobs import AnomalyDetector
from isthmus.saving import save

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

SMALL = {"encoder": "mlp_encoder(hidden=(16,))", "decoder": "mlp_decoder(hidden=(16,))", "max_epochs": 2, "threads": 1}


def mixed(n, seed):
    """A table of all kinds of columns, with gaps; two of them called as no input may be."""
    random = np.random.default_rng(seed)
    a = random.normal(size=n)
    start = datetime.datetime(2020, 1, 1)
    at = [start + datetime.timedelta(seconds=float(s)) for s in random.random(n) * 1e7]
    frame = pl.DataFrame(
        {
            "cost": 3 * a + 10,
            "": a + random.normal(size=n),
            "heavy": np.exp(3 * random.normal(size=n)),
            "count": random.integers(0, 50, n),
            "flag": random.random(n) < 0.3,
            "one": random.integers(0, 2, n),
            "colour": random.choice(["red", "grün", "日本"], n),
            "at": at,
            "day": [moment.date() for moment in at],
        }
    )
    gaps = [pl.Series(random.random(n) < 0.1) for _ in frame]
    gapped = (pl.when(gap).then(None).otherwise(pl.col(c)).alias(c) for gap, c in zip(gaps, frame.columns, strict=True))
    return frame.select(gapped)


def feed(session, rows):
    """Return rows as the inputs of a session, by what the file says of its columns."""
    columns = json.loads(session.get_modelmeta().custom_metadata_map["isthmus.columns"])
    return {column["input"]: cells(rows[column["name"]], column["kind"])[:, None] for column in columns}


def cells(series, kind):
    if kind == "category":
        return np.array(series.fill_null("").to_list(), dtype=object)
    if kind in ("date", "datetime"):
        series = series.cast(pl.Datetime("us")).to_physical() / 1e6
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def session_of(detector):
    return onnxruntime.InferenceSession(to_onnx(detector).SerializeToString(), providers=["CPUExecutionProvider"])


def assert_same(detector, rows, outputs, tolerance=1e-5):
    cost, alert, p_value = outputs
    scores = detector.score_samples(rows)
    np.testing.assert_allclose(cost, -scores, rtol=tolerance, atol=tolerance * max(1.0, np.ptp(scores)))
    np.testing.assert_array_equal(alert, detector.predict(rows) < 0)
    np.testing.assert_allclose(p_value, detector.p_values(rows), atol=1.01 / (len(detector.held_out_scores_) + 1))


@pytest.fixture(scope="module")
def table():
    detector = AnomalyDetector(AutoEncoder(**SMALL, random_state=0), random_state=0).fit(mixed(400, 0))
    return detector, session_of(detector)


def test_a_mixed_table_has_equal_scores_in_batches_of_any_size(table):
    detector, session = table
    rows = mixed(1_000, 1).with_columns(colour=pl.when(pl.col("count") < 5).then(pl.lit("new")).otherwise("colour"))
    for n in (1, 7, 1_000):
        assert_same(detector, rows[:n], session.run(None, feed(session, rows[:n])))


def test_numbers_of_an_array_are_one_input_with_equal_scores():
    random = np.random.default_rng(0)
    train, new = (random.normal(size=(n, 4)) @ random.normal(size=(4, 6)) for n in (500, 1_000))
    new[::3, 2], new[1, 0], new[2, 1] = np.nan, 1e300, -1e5
    detector = AnomalyDetector(
        AutoEncoder(
            bottleneck="gaussian(size=3)",
            encoder="mlp_encoder(hidden=(8, 8), norm='batch', residual=True)",
            max_epochs=2,
        ),
        random_state=0,
    ).fit(train)
    session = session_of(detector)
    assert [(given.name, given.shape[1]) for given in session.get_inputs()] == [("rows", 6)]
    for n in (1, 7, 1_000):
        assert_same(detector, new[:n], session.run(None, {"rows": new[:n]}))


NUMBERS = st.none() | st.floats(allow_nan=True, allow_infinity=False)
ROWS = st.fixed_dictionaries(
    {
        "cost": NUMBERS,
        "": NUMBERS,
        "heavy": NUMBERS,
        "count": st.none() | st.integers(-(2**53), 2**53),
        "flag": st.none() | st.booleans(),
        "one": st.none() | st.integers(-3, 3),
        "colour": st.none() | st.sampled_from(["red", "日本", "RED", " red"]) | st.text(min_size=1),
        "at": st.none() | st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 1, 1)),
        "day": st.none() | st.dates(),
    }
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_odd_cells_cost_what_they_cost_in_python(table, row):
    detector, session = table
    schema = mixed(1, 0).schema | {"count": pl.Int64}
    rows = pl.DataFrame([row], schema=schema)
    assert_same(detector, rows, session.run(None, feed(session, rows)), tolerance=2e-3)


def test_infinity_and_wrong_booleans_are_alerts_and_a_row_of_nothing_is_none(table):
    detector, session = table
    given = {name: cells.copy() for name, cells in feed(session, mixed(20, 3).drop_nulls()[:2]).items()}
    given["heavy"][0], given["one"][1], given["count"][1] = np.inf, 0.5, -np.inf
    cost, alert, _ = session.run(None, given)
    assert np.isfinite(cost).all() and alert.all()
    nothing = {name: np.array([[""]] if cells.dtype == object else [[np.nan]]) for name, cells in given.items()}
    assert [output.tolist() for output in session.run(["cost", "alert"], nothing)] == [[0.0], [False]]


def test_the_file_says_what_a_server_must_know(table):
    detector, session = table
    told = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert told["isthmus.threshold"] == -detector.offset_
    assert told["isthmus.false_alarm_rate"] == detector.false_alarm_rate
    assert told["isthmus.model"] == detector.model_id_
    columns = told["isthmus.columns"]
    assert [column["name"] for column in columns] == detector.estimator_.modality_.names
    assert {column["name"]: column["input"] for column in columns if column["name"] != column["input"]} == {
        "cost": "cost_",
        "": "column 1",
    }
    assert {given.name for given in session.get_inputs()} == {column["input"] for column in columns}


def test_other_models_and_a_missing_extra_are_refused_in_one_line(monkeypatch, table):
    images = np.random.default_rng(0).random((30, 4, 4))
    model = AnomalyDetector(AutoEncoder(max_epochs=1, threads=1), random_state=0).fit(images)
    for other in (model, model.estimator_, AnomalyDetector()):
        with pytest.raises(ValueError, match="ONNX export is for a fitted AnomalyDetector of a table, got"):
            to_onnx(other)
    monkeypatch.setattr(isthmus.exporting.graph.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs onnx and onnxscript: pip install 'isthmus\[onnx\]'"):
        to_onnx(table[0])


EXPORT = """
import sys, isthmus.exporting
print([name for name in sys.modules if name.startswith("onnx")])
from isthmus.cli import main
main(sys.argv[1:])
"""


def test_a_server_needs_the_file_alone_and_onnx_is_imported_by_export_alone(tmp_path):
    # Of what the other exports have not: categories alone, among which odd rows may be.
    rows = mixed(300, 2).select("colour", shade=pl.col("colour").reverse())
    detector = AnomalyDetector(AutoEncoder(**SMALL, random_state=0), contaminated=True, random_state=0).fit(rows)
    save(detector, tmp_path / "model")
    out = tmp_path / "detector.onnx"
    call = [sys.executable, "-c", EXPORT, "export", str(tmp_path / "model"), "-o", str(out), "--json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 columns in" in done.stderr.splitlines()[-1] and "torch" not in done.stderr
    imported, told = done.stdout.splitlines()
    assert imported == "[]"
    assert json.loads(told)["bytes"] == out.stat().st_size
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert_same(detector, rows, session.run(None, feed(session, rows)))
