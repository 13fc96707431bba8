import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.modalities.columns import LIMIT, NEVER_SEEN, Encoder, decode, infer, learn

MANY = settings(max_examples=80, deadline=None)


def encode(series, facts, begin=0):
    """Return the cells of one column, and where they are missing."""
    return tuple(part[:, 0] for part in Encoder([facts])(series.to_frame(), begin))


def there_and_back(series, kind=None, heavy_tails="auto"):
    facts = learn(series, kind or infer(series), heavy_tails)
    cells, missing = encode(series, facts)
    assert np.isfinite(cells).all()
    np.testing.assert_array_equal(missing, series.is_null().to_numpy())
    return decode(cells, facts), facts


@pytest.mark.parametrize(
    ("values", "dtype", "kind"),
    [
        ([1.5, 2.5], pl.Float64, "number"),
        ([1, 2], pl.Int32, "integer"),
        ([0, 1, None], pl.Int64, "boolean"),
        ([1, 1], pl.Int64, "integer"),
        ([True], pl.Boolean, "boolean"),
        (["a", "b"], pl.String, "category"),
        (["a", "b"], pl.Categorical, "category"),
        (["a", "b"], pl.Enum(["a", "b"]), "category"),
        ([dt.date(2020, 1, 1)], pl.Date, "date"),
        ([dt.datetime(2020, 1, 1)], pl.Datetime("ms"), "datetime"),
        ([None], pl.Null, "number"),
        ([str(i) for i in range(60)], pl.String, "ignore"),
        ([str(i) for i in range(50)], pl.String, "category"),
        ([str(i % 30) for i in range(60)], pl.String, "category"),
    ],
)
def test_the_kind_is_inferred_from_type_and_values(values, dtype, kind):
    assert infer(pl.Series("x", values, dtype)) == kind


@pytest.mark.parametrize("value", [[1.0], {"a": 1}, dt.timedelta(1), dt.time(1)])
def test_a_column_no_table_can_hold_says_how_to_leave_it_out(value):
    with pytest.raises(TypeError, match="types={'x': 'ignore'}"):
        infer(pl.Series("x", [value]))


numbers = st.floats(-1e12, 1e12)


@MANY
@given(st.lists(numbers, min_size=1, max_size=30), st.sampled_from(["keep", "squash", "auto"]))
def test_numbers_come_back(values, heavy_tails):
    series = pl.Series("x", values)
    back, facts = there_and_back(series, "number", heavy_tails)
    spread = max(map(abs, values))
    if facts["squash"] is None:
        np.testing.assert_allclose(back, values, atol=1e-9 * spread, rtol=1e-9)
    else:
        # asinh of numbers of 1e24 units has 1e-14 of their size left.
        np.testing.assert_allclose(back, values, atol=1e-9 * (spread - min(map(abs, values)) + 1e-300), rtol=1e-6)


@MANY
@given(st.lists(st.integers(-(2**53), 2**53) | st.none(), min_size=1, max_size=30))
def test_integers_come_back_in_their_type(values):
    series = pl.Series("x", values, pl.Int64)
    back, _ = there_and_back(series, "integer", "keep")
    assert back.dtype == pl.Int64
    given_values = series.drop_nulls().to_numpy()
    spread = np.ptp(given_values.astype(float)) + np.abs(given_values).max() if len(given_values) else 0
    for value, returned in zip(values, back.to_list(), strict=True):
        assert value is None or abs(value - returned) <= 1 + 1e-12 * spread
        assert value is None or spread > 1e11 or value == returned


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int16, pl.UInt32, pl.Int64, pl.UInt64])
def test_the_greatest_integers_do_not_overflow(dtype):
    low, high = (pl.select(bound).item() for bound in (dtype.min(), dtype.max()))
    back, _ = there_and_back(pl.Series("x", [low, high], dtype))
    assert back.dtype == dtype
    np.testing.assert_allclose(back.to_numpy().astype(float), [float(low), float(high)], rtol=1e-12)


@MANY
@given(st.lists(st.text(max_size=3) | st.none(), min_size=1, max_size=30))
def test_text_comes_back(values):
    series = pl.Series("x", values, pl.String)
    back, _ = there_and_back(series, "category")
    assert [new for old, new in zip(values, back, strict=True) if old is not None] == series.drop_nulls().to_list()


@MANY
@given(st.lists(st.dates() | st.none(), min_size=1, max_size=20))
def test_dates_come_back(values):
    back, _ = there_and_back(pl.Series("x", values, pl.Date), heavy_tails="keep")
    assert back.dtype == pl.Date
    assert all(old is None or old == new for old, new in zip(values, back, strict=True))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_date_times_come_back_with_unit_and_zone(unit, zone):
    series = pl.Series("x", [dt.datetime(2020, 1, 1, 10, 30), dt.datetime(2021, 6, 1)]).dt.cast_time_unit(unit)
    series = series.dt.replace_time_zone(zone) if zone else series
    back, _ = there_and_back(series)
    assert back.dtype == series.dtype
    assert abs((back - series).dt.total_milliseconds()).max() <= 1


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("x", [True, False, None]),
        pl.Series("x", [0, 1, 1], pl.Int8),
        pl.Series("x", ["a", "b", "a"], pl.Categorical),
        pl.Series("x", ["a", "b", "a"], pl.Enum(["c", "b", "a"])),
        pl.Series("x", [1.5, 2.5, 8.0], pl.Float32),
    ],
)
def test_types_come_back(series):
    back, _ = there_and_back(series)
    assert back.dtype == series.dtype
    assert back.drop_nulls().to_list()[:2] == series.drop_nulls().to_list()[:2]


@pytest.mark.parametrize("values", [[1, 2, 1], [0.5, 1.0, 0.5], [True, False, True]])
def test_categories_that_are_not_text_come_back_in_their_type(values):
    back, facts = there_and_back(pl.Series("x", values), "category")
    assert back.to_list() == values
    assert all(isinstance(value, str) for value in facts["values"])


def test_categories_are_ranked_by_frequency_and_unseen_ones_are_0():
    facts = learn(pl.Series("x", ["b", "a", "b", "c", None]), "category", "auto")
    assert facts["values"] == ["b", "a", "c"]
    cells, missing = encode(pl.Series("x", ["a", "new", None]), facts)
    assert cells.tolist() == [2, 0, 0]
    assert missing.tolist() == [False, False, True]


def test_a_gap_that_makes_integers_floating_point_does_not_make_them_unseen():
    facts = learn(pl.Series("x", [1, 2, 3]), "category", "auto")
    cells, missing = encode(pl.Series("x", [2.0, float("nan")]), facts)
    assert cells.tolist() == [facts["values"].index("2") + 1, 0]
    assert missing.tolist() == [False, True]


def test_only_so_many_categories_are_kept_and_the_rest_are_unseen():
    series = pl.Series("x", [f"c{i:04}" for i in range(1_200)] * 2)
    facts = learn(series, "category", "auto")
    assert len(facts["values"]) == 1_000
    assert (encode(series, facts)[0] == 0).sum() == 400


def test_numbers_are_in_standard_deviations_from_the_mean():
    values = np.random.default_rng(0).normal(7, 3, 200)
    facts = learn(pl.Series("x", values), "number", "auto")
    assert facts["squash"] is None
    np.testing.assert_allclose(encode(pl.Series("x", values), facts)[0], (values - values.mean()) / values.std())


def test_heavy_tails_are_squashed_and_keep_their_order():
    values = np.exp(4 * np.random.default_rng(0).normal(size=500))
    facts = learn(pl.Series("x", values), "number", "auto")
    assert facts["squash"] is not None
    cells, _ = encode(pl.Series("x", values), facts)
    assert np.abs(cells).max() < 10
    assert (np.argsort(cells) == np.argsort(values)).all()
    np.testing.assert_allclose(decode(cells, facts), values, rtol=1e-9, atol=1e-12)


def test_a_heavy_tail_does_not_make_a_column_constant():
    # Compared with its greatest value, 1e15, the squashed column's deviation of about 1 is small.
    values = np.append(np.random.default_rng(0).normal(size=500), 1e15)
    facts = learn(pl.Series("x", values), "number", "auto")
    assert facts["squash"] is not None
    assert 0.5 < np.std(encode(pl.Series("x", values), facts)[0]) < 2


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-9, 1e300])
def test_a_constant_column_is_zero_and_its_change_is_in_units_of_itself(value):
    facts = learn(pl.Series("x", [value] * 5), "number", "auto")
    assert encode(pl.Series("x", [value]), facts)[0].tolist() == [0]
    changed = encode(pl.Series("x", [value + (abs(value) or 1.0)]), facts)[0]
    np.testing.assert_allclose(changed, [1.0])
    assert decode(np.zeros(1), facts).to_list() == [value]


def test_the_rounding_noise_of_a_constant_is_no_unit():
    facts = learn(pl.Series("x", [0.1 + 0.2, 0.3] * 10), "number", "auto")
    assert abs(encode(pl.Series("x", [0.4]), facts)[0][0]) < 1


def test_wild_values_are_held_finite():
    facts = learn(pl.Series("x", [1.0, 2.0]), "number", "keep")
    assert encode(pl.Series("x", [1e300, -1e300]), facts)[0].tolist() == [LIMIT, -LIMIT]
    squashed = learn(pl.Series("x", [1e300, 2e300, -1e308]), "number", "squash")
    assert np.isfinite(decode(np.array([1e6, -1e6]), squashed).to_numpy()).all()


def test_an_all_missing_column_is_masked():
    for series in (pl.Series("x", [None, None]), pl.Series("x", [None], pl.Float64), pl.Series("x", [float("nan")])):
        facts = learn(series, infer(series), "auto")
        assert facts["missing"] == len(series)
        cells, missing = encode(series, facts)
        assert missing.all()
        assert (cells == 0).all()


@pytest.mark.parametrize(
    ("kind", "fitted", "given"),
    [
        ("number", [1.0, 2.0], ["1", "text"]),
        ("number", [1.0, 2.0], [dt.date(2020, 1, 1)]),
        ("number", [1.0, 2.0], [[1.0]]),
        ("boolean", [True, False], [1, 2]),
        ("boolean", [0, 1], ["1", "2"]),
        ("boolean", [True, False], ["true", "maybe"]),
        ("date", [dt.date(2020, 1, 1)], [5]),
        ("date", [dt.date(2020, 1, 1)], ["2020-01-01", "soon"]),
        ("datetime", [dt.datetime(2020, 1, 1)], ["soon"]),
        ("datetime", [dt.datetime(2020, 1, 1)], [dt.time(1)]),
    ],
)
def test_a_cell_of_another_type_is_an_error_with_its_row(kind, fitted, given):
    facts = learn(pl.Series("x", fitted), kind, "auto")
    with pytest.raises(ValueError, match=rf"column 'x' holds {kind}s, got .* in row {10 + len(given) - 1}"):
        encode(pl.Series("x", given), facts, begin=10)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt8, pl.Float64])
def test_a_count_that_was_0_and_1_while_fitting_may_be_another_number_later(dtype):
    facts = learn(pl.Series("x", [0, 1, 0]), "boolean", "auto")
    cells, missing = encode(pl.Series("x", [0, 1, 3, None, 200], dtype=dtype), facts)
    assert cells.tolist() == [0, 1, NEVER_SEEN, 0, NEVER_SEEN]
    assert missing.tolist() == [False, False, False, True, False]


def test_text_that_is_a_number_a_truth_or_a_date_fits():
    for fitted, text in (
        ([1.5, 2.5], "2.5"),
        ([False, True], "True"),
        ([dt.date(2020, 1, 1), dt.date(2020, 1, 2)], "2020-01-02"),
    ):
        series = pl.Series("x", fitted)
        facts = learn(series, infer(series), "auto")
        assert encode(pl.Series("x", [text]), facts)[0][0] == encode(series, facts)[0][1]


def test_columns_of_all_numeric_types_keep_their_values_beside_each_other():
    types = (pl.Int8, pl.UInt64, pl.Int128, pl.Float32, pl.Float64, pl.Decimal(10, 2))
    frame = pl.DataFrame([pl.Series(str(dtype), [1, None, 3]).cast(dtype) for dtype in types])
    facts = [{"name": name, "kind": "number", "dtype": "Float64"} for name in frame.columns]
    cells, missing = Encoder(facts)(frame)
    assert cells.tolist() == [[1.0] * 6, [0.0] * 6, [3.0] * 6]
    assert missing.all(1).tolist() == [False, True, False]


def test_infinity_is_an_error_with_its_row():
    with pytest.raises(ValueError, match="column 'x' has infinity in row 1"):
        learn(pl.Series("x", [1.0, float("inf")]), "number", "auto")
    facts = learn(pl.Series("x", [1.0, 2.0]), "number", "auto")
    with pytest.raises(ValueError, match="column 'x' has infinity in row 11"):
        encode(pl.Series("x", [None, float("inf")]), facts, begin=10)
