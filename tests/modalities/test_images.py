import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus.data import Resident, Streamed, load
from isthmus.guards import seeded
from isthmus.modalities import Images
from isthmus.reading import ImageFolder
from isthmus.rows import as_rows

RNG = np.random.default_rng(0)


def fit(X, **params):
    return Images(**params).fit(as_rows(X))


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 4, 6, 1), (5, 4, 6, 3), (5, 4, 6, 4), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64", "bool"])
def test_images_come_back_as_they_were(shape, dtype):
    images = RNG.integers(0, 256, shape).astype(dtype)
    modality = fit(images)
    stored = modality.to_batch(as_rows(images), torch.float64)
    values = stored.with_x(stored.x.double() / 255) if stored.x.dtype == torch.uint8 else stored
    assert values.x.min() >= 0
    assert values.x.max() <= 1
    back = modality.to_rows(values.x)
    assert back.shape == images.shape
    assert back.dtype == images.dtype
    np.testing.assert_allclose(back, images, rtol=1e-6, atol=1e-4)


def test_uint8_stays_uint8_until_it_is_read():
    images = RNG.integers(0, 256, (5, 4, 6), np.uint8)
    modality = fit(images)
    stored = modality.to_batch(as_rows(images))
    assert stored.x.dtype == torch.uint8
    read = modality.expand(stored).x
    assert read.dtype == torch.float32
    np.testing.assert_allclose(read[..., 0].numpy(), images / np.float32(255), rtol=1e-6)


def test_truths_and_whole_numbers_are_rounded_not_cut():
    flags = np.array([[[True, False]], [[False, True]]])
    assert fit(flags).to_rows(torch.tensor([[[[0.6], [0.4]]]])).tolist() == [[[True, False]]]
    whole = np.array([[[0, 10]]])
    assert fit(whole).to_rows(torch.tensor([[[[0.96], [0.14]]]])).tolist() == [[[10, 1]]]


@pytest.mark.parametrize("low_high", [(0.0, 1.0), (0.25, 0.5)])
def test_values_within_0_and_1_are_left_as_they_are(low_high):
    images = RNG.uniform(*low_high, (5, 4, 6))
    np.testing.assert_array_equal(fit(images).to_batch(as_rows(images), torch.float64).x[..., 0].numpy(), images)


def test_the_range_is_learned_over_all_images_and_others_are_cut_to_it(monkeypatch):
    monkeypatch.setattr("isthmus.modalities.images.CHUNK_BYTES", 200)
    images = np.zeros((9, 2, 2))
    images[4, 0, 0], images[8, 1, 1] = -3, 5
    modality = fit(images)
    assert (modality.low, modality.high) == (-3, 5)
    assert modality.to_batch(as_rows(np.full((1, 2, 2), 99.0))).x.max() == 1


def test_pieces_join_to_the_whole(monkeypatch):
    images = RNG.integers(0, 256, (9, 4, 5, 3), np.uint8)
    modality = fit(images)
    monkeypatch.setattr("isthmus.modalities.images.CHUNK_BYTES", 1_000)
    stored = modality.to_batch(as_rows(images))
    np.testing.assert_array_equal(stored.x.numpy(), images)
    np.testing.assert_array_equal(modality.to_rows(stored.x.double() / 255), images)


def test_storing_images_needs_no_copy_besides_the_store():
    images = np.zeros((2_000, 64, 64), np.uint8)
    modality = fit(images[:2])
    tracemalloc.start()
    modality.to_batch(as_rows(images))  # torch's own memory is not traced: the store
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 10


def test_a_mapped_file_that_is_read_only_is_stored(tmp_path):
    np.save(tmp_path / "a.npy", RNG.integers(0, 256, (3, 4, 4), np.uint8))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(fit(mapped).to_batch(as_rows(mapped)).x[..., 0].numpy(), mapped)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3)), "expected images"),
        (np.zeros((2, 3, 3, 2)), "1, 3 or 4 channels"),
        (np.full((2, 3, 3), np.nan), "image 0 has pixels that are not finite"),
        (np.zeros((2, 3, 3), complex), "Complex data|must be numbers"),
    ],
)
def test_what_is_no_images_is_an_error(images, message):
    with pytest.raises(ValueError, match=message):
        fit(images)


def test_other_sizes_than_fitted_are_an_error():
    with pytest.raises(
        ValueError, match="images of 5 x 3 with 1 channel were given to a model of 3 x 3 with 1 channel"
    ):
        fit(np.zeros((2, 3, 3))).to_batch(as_rows(np.zeros((2, 5, 3))))


def test_0_to_1_for_a_model_of_0_to_255_is_an_error_and_the_reverse():
    bytes_, shares = RNG.integers(0, 256, (3, 4, 4), np.uint8), RNG.random((3, 4, 4))
    with pytest.raises(ValueError, match="multiply them by 255"):
        fit(bytes_).to_batch(as_rows(shares))
    with pytest.raises(ValueError, match="divide them by 255"):
        fit(shares).to_batch(as_rows(bytes_))
    np.testing.assert_allclose(fit(bytes_).to_batch(as_rows(shares * 255), torch.float64).x[..., 0], shares)


@pytest.mark.parametrize(("params", "message"), [({"likelihood": "x"}, "likelihood"), ({"network": "x"}, "network")])
def test_unknown_choices_are_errors(params, message):
    with pytest.raises(ValueError, match=f"{message} must be one of"):
        fit(np.zeros((2, 3, 3)), **params)


def fill(folder, n, size=(8, 8)):
    for i in range(n):
        Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{i:03}.png")
    return ImageFolder(folder)


def test_a_folder_is_stored_as_the_array_of_its_images(tmp_path):
    folder = fill(tmp_path, 6)
    modality = Images().fit(folder)
    assert modality.example() == {"shape": [8, 8, 3]}
    np.testing.assert_array_equal(modality.to_batch(folder).x.numpy(), folder.take(slice(None)))
    assert modality.facts == fit(folder.take(slice(None))).facts


def test_fitting_and_streaming_a_folder_decode_some_images_at_a_time(tmp_path, monkeypatch):
    folder = fill(tmp_path, 80)
    monkeypatch.setattr("isthmus.modalities.images.SAMPLE_BYTES", 70 * 192)
    monkeypatch.setattr("isthmus.modalities.images.CHUNK_BYTES", 10 * 8 * 192)
    most, take = [0], folder.take

    def watched(index):
        taken = take(index)
        most[0] = max(most[0], len(taken))
        return taken

    monkeypatch.setattr(folder, "take", watched)
    modality = Images().fit(folder)
    assert most[0] == 70
    most[0] = 0
    monkeypatch.setattr("isthmus.data._free_memory", lambda: 2 * (80 * 192 - 1))
    streamed = load(folder, modality, torch.float32)
    assert isinstance(streamed, Streamed)
    index = torch.tensor([70, 3, 3])
    np.testing.assert_array_equal(streamed.take(index).x.numpy(), take([70, 3, 3]))
    assert most[0] <= 10
    monkeypatch.setattr("isthmus.data._free_memory", lambda: 2 * 80 * 192)
    resident = load(folder, modality, torch.float32)
    assert isinstance(resident, Resident)
    assert torch.equal(resident.take(index).x, streamed.take(index).x)


def test_large_images_are_thinned_before_components_are_counted():
    rows = np.linspace(0, 1, 200)
    images = np.stack([np.outer(np.sin((k + 1) * rows), rows) for k in range(8)])
    assert 1 <= fit(images).rank <= 8


def binary(images, binarize, training):
    """Return what networks see of images, and their grey levels."""
    modality = fit(images, likelihood="bernoulli", binarize=binarize).train(training)
    return modality.expand(modality.to_batch(as_rows(images))).x[..., 0].numpy(), images / 255


def test_binary_images_are_drawn_anew_while_training_white_as_often_as_they_are_bright():
    images = np.repeat(RNG.integers(0, 256, (1, 4, 6), np.uint8), 4_000, 0)
    with seeded(0):
        first, levels = binary(images, "dynamic", training=True)
        second, _ = binary(images, "dynamic", training=True)
    assert set(np.unique(first)) == {0, 1}
    assert (first != second).any()
    assert abs(first.mean(0) - levels[0]).max() < 4 * 0.5 / 4_000**0.5


def test_in_evaluation_each_image_has_one_draw_of_its_own():
    images = RNG.integers(0, 256, (4_000, 4, 6), np.uint8)
    with seeded(0):
        first, levels = binary(images, "dynamic", training=False)
    with seeded(1):
        second, _ = binary(images[::-1].copy(), "dynamic", training=False)
    np.testing.assert_array_equal(first, second[::-1])
    surprise = (first - levels) / np.sqrt(np.maximum(levels * (1 - levels), 1e-3))
    flat = surprise.reshape(4_000, -1)
    # Right on average, in every pixel; and no pixel's draw tells of another's or of its own level.
    assert abs(flat.mean(0)).max() < 5 / 4_000**0.5
    assert abs(np.corrcoef(flat.T) - np.eye(24)).max() < 5 / 4_000**0.5
    assert abs(np.corrcoef(flat.T, levels.reshape(4_000, -1).T)[:24, 24:]).max() < 5 / 4_000**0.5


def test_an_image_s_draw_is_the_same_from_bytes_and_from_shares():
    images = RNG.integers(0, 256, (50, 4, 6), np.uint8)
    drawn, levels = binary(images, "dynamic", training=False)
    shares = fit(levels, likelihood="bernoulli", binarize="dynamic").eval()
    for dtype in (torch.float32, torch.float64):
        again = shares.expand(shares.to_batch(as_rows(levels), dtype)).x
        assert again.dtype == dtype
        np.testing.assert_array_equal(again[..., 0].numpy(), drawn)


def test_an_image_that_differs_in_one_pixel_is_drawn_anew():
    images = np.full((2, 28, 28), 128, np.uint8)
    images[1, 14, 14] = 129
    first, second = binary(images, "dynamic", training=False)[0]
    assert 0.4 < (first != second).mean() < 0.6


@pytest.mark.parametrize("binarize", ["dynamic", "half"])
@pytest.mark.parametrize("training", [True, False])
def test_black_and_white_images_stay_as_they_are(binarize, training):
    images = RNG.integers(0, 2, (50, 4, 6)).astype(np.uint8) * 255
    np.testing.assert_array_equal(*binary(images, binarize, training))


def test_half_splits_in_the_middle():
    images = np.array([[[0, 127, 128, 255]]], np.uint8)
    assert binary(images, "half", training=True)[0].tolist() == [[[0, 0, 1, 1]]]


def test_fitting_binary_images_draws_nothing():
    images = RNG.integers(0, 256, (50, 4, 6), np.uint8)
    before = torch.get_rng_state()
    fit(images, likelihood="bernoulli", binarize="dynamic")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"binarize": "dynamic"}, "set likelihood='bernoulli' too"),
        ({"binarize": "static", "likelihood": "bernoulli"}, "binarize must be one of 'dynamic', 'half', got 'static'"),
    ],
)
def test_ways_to_binarize_that_make_no_sense_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        fit(np.zeros((2, 3, 3)), **params)
