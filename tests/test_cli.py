"""The command line as its users see it: what is printed where, what is written, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from isthmus import demo
from isthmus.cli import main
from isthmus.saving import load

QUICK = ("--set", "max_epochs=2", "--set", "threads=1")
JOB = ("--set", "estimator__max_epochs=2", "--set", "estimator__threads=1")
ROWS = 60


class Ran:
    """A call that has ended, in this process."""

    def __init__(self, *words):
        result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
        self.status, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.words = words

    def ok(self):
        assert self.status == 0, (self.words, self.err)
        return self

    def refused(self, status, *said):
        """One line on standard error that says these things, nothing on standard output, this exit status."""
        assert (self.status, self.out) == (status, ""), (self.words, self.err)
        lines = [line for line in self.err.splitlines() if line.startswith("isthmus: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        for word in said:
            assert word in lines[0], lines[0]
        return self


def shell(*words, **options):
    """Run in a process of its own, as a user would."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "isthmus", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, **options)


def size_of(picture):
    with Image.open(picture) as opened:
        return opened.size


def make_frame(n=ROWS, seed=0):
    random = np.random.default_rng(seed)
    size = random.normal(size=n)
    return pl.DataFrame(
        {
            "length": 10 + size + 0.1 * random.normal(size=n),
            "width": 5 + size + 0.1 * random.normal(size=n),
            "count": random.integers(0, 9, n),
            "kind": ["ash" if value > 0 else "oak" for value in size],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table, an array of images, a folder of images, and fitted models."""
    path = tmp_path_factory.mktemp("cli")
    make_frame().write_csv(path / "trees.csv")
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, 6, 5), np.uint8)
    np.save(path / "images.npy", pixels)
    for i in range(30):
        (path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(path / "photos" / "ab"[i % 2] / f"p{i:02}.png")
    Ran("fit", path / "trees.csv", "-o", path / "trees", *QUICK).ok()
    Ran("fit", path / "photos", "-o", path / "photo-model", *QUICK).ok()
    for job in ("detect", "denoise", "map", "sample"):
        Ran("fit", path / "trees.csv", "-o", path / job, "--for", job, *JOB).ok()
    Ran("fit", path / "images.npy", "-o", path / "image-samples", "--for", "sample", *JOB).ok()
    return path


@pytest.fixture
def odd(tmp_path):
    """The table with a ragged line (4) and text among numbers (6), its columns in another order."""
    lines = make_frame().select("kind", "count", "width", "length").write_csv().splitlines()
    lines[3] = "ash,1"
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:3], "long"])
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_help_needs_neither_torch_nor_numpy():
    code = (
        "import sys; from click.testing import CliRunner; from isthmus.cli import main\n"
        "for verb in ((), ('fit',), ('detect',), ('demo',)):\n"
        "    assert CliRunner().invoke(main, [*verb, '--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'polars', 'matplotlib', 'rich', 'PIL') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]", found.stderr


def test_a_wrong_call_needs_no_torch_either():
    code = (
        "import sys; from click.testing import CliRunner; from isthmus.cli import main\n"
        "assert CliRunner().invoke(main, ['encode', '.', '.', '-o', 'codes.doc']).exit_code == 2\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "False", found.stderr


def test_help_names_every_verb_in_order_of_use():
    out = Ran("--help").ok().out
    verbs = ["fit", "encode", "reconstruct", "denoise", "map", "detect", "search", "sample", "compare", "info", "demo"]
    places = [out.index(f"\n  {verb} ") for verb in verbs]
    assert places == sorted(places)
    assert Ran().ok().out == out


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_calls_us(name):
    assert "_ISTHMUS_COMPLETE" in Ran("completion", name).ok().out


def test_completion_knows_the_options(monkeypatch):
    for name, value in {
        "_ISTHMUS_COMPLETE": "bash_complete",
        "COMP_WORDS": "isthmus fit --re",
        "COMP_CWORD": "2",
    }.items():
        monkeypatch.setenv(name, value)
    assert "--resume" in Ran().out


def test_fit_says_what_it_saw_and_chose_on_standard_error(folder, tmp_path):
    ran = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK).ok()
    assert "2 numbers (length, width)" in ran.err
    assert "1 integer (count)" in ran.err
    assert "1 category (kind)" in ran.err
    assert "at most 2 epochs, batch size 16, learning rate" in ran.err
    assert "epoch 2 of 2" in ran.err
    assert {"model.json", "weights.safetensors", "README.md"} <= {file.name for file in (tmp_path / "m").iterdir()}
    assert not list(tmp_path.glob("*checkpoint*"))


def test_fit_prints_its_figures_as_one_json_object(folder, tmp_path):
    ran = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK, "--json").ok()
    values = json.loads(ran.out)
    assert (values["rows"], values["set_aside"], values["epochs"]) == (ROWS, [], 2)
    assert values["options"]["max_epochs"] == 2
    assert values["cost"] == load(tmp_path / "m").history_[values["best_epoch"]]["cost"]


def test_figures_without_json_are_a_line_each(folder, tmp_path):
    out = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK).ok().out
    assert dict(line.split(maxsplit=1) for line in out.splitlines())["epochs"] == "2"


def test_missing_cells_and_constant_columns_are_named(tmp_path):
    gap = pl.when(pl.int_range(ROWS) < 3).then(None).otherwise(pl.col("width"))
    make_frame().with_columns(gap.alias("width"), pl.lit(7).alias("same")).write_csv(tmp_path / "t.csv")
    ran = Ran("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK).ok()
    assert "missing cells: width: 3\n" in ran.err
    assert "nothing to learn from: same (" in ran.err


def test_a_column_left_out_is_named(tmp_path):
    frame = make_frame().with_columns(pl.Series("id", [f"tree {i}" for i in range(ROWS)]))
    frame.write_csv(tmp_path / "t.csv")
    ran = Ran("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK).ok()
    assert "left out: id" in ran.err


def test_equal_calls_give_equal_weights_and_another_seed_others(folder, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Ran("fit", folder / "trees.csv", "-o", tmp_path / name, *QUICK, "--seed", seed).ok()
    a, b, c = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_set_takes_the_paths_of_set_params(folder, tmp_path):
    settings = ("bottleneck='gaussian(beta=2.0)'", "bottleneck__size=3", "encoder=mlp_encoder(hidden=(8,))")
    more = ("encoder__activation=tanh", "penalties=l1(weight=0.1)", "modality__types={'count': 'category'}")
    words = [word for setting in (*settings, *more) for word in ("--set", setting)]
    Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK, *words).ok()
    model = load(tmp_path / "m")
    assert model.code_shape_ == (3,)
    assert model.module_.bottleneck.beta == 2.0
    assert (model.module_.encoder.hidden, model.module_.encoder.activation) == ((8,), "tanh")
    assert model.module_.penalties[0].weight == 0.1
    assert {column["name"]: column["kind"] for column in model.modality_.columns}["count"] == "category"


def test_modality_can_be_named_with_arguments(folder, tmp_path):
    Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK, "--modality", "tables(heavy_tails='keep')").ok()
    assert load(tmp_path / "m").modality_.heavy_tails == "keep"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "bottleneck"), ("PATH=VALUE", "'bottleneck'")),
        (("--set", "bottlneck=linear"), ("no parameter 'bottlneck'", "bottleneck, encoder")),
        (("--set", "bottleneck__sizes=2"), ("'bottleneck__sizes'", "Linear has: bottleneck__size")),
        (("--set", "encoder__hidden=(3,)"), ("encoder is not chosen yet", "MLPEncoder")),
        (("--set", "bottleneck=gausian"), ("no part is called 'gausian'", "Gaussian")),
        (("--set", "bottleneck=open('x')"), ("no part is called 'open'",)),
        (("--set", "max_epochs=0"), ("max_epochs must be a whole number of at least 1", "got 0")),
        (("--set", "max_epochs=many"), ("max_epochs must be a whole number", "'many'")),
        (("--set", "bottleneck__size=2.5"), ("size of Linear must be", "2.5")),
        (("--set", "random_state=1"), ("--seed",)),
        (("--set", "modality=tables"), ("--modality",)),
        (("--set", "max_epochs=1", "--set", "max_epochs=2"), ("max_epochs is given twice",)),
        (("--for", "dectect"), ("no job is called 'dectect'", "denoise, detect, map, ")),
        (("--for", "detect", "--set", "max_epochs=1"), ("--set estimator__max_epochs=",)),
        (
            ("--for", "sample", "--set", "estimator__bottleneck=linear", "--set", "density=None"),
            ("needs a bottleneck that can sample", "Gaussian"),
        ),
        (("--modality", "sounds"), ("no part is called 'sounds'", "Tables")),
        (("--seed", "-1"), ("--seed",)),
        (("--size", "8"), ("height and width", "64x48")),
        (("--epochs", "3"), ("No such option",)),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(folder, tmp_path, words, said):
    ran = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *words)
    ran.refused(2, *said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "nowhere.csv", "-o", "m"), ("nowhere.csv", "does not exist")),
        (("fit", "trees.csv"), ("Missing option", "--out")),
        (("encode", "nowhere", "trees.csv", "-o", "c.csv"), ("nowhere", "does not exist")),
        (("encode", "photos", "trees.csv", "-o", "c.csv"), ("photos is no model", "model.json")),
        (("encode", "trees", "trees.csv", "-o", "c.doc"), (".csv, .parquet, .npy, .npz",)),
        (("encode", "trees", "trees.csv", "-o", "-", "--json"), ("-o - and --json",)),
        (("encode", "trees", "trees.csv", "-o", "trees.csv"), ("trees.csv is what is read",)),
        (("reconstruct", "trees", "trees.csv", "-o", "out.png"), ("a table is written as .csv",)),
        (("reconstruct", "photo-model", "photos", "-o", "out.csv"), ("images as .npy or to a folder",)),
        (("detect", "trees", "trees.csv", "-o", "a.jsonl"), ("trees was not fitted for this", "--for detect")),
        (("denoise", "trees", "trees.csv", "-o", "a.csv"), ("trees was not fitted for this", "--for denoise")),
        (("detect", "detect", "trees.csv", "-o", "a.jsonl", "--false-alarms", "1.5"), ("--false-alarms",)),
        (("map", "map", "trees.csv", "-o", "m.png", "--labels", "kin"), ("'kin' is no file", "kind")),
        (("fit", "trees.csv", "-o", "photos"), ("photos is a folder with other things",)),
        (("fit", "trees.csv", "-o", "images.npy"), ("images.npy is a file",)),
        (("fit", "trees.csv", "-o", "trees.csv/m"), ("'trees.csv' is a file",)),
        (("map", "map", "trees.csv", "-o", "trees.csv/new/m.png"), ("'trees.csv' is a file",)),
        (("compare", "trees.csv"), ("--for",)),
        (("completion", "tcsh"), ("tcsh",)),
        (("frobnicate",), ("No such command", "frobnicate")),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_tried(folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    before = sorted(Path().rglob("*"))
    Ran(*words).refused(2, *said)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"a,b\n", "no row"),
        (b"a,a\n1,2\n3,4\n", "a"),
        (b"\x00\xff\xfe\x00" * 20, "t.csv"),
        (b"a,b\n1,inf\n2,inf\n", "infin"),
    ],
)
def test_bad_data_are_one_line_and_status_1(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    Ran("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK).refused(1, said)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_one_row_and_one_column_are_legal(tmp_path):
    (tmp_path / "t.csv").write_text("a\n3.5\n")
    Ran("fit", tmp_path / "t.csv", "-o", tmp_path / "m", *QUICK).ok()
    Ran("encode", tmp_path / "m", tmp_path / "t.csv", "-o", tmp_path / "c.csv").ok()
    assert len(pl.read_csv(tmp_path / "c.csv")) == 1


def test_a_damaged_model_is_one_line_and_status_1(folder, tmp_path):
    model = tmp_path / "m"
    Ran("fit", folder / "trees.csv", "-o", model, *QUICK).ok()
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    Ran("encode", model, folder / "trees.csv", "-o", tmp_path / "c.csv").refused(1, "weights.safetensors is damaged")
    (model / "model.json").write_text('{"format": 1')
    Ran("info", model).refused(1, "model.json is damaged")


def test_traceback_is_shown_on_request_alone(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("")
    words = ("fit", tmp_path / "t.csv", "-o", tmp_path / "m")
    assert "Traceback" in Ran(*words, "--traceback").err
    assert "Traceback" in Ran("--traceback", *words).err
    assert "Traceback" not in Ran(*words).err
    monkeypatch.setenv("ISTHMUS_TRACEBACK", "1")
    assert "Traceback" in Ran(*words).err


def test_a_fault_of_ours_is_called_that(folder, tmp_path, monkeypatch):
    def fail(*args, **more):
        raise KeyError("lost")

    monkeypatch.setattr("isthmus.cli.verbs.write_array", fail)
    ran = Ran("encode", folder / "trees", folder / "trees.csv", "-o", tmp_path / "c.csv")
    ran.refused(1, "a fault of isthmus, KeyError", "--traceback")


def test_a_python_warning_is_one_line(folder, tmp_path, monkeypatch):
    import warnings

    from isthmus.estimator import AutoEncoder

    def warn(*args):
        for _ in range(2):
            warnings.warn("mind\nthe gap", UserWarning, stacklevel=1)
        return np.zeros((ROWS, 1))

    monkeypatch.setattr(AutoEncoder, "transform", warn)
    ran = Ran("encode", folder / "trees", folder / "trees.csv", "-o", tmp_path / "c.csv").ok()
    assert ran.err.count("isthmus: note: mind the gap\n") == 1
    assert "UserWarning" not in ran.err


def test_codes_have_the_line_each_came_from(folder, odd, tmp_path):
    ran = Ran("encode", folder / "trees", odd, "-o", tmp_path / "c.csv").ok()
    codes = pl.read_csv(tmp_path / "c.csv")
    assert codes["line"].to_list() == [line for line in range(2, ROWS + 2) if line not in (4, 6)]
    assert "2 rows set aside: line 4: 2 fields where the header has 4; line 6: text 'long'" in ran.err
    assert f"{ROWS - 2} rows encoded" in ran.err


def test_reordered_columns_give_the_same_codes(folder, odd, tmp_path):
    for name, data in (("a", folder / "trees.csv"), ("b", odd)):
        Ran("encode", folder / "trees", data, "-o", tmp_path / f"{name}.parquet").ok()
    whole, rest = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    assert whole.filter(~pl.col("line").is_in([4, 6])).equals(rest)


def test_the_count_adds_up_in_json(folder, odd, tmp_path):
    ran = Ran("encode", folder / "trees", odd, "-o", tmp_path / "c.npz", "--json").ok()
    values = json.loads(ran.out)
    assert values["rows"] + len(values["set_aside"]) == ROWS
    assert values["set_aside"][0] == {"where": "line 4", "why": "2 fields where the header has 4"}
    written = np.load(tmp_path / "c.npz")
    assert len(written["codes"]) == len(written["line"]) == values["rows"]


def test_a_dash_writes_to_standard_output(folder, tmp_path):
    Ran("encode", folder / "trees", folder / "trees.csv", "-o", tmp_path / "c.csv").ok()
    assert Ran("encode", folder / "trees", folder / "trees.csv", "-o", "-").ok().out == (tmp_path / "c.csv").read_text()


def test_reconstructed_tables_keep_columns_types_and_lines(folder, odd, tmp_path):
    ran = Ran(
        "reconstruct", folder / "trees", odd, "-o", tmp_path / "r.csv", "--picture", tmp_path / "r.svg", "--json"
    ).ok()
    back = pl.read_csv(tmp_path / "r.csv")
    assert back.columns == ["line", "length", "width", "count", "kind"]
    assert set(back["kind"]) <= {"ash", "oak"}
    assert len(back) == ROWS - 2
    usable = make_frame().filter(~pl.int_range(ROWS).is_in([2, 4]))
    assert json.loads(ran.out)["cost"] == pytest.approx(-load(folder / "trees").score(usable), rel=1e-5)
    assert (tmp_path / "r.svg").read_text().startswith("<?xml")


def test_images_come_back_under_their_names(folder, tmp_path):
    words = ("reconstruct", folder / "photo-model", folder / "photos", "-o", tmp_path / "out")
    Ran(*words, "--picture", tmp_path / "pairs.png").ok()
    assert size_of(tmp_path / "out" / "a" / "p00.png") == (5, 6)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 30
    assert size_of(tmp_path / "pairs.png") > (500, 50)
    Ran(*words).refused(2, "not empty")


def test_images_of_another_size_are_set_aside_or_resized(folder, tmp_path):
    for i in range(3):
        Image.new("L", (5, 6), 40 * i).save(tmp_path / f"{i}.png")
    Image.new("L", (20, 20)).save(tmp_path / "big.png")
    words = ("encode", folder / "photo-model", tmp_path, "-o", tmp_path / "codes.csv")
    ran = Ran(*words).ok()
    assert pl.read_csv(tmp_path / "codes.csv")["file"].to_list() == ["0.png", "1.png", "2.png"]
    assert "1 row set aside: big.png: 20 x 20 pixels" in ran.err
    assert "--resize" in ran.err
    Ran(*words, "--resize").ok()
    assert len(pl.read_csv(tmp_path / "codes.csv")) == 4
    Ran("fit", tmp_path, "-o", tmp_path / "m", "--size", "4x3", *QUICK).ok()
    assert load(tmp_path / "m").modality_.shape == (4, 3, 1)


def test_arrays_of_images_come_back_as_arrays(folder, tmp_path):
    Ran("reconstruct", folder / "image-samples", folder / "images.npy", "-o", tmp_path / "r.npy").ok()
    back = np.load(tmp_path / "r.npy")
    assert (back.shape, back.dtype) == ((ROWS, 6, 5), np.uint8)


def test_info_of_a_detector_says_what_each_measure_weighs(folder):
    said = Ran("info", folder / "detect").ok().out
    (line,) = [line for line in said.splitlines() if line.startswith("weights of measures")]
    names = [part.split()[0] for part in line.removeprefix("weights of measures").strip().split(", ")]
    weights = json.loads(Ran("info", folder / "detect", "--json").ok().out)["weights of measures"]
    assert names == list(weights)
    assert sum(weights.values()) == pytest.approx(1)


def test_detect_writes_a_line_for_each_alert_with_reasons(folder, tmp_path):
    frame = make_frame()
    frame[7, "width"] = 500.0
    frame.write_csv(tmp_path / "new.csv")
    ran = Ran("detect", folder / "detect", tmp_path / "new.csv", "-o", tmp_path / "a.jsonl", "--reasons", 2).ok()
    alerts = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert alerts[0]["line"] == 9
    assert alerts[0]["score"] < alerts[0]["threshold"]
    assert alerts[0]["reasons"][0]["feature"] == "width"
    assert alerts[0]["reasons"][0]["value"] == 500.0
    assert len(alerts[0]["reasons"]) == 2
    assert f"{len(alerts)} alert" in ran.err


def test_detect_all_has_every_row_in_order_and_says_which_are_alerts(folder, odd, tmp_path):
    Ran("detect", folder / "detect", odd, "-o", tmp_path / "a.csv", "--all", "--false-alarms", 0.3).ok()
    every = pl.read_csv(tmp_path / "a.csv")
    assert every["line"].to_list() == [line for line in range(2, ROWS + 2) if line not in (4, 6)]
    assert (every["alert"] == (every["score"] < every["threshold"])).all()
    assert every["alert"].any()
    assert every.filter("alert")["reasons"].str.contains("expected|likely").all()


def test_a_higher_false_alarm_rate_moves_the_threshold_towards_normal(folder):
    rates = (0.05, 0.3, 0.6)
    words = ("detect", folder / "detect", folder / "trees.csv", "-o", folder / "a.jsonl", "--json")
    found = [json.loads(Ran(*words, "--false-alarms", rate).ok().out) for rate in rates]
    assert found[0]["threshold"] < found[1]["threshold"] < found[2]["threshold"]
    assert found[0]["alerts"] < found[2]["alerts"]
    assert load(folder / "detect").false_alarm_rate == 0.01


def test_no_alert_is_an_empty_file_not_an_absent_one(folder, tmp_path):
    Ran("detect", folder / "detect", folder / "trees.csv", "-o", tmp_path / "odd.jsonl").ok()
    odd = [json.loads(line)["line"] for line in (tmp_path / "odd.jsonl").read_text().splitlines()]
    lines = (folder / "trees.csv").read_text().splitlines(keepends=True)
    normal = tmp_path / "normal.csv"
    normal.write_text("".join(line for i, line in enumerate(lines, 1) if i not in odd))
    for name in ("a.jsonl", "a.csv"):
        words = ("detect", folder / "detect", normal, "-o", tmp_path / name, "--json")
        assert json.loads(Ran(*words).ok().out)["alerts"] == 0
        assert len((tmp_path / name).read_text().splitlines()) == (name == "a.csv")


def test_map_writes_a_picture_or_points(folder, odd, tmp_path):
    labels = ("--labels", "kind")
    Ran("map", folder / "map", odd, "-o", tmp_path / "m.csv", *labels).ok()
    points = pl.read_csv(tmp_path / "m.csv")
    assert points.columns == ["line", "x", "y", "label"]
    kinds = dict(zip(range(2, ROWS + 2), make_frame()["kind"], strict=True))
    assert points["label"].to_list() == [kinds[line] for line in points["line"]]
    for name in ("m.png", "m.svg"):
        Ran("map", folder / "map", odd, "-o", tmp_path / name, *labels).ok()
        assert (tmp_path / name).stat().st_size > 5_000


def test_map_of_a_model_with_a_larger_code_says_what_it_shows(folder, tmp_path):
    ran = Ran("map", folder / "photo-model", folder / "photos", "-o", tmp_path / "m.csv", "--labels", "folder").ok()
    assert "two principal components" in ran.err
    points = pl.read_csv(tmp_path / "m.csv")
    assert points["label"].to_list() == [file[0] for file in points["file"]]


def test_labels_may_be_a_file_with_one_for_each_row(folder, tmp_path):
    labels = [f"label {i}" for i in range(ROWS)]
    pl.DataFrame({"label": labels}).write_csv(tmp_path / "labels.csv")
    words = ("map", folder / "map", folder / "trees.csv", "-o", tmp_path / "m.csv", "--labels")
    Ran(*words, tmp_path / "labels.csv").ok()
    assert pl.read_csv(tmp_path / "m.csv")["label"].to_list() == labels
    ran = Ran(
        "map", folder / "map", folder / "trees.csv", "-o", tmp_path / "m.png", "--labels", tmp_path / "labels.csv"
    )
    assert "19 most frequent labels" in ran.ok().err
    np.save(tmp_path / "labels.npy", np.arange(ROWS - 1))
    Ran(*words, tmp_path / "labels.npy").refused(1, "59 labels for the 60 rows")


def test_labels_of_lines_set_aside_are_passed_over(folder, odd, tmp_path):
    labels = [f"label {i}" for i in range(2, ROWS + 2)]
    pl.DataFrame({"label": labels}).write_csv(tmp_path / "labels.csv")
    Ran("map", folder / "map", odd, "-o", tmp_path / "m.csv", "--labels", tmp_path / "labels.csv").ok()
    points = pl.read_csv(tmp_path / "m.csv")
    assert len(points) == ROWS - 2
    assert points["label"].to_list() == [f"label {line}" for line in points["line"]]


def test_rows_without_a_label_are_left_out_of_the_picture_and_counted(folder, tmp_path):
    gap = pl.when(pl.int_range(ROWS) < 3).then(None).otherwise(pl.col("kind"))
    make_frame().with_columns(gap.alias("site")).write_csv(tmp_path / "t.csv")
    ran = Ran("map", folder / "map", tmp_path / "t.csv", "-o", tmp_path / "m.png", "--labels", "site").ok()
    assert "3 rows without a label" in ran.err


def test_a_code_of_one_value_is_shown_as_a_line(folder, tmp_path):
    Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK, "--set", "bottleneck__size=1").ok()
    ran = Ran("map", tmp_path / "m", folder / "trees.csv", "-o", tmp_path / "m.csv").ok()
    assert "shown is a line" in ran.err
    assert (pl.read_csv(tmp_path / "m.csv")["y"] == 0).all()


def test_denoise_fills_and_cleans(folder, tmp_path):
    gap = pl.when(pl.int_range(ROWS) == 3).then(None).otherwise(pl.col("width"))
    make_frame().with_columns(gap.alias("width")).write_csv(tmp_path / "gap.csv")
    Ran("denoise", folder / "denoise", tmp_path / "gap.csv", "-o", tmp_path / "clean.csv").ok()
    clean = pl.read_csv(tmp_path / "clean.csv")
    assert clean["width"].null_count() == 0
    assert clean["line"].to_list() == list(range(2, ROWS + 2))


def test_samples_are_rows_or_a_picture(folder, tmp_path):
    for name in ("a.csv", "b.csv"):
        Ran("sample", folder / "sample", "-n", 7, "-o", tmp_path / name, "--seed", 3).ok()
    drawn = pl.read_csv(tmp_path / "a.csv")
    assert (drawn.columns, len(drawn)) == (["length", "width", "count", "kind"], 7)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    Ran("sample", folder / "image-samples", "-n", 12, "-o", tmp_path / "s.png").ok()
    assert size_of(tmp_path / "s.png") > (300, 50)
    Ran("sample", folder / "image-samples", "-n", 5, "-o", tmp_path / "drawn").ok()
    assert len(list((tmp_path / "drawn").iterdir())) == 5
    Ran("sample", folder / "trees", "-o", tmp_path / "t.csv").refused(1, "cannot sample", "Gaussian")


def test_a_walk_goes_from_row_to_row(folder, tmp_path):
    few = np.load(folder / "images.npy")[:3]
    np.save(tmp_path / "few.npy", few)
    walk = ("sample", folder / "image-samples", "--between", tmp_path / "few.npy", "--steps", 4)
    for name in ("walk.npy", "walk.png", "walk.gif"):
        Ran(*walk, "-o", tmp_path / name).ok()
    frames = np.load(tmp_path / "walk.npy")
    assert frames.shape == (8, *few.shape[1:])
    assert np.array_equal(frames[3], frames[4])  # where one walk ends the next begins
    with Image.open(tmp_path / "walk.gif") as movie:
        assert movie.n_frames > 8
    np.save(tmp_path / "one.npy", few[:1])
    Ran(*walk[:3], tmp_path / "one.npy", "-o", tmp_path / "x.npy").refused(1, "takes at least 2")
    Ran("sample", folder / "image-samples", "-o", tmp_path / "s.gif").refused(2, "got")


def test_compare_prints_the_job_beside_its_baselines(folder):
    ran = Ran("compare", folder / "trees.csv", "--for", "map", "--labels", "kind", *JOB).ok()
    lines = ran.out.splitlines()
    assert lines[0].split()[0] == "method"
    assert [line.split()[0] for line in lines[1:]] == ["auto-encoder", "PCA", "t-SNE"]
    assert "kind" not in next(line for line in ran.err.splitlines() if line.startswith("read as tables"))


def test_compare_for_detect_takes_the_rarer_label_for_anomalies(tmp_path):
    frame = make_frame().with_columns(pl.lit("good").alias("state"))
    for i in range(0, ROWS, 10):
        frame[i, "width"] = 60.0 + i
        frame[i, "state"] = "bad"
    frame.write_csv(tmp_path / "t.csv")
    ran = Ran("compare", tmp_path / "t.csv", "--for", "detect", "--labels", "state", *JOB, "--json").ok()
    values = json.loads(ran.out)
    assert "anomalies are the rows labelled bad (6 of 60)" in ran.err
    assert values["test"] == 18
    assert values["train"] == 42 - 4
    assert {row["method"] for row in values["methods"]} >= {"auto-encoder", "isolation forest"}
    assert values["methods"][0]["auroc"] == 1.0


def test_compare_refuses_what_it_cannot_split_or_judge(folder, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    Ran("compare", tmp_path / "t.csv", "--for", "map").refused(1, "3 rows that can be used")
    words = ("compare", folder / "trees.csv", "--for", "detect", "--labels", "count")
    Ran(*words).refused(1, "labels of two values", "got 9: 0, 1, 2")


def test_a_fit_that_stops_early_says_so(folder, tmp_path):
    words = ("--set", "patience=1", "--set", "max_epochs=30", "--set", "learning_rate=0.5", "--set", "threads=1")
    ran = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *words, "--json").ok()
    epochs = json.loads(ran.out)["epochs"]
    assert epochs < 30
    assert f"stopped after epoch {epochs}:" in ran.err


def test_info_says_what_a_model_is(folder):
    values = json.loads(Ran("info", folder / "detect", "--json").ok().out)
    assert (values["kind"], values["job"], values["data"], values["rows"]) == (
        "AnomalyDetector",
        "detect",
        "trees.csv",
        ROWS,
    )
    assert values["false_alarm_rate"] == 0.01
    assert [row["epoch"] for row in values["history"]] == [0, 1, 2]
    text = Ran("info", folder / "photo-model").ok().out
    assert "Images()" in text
    assert "6 x 5" in text


def test_demo_ends_with_its_numbers_and_where_the_report_is(monkeypatch, tmp_path):
    def run(out, say):
        say("a stage")
        return demo.Demo(out / "report.html", out / "digits.png", {"error": "1 (PCA 2)"})

    monkeypatch.setattr(demo, "run", run)
    ran = Ran("demo", "-o", tmp_path / "here").ok()
    assert ran.out.splitlines()[0] == "error: 1 (PCA 2)"
    assert str(tmp_path / "here" / "report.html") in ran.out
    assert ran.err.splitlines() == ["a stage"]


@pytest.mark.slow
def test_a_process_of_its_own_keeps_results_and_talk_apart(folder, odd):
    found = shell("encode", folder / "trees", odd, "-o", "-")
    assert found.returncode == 0
    assert len(pl.read_csv(found.stdout.encode())) == ROWS - 2
    assert "2 rows set aside" in found.stderr


@pytest.mark.slow
def test_nobody_listening_is_no_failure(folder):
    words = f"'{sys.executable}' -m isthmus encode '{folder / 'trees'}' '{folder / 'big.csv'}' -o - | head -n 1"
    make_frame(20_000).write_csv(folder / "big.csv")
    found = subprocess.run(["bash", "-c", f"set -o pipefail; {words}"], capture_output=True, text=True, timeout=120)
    assert found.stdout.startswith("line,z0")
    assert found.returncode == 141
    assert "rror" not in found.stderr, found.stderr


@pytest.mark.slow
def test_a_terminal_shows_a_bar_with_the_talk_above_it(folder, tmp_path):
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "isthmus", "fit", str(folder / "trees.csv"), "-o", str(tmp_path / "m"), *QUICK]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # a terminal whose other end has closed
            while piece := os.read(ours, 4096):
                shown += piece
        assert process.wait(60) == 0
        assert process.stdout.read().startswith(b"epochs")
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r", "\n").splitlines()
    assert any(line.startswith("options: at most 2 epochs") for line in lines)
    assert any(line.startswith("epoch 2/2") and "nats a row" in line for line in lines)


LONG = ("--set", "max_epochs=40", "--set", "patience=40", "--set", "threads=1", "--set", "checkpoint_seconds=0")


def started(folder, model):
    """Begin a long fit, and return once it has checkpoints and is in the middle."""
    words = [sys.executable, "-m", "isthmus", "fit", str(folder / "long.csv"), "-o", str(model), *LONG]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    for line in process.stderr:
        if line.startswith("epoch 4 "):
            return process
    raise AssertionError("the fit ended early")


@pytest.fixture(scope="module")
def uninterrupted(folder):
    make_frame(2_000).write_csv(folder / "long.csv")
    Ran("fit", folder / "long.csv", "-o", folder / "whole", *LONG).ok()
    return (folder / "whole" / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_resume_ends_with_the_same_weights(folder, uninterrupted, tmp_path):
    model = tmp_path / "m"
    process = started(folder, model)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    last = rest.splitlines()[-1]
    assert last.startswith("isthmus: interrupted in epoch ")
    assert "Traceback" not in rest
    assert not model.exists()
    call = last.partition("Go on with: isthmus ")[2].split()
    assert call[-1] == "--resume"
    Ran(*call).ok()
    assert (model / "weights.safetensors").read_bytes() == uninterrupted
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.31])
def test_a_killed_fit_resumes_to_the_same_weights(folder, uninterrupted, tmp_path, wait):
    model = tmp_path / "m"
    process = started(folder, model)
    time.sleep(wait)
    process.kill()
    process.wait(60)
    process.stderr.close()
    assert (tmp_path / "m.checkpoint.safetensors").exists()
    Ran("fit", folder / "long.csv", "-o", model, *LONG, "--resume").ok()
    assert (model / "weights.safetensors").read_bytes() == uninterrupted


def test_ctrl_c_before_the_first_step_says_that_nothing_was_kept(folder, tmp_path, monkeypatch):
    from isthmus.estimator import AutoEncoder

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoEncoder, "fit", stop)
    ran = Ran("fit", folder / "trees.csv", "-o", tmp_path / "m", *QUICK)
    assert (ran.status, ran.err.splitlines()[-1]) == (
        130,
        "isthmus: interrupted; nothing was kept, as no step was done yet.",
    )
    monkeypatch.setattr(AutoEncoder, "transform", stop)
    ran = Ran("encode", folder / "trees", folder / "trees.csv", "-o", tmp_path / "c.csv")
    assert (ran.status, ran.err) == (130, "isthmus: interrupted.\n")
    assert not list(tmp_path.iterdir())


def test_resume_with_other_options_is_refused_and_keeps_the_checkpoint(folder, tmp_path, monkeypatch):
    model, checkpoint = tmp_path / "m", tmp_path / "m.checkpoint.safetensors"

    def stop(event):
        raise KeyboardInterrupt("interrupted in epoch 2, step 9; the state is kept")

    words = ("fit", folder / "trees.csv", "-o", model, *QUICK, "--set", "checkpoint_seconds=0")
    with monkeypatch.context() as patch:
        patch.setattr("isthmus.cli.talk._lines", lambda: stop)
        ran = Ran(*words)
    assert ran.status == 130
    assert ran.err.splitlines()[-1] == (
        "isthmus: interrupted in epoch 2, step 9. Go on with: isthmus " + " ".join(map(str, words)) + " --resume"
    )
    kept = checkpoint.read_bytes()
    Ran(*words, "--set", "batch_size=7", "--resume").refused(1, "belongs to another fit")
    assert checkpoint.read_bytes() == kept
    assert "starting anew" in Ran(*words).ok().err
    assert not checkpoint.exists()
    assert "nothing to resume" in Ran(*words, "--resume").ok().err


def test_help_keeps_its_examples_on_their_own_lines():
    lines = [line.strip() for line in Ran("--help").ok().out.splitlines()]
    assert "isthmus fit flowers.csv -o flowers --for detect" in lines
