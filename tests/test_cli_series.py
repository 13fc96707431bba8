"""Series on the command line: tables of records, .npz, names and times kept, pictures."""

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main
from isthmus.reading import read

QUICK = ("--set", "max_epochs=2", "--set", "threads=1", "--set", "bottleneck=gaussian(size=2)")
LONG = ("--modality", "sequences(id='patient', time='day', values=('pulse',))")


def isthmus(*words, status=0):
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert done.exit_code == status, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of records, series in .npz, and a model of each."""
    path = tmp_path_factory.mktemp("series")
    random = np.random.default_rng(0)
    series = [random.normal(size=(int(random.integers(4, 9)), 1)).cumsum(0) for _ in range(24)]
    records = [(f"p{i}", day, one[day, 0], "ab"[i % 2]) for i, one in enumerate(series) for day in range(len(one))]
    frame = pl.DataFrame(records, schema=["patient", "day", "pulse", "ward"], orient="row")
    frame.sample(fraction=1, shuffle=True, seed=1).write_csv(path / "long.csv")
    np.savez(path / "series.npz", *series)
    isthmus("fit", path / "long.csv", "-o", path / "long", *LONG, *QUICK)
    isthmus("fit", path / "series.npz", "-o", path / "ragged", *QUICK)
    return path


def test_records_come_back_with_their_names_and_times(folder, tmp_path):
    isthmus(
        "reconstruct",
        folder / "long",
        folder / "long.csv",
        "-o",
        tmp_path / "back.csv",
        "--picture",
        tmp_path / "p.png",
    )
    given, back = pl.read_csv(folder / "long.csv"), pl.read_csv(tmp_path / "back.csv")
    assert back.columns == ["patient", "day", "pulse"]
    assert set(back.select("patient", "day").iter_rows()) == set(given.select("patient", "day").iter_rows())
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_series_of_npz_come_back_as_npz(folder, tmp_path):
    isthmus("reconstruct", folder / "ragged", folder / "series.npz", "-o", tmp_path / "back.npz")
    assert read(tmp_path / "back.npz").lengths.tolist() == read(folder / "series.npz").lengths.tolist()


def test_codes_are_called_as_the_series(folder, tmp_path):
    isthmus("encode", folder / "long", folder / "long.csv", "-o", tmp_path / "z.csv")
    codes = pl.read_csv(tmp_path / "z.csv")
    assert codes.columns == ["series", "z0", "z1"]
    assert set(codes["series"]) == {f"p{i}" for i in range(24)}


def test_labels_are_those_of_a_series_first_record(folder, tmp_path):
    isthmus("map", folder / "long", folder / "long.csv", "-o", tmp_path / "m.csv", "--labels", "ward")
    placed = pl.read_csv(tmp_path / "m.csv")
    assert all(label == "ab"[int(name[1:]) % 2] for name, label in placed.select("series", "label").iter_rows())


def test_series_too_long_for_a_model_are_set_aside(folder, tmp_path):
    np.savez(tmp_path / "longer.npz", *read(folder / "series.npz").take(slice(0, 3)), np.zeros((50, 1)))
    done = isthmus("encode", folder / "ragged", tmp_path / "longer.npz", "-o", tmp_path / "z.csv")
    assert "50 steps, the model takes up to 8" in done.stderr
    assert len(pl.read_csv(tmp_path / "z.csv")) == 3


def test_drawn_series_are_a_table_of_steps(folder):
    done = isthmus("sample", folder / "ragged", "-n", 2, "-o", "-")
    assert done.stdout.splitlines()[0] == "series,step,x0"
    assert len(done.stdout.splitlines()) == 1 + 2 * 8


def test_a_wrong_column_is_said(folder, tmp_path):
    wrong = ("--modality", "sequences(id='who')")
    done = isthmus("fit", folder / "long.csv", "-o", tmp_path / "m", *wrong, status=1)
    assert "no column who; it has patient, day, pulse, ward" in done.stderr
