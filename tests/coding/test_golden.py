"""Streams written once, on 2026-11-21, must decode to the same values ever after.

``golden.json`` holds each stream and the SHA-256 of what it stands for. A change of the format makes new entries
and a new major version; it never changes these.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from isthmus.coding import LatentCoder, decode_field
from isthmus.jobs.arrays import ArrayCompressor

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@pytest.mark.parametrize("entry", GOLDEN["fields"], ids=lambda entry: entry["name"])
def test_fields_decode_as_ever(entry):
    found = decode_field(bytes.fromhex(entry["data"]), tuple(entry["shape"]), entry["fraction"])
    assert digest(found) == entry["sha256"]


@pytest.mark.parametrize("entry", GOLDEN["latents"], ids=lambda entry: entry["name"])
def test_latents_decode_as_ever(entry):
    coder = LatentCoder.from_bytes(bytes.fromhex(entry["coder"]))
    assert digest(coder.decode(bytes.fromhex(entry["data"]), tuple(entry["shape"]))) == entry["sha256"]


@pytest.mark.parametrize("entry", GOLDEN["files"], ids=lambda entry: entry["name"])
def test_files_decode_as_ever(entry):
    found = ArrayCompressor().decompress(bytes.fromhex(entry["data"]))
    assert [found.dtype.str, list(found.shape)] == [entry["dtype"], entry["shape"]]
    assert digest(found) == entry["sha256"]


def test_every_predictor_is_among_them():
    used = {bytes.fromhex(entry["data"])[0] for entry in GOLDEN["fields"]}
    assert used == {0, 1, 2, 4, 5, 8, 9, 12, 13, 14, 15}
