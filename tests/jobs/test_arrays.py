import subprocess
import sys

import numpy as np
import pytest

from isthmus import AutoEncoder
from isthmus.coding import Bound, CorruptStreamError, nearness
from isthmus.jobs import array_model, arrays
from isthmus.jobs.arrays import ArrayCompressor, array_facts

ERRORS = ("abs:1e-3", "rel:1e-3", "psnr:50", "lossless")
PARTS = 10


def bits(values):
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def random_array(random):
    """Any float type, shape and memory order; smooth, noisy, of random bits, or with odd values among them."""
    dtype = np.dtype(str(random.choice(["f2", "f4", "f8"])))
    shape = tuple(int(size) for size in random.integers(0 if random.random() < 0.03 else 1, 9, random.integers(0, 5)))
    if random.random() < 0.2:
        shape = (int(random.integers(1, 3000)),)
    with np.errstate(all="ignore"):
        values = random.normal(size=shape) * 10.0 ** random.integers(-9, 9)
        if random.random() < 0.4:
            values = np.cumsum(values).reshape(shape)
        values = np.array(values).astype(dtype)
        if random.random() < 0.15:
            values = random.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8).view(dtype).reshape(shape)
        if values.size and random.random() < 0.3:
            odd = [np.nan, np.inf, -np.inf, -0.0, 0.0, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
            for _ in range(random.integers(1, 5)):
                values.flat[random.integers(values.size)] = random.choice(odd)
    if random.random() < 0.2:
        values = np.asfortranarray(values)
    if random.random() < 0.1:
        values = values.astype(dtype.newbyteorder(">"))
    if values.ndim and random.random() < 0.15:
        values = values[::-2]
    return values


def check(values, error):
    data = ArrayCompressor(error).compress(values)
    facts, found = array_facts(data), ArrayCompressor().decompress(data)
    assert (found.shape, found.dtype) == (values.shape, values.dtype)
    assert (facts.shape, facts.dtype, str(facts.error)) == (values.shape, values.dtype, str(Bound.parse(error)))
    native = values.dtype.newbyteorder("=")
    plain, back = values.astype(native), found.astype(native)
    if facts.bound == 0:
        assert (bits(back) == bits(plain)).all()
        return
    finite = np.isfinite(plain)
    wide, wide_back = plain[finite].astype(np.float64), back[finite].astype(np.float64)
    assert np.abs(wide - wide_back).max(initial=0) <= facts.bound
    special = ~finite | ((plain == 0) & np.signbit(plain))
    assert (bits(back[special]) == bits(plain[special])).all()
    if error.startswith("abs") and wide.size:
        assert facts.bound == float(error[4:])
    if error.startswith("psnr") and wide.size:
        share = 10 ** (-Bound.parse(error).value / 20)
        rmse = facts.bound * np.sqrt(np.mean(np.square((wide - wide_back) / facts.bound)))
        assert rmse <= (share * wide.max() - share * wide.min()) * (1 + 1e-9)


def many(part, n):
    random = np.random.default_rng(part)
    for _ in range(n):
        values = random_array(random)
        error = f"abs:{10.0 ** random.integers(-12, 7):g}" if random.random() < 0.6 else str(random.choice(ERRORS))
        check(values, error)


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")  # of the test's own astype on signalling NaN
@pytest.mark.parametrize("part", range(3))
def test_no_bound_is_broken_in_100_random_arrays(part):
    many(part, 100)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("part", range(PARTS))
def test_no_bound_is_broken_in_1000_random_arrays(part):
    many(1000 + part, 1000)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "values",
    [
        np.float32(3.5),
        np.array(-0.0),
        np.zeros((0, 3)),
        np.array([np.nan, np.nan], "f2"),
        np.full((3, 4), np.inf),
        np.full((5, 6), 7.25, "f4"),
        np.array([0.0, 5e-324, -5e-324, 1e-310]),
        np.array([1.7e308, -1.7e308, 0.0]),
        np.array([65504, -65504, 6e-8], "f2"),
    ],
    ids=["0-d", "-0", "empty", "nan", "inf", "constant", "denormal", "huge", "half"],
)
def test_arrays_at_the_edges_come_back(values, error):
    check(np.asarray(values), error)


def test_memory_order_and_byte_order_come_back():
    values = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 5, 6)).astype(">f4"))
    found = ArrayCompressor().decompress(ArrayCompressor("abs:0.01").compress(values))
    assert found.flags.f_contiguous
    assert found.dtype.str == ">f4"


def test_arrays_of_many_blocks_come_back(monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_VALUES", 100)
    values = np.random.default_rng(0).normal(size=(7, 13, 5)).astype(np.float32)
    for one in (values, np.asfortranarray(values), values[:, 0]):
        data = ArrayCompressor("abs:0.01").compress(one)
        assert array_facts(data).blocks > 1 or one.size <= 100
        assert np.abs(ArrayCompressor().decompress(data) - one).max() <= 0.01


def test_pieces_are_the_file():
    values = np.random.default_rng(0).normal(size=(40, 50))
    compressor = ArrayCompressor("abs:0.01")
    assert b"".join(compressor.pieces(values)) == compressor.compress(values)


def test_a_place_to_write_to_may_be_given():
    values = np.random.default_rng(0).normal(size=(4, 5))
    out = np.empty((4, 5))
    assert ArrayCompressor().decompress(ArrayCompressor().compress(values), out=out) is out
    assert (out == values).all()
    with pytest.raises(ValueError, match="out must be"):
        ArrayCompressor().decompress(ArrayCompressor().compress(values), out=np.empty((5, 4)))


def test_smooth_fields_are_smaller_than_zlib_on_the_quantised_residual():
    import zlib

    x, y, z = np.indices((40, 50, 60))
    values = np.sin(x / 9 + y / 20) * np.cos(z / 7) + 0.2 * np.sin(x * y / 99)
    for bound in (1e-2, 1e-3, 1e-5):
        left = np.rint(values / (2 * bound)).astype(np.int64)
        for axis in range(3):
            left = np.diff(left, axis=axis, prepend=0)
        small = left.astype(
            np.int8 if np.abs(left).max() < 128 else np.int16 if np.abs(left).max() < 2**15 else np.int32
        )
        assert len(ArrayCompressor(f"abs:{bound}").compress(values)) < len(zlib.compress(small.tobytes(), 9))


@pytest.mark.parametrize("values", [np.arange(3), np.array([1j]), np.array(["a"]), np.zeros(2, np.longdouble), [True]])
def test_what_is_no_float_array_is_refused(values):
    with pytest.raises(TypeError, match="float16, float32 or float64"):
        ArrayCompressor().compress(values)


def test_masks_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match="filled"):
        ArrayCompressor().compress(np.ma.masked_array([1.0, 2.0], [True, False]))


def test_arrays_above_the_limit_are_not_allocated():
    data = ArrayCompressor("abs:1").compress(np.zeros(100_000))
    with pytest.raises(ValueError, match="more than the limit"):
        ArrayCompressor().decompress(data, limit=1000)


def test_threads_change_nothing():
    code = (
        "import numpy as np, hashlib; from isthmus.coding import encode_near, decode_near;"
        "x = np.cumsum(np.random.default_rng(0).normal(size=(60, 70)), axis=0); d = encode_near(x, 1e-3);"
        "print(hashlib.sha256(d + decode_near(d, x.shape, x.dtype).tobytes()).hexdigest())"
    )
    environments = [{"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n} for n in ("1", "2")]
    found = {subprocess.run([sys.executable, "-c", code], env=one, capture_output=True).stdout for one in environments}
    assert len(found) == 1
    assert len(found.pop()) == 65


@pytest.fixture(scope="module")
def spectra():
    """Rows of 24 channels that hang together by three numbers, bent; and a model of them."""
    random = np.random.default_rng(0)
    X = np.tanh(random.normal(size=(900, 3)) @ random.normal(size=(3, 24))) + 0.001 * random.normal(size=(900, 24))
    model = AutoEncoder(bottleneck="linear(size=3)", max_epochs=25, threads=1, random_state=0).fit(X[:400])
    return X, model


def test_a_model_of_the_rows_makes_the_file_smaller_and_keeps_the_bound(spectra):
    X, model = spectra
    plain, data = ArrayCompressor("abs:0.02").compress(X), ArrayCompressor("abs:0.02", model).compress(X)
    assert len(data) < 0.9 * len(plain)
    found = ArrayCompressor(model=model).decompress(data)
    assert np.abs(found - X).max() <= 0.02
    assert array_facts(data).model == ArrayCompressor(model=model)._predictor.id


def test_odd_values_are_kept_with_a_model_too(spectra):
    X, model = spectra
    X = X.copy()
    X[3, 4], X[5, 6], X[7, 8], X[9, 9] = np.nan, np.inf, -0.0, 1e30
    found = ArrayCompressor(model=model).decompress(ArrayCompressor("abs:0.02", model).compress(X))
    assert nearness(X, found, 0.02).all()


def test_another_model_or_none_is_refused_by_name(spectra):
    X, model = spectra
    data = ArrayCompressor("abs:0.02", model).compress(X[:50])
    with pytest.raises(ValueError, match="none was given"):
        ArrayCompressor().decompress(data)
    other = AutoEncoder(bottleneck="linear(size=3)", max_epochs=1, threads=1, random_state=1).fit(X[:100])
    with pytest.raises(ValueError, match="the one given is"):
        ArrayCompressor(model=other).decompress(data)


def shifted(monkeypatch, by):
    """Make predictions differ from here on, as another machine's would."""
    real = array_model.ModelPredictor._predict
    monkeypatch.setattr(array_model.ModelPredictor, "_predict", lambda *given: real(*given) + by)


def test_the_bound_holds_where_predictions_differ_by_less_than_the_slack(spectra, monkeypatch):
    X, model = spectra
    data = ArrayCompressor("abs:0.02", model).compress(X)
    shifted(monkeypatch, 0.02 / 33)
    assert np.abs(ArrayCompressor(model=model).decompress(data) - X).max() <= 0.02


def test_predictions_that_differ_by_more_are_refused(spectra, monkeypatch):
    X, model = spectra
    data = ArrayCompressor("abs:0.02", model).compress(X)
    shifted(monkeypatch, 0.02 / 31)
    with pytest.raises(ValueError, match="predicts otherwise here"):
        ArrayCompressor(model=model).decompress(data)


def test_lossless_with_a_model_is_refused(spectra):
    X, model = spectra
    with pytest.raises(ValueError, match="lossless takes no model"):
        ArrayCompressor("lossless", model).compress(X)


def test_a_broken_promise_is_never_written(monkeypatch):
    monkeypatch.setattr(arrays, "decode_near", lambda data, shape, dtype: np.zeros(shape, dtype))
    with pytest.raises(RuntimeError, match="nothing was written"):
        ArrayCompressor("abs:0.1").compress(np.arange(10.0))


def test_a_file_of_another_kind_is_refused():
    from isthmus.coding.container import IMAGE, write

    with pytest.raises(CorruptStreamError, match="holds image"):
        array_facts(write(IMAGE, b"", []))
