import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.reading import read

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


def packed(data):
    """Return data as gzip without the time of day: parameters of tests must not differ between workers."""
    return gzip.compress(data, mtime=0)


def put(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


def npy(array, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def idx(array, code=0x08):
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.npy", npy(IMAGES)),
        ("a.npy", npy(np.asfortranarray(IMAGES))),
        ("a.npz", npz(anything=IMAGES)),
        ("a.npz", npz(y=np.arange(5), X=IMAGES)),
        ("a.npz", npz(labels=np.arange(5), images=IMAGES)),
        ("a-idx3-ubyte", idx(IMAGES)),
        ("a.idx3-ubyte", idx(IMAGES)),
        ("a.idx", idx(IMAGES)),
        ("a-idx3-ubyte.gz", packed(idx(IMAGES))),
    ],
)
def test_an_array_comes_back_as_it_was_written(tmp_path, name, data):
    rows = read(put(tmp_path, name, data))
    assert rows.array.dtype == np.uint8
    np.testing.assert_array_equal(rows.take(slice(None)), IMAGES)


@pytest.mark.parametrize(("code", "dtype"), [(0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")])
def test_every_type_of_idx_is_read(tmp_path, code, dtype):
    array = np.array([[1, -2], [3, 4]], dtype)
    rows = read(put(tmp_path, "a.idx", idx(array, code)))
    assert rows.array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(rows.array, array)


def test_an_array_file_is_mapped_not_loaded(tmp_path):
    assert isinstance(read(put(tmp_path, "a.npy", npy(np.eye(3)))).array, np.memmap)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_rows_with_infinity_are_set_aside_and_gaps_are_kept(tmp_path, name):
    array = np.array([[1.0, np.nan], [np.inf, 1.0], [2.0, 3.0]])
    rows = read(put(tmp_path, name, npy(array) if name == "a.npy" else npz(X=array)))
    np.testing.assert_array_equal(rows.array, array[[0, 2]])
    assert rows.lines.tolist() == [0, 2]
    assert [(aside.where, aside.why) for aside in rows.set_aside] == [("row 1 (the first is 0)", "infinity")]


def test_images_with_gaps_are_set_aside(tmp_path):
    array = np.zeros((3, 2, 2), np.float32)
    array[1, 0, 0] = np.nan
    rows = read(put(tmp_path, "a.npy", npy(array)))
    assert rows.lines.tolist() == [0, 2]


def lying(shape):
    """Return a .npy file whose header says more than it holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def zipped(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("X.npy", data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", b"", "damaged"),
        ("a.npy", lying((10**9, 10**9)), "damaged"),
        ("a.npy", npy(np.array([[1, "x"]], object), allow_pickle=True), "no .npy file of numbers"),
        ("a.npy", npy(np.zeros((2, 2), complex)), "complex128, expected numbers"),
        ("a.npy", npy(np.zeros((2, 2), "M8[s]")), "expected numbers"),
        ("a.npy", npy(np.zeros(3)), r"shape \(3,\).*\(n, 1\)"),
        ("a.npy", npy(np.zeros((0, 3))), "at least one row"),
        ("a.npy", npy(np.full((2, 2), np.inf)), "no row that can be used"),
        ("a.npz", b"PK", "damaged"),
        ("a.npz", npz(), "holds no array"),
        ("a.npz", npz(a=np.eye(2), b=np.eye(2)), r"2 arrays \(a, b\)"),
        ("a.npz", zipped(lying((10**9, 10**9))), "says its shape is"),
        ("a.npz", zipped(npy(np.array([[1, "x"]], object), allow_pickle=True)), "damaged, or no .npz"),
        ("a.npz", zipped(b"\x93NUMPY\x09\x00"), "version"),
        ("a.idx", b"", "begins with nothing"),
        ("a.idx", b"\1\0\x08\3", "begins with 01 00 08 03"),
        ("a.idx", b"\0\0\x07\1", "no idx file"),
        ("a.idx", idx(IMAGES)[:10], "ends within its header"),
        ("a.idx", idx(IMAGES)[:-1], "fewer bytes"),
        ("a.idx", idx(IMAGES) + b"x", "more bytes"),
        ("a.idx", idx(np.arange(3, dtype=np.uint8)), r"shape \(3,\)"),
        ("a.idx.gz", packed(idx(IMAGES))[:-9], "no whole idx file"),
        ("a.idx.gz", b"\0\0\x08\1", "no whole idx file"),
        ("a.idx.gz", packed(b"\0\0\x08\3" + b"\xff" * 12), "fewer bytes"),
    ],
)
def test_a_damaged_array_is_an_error_in_one_line(tmp_path, name, data, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(put(tmp_path, name, data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.npz", npz(X=np.zeros((2**10, 2**10)))), ("a.idx.gz", packed(idx(np.zeros((2**10, 2**10), np.uint8))))],
)
def test_a_small_file_that_unpacks_beyond_memory_is_refused(tmp_path, monkeypatch, name, data):
    monkeypatch.setattr("isthmus.reading.limits.memory", lambda: 2**20)
    with pytest.raises(ValueError, match="more than half of this machine's memory"):
        read(put(tmp_path, name, data))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("a.npy", npy(np.eye(3))), ("a.npz", npz(X=np.eye(3))), ("a.idx", idx(IMAGES))]),
    st.data(),
)
def test_a_flipped_byte_or_a_cut_is_refused_or_read_within_bounds(tmp_path, file, data):
    name, content = file
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    changed = changed[: data.draw(st.integers(place, len(content)))]
    try:
        rows = read(put(tmp_path, name, bytes(changed)))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < len(rows) <= len(content)
