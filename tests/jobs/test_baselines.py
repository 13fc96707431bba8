"""Baselines: each against the same thing written out in numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from sklearn.pipeline import make_pipeline

from isthmus.jobs.baselines import (
    FILTER_WIDTHS,
    GaussianMixtureOnPCA,
    Matrix,
    NeighborDistance,
    PCAProjection,
    PCAReconstruction,
    Smooth,
    Unchanged,
)

RANDOM = np.random.default_rng(0)


def table(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Return numbers with gaps, a boolean and a category."""
    s = random.normal(size=n)
    length = 100 + 10 * s
    length[random.random(n) < 0.2] = np.nan
    return pd.DataFrame(
        {
            "length": length,
            "width": 5 + s + random.normal(size=n),
            "large": s > 0,
            "kind": np.where(s > 1, "huge", np.where(s > -1, "middling", "tiny")),
        }
    )


def by_hand(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Return the matrix as it is described: standardised, gaps at the mean, one-hot with a place for the unseen."""
    pieces = []
    for name in ("length", "width"):
        scaled = (test[name] - train[name].mean()) / train[name].std(ddof=0)
        pieces.append(scaled.fillna(0).to_numpy()[:, None])
    pieces.append(test["large"].to_numpy(float)[:, None])
    known = sorted(train["kind"].unique())
    one_hot = np.zeros((len(test), 1 + len(known)))
    for row, kind in enumerate(test["kind"]):
        one_hot[row, 1 + known.index(kind) if kind in known else 0] = 1
    return np.hstack([*pieces, one_hot])


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    train, test = table(80, RANDOM), table(30, RANDOM)
    test.loc[3, "kind"] = "never seen"
    test.loc[4, "kind"] = "huge"
    return train, test


def test_a_matrix_is_standardised_numbers_zeros_for_gaps_and_one_hot_categories(tables):
    train, test = tables
    found, expected = Matrix().fit(train).transform(test), by_hand(train, test)
    # Categories in the order of the vocabulary, which is theirs: each of ours is one of theirs.
    assert found.shape == expected.shape
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1e-12)
    np.testing.assert_allclose(
        np.sort(found[:, 4:].sum(0)), np.sort(expected[:, 4:].sum(0)), err_msg="one place for each category"
    )
    assert found[3, 3] == 1
    np.testing.assert_array_equal(found[:, 3:].sum(1), 1)


def test_a_matrix_of_images_is_their_pixels_between_0_and_1():
    images = RANDOM.integers(0, 256, size=(5, 3, 4, 3)).astype(np.uint8)
    np.testing.assert_allclose(Matrix().fit(images).transform(images), images.reshape(5, -1) / 255, atol=1e-12)


def test_pca_reconstruction_is_the_squared_distance_to_the_leading_singular_vectors(tables):
    train, test = tables
    before, after = by_hand(train, train), by_hand(train, test)
    mean = before.mean(0)
    _, values, vectors = np.linalg.svd(before - mean, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(values**2) / np.sum(values**2), 0.95, side="right")) + 1
    basis = vectors[:kept]
    expected = -(((after - mean) - (after - mean) @ basis.T @ basis) ** 2).sum(1)
    found = make_pipeline(Matrix(), PCAReconstruction()).fit(train).score_samples(test)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert kept < before.shape[1]


def test_neighbor_distance_is_the_mean_of_the_five_smallest_distances(tables):
    train, test = tables
    before, after = by_hand(train, train), by_hand(train, test)
    distances = np.sqrt(((after[:, None] - before[None]) ** 2).sum(2))
    expected = -np.sort(distances, 1)[:, :5].mean(1)
    found = make_pipeline(Matrix(), NeighborDistance()).fit(train).score_samples(test)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_neighbor_distance_makes_do_with_fewer_rows_than_neighbours():
    assert NeighborDistance(5).fit(np.array([[0.0], [3.0]])).score_samples(np.array([[1.0]]))[0] == -1.5


def test_unchanged_gives_back_the_very_rows():
    rows = RANDOM.normal(size=(3, 2))
    assert Unchanged().fit(rows).transform(rows) is rows


def test_pca_projection_keeps_the_two_dimensions_that_the_rows_have():
    plane = RANDOM.normal(size=(200, 2)) @ RANDOM.normal(size=(2, 10))
    noisy = plane + 0.5 * RANDOM.normal(size=plane.shape)
    model = PCAProjection().fit(noisy, plane)
    assert model.pca_.n_components_ == 2
    given = noisy[:5].reshape(5, 2, 5)
    assert model.transform(given).shape == (5, 2, 5)
    assert ((model.transform(noisy) - plane) ** 2).mean() < 0.4 * ((noisy - plane) ** 2).mean()


def test_pca_projection_of_one_row_is_that_row():
    row = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(PCAProjection().fit(row).transform(row), row)


def test_pca_makes_do_with_one_row_and_with_equal_rows():
    for rows in (np.array([[1.0, 2.0]]), np.ones((6, 2))):
        np.testing.assert_allclose(PCAReconstruction().fit(rows).score_samples(rows + [[0, 1]]), -1.0)


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        ("median", lambda x, w: ndimage.median_filter(x, (1, int(w), int(w), 1), mode="nearest")),
        ("gaussian", lambda x, w: ndimage.gaussian_filter(x, (0, w, w, 0), mode="nearest")),
    ],
)
def test_a_filter_leaves_clean_images_alone_and_takes_the_best_width_for_noisy_ones(kind, by_hand):
    ramp = np.linspace(0, 1, 12)
    clean = np.stack([np.outer(ramp, np.roll(ramp, i)) for i in range(6)])[..., None] ** 2
    assert np.array_equal(Smooth(kind).fit(clean, clean).transform(clean), clean)
    noisy = clean + 0.3 * RANDOM.normal(size=clean.shape)
    model = Smooth(kind).fit(noisy, clean)
    np.testing.assert_allclose(model.transform(noisy), by_hand(noisy, model.width_))
    errors = {width: ((by_hand(noisy, width) - clean) ** 2).mean() for width in FILTER_WIDTHS[kind]}
    assert model.width_ == min(errors, key=errors.__getitem__)
    assert errors[model.width_] < ((noisy - clean) ** 2).mean()


def test_a_filter_does_not_mix_images_or_colours():
    image = np.zeros((2, 6, 6, 3))
    image[0, 2:4, 2:4, 1] = 1.0
    model = Smooth("gaussian")
    model.width_ = 1.0
    found = model.transform(image)
    assert found[0, ..., 1].max() > 0
    found[0, ..., 1] = 0
    assert not found.any()


def test_the_gaussian_mixture_draws_rows_from_where_the_fitted_ones_lie():
    rows = np.concatenate([RANDOM.normal(-5, 0.1, (100, 3)), RANDOM.normal(5, 0.1, (100, 3))])
    samples = GaussianMixtureOnPCA(2, random_state=0).fit(rows).sample(50)
    assert samples.shape == (50, 3)
    assert (np.abs(np.abs(samples) - 5) < 1).all()
    again = GaussianMixtureOnPCA(2, random_state=0).fit(rows).sample(50)
    assert np.array_equal(samples, again)


def test_the_gaussian_mixture_makes_do_with_two_rows():
    assert GaussianMixtureOnPCA(random_state=0).fit(np.array([[0.0, 1.0], [1.0, 0.0]])).sample(3).shape == (3, 2)
