"""Bad data, one test a kind: a clear error, or rows set aside and counted; never a guess, never a lost file."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import ExifTags, Image

from isthmus import AutoEncoder
from isthmus.reading import read

RNG = np.random.default_rng(0)
GOOD = "height,weight,colour\n" + "".join(
    f"{150 + 3 * i},{50 + (i * 7) % 11}.5,{'red' if i % 3 else 'blue'}\n" for i in range(12)
)


def auto_encoder():
    return AutoEncoder(bottleneck="linear(size=1)", max_epochs=1, threads=1, random_state=0)


def table(folder, text, name="table.csv", **options):
    (folder / name).write_text(text)
    return read(folder / name, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a model that was fitted on a good file."""
    return auto_encoder().fit(table(tmp_path_factory.mktemp("good"), GOOD))


def said(caught):
    """Return the message of an error, which is one line."""
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a line of column names"),
        ("height,weight\n", "has a header and no rows"),
        ("height^weight\n150^50\n151^51\n", "seems to be separated by '^'"),
        ("height,height\n150,50\n", "column names must differ, got height more than once"),
    ],
    ids=["empty file", "header only", "wrong delimiter", "duplicate column names"],
)
def test_a_file_that_is_no_table_is_an_error(tmp_path, text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        table(tmp_path, text)
    assert message in said(caught)
    assert "table.csv" in said(caught)


def test_duplicate_names_of_a_frame_are_an_error():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        auto_encoder().fit(pd.DataFrame(RNG.random((5, 2)), columns=["a", "a"]))
    assert "got a more than once" in said(caught)


def test_ragged_lines_are_set_aside_and_the_others_are_fitted(tmp_path):
    rows = table(tmp_path, GOOD + "200\n201,60.5,red,extra\n")
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [
        ("line 14", "1 field where the header has 3"),
        ("line 15", "4 fields where the header has 3"),
    ]
    assert auto_encoder().fit(rows).transform(rows).shape == (12, 1)


def test_an_all_missing_column_is_fitted_and_masked(tmp_path):
    lines = GOOD.splitlines()
    rows = table(tmp_path, "\n".join([lines[0] + ",none", *(line + "," for line in lines[1:])]))
    fitted = auto_encoder().fit(rows)
    filled = rows.frame.with_columns(none=pl.lit(5.0))
    assert np.isfinite(fitted.score_samples(rows)).all()
    # What stands in a column that was never seen costs something; where it is missing, nothing.
    assert (fitted.score_samples(filled) < fitted.score_samples(rows)).all()


def test_text_in_a_numeric_column_at_scoring_is_set_aside_by_the_reader(tmp_path, model):
    text = GOOD.replace("153,", "tall,", 1)
    rows = table(tmp_path, text, schema=model.modality_.columns)
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [
        ("line 3", "text 'tall' in the numeric column 'height'")
    ]
    assert rows.lines.tolist() == [2, *range(4, 14)]
    assert len(model.score_samples(rows)) == 11


def test_text_in_a_numeric_column_at_scoring_is_an_error_of_a_frame(tmp_path, model):
    frame = pd.DataFrame(table(tmp_path, GOOD).frame.to_dict(as_series=False))
    frame["height"] = frame["height"].astype(object)
    frame.loc[4, "height"] = "tall"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        model.score_samples(frame)
    assert "column 'height' holds integers, got 'tall' in row 4" in said(caught)


def test_missing_columns_at_scoring_are_named(tmp_path, model):
    frame = table(tmp_path, GOOD).frame.drop("weight", "colour")
    frame.write_csv(tmp_path / "less.csv")
    for score in (
        lambda: read(tmp_path / "less.csv", schema=model.modality_.columns),
        lambda: model.score_samples(frame),
        lambda: model.score_samples(pd.DataFrame(frame.to_dict(as_series=False))),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            score()
        assert "lacks the columns weight, colour" in said(caught)


def test_extra_and_reordered_columns_at_scoring_change_nothing(tmp_path, model):
    frame = table(tmp_path, GOOD).frame
    expected = model.score_samples(frame)
    other = frame.select("colour", pl.lit("x").alias("extra"), "weight", "height")
    other.write_csv(tmp_path / "other.csv")
    np.testing.assert_array_equal(model.score_samples(other), expected)
    np.testing.assert_array_equal(model.score_samples(pd.DataFrame(other.to_dict(as_series=False))), expected)
    rows = read(tmp_path / "other.csv", schema=model.modality_.columns)
    np.testing.assert_array_equal(model.score_samples(rows), expected)


def test_infinities_of_a_file_are_set_aside(tmp_path, model):
    rows = table(tmp_path, GOOD + "inf,60.5,red\n", schema=model.modality_.columns)
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [("line 14", "infinity in column 'height'")]
    array = RNG.random((5, 3))
    array[2, 1] = -np.inf
    np.save(tmp_path / "array.npy", array)
    rows = read(tmp_path / "array.npy")
    assert rows.lines.tolist() == [0, 1, 3, 4]
    assert auto_encoder().fit(rows).transform(rows).shape == (4, 1)


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_infinities_in_memory_are_an_error_with_column_and_row(container):
    array = RNG.random((5, 3))
    fitted = auto_encoder().fit(container(array))
    array[2, 1] = np.inf
    for call in (auto_encoder().fit, fitted.transform, fitted.score_samples):
        with pytest.raises(ValueError, match="infinity.*row 2") as caught:
            call(container(array))
        said(caught)


def test_one_row_is_a_data_set(tmp_path):
    rows = table(tmp_path, "height,weight\n150,50.5\n")
    fitted = auto_encoder().fit(rows)
    assert fitted.reconstruct(rows).rows() == [(150, pytest.approx(50.5, abs=60))]
    assert np.isfinite(fitted.score_samples(rows)).all()


def test_one_column_is_a_data_set(tmp_path):
    rows = table(tmp_path, "height\n" + "\n".join(str(150 + i) for i in range(10)))
    assert auto_encoder().fit(rows).reconstruct(rows).columns == ["height"]


def picture(size=(8, 8), mode="RGB"):
    """Return an image of random pixels."""
    image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
    return image.convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with six good images."""
    for i in range(6):
        picture().save(tmp_path / f"good{i}.png")
    return tmp_path


def used(folder, **options):
    """Return the images of a folder; a model can be fitted on them."""
    images = read(folder, **options)
    fitted = AutoEncoder(
        bottleneck="linear(size=1)", encoder="MLPEncoder((4,))", decoder="MLPDecoder((4,))", max_epochs=1, threads=1
    ).fit(images)
    assert fitted.reconstruct(images).shape == (len(images), *images.shape)
    return images


def empty(path):
    path.touch()


def truncated(path):
    picture().save(path)
    path.write_bytes(path.read_bytes()[:-60])


def larger(path):
    picture((9, 8)).save(path)


def sixteen_bits(path):
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)


def animated(path):
    picture().save(path, save_all=True, append_images=[picture()])


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("bad.png", empty, "the file is empty (0 bytes); replace it"),
        ("bad.png", truncated, "truncated"),
        ("bad.png", larger, "8 x 9 pixels while most are 8 x 8; give size=(8, 8) to resize all"),
        ("bad.png", sixteen_bits, "more than 8 bits a channel"),
        ("bad.gif", animated, "2 pictures in one file; save each as its own file"),
    ],
    ids=["0 bytes", "truncated", "mixed sizes", "16 bits", "animated"],
)
def test_an_image_that_cannot_be_used_is_set_aside(folder, name, make, reason):
    make(folder / name)
    images = used(folder)
    assert len(images) == 6
    assert [aside.where for aside in images.set_aside] == [name]
    assert reason in images.set_aside[0].why


def test_mixed_sizes_can_be_resized(folder):
    larger(folder / "other.png")
    images = used(folder, size=(8, 8))
    assert len(images) == 7
    assert images.notes == ["1 image resized to 8 x 8"]


@pytest.mark.parametrize(
    ("name", "mode", "note"),
    [("odd.jpg", "CMYK", "1 image in CMYK read as RGB"), ("odd.png", "P", "1 image with a palette read as RGB")],
)
def test_cmyk_and_palette_are_read_as_rgb_and_noted(folder, name, mode, note):
    picture(mode=mode).save(folder / name)
    images = used(folder)
    assert len(images) == 7
    assert images.notes == [note]


def test_an_exif_rotated_image_stands_upright(folder):
    upright = Image.fromarray(np.kron([[0, 255], [60, 120]], np.ones((4, 4))).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.rotate(90, expand=True).save(folder / "turned.png", exif=exif)
    images = used(folder)
    place = [path.name for path in images.files].index("turned.png")
    np.testing.assert_array_equal(images.take([place])[0], np.asarray(upright))
    assert images.notes == ["1 image turned upright as their EXIF tag says"]


def test_a_folder_without_a_usable_image_is_an_error(tmp_path):
    empty(tmp_path / "only.png")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(tmp_path)
    assert "no image that can be used; the first: only.png" in said(caught)
