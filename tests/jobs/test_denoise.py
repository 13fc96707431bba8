"""Denoising: better than doing nothing, gaps filled, and figures that are what they say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from isthmus import AutoEncoder
from isthmus.jobs import Denoiser

QUICK = dict(threads=1, random_state=0)
DIGITS = load_digits().images


def table(n: int, seed: int = 0) -> pl.DataFrame:
    """Return columns that each follow from the others, with gaps in one."""
    random = np.random.default_rng(seed)
    s = random.normal(size=n)
    length = np.where(random.random(n) < 0.1, np.nan, 10 * s + random.normal(size=n))
    return pl.DataFrame(
        {
            "length": pl.Series(length).fill_nan(None),
            "width": 5 * s + 0.3 * random.normal(size=n),
            "depth": 2 * s + 0.1 * random.normal(size=n),
            "kind": np.where(s > 0, "large", "small"),
        }
    )


@pytest.fixture(scope="module")
def digits() -> Denoiser:
    model = AutoEncoder(
        bottleneck="linear(size=24)",
        corruption="gaussian_noise(scale=0.3)",
        max_epochs=6,
        validation_fraction=0,
        **QUICK,
    )
    return Denoiser(model, random_state=0).fit(DIGITS[:400])


@pytest.fixture(scope="module")
def cells() -> Denoiser:
    model = AutoEncoder(bottleneck="linear(size=2)", corruption="mask", max_epochs=15, **QUICK)
    return Denoiser(model, random_state=0).fit(table(300))


def test_noisy_digits_come_back_nearer_to_the_clean_ones(digits):
    clean = DIGITS[900:1000]
    noisy = np.clip(clean + 16 * 0.3 * np.random.default_rng(0).normal(size=clean.shape), 0, 16)
    restored = digits.denoise(noisy)
    assert restored.shape == clean.shape
    assert np.square(restored - clean).mean() < 0.6 * np.square(noisy - clean).mean()


def test_denoise_gives_back_the_kind_of_rows_that_were_fitted(cells):
    found = cells.denoise(table(20, seed=1))
    assert found.schema == table(20).schema
    assert found["kind"].is_in(["large", "small"]).all()


def test_gaps_are_filled_from_the_other_cells(cells):
    whole = table(200, seed=2).drop_nulls()
    gaps = whole.with_columns(length=pl.lit(None, pl.Float64))
    filled = cells.denoise(gaps)["length"]
    assert filled.null_count() == 0
    # Against filling in the mean.
    assert np.square((filled - whole["length"]).to_numpy()).mean() < 0.3 * whole["length"].var()


def test_a_row_of_gaps_alone_is_filled_too(cells):
    blank = table(1).with_columns(pl.lit(None).cast(dtype).alias(name) for name, dtype in table(1).schema.items())
    assert cells.denoise(blank).null_count().sum_horizontal().item() == 0


def test_compare_of_images_has_doing_nothing_pca_and_two_filters(digits):
    clean = DIGITS[900:960]
    noisy = clean + 4.8 * np.random.default_rng(0).normal(size=clean.shape)
    rows = {row["method"]: row for row in digits.compare(DIGITS[:300], noisy, clean)}
    assert list(rows) == ["auto-encoder", "nothing", "PCA", "median filter", "Gaussian filter"]
    assert all(set(row) == {"method", "mse"} for row in rows.values())
    # Pixels of these images reach from 0 to 16; the batch holds them from 0 to 1, cut off.
    expected = np.square((digits.denoise(noisy) - clean) / 16).mean()
    assert rows["auto-encoder"]["mse"] == pytest.approx(expected, rel=1e-4)
    assert rows["auto-encoder"]["mse"] < rows["nothing"]["mse"]
    assert rows["PCA"]["mse"] < rows["nothing"]["mse"]


def test_without_clean_rows_compare_makes_the_noise_itself_and_the_same_each_time(digits):
    rows = digits.compare(DIGITS[:300], DIGITS[900:960])
    assert rows == digits.compare(DIGITS[:300], DIGITS[900:960])
    by_method = {row["method"]: row["mse"] for row in rows}
    # Doing nothing leaves the noise: of this scale, or a little less where it is cut off at black and white.
    assert 0.5 * 0.3**2 < by_method["nothing"] < 1.05 * 0.3**2
    assert by_method["auto-encoder"] < by_method["nothing"]
    other = Denoiser(random_state=1)
    other.estimator_ = digits.estimator_
    assert other.compare(DIGITS[:300], DIGITS[900:960])[1] != rows[1]


def test_doing_nothing_to_clean_rows_is_no_error(digits):
    clean = DIGITS[900:930]
    nothing = digits.compare(DIGITS[:200], clean, clean)[1]
    assert nothing == {"method": "nothing", "mse": 0.0}


def test_compare_of_a_mixed_table_counts_wrong_categories_and_has_no_filters(cells):
    rows = {row["method"]: row for row in cells.compare(table(200), table(60, seed=3))}
    assert list(rows) == ["auto-encoder", "nothing", "PCA"]
    assert all(set(row) == {"method", "mse", "wrong"} for row in rows.values())
    assert rows["auto-encoder"]["mse"] < rows["nothing"]["mse"]
    assert 0 <= rows["auto-encoder"]["wrong"] < 0.3


def test_the_figures_of_a_table_are_over_the_cells_that_were_observed(cells):
    clean = table(60, seed=3)
    spoilt = clean.with_columns(
        pl.Series("kind", ["small" if kind == "large" else "large" for kind in clean["kind"]]),
        width=pl.col("width") + 5.0,
    )
    nothing = cells.compare(table(200), spoilt, clean)[1]
    scale = cells.estimator_.modality_.columns[1]["scale"]
    observed = 60 - clean["length"].null_count() + 60 + 60
    assert nothing["wrong"] == 1.0
    assert nothing["mse"] == pytest.approx(60 * (5.0 / scale) ** 2 / observed, rel=1e-5)


def test_a_denoiser_without_a_corruption_says_what_to_do():
    with pytest.raises(ValueError, match=r"learns from a corruption, and its estimator has none; give it one"):
        Denoiser(AutoEncoder(**QUICK)).fit(DIGITS[:10])


def test_a_corruption_that_is_not_there_is_refused():
    with pytest.raises((ValueError, TypeError), match="no part is called 'no_such_noise'"):
        Denoiser(AutoEncoder(corruption="no_such_noise", **QUICK)).fit(DIGITS[:10])


def test_one_row_can_be_fitted_and_compared():
    model = AutoEncoder(corruption="gaussian_noise(scale=0.2)", max_epochs=1, **QUICK)
    assert len(Denoiser(model, random_state=0).compare(DIGITS[:1], DIGITS[1:2])) == 5


def test_by_default_images_lose_gaussian_noise_and_tables_swapped_cells():
    assert Denoiser().default_estimator(DIGITS[:3]).corruption == "gaussian_noise(scale=0.2)"
    assert Denoiser().default_estimator(table(3)).corruption == "swap_rows"
