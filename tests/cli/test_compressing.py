"""``compress``, ``decompress`` and ``info FILE`` as their users see them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from isthmus import AutoEncoder
from isthmus.cli import main
from isthmus.saving import save


def ran(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture
def field(tmp_path):
    values = np.sin(np.indices((30, 40)).sum(axis=0) / 9).astype(np.float32)
    np.save(tmp_path / "field.npy", values)
    return tmp_path / "field.npy", values


def test_an_array_goes_into_a_file_and_comes_back_within_its_error(field, tmp_path):
    path, values = field
    told = json.loads(ran("compress", "--error", "abs:1e-3", path, "-o", tmp_path / "field.aec", "--json"))
    assert told["bytes"] == (tmp_path / "field.aec").stat().st_size < values.nbytes / 5
    assert told["ratio"] == pytest.approx(values.nbytes / told["bytes"])
    ran("decompress", tmp_path / "field.aec", "-o", tmp_path / "back.npy")
    found = np.load(tmp_path / "back.npy")
    assert found.dtype == values.dtype
    assert np.abs(found - values).max() <= 1e-3


def test_info_says_what_a_file_holds(field, tmp_path):
    ran("compress", "--error", "rel:1e-3", field[0], "-o", tmp_path / "x.aec")
    told = json.loads(ran("info", tmp_path / "x.aec", "--json"))
    assert (told["shape"], told["dtype"], told["error"], told["model"]) == ([30, 40], "float32", "rel:0.001", None)
    assert "largest error" in ran("info", tmp_path / "x.aec")


def test_several_files_go_to_a_folder_and_back(tmp_path):
    arrays = {
        "a": np.zeros((0, 3)),
        "b": np.float64(3.5),
        "c": np.asfortranarray(np.random.default_rng(0).normal(size=(4, 5))),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    ran("compress", "--error", "lossless", *(tmp_path / f"{name}.npy" for name in arrays), "-o", tmp_path / "small")
    ran("decompress", *(tmp_path / "small" / f"{name}.aec" for name in arrays), "-o", tmp_path / "back")
    for name, array in arrays.items():
        found = np.load(tmp_path / "back" / f"{name}.npy")
        assert found.shape == array.shape
        assert (found == array).all()
        assert found.flags.f_contiguous == array.flags.f_contiguous


def test_a_model_may_predict(tmp_path):
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2)) @ random.normal(size=(2, 12)) + 1e-3 * random.normal(size=(300, 12))
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=2, threads=1, random_state=0).fit(X)
    save(model, tmp_path / "model")
    np.save(tmp_path / "x.npy", X)
    told = json.loads(
        ran(
            "compress",
            "--error",
            "abs:0.01",
            tmp_path / "model",
            tmp_path / "x.npy",
            "-o",
            tmp_path / "x.aec",
            "--json",
        )
    )
    assert len(told["model"]) == 16
    assert "needs the model" in ran("decompress", tmp_path / "x.aec", "-o", tmp_path / "y.npy", status=1)
    ran("decompress", tmp_path / "model", tmp_path / "x.aec", "-o", tmp_path / "y.npy")
    assert np.abs(np.load(tmp_path / "y.npy") - X).max() <= 0.01
    assert "what is it to compress" in ran(
        "compress", "--error", "abs:1", tmp_path / "model", "-o", tmp_path / "z", status=2
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("compress", "field.npy", "-o", "x"), 2, "Missing option '--error'"),
        (("compress", "--error", "abs:0", "field.npy", "-o", "x"), 2, "for no error at all: lossless"),
        (("compress", "--error", "abs:1", "field.csv", "-o", "x"), 2, "no .npy file"),
        (("compress", "--error", "abs:1", "text.npy", "-o", "x"), 1, "no .npy file of numbers"),
        (("compress", "--error", "abs:1", "whole.npy", "-o", "x"), 1, "got int64"),
        (("compress", "--error", "abs:1", "field.npy", "-o", "field.npy"), 2, "what is read"),
        (("decompress", "field.npy", "-o", "y.npy"), 1, "no file of isthmus compress"),
        (("decompress", "cut.aec", "-o", "y.npy"), 1, "cut.aec: the file ends too early"),
        (("decompress", "empty.aec", "-o", "y.npy"), 1, "empty"),
        (("decompress", "whole.aec", "-o", "y.csv"), 2, "should end in .npy"),
        (("info", "field.npy"), 1, "no file of isthmus compress"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_nothing_is_written(
    field, tmp_path, monkeypatch, words, status, said
):
    monkeypatch.chdir(tmp_path)
    np.save("whole.npy", np.arange(3))
    (tmp_path / "field.csv").write_text("a\n1\n")
    (tmp_path / "text.npy").write_text("no array")
    ran("compress", "--error", "abs:1e-3", "field.npy", "-o", "whole.aec")
    (tmp_path / "cut.aec").write_bytes((tmp_path / "whole.aec").read_bytes()[:200])
    (tmp_path / "empty.aec").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    error = ran(*words, status=status)
    assert said in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
