"""Files are whole or absent, and reading them is bounded."""

from __future__ import annotations

import json
import math
import os
import struct

import numpy as np
import pytest
import torch

from isthmus import AutoEncoder, files


def entries(folder):
    return [entry.name for entry in folder.iterdir()]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "figure.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic(path) as part:
        part.write_text("half of the n")
        raise RuntimeError("the disk is full")
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["figure.txt"]


def test_a_finished_write_replaces_the_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "figure.svg"
    with files.atomic(path) as part:
        assert part.suffix == ".svg"
        part.write_text("new")
    assert path.read_text() == "new"
    assert entries(path.parent) == ["figure.svg"]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path):
    with files.atomic(tmp_path / "a") as part:
        part.write_text("")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "model"
    with files.atomic_folder(path) as part:
        (part / "one").write_text("1")
        assert not path.exists()
    assert (path / "one").read_text() == "1"
    assert entries(tmp_path) == ["model"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "one").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_folder(path) as part:
        (part / "one").write_text("new")
        raise RuntimeError("the disk is full")
    assert (path / "one").read_text() == "old"
    assert entries(tmp_path) == ["model"]


def test_a_new_folder_takes_over_what_only_the_old_one_had(tmp_path):
    path = tmp_path / "model"
    (path / "notes").mkdir(parents=True)
    (path / "notes" / "mine.txt").write_text("keep")
    (path / "one").write_text("old")
    with files.atomic_folder(path) as part:
        (part / "one").write_text("new")
    assert (path / "one").read_text() == "new"
    assert (path / "notes" / "mine.txt").read_text() == "keep"
    assert entries(tmp_path) == ["model"]


def test_a_folder_that_cannot_take_its_place_puts_the_old_one_back(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.mkdir()
    (path / "one").write_text("old")
    rename = type(path).rename

    def fails_for_the_new_one(self, target):
        if self.name.startswith(".model-") and not self.name.endswith("-old"):
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", fails_for_the_new_one)
    with pytest.raises(OSError, match="no"), files.atomic_folder(path) as part:
        (part / "one").write_text("new")
    assert (path / "one").read_text() == "old"
    assert entries(tmp_path) == ["model"]


def test_json_comes_back_as_it_was_written(tmp_path):
    tree = {"a": [1, -2.5e-300, None, True, "é\n日本"], "b": {"c": 2**63 - 1}, "bad name": "caf\udce9"}
    files.write_json(tmp_path / "tree.json", tree)
    assert files.read_json(tmp_path / "tree.json") == tree


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_a_number_for_it_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "tree.json", {"a": value})
    assert not entries(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 30 + b"}",
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'"\xff\xfe"',
        b"[1] and more",
        b"PK\x03\x04 a zip",
    ],
)
def test_what_is_no_json_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "tree.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is damaged: it is not JSON") as caught:
        files.read_json(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_json_is_refused_by_size_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *a, **k: pytest.fail("it was parsed"))
    path = tmp_path / "tree.json"
    path.write_bytes(b'"' + b"a" * files.MAX_JSON + b'"')
    with pytest.raises(ValueError, match="more than the 16777216 bytes"):
        files.read_json(path)
    path.write_bytes(b"[" + b"[]," * 600_000 + b"[]]")
    with pytest.raises(ValueError, match="more than the 1000000 values"):
        files.read_json(path)


def test_json_that_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="more than"):
        files.write_json(tmp_path / "tree.json", "a" * files.MAX_JSON)
    assert not entries(tmp_path)


@pytest.mark.parametrize("read", [files.read_json, files.read_tensors])
def test_only_plain_files_are_read(tmp_path, read):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(ValueError, match="no plain file"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


def test_tensors_come_back_as_they_were_written(tmp_path):
    weight = torch.arange(6.0).view(2, 3)
    tensors = {
        "shared": weight,
        "again": weight,
        "turned": weight.T,
        "whole": torch.tensor([2**40]),
        "empty": torch.zeros(0, 3, dtype=torch.float64),
        "one": torch.tensor(True),
    }
    files.write_tensors(tmp_path / "w.safetensors", tensors, {"about": "é"})
    read, metadata = files.read_tensors(tmp_path / "w.safetensors")
    assert metadata == {"about": "é"}
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)


def test_every_truncation_of_a_tensor_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    files.write_tensors(path, {"a": torch.arange(4.0), "b": torch.tensor(1)})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="is damaged: it is no safetensors file"):
            files.read_tensors(path)


@pytest.mark.parametrize("claim", [0, 1, 2**31, 2**63, 2**64 - 1, 90_000_000])
def test_a_header_that_claims_another_length_is_refused(tmp_path, claim):
    path = tmp_path / "w.safetensors"
    files.write_tensors(path, {"a": torch.arange(4.0)})
    path.write_bytes(struct.pack("<Q", claim) + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="is damaged"):
        files.read_tensors(path)


@pytest.mark.parametrize("shape", [[2**40], [2**62, 4], [-1], [2**70], [1.5], ["4"], "4", None, [[4]]])
def test_a_header_with_an_absurd_shape_is_refused(tmp_path, shape):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(ValueError, match="is damaged"):
        files.read_tensors(path)


def test_the_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert files.digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _fit(path, X, **params):
    model = AutoEncoder(
        bottleneck="linear(size=2)",
        max_epochs=2,
        threads=1,
        random_state=0,
        checkpoint=path,
        checkpoint_seconds=0,
        **params,
    )
    return model.fit(X)


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(40, 4))


def test_a_truncated_checkpoint_is_refused_in_one_line(tmp_path, table):
    path = tmp_path / "fit.safetensors"
    _fit(path, table)
    data = path.read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="fit.safetensors is damaged") as caught:
            _fit(path, table, resume=True)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_of_something_else_is_refused_in_one_line(tmp_path, table):
    path = tmp_path / "fit.safetensors"
    _fit(path, table[:, :3])
    foreign = {"another table's": path.read_bytes()}
    files.write_tensors(path, {"a": torch.zeros(3)})
    foreign["another program's"] = path.read_bytes()
    for data in foreign.values():
        path.write_bytes(data)
        with pytest.raises(ValueError, match="belongs to another fit") as caught:
            _fit(path, table, resume=True)
        assert "\n" not in str(caught.value)
    path.write_text("name,value\n1,2\n")
    with pytest.raises(ValueError, match="is damaged: it is no safetensors file"):
        _fit(path, table, resume=True)
