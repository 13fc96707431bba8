"""Wrapped images on the command line: fit, compress, decompress, info."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from isthmus.cli import main

SETTINGS = (
    "max_epochs=1",
    "encoder=compact_encoder((4,))",
    "bottleneck=picture_file('webp')",
    "decoder=restoring_decoder((4,), told=True)",
    "threads=1",
    "validation_fraction=0.02",
    "batch_size=64",
)


def ran(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with images in ``photos`` and the codec fitted on them in ``codec``."""
    place = tmp_path_factory.mktemp("wrapping")
    (place / "photos").mkdir()
    y, x = np.mgrid[:60, :40]
    for i in range(2):
        image = np.stack([128 + 90 * np.sin(x / (6 + i) + c) * np.cos(y / (8 + c)) for c in range(3)], -1)
        Image.fromarray(image.astype(np.uint8)).save(place / "photos" / f"{i}.png")
    sets = [word for one in SETTINGS for word in ("--set", f"estimator__{one}")]
    told = json.loads(
        ran("fit", place / "photos", "-o", place / "codec", "--for", "wrap", "--size", "32x32", *sets, "--json")
    )
    assert told["job"] == "wrap"
    return place


def test_images_go_through_wrapped_files_and_back(place, tmp_path):
    photos = [place / "photos" / f"{i}.png" for i in range(2)]
    told = ran("compress", place / "codec", *photos, "-q", "30", "-o", tmp_path / "small", "--json")
    files = sorted((tmp_path / "small").iterdir())
    told = [json.loads(line) for line in told.strip().split("\n")]
    assert [one["bytes"] for one in told] == [path.stat().st_size for path in files]
    about = json.loads(ran("info", files[0], "--json"))
    assert (about["holds"], about["codec"], about["quality"]) == ("wrapped image", "webp", 30)
    assert (about["width"], about["height"], about["scale"]) == (40, 60, 2)
    ran("decompress", *files, "-o", tmp_path / "back", "--model", place / "codec")
    for photo, back in zip(photos, sorted((tmp_path / "back").iterdir()), strict=True):
        with Image.open(photo) as one, Image.open(back) as other:
            assert one.size == other.size


def test_what_only_tiles_and_groups_can_do_is_refused(place, tmp_path):
    ran("compress", place / "codec", place / "photos" / "0.png", "-o", tmp_path / "a.aec", "--target-size", "600")
    assert (tmp_path / "a.aec").stat().st_size <= 600
    back = ("decompress", tmp_path / "a.aec", "-o", tmp_path / "a.png", "--model", place / "codec")
    assert "--conceal is for images compressed by a model --for compress" in ran(*back, "--conceal", status=2)
    compared = ("compare", place / "codec", place / "photos", "--for", "compress")
    assert "fitted --for wrap" in ran(*compared, status=2)
