"""How hard the encoder tries: fewer bits for what is lost, targets kept, the same file every time."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from isthmus import AutoEncoder
from isthmus.cli import main
from isthmus.guards import seeded, threads_set
from isthmus.jobs import Compressor, effort
from isthmus.jobs.effort import EFFORTS, _Region
from isthmus.jobs.image_stream import Tile
from isthmus.losses import StructuralSimilarity
from isthmus.metrics import psnr

RATES = (0.002, 0.02, 0.2)


def picture(height: int, width: int, channels: int = 3, seed: int = 0, noise: float = 12.0) -> np.ndarray:
    """Return waves with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(x / (7 + seed % 5) + i) * np.cos(y / (9 + i)) for i in range(channels)]
    return (np.stack(waves, -1) + noise * random.normal(size=(height, width, channels))).clip(0, 255).astype(np.uint8)


def fitted(size: int, channels: int) -> Compressor:
    """Return a codec whose decoder's filter does something, in tiles of 64 pixels."""
    line = AutoEncoder(
        encoder="lapped_encoder(channels=12)",
        bottleneck=f"entropy_bottleneck(trade_offs={RATES})",
        decoder="lapped_decoder(filter=(6,), told=True)",
        loss="squared_error",
        **dict(batch_size=4, max_epochs=1, threads=1, random_state=0, weight_decay=0.0),
    )
    job = Compressor(line, tile=64).fit(np.stack([picture(size, size, channels, i) for i in range(8)]))
    with seeded(0), torch.no_grad():
        weight = job.estimator_.module_.decoder.mend[-2].weight
        weight.add_(0.005 * torch.randn_like(weight))
    return job.restore(job.state())


@pytest.fixture(scope="module")
def job() -> Compressor:
    return fitted(48, 3)


def bits(job: Compressor, image: np.ndarray, quality: float, effort: int) -> float:
    """Return what a file costs: its bits and those that its error counts as."""
    codec = job.estimator_.module_.bottleneck
    restored = job.decompress(job.compress(image, quality, effort=effort))
    error = np.square(image.astype(float) - restored).mean() * image.shape[0] * image.shape[1]
    return job.bits(image, quality, effort=effort) + codec.trade_off(quality / 50) * error


@pytest.mark.parametrize("quality", [50, 80])
def test_what_is_refined_costs_less(job, quality):
    image = picture(56, 64, seed=9, noise=40.0)
    none, _, refined, longer = (bits(job, image, quality, one) for one in EFFORTS)
    assert refined < none
    assert longer < refined


@pytest.mark.parametrize("quality", [0, 30, 100])
def test_no_round_makes_it_worse(job, quality):
    """Moves are judged as if each were alone: at coarse steps all together may do harm, and are not kept then."""
    image, level = picture(56, 64, seed=3, noise=40.0), quality / 50
    codec = job._codec
    region, coder = _Region(codec, level, image), codec.coder(level)
    numbers = codec.numbers(codec.features(image, _whole(codec, image)), level)
    costs = [region.slope(one)[0] + coder.bits(one) for one in (numbers, region.refined(numbers, 4))]
    assert costs[1] <= costs[0]


def test_numbers_that_cost_more_than_they_show_are_moved_to_zero(job):
    image = picture(56, 64, seed=9, noise=40.0)
    sizes = [job.bits(image, 20, effort=one) for one in (0, 1)]
    assert sizes[1] < sizes[0]


def test_the_error_of_decoded_pixels_is_followed_to_the_second_order(job, monkeypatch):
    # So few numbers must all move for averages of use.
    monkeypatch.setattr(effort, "SPARSE", 1.0)
    image, level = picture(32, 48), 1.0
    codec = job._codec
    region = _Region(codec, level, image)
    numbers = codec.numbers(codec.features(image, _whole(codec, image)), level)
    told, slope = region.slope(numbers)
    bend = region.bend(numbers)
    target = codec.batch(image).x[0]
    counts = codec.module.bottleneck.trade_off(level) * 255**2 / 3

    def error(given):
        with torch.no_grad():
            return counts * float((codec.values(torch.from_numpy(given), level) - target).double().square().sum())

    assert told == pytest.approx(error(numbers), rel=1e-4)
    # One move at a time: first and second differences.
    found = np.empty((2, *numbers.shape))
    for place in np.ndindex(numbers.shape):
        up, down = numbers.copy(), numbers.copy()
        up[place] += 1
        down[place] -= 1
        found[:, *place] = (error(up) - error(down)) / 2, (error(up) + error(down)) / 2 - error(numbers)
    assert np.corrcoef(found[0].ravel(), slope.ravel())[0, 1] > 0.99
    assert found[1].mean() == pytest.approx(bend.mean(), rel=0.2)


def _whole(codec, image):
    rows, columns = (slice(0, -(-side // codec.stride)) for side in image.shape[:2])
    return Tile(0, rows, columns)


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_file_is_the_same_every_time(job, effort):
    image = picture(70, 50)
    data = job.compress(image, 30, effort=effort)
    with threads_set(2):
        assert job.compress(image, 30, effort=effort) == data
    assert (job.compress(image, 30) == data) == (effort == 1)


def test_of_a_codec_for_another_loss_no_squared_error_is_lowered(job):
    image = picture(40, 50)
    data = job.compress(image, 60, effort=1)
    assert job.compress(image, 60, effort=2) != data
    other = copy.deepcopy(job)
    other.estimator_.module_.loss = StructuralSimilarity().build(shape=[48, 48, 3])
    assert other.compress(image, 60, effort=2) == data


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_targets_are_kept(job, effort):
    image = picture(48, 60, seed=4)
    least, most = (len(job.compress(image, quality, effort=effort)) for quality in (40, 100))
    wanted = (least + most) // 2
    assert 0.9 * wanted <= len(job.compress(image, target_size=wanted, effort=effort)) <= wanted
    wanted = psnr(image, job.decompress(job.compress(image, 100, effort=effort))) - 0.02
    assert psnr(image, job.decompress(job.compress(image, target_psnr=wanted, effort=effort))) >= wanted - 1e-6


@pytest.mark.parametrize("shape", [(1, 1), (17, 90), (130, 33)])
def test_images_of_any_size_are_refined(job, shape):
    for channels in (1, 3):
        image = picture(*shape, channels)
        refined, rounded = (job.decompress(job.compress(image, 80, effort=one)) for one in (2, 0))
        assert (
            psnr(image[..., 0] if channels == 1 else image, refined) > psnr(image.reshape(rounded.shape), rounded) - 1
        )


def test_a_map_as_large_as_those_fitted_on_is_refined_where_the_decoder_would_cut_it():
    grey = fitted(28, 1)
    for side in (28, 32):
        image = picture(side, side, 1)[..., 0]
        assert psnr(image, grey.decompress(grey.compress(image, 90, effort=2))) > 20


@pytest.mark.parametrize("quality", [10, 90])
def test_the_estimate_of_bits_is_within_one_percent_of_the_file(job, quality):
    image = picture(480, 480, seed=1)
    image[:64, :64] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    assert job.bits(image, quality) == pytest.approx(8 * len(job.compress(image, quality)), rel=0.01)


def test_an_effort_that_is_none_is_refused(job, tmp_path):
    with pytest.raises(ValueError, match="effort must be a whole number from 0 to 3, got 4"):
        job.compress(picture(20, 20), effort=4)
    np.save(tmp_path / "a.npy", np.zeros(3))
    words = ["compress", str(tmp_path / "a.npy"), "-o", str(tmp_path / "a.isa"), "--error", "abs:1", "--effort", "2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "--error is for arrays and --effort for images" in result.stderr
