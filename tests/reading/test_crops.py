"""Crops of folders: functions of seed and place, of images of any sizes."""

import numpy as np
import pytest
from PIL import Image

from isthmus.reading import ImageCrops
from isthmus.rows import Rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of three images whose pixels say where they are, and a file that is none."""
    path = tmp_path_factory.mktemp("images")
    for i, (height, width) in enumerate([(60, 40), (30, 90), (20, 24)]):
        y, x = np.mgrid[:height, :width]
        pixels = np.stack([y * 2, x * 2, np.full_like(x, 80 * i)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")
    (path / "bad.png").write_bytes(b"no image")
    (path / "note.txt").write_text("a note")
    return path


def test_crops_are_rows_and_those_of_one_image_are_beside_each_other(folder):
    crops = ImageCrops(folder, 12, size=16)
    assert isinstance(crops, Rows)
    assert (len(crops), crops.shape) == (12, (16, 16, 3))
    assert [aside.where for aside in crops.set_aside] == ["bad.png"]
    assert crops.notes == ["1 file of another kind not read"]
    taken = crops.take(slice(None))
    assert taken.shape == (12, 16, 16, 3)
    assert (taken[..., 2] // 80 == np.repeat([0, 1, 2], 4)[:, None, None]).all()


def test_a_crop_is_a_function_of_seed_and_place(folder):
    crops = ImageCrops(folder, 12, size=16, seed=3)
    taken = crops.take(slice(None))
    for order in ([5], [11, 0, 5, 5], [1, 2, 3]):
        np.testing.assert_array_equal(crops.take(np.array(order)), taken[order])
    np.testing.assert_array_equal(ImageCrops(folder, 12, size=16, seed=3).take(slice(None)), taken)
    assert (ImageCrops(folder, 12, size=16, seed=4).take(slice(None)) != taken).any((1, 2, 3)).all()


def test_unscaled_unturned_crops_are_pieces_of_the_image(folder):
    crops = ImageCrops(folder, 30, size=16, scale=(1.0, 1.0), flips=False).take(slice(0, 10))
    image = np.asarray(Image.open(folder / "0.png"))
    corners = {tuple(crop[0, 0, :2] // 2) for crop in crops}
    assert len(corners) > 5
    for crop in crops:
        top, left = crop[0, 0, :2] // 2
        np.testing.assert_array_equal(crop, image[top : top + 16, left : left + 16])


def test_scales_and_turns_stay_within_what_was_asked_for(folder):
    crops = ImageCrops(folder, 300, size=16, scale=(0.5, 0.8)).take(slice(0, 100)).astype(float)
    steps = np.abs(np.diff(crops[..., 0], axis=1)).mean((1, 2)) + np.abs(np.diff(crops[..., 0], axis=2)).mean((1, 2))
    # The red value rises by 2 a row of the image.
    assert (steps > 2 / 0.8 - 0.2).all()
    assert (steps < 2 / 0.5 + 0.2).all()
    upright = np.abs(np.diff(crops[..., 0], axis=1)).mean((1, 2)) > 1
    assert 0.3 < upright.mean() < 0.7


def test_what_a_small_image_lacks_is_its_border_repeated(folder):
    crops = ImageCrops(folder, 3, size=32, flips=False)
    small = crops.take([2])[0]
    image = np.asarray(Image.open(folder / "2.png"))
    np.testing.assert_array_equal(small, np.pad(image, ((0, 12), (0, 8), (0, 0)), mode="edge"))


def test_grey_stays_grey(tmp_path):
    Image.new("L", (20, 20), 7).save(tmp_path / "a.png")
    assert ImageCrops(tmp_path / "a.png", 2, size=8).take([1]).tolist() == np.full((1, 8, 8, 1), 7).tolist()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"size": 1.5}, "size must be a whole number"),
        ({"scale": (0.9, 0.5)}, "scale must be two factors"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_arguments_out_of_range_are_refused(folder, options, says):
    with pytest.raises(ValueError, match=says):
        ImageCrops(folder, **options)


def test_a_folder_without_images_says_so(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        ImageCrops(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the first: a.png: the file is empty"):
        ImageCrops(tmp_path)
