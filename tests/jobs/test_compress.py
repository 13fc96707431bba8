"""Images as files: any size and quality, targets, what belongs to a picture, damage, the same numbers everywhere."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus import AutoEncoder, saving
from isthmus.checks import check_job
from isthmus.coding import CorruptStreamError, LatentCoder
from isthmus.guards import seeded, threads_set
from isthmus.jobs import Compressor
from isthmus.jobs.image_codec import ImageCodec
from isthmus.jobs.image_stream import image_facts, read_stream
from isthmus.metrics import psnr
from isthmus.reading.pictures import Picture
from isthmus.recipes import lapped_codec
from isthmus.rows import as_rows

GOLDEN = Path(__file__).parents[1] / "data" / "codec"


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return waves with a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(x / (7 + seed % 5) + i) * np.cos(y / (9 + i)) for i in range(channels)]
    noisy = np.stack(waves, -1) + 6 * random.normal(size=(height, width, channels))
    return noisy.clip(0, 255).astype(np.uint8)


def test_images_without_anything_in_them_can_be_fitted_on_and_coded():
    model = lapped_codec(channels=8, max_epochs=1, threads=1, random_state=0)
    black = np.zeros((8, 32, 32, 3), np.uint8)
    job = Compressor(model).fit(black)
    assert np.abs(job.decompress(job.compress(black[0])).astype(int)).max() <= 1


def test_the_codec_fitted_by_default_is_the_recipe():
    images = np.stack([picture(32, 32, seed=i) for i in range(8)])
    fitted = [
        model.set_params(max_epochs=1, threads=1, random_state=0).fit(images)
        for model in (Compressor().default_estimator(images), lapped_codec())
    ]
    assert str(fitted[0].module_) == str(fitted[1].module_)
    for name in ("batch_size", "learning_rate", "weight_decay", "dtype"):
        assert getattr(fitted[0], name) == getattr(fitted[1], name)


def small(**params) -> AutoEncoder:
    """Return a codec that is fitted in a moment."""
    return AutoEncoder(
        encoder="lapped_encoder(channels=12, branch=(4, 4))",
        bottleneck="entropy_bottleneck(trade_offs=(0.002, 0.02, 0.2))",
        decoder="lapped_decoder(filter=(6,), told=True)",
        loss="squared_error",
        **dict(batch_size=4, max_epochs=2, threads=1, random_state=0, weight_decay=0.0) | params,
    )


@pytest.fixture(scope="module")
def job() -> Compressor:
    """Return a codec whose networks are far from where they began, in tiles of 64 pixels."""
    job = Compressor(small(), tile=64).fit(np.stack([picture(48, 48, seed=i) for i in range(8)]))
    with seeded(0), torch.no_grad():
        for part in (job.estimator_.module_.encoder.beside[-1], job.estimator_.module_.decoder.mend[-2]):
            part.weight.add_(0.02 * torch.randn_like(part.weight))
    return job.restore(job.state())


@pytest.fixture(scope="module")
def grey() -> Compressor:
    return Compressor(small(max_epochs=1)).fit(np.stack([picture(28, 28, 1, i)[..., 0] for i in range(8)]))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([0, 1, 2, 3, 4]), st.floats(0, 100), st.integers(0, 99))
def test_any_size_channels_and_quality_come_back_as_they_were_shaped(job, height, width, channels, quality, seed):
    image = picture(height, width, max(channels, 1), seed)
    image = image if channels else image[..., 0]
    data = job.compress(image, quality)
    back = job.decompress(data)
    assert back.dtype == np.uint8
    assert back.shape == (image[..., 0] if channels == 1 else image).shape
    if channels in (2, 4):
        assert np.array_equal(back[..., -1], image[..., -1])
    facts, _ = image_facts(data)
    assert (facts.width, facts.height) == (width, height)
    assert abs(facts.quality - quality) <= 0.2
    assert job.compress(image, quality) == data


def test_tiles_have_no_seams(job):
    image = picture(150, 200, seed=3)
    whole = Compressor(tile=4096)
    whole.estimator_ = job.estimator_
    whole.restore(job.state())
    one, many = (codec.compress(image, 50, effort=0) for codec in (whole, job))
    assert image_facts(one)[0].tiles == (1, 1)
    assert image_facts(many)[0].tiles == (3, 4)
    # Sums of other lengths differ in their last bits.
    assert np.abs(whole.decompress(one).astype(int) - job.decompress(many)).max() <= 1


def test_better_quality_is_larger_and_nearer(job):
    image = picture(96, 96, seed=1)
    files = [job.compress(image, quality) for quality in (0, 30, 60, 100)]
    reached = [psnr(image, job.decompress(data)) for data in files]
    assert sorted(files, key=len) == files
    assert len({len(data) for data in files}) >= 3
    assert sorted(reached) == reached
    assert job.compress(image) == files[2]


def test_a_target_size_is_never_exceeded_and_nearly_used(job):
    image = picture(96, 96, seed=2)
    least, most = (len(job.compress(image, quality)) for quality in (0, 100))
    for size in (least, (least + most) // 2, most, 10 * most):
        found = len(job.compress(image, target_size=size))
        assert found <= size
        assert found >= min(size, most) - 0.05 * size
    with pytest.raises(ValueError, match=f"the smallest file has {least} bytes"):
        job.compress(image, target_size=least - 1)


def test_a_target_psnr_is_reached_within_a_twentieth_of_a_decibel(job):
    image = picture(70, 90, seed=4)
    low, high = (psnr(image, job.decompress(job.compress(image, quality))) for quality in (0, 100))
    for wanted in (low + 0.3 * (high - low), low + 0.8 * (high - low)):
        assert 0 <= psnr(image, job.decompress(job.compress(image, target_psnr=wanted))) - wanted + 1e-6 <= 0.05
    with pytest.raises(ValueError, match="less than the 99 asked for"):
        job.compress(image, target_psnr=99)


def test_numbers_do_not_depend_on_threads_or_on_saving(job, tmp_path):
    image = picture(100, 80, seed=5)
    with threads_set(2):
        data = job.compress(image)
        pixels = job.decompress(data)
    assert job.compress(image) == data
    saving.save(job, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    assert again.model_ == job.model_
    assert again.compress(image) == data
    assert np.array_equal(again.decompress(data), pixels)


def numbers_of(codec: ImageCodec, data: bytes) -> np.ndarray:
    """Return all whole numbers of a file."""
    stream = read_stream(data)
    tiles = [codec.decode(stream.tiles[tile.number], stream.facts, tile) for tile in stream.facts.every_tile()]
    return np.concatenate([one.ravel() for one in tiles])


def test_a_file_written_long_ago_still_holds_the_same_numbers():
    job = saving.load(GOLDEN / "model")
    data = (GOLDEN / "waves.aec").read_bytes()
    found = numbers_of(job._codec, data).astype("<i8").tobytes()
    assert hashlib.sha256(found).hexdigest() == (GOLDEN / "waves.sha256").read_text().strip()
    with Image.open(GOLDEN / "waves.png") as image:
        assert psnr(np.asarray(image), job.decompress(data)) > 60


def test_the_decoder_reads_the_numbers_that_the_encoder_wrote(job):
    image = picture(64, 64)
    codec, facts = job._codec, image_facts(job.compress(image, 80))[0]
    (tile,) = facts.every_tile()
    written = codec.numbers(codec.features(image, tile), facts.level)
    assert np.array_equal(numbers_of(codec, job.compress(image, 80, effort=0)), written.ravel())
    assert np.abs(written).max() > 3


def test_transparency_is_kept_without_loss_and_what_it_hides_costs_little(job):
    image = picture(64, 64, 4, seed=6)
    image[..., 3] = np.where(np.mgrid[:64, :64].sum(0) < 60, 0, 200 + np.arange(64))
    image[..., :3][image[..., 3] == 0] = np.random.default_rng(0).integers(0, 256, (1, 3), np.uint8)
    noisy = image.copy()
    noisy[..., :3][image[..., 3] == 0] = np.random.default_rng(0).integers(0, 256, ((image[..., 3] == 0).sum(), 3))
    assert np.array_equal(job.decompress(job.compress(image))[..., 3], image[..., 3])
    assert job.compress(noisy) == job.compress(image)


def test_grey_images_stay_grey_and_colours_need_a_model_of_colours(job, grey):
    image = picture(28, 40, 1)[..., 0]
    assert job.decompress(job.compress(image)).shape == (28, 40)
    assert psnr(image, grey.decompress(grey.compress(image, 100))) > 25
    # As large a map as that of the images fitted on, which the decoder would cut.
    assert grey.decompress(grey.compress(picture(32, 32, 1)[..., 0])).shape == (32, 32)
    with pytest.raises(ValueError, match="fitted on grey images"):
        grey.compress(picture(28, 28))


def test_metadata_come_back_verbatim_or_are_left_out(job):
    known = {"icc": b"profile" * 9, "exif": b"Exif\0\0MM", "xmp": b"<x/>"}
    given_ = Picture(picture(20, 30), None, known)
    back = job.picture(job.compress(given_))
    assert back.metadata == known
    assert image_facts(job.compress(given_))[1]["icc"] == 63
    assert job.picture(job.compress(given_, strip=True)).metadata == {}


@pytest.mark.parametrize(("mode", "channels"), [("1", 0), ("L", 0), ("LA", 2), ("P", 3), ("CMYK", 3), ("RGBA", 4)])
def test_images_of_pillow_of_any_mode(job, mode, channels):
    image = Image.fromarray(picture(20, 24)).convert(mode)
    assert job.decompress(job.compress(image)).shape == ((20, 24, channels) if channels else (20, 24))


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((4, 4), np.uint16), "8 bits a channel"),
        (np.zeros((4, 4, 3)), "8 bits a channel"),
        (Image.new("I;16", (4, 4)), "8 bits a channel"),
        (np.zeros((4, 4, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((0, 4), np.uint8), "1 to 4 channels"),
    ],
)
def test_what_is_no_image_of_8_bits_is_refused(job, image, error):
    with pytest.raises((TypeError, ValueError), match=error):
        job.compress(image)


def damaged(whole: bytes, data: st.DataObject) -> bytes:
    """Return a file that is cut, changed at a place, or has bytes too many or twice."""
    found = bytearray(whole)
    how = data.draw(st.sampled_from(["cut", "flip", "splice", "twice"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    if how == "cut":
        del found[place:]
    elif how == "flip":
        found[place] ^= data.draw(st.integers(1, 255))
    elif how == "splice":
        found[place:place] = data.draw(st.binary(min_size=1, max_size=30))
    else:
        found[place:place] = whole[place : place + data.draw(st.integers(1, 200))]
    return bytes(found)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_always_noticed(job, data):
    with pytest.raises(CorruptStreamError) as caught:
        job.decompress(damaged(_file(job), data))
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_left_of_a_damaged_file_is_a_picture_or_an_error(job, data):
    right = job.decompress(_file(job))
    try:
        found = job.picture(damaged(_file(job), data), conceal=True)
    except CorruptStreamError as error:
        assert "\n" not in str(error)
        return
    assert found.pixels.shape == right[..., :3].shape
    # Where no part is lost, nothing is.
    assert found.notes or np.array_equal(found.array, right)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_made_up_stream_with_right_checksums_is_an_error_or_a_picture(job, data):
    whole = bytearray(_file(job))
    begin = whole.index(b"TILE") if data.draw(st.booleans()) else 0
    length = int.from_bytes(whole[begin + 4 : begin + 8], "little") if begin else 0
    first, end = (begin + 8, begin + 8 + length) if begin else (12, 40)
    for place, value in data.draw(st.lists(st.tuples(st.integers(first, end - 1), st.integers(0, 255)), max_size=4)):
        whole[place] = value
    whole[end : end + 4] = zlib.crc32(whole[begin:end]).to_bytes(4, "little")
    try:
        assert job.decompress(bytes(whole), max_pixels=1 << 16).dtype == np.uint8
    except ValueError as error:  # CorruptStreamError, too many pixels, another model
        assert "\n" not in str(error)


def _file(job: Compressor) -> bytes:
    if not hasattr(job, "_whole"):
        job._whole = job.compress(picture(70, 70, 4), 40)
    return job._whole


def test_a_damaged_tile_is_concealed_if_asked_and_the_rest_is_as_it_was(job):
    image = picture(200, 64, seed=7)
    data = bytearray(job.compress(image, 70))
    right = job.decompress(bytes(data))
    second = data.index(b"TILE", data.index(b"TILE") + 4)
    data[second + 30] ^= 1
    with pytest.raises(CorruptStreamError, match="TILE"):
        job.decompress(bytes(data))
    found = job.picture(bytes(data), conceal=True)
    assert found.notes == ["1 of 4 tiles lost (the first: 1)"]
    assert np.array_equal(found.pixels[:32], right[:32])
    assert np.array_equal(found.pixels[160:], right[160:])
    cut = job.picture(bytes(data[: second + 20]), conceal=True)
    assert cut.notes == ["3 of 4 tiles lost (the first: 1)"]
    assert np.array_equal(cut.pixels[:32], right[:32])


def test_a_foreign_model_and_too_many_pixels_are_refused(job, grey):
    data = grey.compress(picture(28, 28, 1))
    with pytest.raises(ValueError, match=f"needs the model {grey.model_ >> 32:08x}; this one is {job.model_:016x}"):
        job.decompress(data)
    with pytest.raises(ValueError, match=f"needs the model {grey.model_:016x}; this one is {job.model_:016x}"):
        job.decompress(grey.compress(picture(28, 28, 2)))
    with pytest.raises(ValueError, match="more than the limit of 700"):
        grey.decompress(data, max_pixels=700)


def test_the_contract_holds_and_the_comparison_counts_whole_files():
    X = np.stack([picture(20, 16, seed=i) for i in range(16)])
    job = Compressor(small(max_epochs=1))
    check_job(job, X=X)
    table = job.compare(X, X[:3])
    assert [row["method"] for row in table] == ["auto-encoder", *job.baselines()]
    fitted = Compressor(small(max_epochs=1)).fit(X)
    sizes = [len(fitted.compress(image, 60)) for image in X[:3]]
    assert table[0]["bpp"] == pytest.approx(8 * np.mean(sizes) / 320)


@pytest.mark.parametrize(
    ("X", "error"),
    [
        (np.zeros((20, 3)), "a table"),
        (np.zeros((20, 8, 8)), "float64"),
        (np.zeros((20, 8, 8, 4), np.uint8), r"uint8 of shape \(8, 8, 4\)"),
        ([np.zeros((5, 2)), np.zeros((4, 2))], "series"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_fitted(X, error):
    with pytest.raises(ValueError, match=error):
        Compressor().fit(X)


def test_an_auto_encoder_that_is_no_codec_is_refused():
    X = np.zeros((20, 16, 16), np.uint8)
    with pytest.raises(ValueError, match="EntropyBottleneck"):
        Compressor(AutoEncoder(max_epochs=1)).fit(X)
    with pytest.raises(ValueError, match="from 64 to 4096"):
        Compressor(small(), tile=8).fit(X)


def test_coders_of_other_levels_are_refused():
    job = Compressor(small(), tile=64).fit(np.stack([picture(48, 48, seed=i) for i in range(8)]))
    levels = int(job.estimator_.module_.bottleneck.levels)
    assert levels > 1
    one = LatentCoder.fit(job._numbers(as_rows(np.stack([picture(48, 48)])))[0]).to_bytes()
    with pytest.raises(ValueError, match=f"for {levels} levels of quality, got 1"):
        job.restore({"coder_0": np.frombuffer(one, np.uint8)})
