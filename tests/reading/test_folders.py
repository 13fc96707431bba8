import numpy as np
import pytest
from PIL import ExifTags, Image

from isthmus.reading import ImageFolder, read

RNG = np.random.default_rng(0)


def picture(mode="RGB", size=(6, 4)):
    """Return an image of random pixels; size is width and height, as in Pillow."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    return Image.fromarray(RNG.integers(0, 256, (size[1], size[0], *channels), np.uint8), mode=None)


def cmyk(size=(6, 4)):
    return picture("RGB", size).convert("CMYK")


def fill(folder, **images):
    """Save images under their names; two underscores stand for a dot."""
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        image.save(folder / name.replace("__", "."))
    return folder


def why(images):
    return {aside.where: aside.why for aside in images.set_aside}


def test_images_are_decoded_as_they_are_taken_in_the_order_of_names(tmp_path):
    saved = {name: picture() for name in ("b__png", "a__png", "c__bmp")}
    (tmp_path / "deep").mkdir()
    saved_deep = picture()
    saved_deep.save(tmp_path / "deep" / "a.png")
    images = read(fill(tmp_path, **saved))
    assert [path.name for path in images.files] == ["a.png", "b.png", "c.bmp", "a.png"]
    assert images.shape == (4, 6, 3)
    taken = images.take(slice(None))
    assert taken.dtype == np.uint8
    expected = [saved["a__png"], saved["b__png"], saved["c__bmp"], saved_deep]
    np.testing.assert_array_equal(taken, np.stack([np.asarray(image) for image in expected]))
    np.testing.assert_array_equal(images.take(np.array([3, 0])), taken[[3, 0]])
    np.testing.assert_array_equal(images.take([1]), taken[[1]])


def test_one_image_is_a_row(tmp_path):
    images = read(fill(tmp_path, one__png=picture()) / "one.png")
    assert len(images) == 1


def test_grey_stays_grey(tmp_path):
    image = picture("L")
    images = ImageFolder(fill(tmp_path, a__png=image, b__png=picture("L").convert("1")))
    assert images.shape == (4, 6, 1)
    np.testing.assert_array_equal(images.take([0])[0, ..., 0], np.asarray(image))
    assert not images.notes


def test_grey_beside_colour_becomes_rgb_and_is_noted(tmp_path):
    grey = picture("L")
    images = ImageFolder(fill(tmp_path, a__png=grey, b__png=picture()))
    assert images.shape == (4, 6, 3)
    np.testing.assert_array_equal(images.take([0])[0], np.stack([np.asarray(grey)] * 3, -1))
    assert images.notes == ["1 image in grey read as colour"]


def test_palette_and_cmyk_become_rgb_and_are_noted(tmp_path):
    folder = fill(tmp_path, a__png=picture().convert("P"), b__jpg=cmyk(), c__tif=cmyk(), d__gif=picture("L"))
    images = ImageFolder(folder)
    assert images.shape == (4, 6, 3)
    with Image.open(folder / "a.png") as palette:
        np.testing.assert_array_equal(images.take([0])[0], np.asarray(palette.convert("RGB")))
    assert "2 images in CMYK read as RGB" in images.notes
    assert any("with a palette read as RGB" in note for note in images.notes)


def test_transparency_is_kept_if_every_image_has_it(tmp_path):
    image = picture("RGBA")
    images = ImageFolder(fill(tmp_path, a__png=image, b__png=picture("LA")))
    assert images.shape == (4, 6, 4)
    np.testing.assert_array_equal(images.take([0])[0], np.asarray(image))


def test_transparency_of_some_is_laid_on_white(tmp_path):
    clear = Image.new("RGBA", (6, 4), (10, 20, 30, 0))
    images = ImageFolder(fill(tmp_path, a__png=clear, b__png=picture()))
    assert (images.take([0]) == 255).all()
    assert images.notes == ["1 image with transparency laid on white"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_their_exif_tag_says(tmp_path, orientation):
    upright = Image.fromarray(np.kron([[0, 90, 255], [40, 130, 200]], np.ones((16, 16))).astype(np.uint8))
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright.save(tmp_path / "b.png")
    images = ImageFolder(tmp_path)
    assert len(images) == 2
    difference = images.take([0]).astype(int) - images.take([1])
    assert np.abs(difference).max() < 12
    assert any("turned upright" in note for note in images.notes) == (orientation > 1)


def deep_rgb(path):
    """Write a PNG of 16 bits a channel, which Pillow cannot."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + bytes(6 * 6) for _ in range(4))
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(png)


def test_what_cannot_be_used_is_set_aside_with_the_way_out(tmp_path):
    fill(tmp_path, good__png=picture(), other__png=picture(size=(9, 4)), also__png=picture())
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no image")
    whole = fill(tmp_path / "deep", whole__png=picture()) / "whole.png"
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-40])
    picture().save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-20])
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "sixteen.png")
    Image.fromarray(np.zeros((4, 6), np.int32)).save(tmp_path / "wide.tif")
    deep_rgb(tmp_path / "sixteen_rgb.png")
    picture().save(tmp_path / "moving.gif", save_all=True, append_images=[picture()], duration=50)
    images = ImageFolder(tmp_path)
    assert [path.name for path in images.files] == ["also.png", "whole.png", "good.png"]
    reasons = why(images)
    assert set(reasons) == {
        *("other.png", "empty.png", "text.jpg", "cut.png", "cut.jpg", "sixteen.png", "wide.tif"),
        *("sixteen_rgb.png", "moving.gif"),
    }
    assert reasons["other.png"] == "4 x 9 pixels while most are 4 x 6; give size=(4, 6) to resize all"
    assert reasons["empty.png"] == "the file is empty (0 bytes); replace it"
    assert "cannot be read as an image" in reasons["text.jpg"]
    assert "truncated" in reasons["cut.png"]
    assert "truncated" in reasons["cut.jpg"]
    for name in ("sixteen.png", "wide.tif", "sixteen_rgb.png"):
        assert "more than 8 bits a channel" in reasons[name]
        assert "save it with 8 bits" in reasons[name]
    assert reasons["moving.gif"] == "2 pictures in one file; save each as its own file"
    assert [aside.where for aside in images.set_aside] == sorted(reasons)
    assert not any("/" in reason for reason in reasons.values())


def test_size_resizes_all(tmp_path):
    images = read(
        fill(tmp_path, a__png=picture(), b__png=picture(size=(9, 9)), c__png=picture(size=(2, 3))), size=(3, 2)
    )
    assert images.shape == (3, 2, 3)
    assert len(images) == 3
    assert images.notes == ["2 images resized to 3 x 2"]


def test_a_model_s_shape_decides_size_and_channels(tmp_path):
    folder = fill(tmp_path, a__png=picture(), b__png=picture(size=(9, 9)), c__png=picture("L", size=(9, 9)))
    images = read(folder, schema=[9, 9, 1])
    assert images.shape == (9, 9, 1)
    assert [path.name for path in images.files] == ["b.png", "c.png"]
    assert why(images) == {"a.png": "4 x 6 pixels while the model's are 9 x 9; give size=(9, 9) to resize all"}
    assert images.notes == ["1 image in colour read as grey"]


def test_a_model_with_transparency_takes_images_without_as_opaque(tmp_path):
    images = read(fill(tmp_path, a__png=picture()), schema=(4, 6, 4))
    assert (images.take([0])[..., 3] == 255).all()
    assert images.notes == ["1 image without transparency taken as opaque"]


def test_an_image_of_too_many_pixels_is_set_aside_not_decoded(tmp_path, monkeypatch):
    fill(tmp_path, big__png=picture("L", (50, 50)), huge__png=picture("L", (90, 90)), small__png=picture("L", (6, 4)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000)
    images = ImageFolder(tmp_path)
    assert len(images) == 1
    assert all("2000" in reason for reason in why(images).values())


def test_files_of_other_kinds_are_noted(tmp_path):
    fill(tmp_path, a__png=picture())
    (tmp_path / "labels.csv").write_text("a")
    (tmp_path / ".hidden.png").touch()
    assert ImageFolder(tmp_path).notes == ["2 files of another kind not read"]


def test_a_folder_without_an_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        read(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"no image that can be used; the first: empty.png: the file is empty"):
        read(tmp_path)


def test_an_image_that_changed_since_is_an_error_that_names_it(tmp_path):
    images = ImageFolder(fill(tmp_path, a__png=picture(), b__png=picture()))
    (tmp_path / "b.png").write_bytes(b"")
    assert images.take([0]).shape == (1, 4, 6, 3)
    with pytest.raises(ValueError, match=r"b\.png could be read a moment ago"):
        images.take([0, 1])


@pytest.mark.parametrize(
    "options", [{"size": (0, 3)}, {"size": (3,)}, {"shape": (3, 3, 2)}, {"size": (3, 3), "shape": (4, 4, 1)}]
)
def test_a_wrong_size_is_an_error(tmp_path, options):
    fill(tmp_path, a__png=picture())
    with pytest.raises(ValueError, match="size|channels"):
        ImageFolder(tmp_path, **options)


def test_two_looks_at_a_folder_are_equal(tmp_path):
    fill(tmp_path, **{f"i{i}__png": picture("RGB" if i % 3 else "L", (6, 4) if i % 5 else (5, 5)) for i in range(12)})
    one, two = ImageFolder(tmp_path), ImageFolder(tmp_path)
    assert one.files == two.files
    assert one.set_aside == two.set_aside
    np.testing.assert_array_equal(one.take(slice(None)), two.take(slice(None)))


def test_random_bytes_with_an_image_s_name_are_set_aside(tmp_path):
    fill(tmp_path, good__png=picture())
    content = (tmp_path / "good.png").read_bytes()
    for i in range(40):
        broken = bytearray(content)
        for place in RNG.integers(0, len(content), 3):
            broken[place] = RNG.integers(0, 256)
        (tmp_path / f"broken{i:02}.png").write_bytes(bytes(broken))
    images = ImageFolder(tmp_path, size=(4, 6))
    assert len(images) + len(images.set_aside) == 41
    assert images.take(slice(None)).shape[0] == len(images)
