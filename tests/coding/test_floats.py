import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from isthmus.coding import Bound, decode_exact, decode_near, encode_exact, encode_near, nearness
from isthmus.coding.floats import _ordered

TYPES = st.sampled_from(["f2", "f4", "f8"]).map(np.dtype)
FLOATS = TYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(max_dims=3, max_side=6)))


def bits(values):
    return values.view(f"i{values.dtype.itemsize}")


@given(FLOATS)
def test_any_floats_come_back_bit_by_bit(values):
    assert (bits(decode_exact(encode_exact(values), values.shape, values.dtype)) == bits(values)).all()


@given(FLOATS, st.floats(1e-12, 1e6))
def test_no_value_is_farther_off_than_the_bound(values, bound):
    data = encode_near(values, bound)
    if data is None:
        return
    found = decode_near(data, values.shape, values.dtype)
    finite = np.isfinite(values)
    off = np.abs(values[finite].astype(np.float64) - found[finite].astype(np.float64))
    assert off.max(initial=0) <= bound
    assert (bits(found)[~finite] == bits(values)[~finite]).all()


def test_nan_payloads_infinities_and_minus_zero_come_back_within_any_bound():
    values = np.array([1.0, np.nan, -np.inf, np.inf, -0.0, 0.0, 2.0, 5e-324])
    values.view(np.int64)[1] = 0x7FF0DEADBEEF0001  # a signalling NaN with a payload
    found = decode_near(encode_near(values, 0.1), values.shape, values.dtype)
    assert (bits(found)[1:5] == bits(values)[1:5]).all()
    assert np.abs(found[5:] - values[5:]).max() <= 0.1


def test_one_value_far_out_does_not_spoil_the_others():
    values = np.linspace(0, 1, 4000, dtype=np.float32)
    clean = len(encode_near(values, 1e-3))
    values[1234] = 3e30
    data = encode_near(values, 1e-3)
    assert decode_near(data, values.shape, values.dtype)[1234] == np.float32(3e30)
    assert len(data) < clean + 150


def test_a_bound_below_the_types_own_steps_is_left_to_exact_coding():
    assert encode_near(np.full(10, 1e8, np.float32), 1.0) is None
    assert encode_near(np.full(10, 1e8), 1.0) is not None


def test_a_prediction_makes_small_what_it_predicts():
    random = np.random.default_rng(0)
    predicted = random.normal(size=5000)
    values = predicted + 1e-3 * random.normal(size=5000)
    data = encode_near(values, 1e-3, prediction=predicted)
    assert len(data) < len(encode_near(values, 1e-3)) / 3
    found = decode_near(data, values.shape, values.dtype, prediction=predicted)
    assert np.abs(found - values).max() <= 1e-3


@given(TYPES.flatmap(lambda dtype: arrays(dtype, 20)))
def test_bits_ascend_with_the_values(values):
    finite = np.sort(values[np.isfinite(values)])
    assert (np.diff(_ordered(bits(finite)).astype(object)) >= -1).all()  # 0.0 and -0.0 may stand either way
    assert (_ordered(_ordered(bits(values))) == bits(values)).all()


def test_nearness_tells_what_was_promised():
    values = np.array([1.0, np.nan, -0.0, np.inf, 2.0])
    assert nearness(values, values, 0.5).all()
    found = nearness(values, np.array([1.6, np.inf, 0.0, np.inf, 2.5]), 0.5)
    assert found.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    "text",
    ["", "abs", "abs:", "abs:x", "abs:0", "abs:-1", "abs:nan", "abs:inf", "rel:0.6", "max:1", "lossless:1", None],
)
def test_bounds_written_otherwise_are_refused(text):
    with pytest.raises(ValueError, match="must be"):
        Bound.parse(text)


def test_bounds_say_how_far_off_a_value_may_be():
    assert Bound.parse("abs:0.5").absolute(0, 9) == 0.5
    assert Bound.parse("rel:0.01").absolute(-3, 7) == pytest.approx(0.1)
    assert Bound.parse("psnr:40").absolute(0, 10) == pytest.approx(0.1)
    assert Bound.parse("lossless").absolute(0, 9) == 0
    assert Bound.parse("rel:0.25").absolute(-1.7e308, 1.7e308) == pytest.approx(0.85e308)
    assert [str(Bound.parse(text)) for text in ("abs:0.001", "lossless")] == ["abs:0.001", "lossless"]
