"""Vectors on the command line: fitted, compressed, told of, searched, and back."""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from isthmus.cli import main
from isthmus.saving import load


def ran(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("vectors")
    vectors = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    np.save(root / "some.npy", vectors)
    np.save(root / "query.npy", vectors[:3])
    ran("fit", root / "some.npy", "--for", "vectors", "--set", "n_bytes=3", "-o", root / "model")
    ran("compress", root / "model", root / "some.npy", "-o", root / "some.aec")
    return root


def test_vectors_go_into_a_file_and_back(folder, tmp_path):
    told = json.loads(ran("info", folder / "some.aec", "--json"))
    assert (told["holds"], told["shape"], told["dtype"]) == ("vectors", [400, 6], "float32")
    assert told["bytes"] == (folder / "some.aec").stat().st_size < 400 * 3 + 200
    ran("decompress", folder / "model", folder / "some.aec", "-o", tmp_path / "back.npy")
    job = load(folder / "model")
    np.testing.assert_array_equal(np.load(tmp_path / "back.npy"), job.decompress((folder / "some.aec").read_bytes()))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_neighbours_are_searched_for_in_the_file(folder, tmp_path, suffix):
    out = tmp_path / f"hits{suffix}"
    ran("search", folder / "model", folder / "query.npy", "--data", folder / "some.aec", "-k", 2, "-o", out)
    hits = pl.read_csv(out) if suffix == ".csv" else pl.read_ndjson(out)
    assert hits["row"].to_list() == [0, 0, 1, 1, 2, 2]
    assert hits["rank"].to_list() == [1, 2] * 3
    assert hits["found"].to_list()[::2] == [0, 1, 2]


def test_what_is_missing_or_of_another_kind_is_said(folder, tmp_path):
    said = ran("search", folder / "model", folder / "query.npy", "-o", tmp_path / "h.csv", status=2)
    assert "--data" in said
    said = ran("decompress", folder / "some.aec", "-o", tmp_path / "b.npy", status=2)
    assert "vectors need the model" in said
    ran("fit", folder / "some.npy", "-o", tmp_path / "plain", "--set", "max_epochs=1", "--set", "threads=1")
    said = ran("decompress", tmp_path / "plain", folder / "some.aec", "-o", tmp_path / "b.npy", status=2)
    assert "no model for vectors" in said
    (tmp_path / "cut.aec").write_bytes((folder / "some.aec").read_bytes()[:-9])
    said = ran("decompress", folder / "model", tmp_path / "cut.aec", "-o", tmp_path / "b.npy", status=1)
    assert "cut short or damaged" in said
    assert not (tmp_path / "b.npy").exists()
