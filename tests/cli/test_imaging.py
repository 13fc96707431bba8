"""Images on the command line: fit, compress, decompress, info, compare."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from isthmus.cli import main
from isthmus.cli.imaging import split_crops
from isthmus.jobs.image_stream import image_facts
from isthmus.metrics import psnr
from isthmus.reading import ImageCrops

SETTINGS = (
    "max_epochs=1",
    "encoder=lapped_encoder(channels=12)",
    "bottleneck=entropy_bottleneck(trade_offs=(0.002, 0.2))",
    "decoder=lapped_decoder(filter=(), told=True)",
    "threads=1",
    "validation_fraction=0.02",
    "batch_size=64",
)


def waves(height: int, width: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    image = np.stack([128 + 90 * np.sin(x / (6 + seed) + i) * np.cos(y / (8 + i)) for i in range(3)], -1)
    return (image + np.random.default_rng(seed).normal(size=image.shape) * 4).clip(0, 255).astype(np.uint8)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def ran(*words, status=0):
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="isthmus")
    assert result.exit_code == status, result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with images of several sizes in ``photos`` and the codec fitted on them in ``codec``."""
    place = tmp_path_factory.mktemp("imaging")
    (place / "photos").mkdir()
    for i, (height, width) in enumerate([(60, 40), (50, 70)]):
        Image.fromarray(waves(height, width, i)).save(place / "photos" / f"{i}.png")
    (place / "photos" / "bad.png").write_bytes(b"no image")
    sets = [word for one in SETTINGS for word in ("--set", f"estimator__{one}")]
    told = ran("fit", place / "photos", "-o", place / "codec", "--for", "compress", "--size", "32x32", *sets, "--json")
    told = json.loads(told)
    assert (told["job"], len(told["set_aside"])) == ("compress", 1)
    return place


def test_images_go_through_files_and_back(place, tmp_path):
    first, second = place / "photos" / "0.png", place / "photos" / "1.png"
    told = ran("compress", place / "codec", first, second, "-q", "90", "-o", tmp_path / "small", "--json")
    files = sorted((tmp_path / "small").iterdir())
    assert [path.name for path in files] == ["0.aec", "1.aec"]
    told = [json.loads(line) for line in told.strip().split("\n")]
    assert [one["bytes"] for one in told] == [path.stat().st_size for path in files]
    ran("decompress", *files, "-o", tmp_path / "back", "--model", place / "codec")
    for original in (first, second):
        assert psnr(pixels(original), pixels(tmp_path / "back" / original.name)) > 20
    # The same through other words.
    ran("decompress", place / "codec", files[0], "-o", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "back" / "0.png").read_bytes()


def test_targets_are_kept_and_one_file_may_have_a_name_of_its_own(place, tmp_path):
    image = place / "photos" / "1.png"
    ran("compress", place / "codec", image, "--target-size", "0.2k", "-o", tmp_path / "x.aec")
    assert 150 < (tmp_path / "x.aec").stat().st_size <= 200
    ran("compress", place / "codec", image, "--target-psnr", "20", "-o", tmp_path / "into")
    ran("decompress", tmp_path / "into" / "1.aec", "-o", tmp_path / "back", "--model", place / "codec")
    assert psnr(pixels(image), pixels(tmp_path / "back" / "1.png")) >= 20


def test_info_needs_no_model(place, tmp_path):
    ran("compress", place / "codec", place / "photos" / "0.png", "-q", "40", "-o", tmp_path)
    told = json.loads(ran("info", tmp_path / "0.aec", "--json"))
    assert (told["holds"], told["width"], told["height"], told["channels"], told["tiles"]) == ("image", 40, 60, 3, 1)
    assert abs(told["quality"] - 40) < 0.5
    assert len(told["model"]) == 8
    assert "bits per pixel" in ran("info", tmp_path / "0.aec")


def test_what_belongs_to_a_picture_is_kept(place, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = PngImagePlugin.PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", "<x/>")
    image = Image.fromarray(np.dstack([waves(24, 20), np.full((24, 20), 77, np.uint8)]))
    image.save(tmp_path / "a.png", exif=exif, icc_profile=b"profile", pnginfo=xmp)
    Image.fromarray(waves(24, 20)).convert("P").save(tmp_path / "p.gif")
    Image.fromarray(waves(24, 20)).convert("CMYK").save(tmp_path / "c.jpg", exif=exif)
    names = [tmp_path / name for name in ("a.png", "p.gif", "c.jpg")]
    result = CliRunner().invoke(main, ["compress", *map(str, (place / "codec", *names)), "-o", str(tmp_path / "o")])
    assert result.exit_code == 0
    assert "p.gif: a palette converted" in result.stderr
    assert "c.jpg: CMYK converted" in result.stderr
    files = [tmp_path / "o" / f"{name}.aec" for name in "apc"]
    ran("decompress", *files, "-o", tmp_path / "back", "--model", place / "codec")
    with Image.open(tmp_path / "back" / "a.png") as back:
        assert back.size == (20, 24)  # turned by whoever looks at it, as before
        assert back.getexif()[0x0112] == 6
        assert back.info["icc_profile"] == b"profile"
        assert back.info["XML:com.adobe.xmp"] == "<x/>"
        assert (np.asarray(back)[..., 3] == 77).all()
    with Image.open(tmp_path / "back" / "c.png") as back:
        assert back.getexif()[0x0112] == 6
    ran("compress", place / "codec", tmp_path / "a.png", "--strip", "-o", tmp_path / "bare")
    assert "exif" not in json.loads(ran("info", tmp_path / "bare" / "a.aec", "--json"))


def test_damaged_tiles_are_concealed_only_if_asked_and_if_one_is_left(place, tmp_path):
    wide, lost = tmp_path / "wide.png", {}
    with Image.open(place / "photos" / "0.png") as photo:
        photo.resize((1100, 30)).save(wide)
    for tiles, picture in ((3, wide), (1, place / "photos" / "0.png")):
        file, out = tmp_path / f"{tiles}.aec", tmp_path / f"{tiles}.png"
        ran("compress", place / "codec", picture, "-o", file)
        data = bytearray(file.read_bytes())
        data[data.index(b"TILE") + 20 if tiles == 3 else 40] ^= 1
        file.write_bytes(data)
        words = ("decompress", place / "codec", file, "-o", out)
        assert f"{tiles}.aec: {'chunk ' if tiles == 3 else 'the file is damaged'}" in ran(*words, status=1)
        assert not out.exists()
        lost[tiles] = CliRunner().invoke(main, [*map(str, words), "--conceal"]).stderr
    assert "1 of 3 tiles lost" in lost[3]
    with Image.open(tmp_path / "3.png") as back:
        assert back.size == (1100, 30)
    assert "the file is damaged or cut short" in lost[1]
    assert not (tmp_path / "1.png").exists()


def test_a_file_that_is_cut_short_still_has_a_preview(place, tmp_path):
    file, image = tmp_path / "noisy.aec", tmp_path / "noisy.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 600, 3), np.uint8)).save(image)
    ran("compress", place / "codec", image, "-q", "100", "-o", file)
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"REST") + 99])
    words = ["decompress", place / "codec", file]
    assert "ends too early" in ran(*words, "-o", tmp_path / "no.png", status=1)
    result = CliRunner().invoke(main, [*map(str, words), "-o", str(tmp_path / "p.png"), "--preview"])
    assert result.stderr.count("note:") == 1
    assert "a preview: 4 of 5 groups of channels" in result.stderr
    ran(*words, "--preview", "2", "-o", tmp_path / "2.png")
    ran(*words, "--conceal", "-o", tmp_path / "c.png")
    worse, better, most = (psnr(pixels(image), pixels(tmp_path / name)) for name in ("2.png", "p.png", "c.png"))
    assert worse < better <= most


def test_crops_are_compared_on_images_that_were_not_fitted_on(place):
    rows = ImageCrops(place / "photos", 11, size=16)
    train, test = split_crops(rows, 0.3, seed=0)
    assert sorted([*train, *test]) == list(range(11))
    assert not {rows._image(row) for row in train} & {rows._image(row) for row in test}
    with pytest.raises(ValueError, match="has one image"):
        split_crops(ImageCrops(place / "photos" / "0.png", 4, size=16), 0.3, seed=0)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("compress", "a.png", "-o", "x"), 2, "Missing MODEL"),
        (("compress", "CODEC", "-o", "x"), 2, "what is it to compress"),
        (("compress", "CODEC", "a.png", "-q", "9", "--target-size", "9", "-o", "x"), 2, "give one of --quality"),
        (("compress", "CODEC", "a.png", "-q", "9", "--error", "abs:1", "-o", "x"), 2, "--error is for arrays"),
        (("compress", "CODEC", "a.png", "--target-size", "some", "-o", "x"), 2, "such as 40k"),
        (("compress", "CODEC", "a.png", "--target-size", "9", "-o", "x.aec"), 1, "a.png: the smallest file has"),
        (("compress", "CODEC", "deep.png", "-o", "x.aec"), 1, "more than 8 bits a channel"),
        (("compress", "CODEC", "bad.png", "-o", "x.aec"), 1, "bad.png cannot be compressed as an image"),
        (("compress", "CODEC", "a.png", "sub/a.png", "-o", "x"), 2, "two of the files have the same name"),
        (("decompress", "a.aec", "-o", "x.png"), 2, "Missing option '--model'"),
        (("decompress", "a.aec", "cut.aec", "-o", "x", "--model", "CODEC"), 1, "cut.aec: the file is damaged or cut"),
        (("decompress", "CODEC", "a.aec", "--preview", "0", "-o", "x.png"), 2, "'--preview': 0 is not in the range"),
        (("compress", "CODEC", "a.png", "--max-pixels", "100", "-o", "x.aec"), 1, "16 x 20 pixels, more than 100 (--"),
        (("decompress", "CODEC", "a.aec", "--max-pixels", "100", "-o", "x.png"), 1, "more than the limit of 100"),
        (("info", "cut.aec"), 1, "damaged or cut short"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(place, tmp_path, monkeypatch, words, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    Image.fromarray(waves(20, 16)).save("a.png")
    Image.fromarray(waves(20, 16)).save("sub/a.png")
    Image.new("I;16", (8, 8)).save("deep.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    ran("compress", place / "codec", "a.png", "-o", "a.aec")
    (tmp_path / "cut.aec").write_bytes((tmp_path / "a.aec").read_bytes()[:20])
    error = ran(*(place / "codec" if word == "CODEC" else word for word in words), status=status)
    assert said in error
    assert error.count("\n") == 1


def test_a_fitted_codec_is_compared_and_drawn_on_other_images(place, tmp_path):
    (tmp_path / "more").mkdir()
    Image.fromarray(waves(40, 44, 5)).convert("L").save(tmp_path / "more" / "grey.png")
    words = ("compare", place / "codec", place / "photos" / "0.png", tmp_path / "more", "--for", "compress")
    told = json.loads(ran(*words, "-o", tmp_path / "out", "--json"))
    assert [row["method"] for row in told["methods"]][:3] == ["auto-encoder", "JPEG", "WebP"]
    assert len(told["files"]) == 2
    first = told["curves"]["auto-encoder"]
    assert all(one["bpp"] < other["bpp"] for one, other in zip(first, first[1:], strict=False))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["crops.png", "rates.png"]
    assert "bd rate" in ran(*words)


@pytest.mark.slow
def test_a_codec_is_fitted_and_compared_in_one_call(place, tmp_path):
    sets = [word for one in SETTINGS for word in ("--set", f"estimator__{one}")]
    told = json.loads(
        ran("compare", place / "photos", "--for", "compress", "--size", "32x32", *sets, "-o", tmp_path / "o", "--json")
    )
    assert (told["train"], told["test"], told["job"]) == (200, 200, "compress")
    assert told["methods"][0]["method"] == "auto-encoder"
    assert (tmp_path / "o" / "crops.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("CODEC", "--for", "compress"), "which images is it to be compared on"),
        (("CODEC", "a.png", "--for", "compress", "--set", "tile=64"), "--set is for a fit"),
        (("CODEC", "a.png", "--for", "map"), "of those only codecs are compared"),
        (("a.png", "a.png", "--for", "compress"), "is no model"),
        (("a.png", "--for", "map", "-o", "x"), "-o is for --for compress"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(place, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(waves(20, 16)).save("a.png")
    error = ran("compare", *(place / "codec" if word == "CODEC" else word for word in words), status=2)
    assert said in error


def started(words):
    """Return ``isthmus`` with these words as a process, the first of a group of its own."""
    call = [sys.executable, "-m", "isthmus", *map(str, words)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    # Where the tests run in the background, Ctrl-C is ignored, and a process begins with what is ignored here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_as_a_process_with_two_workers_the_files_are_the_same(place, tmp_path):
    images = [place / "photos" / f"{i}.png" for i in range(2)]
    process = started(("compress", place / "codec", *images, "-o", tmp_path / "two", "-j", "2"))
    assert (process.communicate()[1], process.returncode) == ("", 0)
    ran("compress", place / "codec", *images, "-o", tmp_path / "one")
    for i in range(2):
        assert (tmp_path / "one" / f"{i}.aec").read_bytes() == (tmp_path / "two" / f"{i}.aec").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_after_ctrl_c_there_are_whole_files_and_nothing_else(place, tmp_path, jobs):
    out, images = tmp_path / "out", []
    for i in range(8):
        images.append(tmp_path / f"{i}.png")
        Image.fromarray(waves(300, 300, i)).save(images[-1])
    process = started(("compress", place / "codec", *images, "--target-psnr", "20", "-o", out, "-j", jobs))
    while not (out.is_dir() and any(out.glob("[!.]*.aec"))):
        assert process.poll() is None
        time.sleep(0.01)
    # As a terminal does: to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    # Read to its end, which is when the last process has closed it.
    said = process.communicate()[1]
    assert (process.returncode, said) == (130, "isthmus: interrupted.\n")
    found = sorted(out.iterdir())
    assert 1 <= len(found) < 8
    for path in found:
        assert image_facts(path.read_bytes())[0].width == 300
