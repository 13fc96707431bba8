"""Sampling: what comes out, that it can be repeated, and how near it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.datasets import load_digits

from isthmus import AutoEncoder, saving
from isthmus.jobs import Generator
from isthmus.jobs import sample as sample_module

QUICK = dict(threads=1, random_state=0)
RANDOM = np.random.default_rng(0)
DIGITS = load_digits().images


def numbers(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 10 + random.normal(size=(n, 2)) @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])


@pytest.fixture(scope="module")
def fitted() -> Generator:
    model = AutoEncoder(bottleneck="gaussian(size=2)", loss="cell_likelihood(learned=True)", max_epochs=20, **QUICK)
    return Generator(model, random_state=0).fit(numbers(300))


def test_a_bottleneck_that_cannot_sample_is_refused_with_those_that_can():
    with pytest.raises(ValueError, match=r"Generator needs a bottleneck that can sample, got Linear.*can: .*Gaussian"):
        Generator(AutoEncoder(**QUICK), density=None).fit(numbers(20))


def test_samples_lie_where_the_rows_do(fitted):
    samples = fitted.sample(400)
    assert samples.shape == (400, 3)
    rows = numbers(400, seed=1)
    np.testing.assert_allclose(samples.mean(0), rows.mean(0), atol=0.8)
    assert (samples.std(0) > 0.4 * rows.std(0)).all()
    assert (samples.std(0) < 1.6 * rows.std(0)).all()


def test_samples_repeat_with_a_random_state(fitted):
    assert np.array_equal(fitted.sample(5, random_state=1), fitted.sample(5, random_state=1))
    assert not np.array_equal(fitted.sample(5, random_state=1), fitted.sample(5, random_state=2))


def test_without_a_random_state_the_jobs_own_is_taken(fitted):
    assert np.array_equal(fitted.sample(5), fitted.sample(5))
    assert np.array_equal(fitted.sample(5), fitted.sample(5, random_state=0))
    free = Generator()
    free.estimator_, free.density_ = fitted.estimator_, None
    assert not np.array_equal(free.sample(5), free.sample(5))


def test_a_random_state_that_is_an_instance_moves_on(fitted):
    state = np.random.RandomState(0)  # noqa: NPY002 - what scikit-learn's users pass
    assert not np.array_equal(fitted.sample(5, state), fitted.sample(5, state))


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_samples_of_a_frame_are_a_frame(container):
    frame = container(
        {
            "length": RANDOM.normal(size=60),
            "children": RANDOM.integers(0, 5, 60),
            "member": RANDOM.random(60) < 0.5,
            "kind": RANDOM.choice(["tall", "short"], 60),
        }
    )
    model = AutoEncoder(bottleneck="gaussian(size=2)", max_epochs=2, **QUICK)
    samples = Generator(model, random_state=0).fit(frame).sample(30)
    assert isinstance(samples, container)
    assert list(samples.columns) == list(frame.columns)
    assert list(samples.dtypes) == list(frame.dtypes)
    assert set(samples["kind"]) == {"tall", "short"}
    assert set(samples["member"]) == {True, False}
    assert len(samples) == 30


@pytest.mark.parametrize("shape", [(8, 8), (6, 10, 3)])
def test_samples_of_images_are_images(shape):
    images = RANDOM.integers(0, 256, size=(40, *shape)).astype(np.uint8)
    model = AutoEncoder(bottleneck="gaussian(size=4)", max_epochs=1, **QUICK)
    samples = Generator(model, random_state=0).fit(images).sample(3)
    assert samples.shape == (3, *shape)
    assert samples.dtype == np.uint8


def test_compare_holds_the_samples_against_a_mixture_and_the_training_rows(fitted):
    table = fitted.compare(numbers(300), numbers(200, seed=1))
    assert [row["method"] for row in table] == ["auto-encoder", "Gaussian mixture on PCA", "(training rows)"]
    assert table == fitted.compare(numbers(300), numbers(200, seed=1))
    for row in table:
        assert set(row) == {"method", "frechet", "precision", "recall"}
        assert row["frechet"] >= 0
        assert 0 <= row["precision"] <= 1
        assert 0 <= row["recall"] <= 1
    # Rows of the very source are near, and cover the others but for the edge.
    assert table[2]["frechet"] < 0.1
    assert table[2]["precision"] > 0.8
    assert table[0]["frechet"] < 1.0


def test_samples_from_elsewhere_are_found_out(fitted):
    table = fitted.compare(numbers(300), numbers(200, seed=1) + 30)
    assert table[0]["frechet"] > 100
    assert (table[0]["precision"], table[0]["recall"]) == (0.0, 0.0)


def test_no_more_rows_are_compared_than_there_are_or_than_the_most(fitted, monkeypatch):
    drawn = []
    monkeypatch.setattr(fitted, "sample", lambda n: drawn.append(n) or numbers(n, seed=5))
    fitted.compare(numbers(300), numbers(50, seed=1))
    monkeypatch.setattr(sample_module, "MOST_COMPARED", 20)
    fitted.compare(numbers(300), numbers(50, seed=1))
    assert drawn == [50, 20]


def test_images_are_compared():
    model = AutoEncoder(bottleneck="gaussian(size=4)", max_epochs=1, **QUICK)
    table = Generator(model, random_state=0).compare(DIGITS[:80], DIGITS[80:120])
    assert all(np.isfinite([row["frechet"], row["precision"], row["recall"]]).all() for row in table)


def test_by_default_the_auto_encoder_is_variational():
    for rows in (numbers(3), DIGITS[:3]):
        assert "gaussian" in Generator().default_estimator(rows).bottleneck


@pytest.mark.parametrize(
    ("bottleneck", "fitted"),
    [
        ("linear(size=2)", True),
        ("gaussian(size=2)", True),
        ("gaussian(size=2, prior=normal(learned=True))", False),
        ("hyperspherical(size=3)", False),
        ("binary(size=3)", False),
    ],
)
def test_by_default_a_density_is_fitted_where_the_bottleneck_has_none_that_learned(bottleneck, fitted):
    job = Generator(AutoEncoder(bottleneck=bottleneck, max_epochs=1, **QUICK), random_state=0).fit(numbers(220))
    assert (job.density_ is not None) == fitted
    if fitted:
        assert job.density_.components == 2  # one for every 100 rows
    assert job.sample(3).shape == (3, 3)


def test_by_default_codes_with_positions_are_drawn_from_the_bottlenecks_prior():
    model = AutoEncoder(
        bottleneck="gaussian(size=2)", encoder="conv_encoder(channels=(4,), flatten=False)", max_epochs=1, **QUICK
    )
    job = Generator(model, random_state=0).fit(DIGITS[:60])
    assert job.density_ is None
    assert job.sample(2).shape == (2, 8, 8)


def test_codes_that_leave_the_prior_are_drawn_where_they_lie():
    rows = np.where(np.random.default_rng(1).random(600) < 0.5, -1.0, 1.0)[:, None] * [[1.0, 2.0]]
    rows = rows + 0.05 * np.random.default_rng(2).normal(size=rows.shape)
    model = AutoEncoder(bottleneck="gaussian(size=1)", loss="gaussian_likelihood(sigma=0.1)", max_epochs=10, **QUICK)
    shares = {}
    for density in ("auto", None):
        drawn = Generator(model, density=density, values="mean", random_state=0).fit(rows).sample(1_000)
        shares[density] = np.mean(np.abs(drawn[:, 0]) < 0.5)
    # Between the two groups there is nothing; the standard normal prior has most of its mass near there.
    assert shares["auto"] < 0.02
    assert shares[None] > shares["auto"]


@pytest.mark.parametrize("density", ["mixture(components=2)", "flow(layers=4, hidden=16)", "normal(learned=True)"])
def test_a_density_fitted_to_codes_lets_any_bottleneck_sample(density):
    random = np.random.default_rng(0)
    centres = np.where(random.random(500) < 0.5, -4.0, 4.0)[:, None]
    rows = centres + random.normal(size=(500, 2)) * 0.5
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=10, **QUICK)
    drawn = Generator(model, density=density, values="mean", random_state=0).fit(rows).sample(1_000)
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.6)
    np.testing.assert_allclose(drawn.std(0), rows.std(0), rtol=0.15)
    between = np.mean(np.abs(drawn[:, 0]) < 2)
    # A normal density has half of its mass between the clusters; an affine flow bends it part of the way.
    assert between < {"m": 0.05, "f": 0.4, "n": 0.5}[density[0]]


def test_a_fitted_density_is_saved_and_loaded(tmp_path):
    rows = numbers(100)
    job = Generator(AutoEncoder(bottleneck="linear(size=2)", max_epochs=3, **QUICK), density="flow", random_state=0)
    saving.save(job.fit(rows), tmp_path / "model")
    again = saving.load(tmp_path / "model")
    assert np.array_equal(job.sample(20, random_state=3), again.sample(20, random_state=3))
    state = job.state()
    name = next(name for name in state if name.startswith("density_weight_"))
    for broken in (state | {name: state[name][:-1]}, state | {name: state[name] * np.nan}, _without(state, name)):
        with pytest.raises(ValueError, match="density's weights"):
            again.restore(broken)


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("path", ["line", "arc"])
def test_a_walk_begins_and_ends_at_the_reconstructions(fitted, path):
    A, B = numbers(4, seed=2), numbers(4, seed=3)
    steps = fitted.interpolate(A, B, 5, path)
    assert len(steps) == 5
    np.testing.assert_allclose(steps[0], fitted.estimator_.reconstruct(A), rtol=1e-5)
    np.testing.assert_allclose(steps[-1], fitted.estimator_.reconstruct(B), rtol=1e-5)
    lengths = [np.linalg.norm(later - before) for before, later in zip(steps, steps[1:], strict=False)]
    assert max(lengths) < np.linalg.norm(steps[-1] - steps[0])


def test_an_arc_keeps_to_the_sphere_and_a_line_does_not():
    begin, end = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    middle = sample_module._arc(begin, end, torch.tensor(0.5))
    assert torch.allclose(middle, torch.full((1, 2), 0.5**0.5))
    for other in (begin, -begin, torch.zeros(1, 2)):
        assert bool(sample_module._arc(begin, other, torch.tensor(0.3)).isfinite().all())


def test_a_direction_is_the_difference_of_means_and_moves_rows_that_way(fitted):
    rows = numbers(200, seed=4)
    high = rows[:, 0] > np.median(rows[:, 0])
    codes = fitted.estimator_.transform(rows)
    direction = fitted.direction(rows, high)
    np.testing.assert_allclose(direction, codes[high].mean(0) - codes[~high].mean(0))
    moved = fitted.shift(rows[~high], direction)
    assert moved[:, 0].mean() > rows[~high][:, 0].mean() + 1
    np.testing.assert_allclose(fitted.shift(rows, direction, 0.0), fitted.estimator_.reconstruct(rows), rtol=1e-5)


def test_wrong_walks_and_directions_are_refused(fitted):
    rows = numbers(3)
    with pytest.raises(ValueError, match="of one length, got 3 and 2"):
        fitted.interpolate(rows, rows[:2])
    with pytest.raises(ValueError, match="n_steps must be at least 2"):
        fitted.interpolate(rows, rows, 1)
    with pytest.raises(ValueError, match="path must be one of"):
        fitted.interpolate(rows, rows, path="road")
    for y in ([1, 1, 1], [0, 1], ["a", "b", "a"]):
        with pytest.raises(ValueError, match="y must say yes or no"):
            fitted.direction(rows, y)
    with pytest.raises(ValueError, match="a direction of these codes"):
        fitted.shift(rows, np.zeros(5))
    with pytest.raises(ValueError, match="values must be one of"):
        Generator(values="median").fit(rows)


def test_a_prior_of_symbols_is_no_density_of_codes():
    with pytest.raises(ValueError, match="is a prior of symbols"):
        Generator(AutoEncoder(max_epochs=1, **QUICK), density="autoregressive").fit(numbers(20))
