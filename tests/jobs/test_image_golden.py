"""Images written once, on 2026-11-21, must decode to the same whole numbers ever after.

``tests/data/codec`` has the files, the models that wrote them (``colours``; ``learned``, of 2026-11-22, whose contexts
are learned) and the SHA-256 of what they hold, whole and as a preview. Both headers, grey, colours, transparency, one
tile and several, in one piece and in two: a change of the format adds files, and never changes these. ``waves.aec``, of
another model, is read in ``test_compress.py``.
"""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from isthmus import saving
from isthmus.guards import threads_set
from isthmus.jobs.image_reading import ImageReading
from isthmus.jobs.image_stream import image_facts, read_stream

FOLDER = Path(__file__).parents[1] / "data" / "codec"
GOLDEN = json.loads((FOLDER / "golden.json").read_text())


@functools.cache
def codec(model):
    return saving.load(FOLDER / model)


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def numbers(job, data, groups=None):
    """Return the digest of all whole numbers of a file, or of those of its preview."""
    stream = read_stream(data, conceal=groups is not None)
    reading = ImageReading(job._codec, stream, groups)
    return digest(np.concatenate([reading._numbers(one).ravel() for one in stream.facts.every_tile()]).astype("<i8"))


@pytest.mark.parametrize("name", GOLDEN)
def test_files_hold_the_same_numbers_as_ever(name):
    data, told = (FOLDER / f"{name}.aec").read_bytes(), GOLDEN[name]
    assert numbers(codec(told["model"]), data) == told["numbers"]
    facts, _ = image_facts(data)
    assert (facts.small, data.count(b"REST")) == (told["small"], told["pieces"])
    picture = codec(told["model"]).picture(data)
    assert picture.pixels.shape == (facts.height, facts.width, facts.channels)
    assert ("alpha" in told) == (picture.alpha is not None)
    if "alpha" in told:
        assert digest(picture.alpha) == told["alpha"]


@pytest.mark.parametrize("name", GOLDEN)
def test_previews_hold_the_same_numbers_as_ever_and_need_no_more_than_first_pieces(name):
    data = (FOLDER / f"{name}.aec").read_bytes()
    cut = data.index(b"REST") if b"REST" in data else len(data)
    assert numbers(codec(GOLDEN[name]["model"]), data[:cut], groups=4) == GOLDEN[name]["preview"]


@pytest.mark.parametrize("name", GOLDEN)
def test_numbers_are_the_same_with_two_threads_and_after_saving(name, tmp_path):
    data = (FOLDER / f"{name}.aec").read_bytes()
    saving.save(codec(GOLDEN[name]["model"]), tmp_path / "model")
    with threads_set(2):
        assert numbers(saving.load(tmp_path / "model"), data) == GOLDEN[name]["numbers"]


def test_all_that_a_file_may_be_is_among_them():
    assert {told["small"] for told in GOLDEN.values()} == {True, False}
    assert {min(told["pieces"], 2) for told in GOLDEN.values()} == {0, 1, 2}
    assert sum("alpha" in told for told in GOLDEN.values()) == 2
    facts = [image_facts((FOLDER / f"{name}.aec").read_bytes())[0] for name in GOLDEN]
    assert {one.channels for one in facts} == {1, 3}
    assert max(one.tiles for one in facts) == (3, 2)


def test_metadata_are_as_ever():
    assert codec("colours").picture((FOLDER / "alpha.aec").read_bytes()).metadata == {
        "icc": b"profile" * 9,
        "exif": b"Exif\0\0MM",
        "xmp": b"<x/>",
    }
