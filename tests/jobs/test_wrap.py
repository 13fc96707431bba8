"""Images within standard files: any size, targets, what belongs to a picture, damage, pieces."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus import AutoEncoder, saving
from isthmus.bottlenecks import PictureFile
from isthmus.coding import CorruptStreamError, container
from isthmus.guards import seeded
from isthmus.jobs import WrappedCodec, wrap_coding
from isthmus.jobs.wrap import ScaledCodec
from isthmus.jobs.wrap_stream import read_wrapped, wrap_facts
from isthmus.metrics import psnr
from isthmus.networks import CompactEncoder, RestoringDecoder
from isthmus.reading.pictures import Picture


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return waves with a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(x / (7 + seed % 5) + i) * np.cos(y / (9 + i)) for i in range(channels)]
    noisy = np.stack(waves, -1) + 6 * random.normal(size=(height, width, channels))
    return noisy.clip(0, 255).astype(np.uint8)


def small(codec: str = "jpeg", scale: int = 2, **params) -> AutoEncoder:
    """Return a line that is fitted in a moment."""
    return AutoEncoder(
        encoder=CompactEncoder((4,), scale),
        bottleneck=PictureFile(codec, scale=scale),
        decoder=RestoringDecoder((6, 6), scale, told=True),
        loss="squared_error",
        **dict(batch_size=4, max_epochs=1, threads=1, random_state=0, weight_decay=0.0) | params,
    )


def moved(job: WrappedCodec) -> WrappedCodec:
    """Return a job whose networks are far from where they began."""
    module = job.estimator_.module_
    with seeded(0), torch.no_grad():
        for part in (module.encoder.beside[-1], module.decoder.mend[-1]):
            part.weight.add_(0.02 * torch.randn_like(part.weight))
    return job.restore({})


@pytest.fixture(scope="module")
def job() -> WrappedCodec:
    # Of an odd size: the decoder cuts what it gives for maps like these.
    return moved(WrappedCodec(small()).fit(np.stack([picture(39, 41, seed=i) for i in range(8)])))


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
    facts, more = wrap_facts(data)
    assert (facts.width, facts.height, facts.quality) == (width, height, round(quality))
    assert more["alpha"] is (channels in (2, 4))
    assert job.compress(image, quality) == data


@pytest.mark.parametrize(("height", "width"), [(39, 41), (40, 42)])
def test_images_as_large_as_those_fitted_on_are_images_like_others(job, height, width):
    image = picture(height, width, seed=5)
    wide = np.pad(image, ((0, 20), (0, 20), (0, 0)), mode="edge")
    one, other = (job.decompress(job.compress(x, 100)) for x in (image, wide))
    inner = (slice(0, 16), slice(0, 16))
    assert np.abs(one[inner].astype(int) - other[inner]).mean() < 2


def test_pieces_have_no_seams(job, monkeypatch):
    image = picture(150, 202, seed=3)
    whole = job.compress(image, 40)
    restored = job.decompress(whole)
    monkeypatch.setattr(wrap_coding, "PIECE", 32)
    # Sums of other lengths differ in their last bits.
    assert np.abs(job._coder.small(image).astype(int) - _unpieced(job, image)).max() <= 1
    assert np.abs(job.decompress(whole).astype(int) - restored).max() <= 1


def _unpieced(job, image):
    values = torch.from_numpy(image[None]).float() / 255
    from isthmus.batch import Batch

    with torch.no_grad():
        return np.rint(job.estimator_.module_.encoder(Batch(values))[0].clamp(0, 1).numpy() * 255)


@pytest.mark.parametrize("codec", ["webp", "jpeg2000"])
def test_other_codecs_and_scales_go_there_and_back(codec):
    job = WrappedCodec(small(codec, scale=3)).fit(np.stack([picture(24, 24, 1, i)[..., 0] for i in range(4)]))
    image = picture(50, 31, 1)[..., 0]
    assert job.decompress(job.compress(image, 80)).shape == (50, 31)
    with pytest.raises(ValueError, match="has colours"):
        job.compress(picture(8, 8))


def test_the_file_within_is_one_that_anything_opens(job):
    image = picture(60, 80)
    with Image.open(io.BytesIO(read_wrapped(job.compress(image, 90), 10**6).file)) as opened:
        assert (opened.format, opened.size) == ("JPEG", (40, 30))


def test_targets_are_kept(job):
    image = picture(96, 96, seed=1)
    assert 600 < len(job.compress(image, target_size=900)) <= 900
    data = job.compress(image, target_psnr=22)
    quality = wrap_facts(data)[0].quality
    assert psnr(image, job.decompress(data)) >= 22
    assert psnr(image, job.decompress(job.compress(image, quality - 1))) < 22
    for asked, said in (({"target_size": 50}, "smallest file"), ({"target_psnr": 60}, "--for compress")):
        with pytest.raises(ValueError, match=said):
            job.compress(image, **asked)
    with pytest.raises(ValueError, match="one of"):
        job.compress(image, 40, target_size=900)


def test_metadata_and_what_transparency_hides(job):
    image = picture(32, 32, 4)
    image[..., 3] = np.where(np.arange(32) < 16, 0, 255)
    given = Picture(image[..., :3], image[..., 3], {"icc": b"profile", "exif": b"Exif", "xmp": b"<x/>"})
    back = job.picture(job.compress(given))
    assert back.metadata == given.metadata
    assert np.array_equal(back.alpha, given.alpha)
    assert job.picture(job.compress(given, strip=True)).metadata == {}
    changed = Picture(np.where(image[..., 3:] == 0, 0, image[..., :3]), image[..., 3], given.metadata)
    assert job.compress(changed) == job.compress(given)


def test_a_saved_model_writes_and_reads_the_same(job, tmp_path):
    image = picture(50, 60, seed=2)
    saving.save(job, tmp_path / "model")
    again = saving.load(tmp_path / "model", device="cpu")
    data = job.compress(image, 20)
    assert again.compress(image, 20) == data
    assert np.array_equal(again.decompress(data), job.decompress(data))


def test_damage_is_refused_in_a_line(job):
    random = np.random.default_rng(0)
    for image in (picture(20, 30), picture(20, 30, 4)):
        data = job.compress(image, 30)
        for _ in range(150):
            damaged = bytearray(data)
            damaged[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
            cut = data[: int(random.integers(len(data)))]
            for one in (bytes(damaged), cut):
                with pytest.raises(CorruptStreamError, match="^[^\n]+$"):
                    job.decompress(one)


def test_headers_that_lie_are_refused_before_anything_is_decoded(job):
    image = picture(20, 30)
    data = job.compress(image, 30)
    body = bytearray(container.read_small(data).body)
    lies = {
        "size": (0, 200),
        "colours": (8, 1),
        "codec": (10, 1),
        "scale": (11, 3),
        "quality": (12, 101),
        "parts": (13, 1),
    }
    for place, value in lies.values():
        lying = body.copy()
        lying[place] = value
        with pytest.raises(CorruptStreamError):
            job.decompress(container.write_small(container.WRAPPED, bytes(lying), model=job.model_))
    with pytest.raises(CorruptStreamError, match="no wrapped image"):
        job.decompress(container.write_small(container.IMAGE, bytes(body), model=job.model_))
    with pytest.raises(ValueError, match="needs the model 00000001"):
        job.decompress(container.write_small(container.WRAPPED, bytes(body), model=1 << 32))
    with pytest.raises(ValueError, match="more than the limit of 100"):
        job.decompress(data, max_pixels=100)


def test_what_is_no_codec_or_no_image_is_refused():
    images = np.stack([picture(32, 32, seed=i) for i in range(4)])
    for rows in (np.zeros((20, 3)), images.astype(float), [np.zeros((5, 2))] * 20):
        with pytest.raises(ValueError, match="fitted on images"):
            WrappedCodec(small()).fit(rows)
    with pytest.raises(ValueError, match="codec must be one of"):
        WrappedCodec(codec="gif").fit(images)
    other = small().set_params(encoder="lapped_encoder(channels=3, size=4, stride=2)")
    with pytest.raises(ValueError, match="made of compact_encoder"):
        WrappedCodec(other).fit(images)


def test_compared_with_the_codec_alone_and_scaled(job):
    rows = job.compare(None, np.stack([picture(64, 64, seed=i) for i in range(2)]))
    assert [row["method"] for row in rows] == ["auto-encoder", "JPEG", "scaled JPEG"]
    assert rows[0]["bd_rate"] == 0
    image = picture(63, 65)
    size, back = ScaledCodec("jpeg", 2).written(image, 95)
    assert back.shape == image.shape
    assert psnr(image, back) > 20
    assert size < ScaledCodec("jpeg").written(image, 95)[0]
