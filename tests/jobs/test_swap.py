"""Swapping a factor: what is exchanged, what stays, and how it is judged."""

import pickle

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import AutoEncoder, saving
from isthmus.bottlenecks import Linear, Split
from isthmus.checks import check_job
from isthmus.jobs import FactorSwapper
from isthmus.jobs.factors import factors_of, swap_factor
from isthmus.jobs.swap import Blend
from isthmus.modalities import Tables
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, TemporalDecoder, TemporalEncoder
from isthmus.rows import as_rows

X = np.random.default_rng(0).normal(size=(60, 2)) @ np.array([[1.0, 1, 0, 0], [0, 0, 1, -1]])
HALVES = Split({"first": Linear(1), "second": Linear(1)})


def halves() -> FactorSwapper:
    """Return a job whose code is exact: the two numbers that the four columns are made of."""
    model = AutoEncoder(
        Tables(),
        HALVES,
        encoder=MLPEncoder((), shortcut=False),
        decoder=MLPDecoder((), shortcut=False),
        max_epochs=1,
        threads=1,
        dtype="float64",
        random_state=0,
    )
    job = FactorSwapper(model, random_state=0).fit(X)
    module = job.estimator_.module_
    state = {name: value.clone().zero_() for name, value in module.state_dict().items()}
    # The first factor is the first column, the second the third.
    state["bottleneck.inner.0.linear.weight"][0, 0] = 1.0
    state["bottleneck.inner.1.linear.weight"][0, 2] = 1.0
    for row, (column, sign) in enumerate([(0, 1), (0, 1), (1, 1), (1, -1)]):
        state["decoder.head.weight"][row, column] = sign
    module.load_state_dict(state)
    return job


@pytest.fixture(scope="module")
def job():
    return halves()


def test_the_named_factor_comes_from_the_other_row_and_nothing_else_does(job):
    A, B = X[:5], X[5:10]
    assert np.allclose(job.swap(A, B, "second"), np.hstack([A[:, :2], B[:, 2:]]))
    assert np.allclose(job.swap(A, B, "first"), np.hstack([B[:, :2], A[:, 2:]]))
    assert np.allclose(job.swap(A, A), A)


def test_the_last_factor_is_exchanged_unless_the_job_or_the_call_says_which(job):
    A, B = X[:5], X[5:10]
    assert np.array_equal(job.swap(A, B), job.swap(A, B, "second"))
    other = pickle.loads(pickle.dumps(job)).set_params(factor="first")
    assert np.array_equal(other.swap(A, B), job.swap(A, B, "first"))


def test_one_row_gives_its_factor_to_all(job):
    assert np.array_equal(job.swap(X[:5], X[7:8]), job.swap(X[:5], np.repeat(X[7:8], 5, 0)))


def test_a_swap_is_scored_between_a_copy_and_the_row_unchanged(job):
    figures = {row.pop("method"): row for row in job.compare(X, X)}
    assert figures["auto-encoder"] == pytest.approx({"taken": 1, "kept": 1})
    assert figures["unchanged"] == {"taken": 0, "kept": 1}
    assert figures["copy of the other"] == {"taken": 1, "kept": 0}
    # Half of the way is a quarter of the squared distance.
    assert figures["mean of both"] == pytest.approx({"taken": 0.75, "kept": 0.75})


def test_labels_follow_the_factor_that_carries_them(job):
    labels = np.stack([X[:, 2] > 0, X[:, 0] > 0], axis=1)
    figures = {row.pop("method"): row for row in job.compare(X, X, labels)}
    assert figures["auto-encoder"]["both"] > 0.8
    assert figures["unchanged"]["label_of_other"] < 0.2 < 0.8 < figures["unchanged"]["label_kept"]
    assert figures["copy of the other"]["label_of_other"] > 0.8
    assert max(figures[name]["both"] for name in ("unchanged", "copy of the other", "mean of both")) < 0.7
    (swapped, *_) = job.compare(X, X, labels[:, 0])
    assert set(swapped) == {"method", "taken", "kept", "label_of_other"}


def test_categories_of_a_blend_are_those_of_one_row():
    frame = pl.DataFrame({"size": [1.0, 2.0, 3.0, None], "kind": ["a", "b", "b", "a"]})
    modality = Tables().fit(as_rows(frame))
    first = modality.to_batch(as_rows(frame))
    second = modality.to_batch(as_rows(frame[[1, 0, 3, 2]]))
    blend = Blend(0.5).transform(first, second, modality)
    assert blend.x[:, 1].tolist() == first.x[:, 1].tolist()
    assert blend.x[0, 0] == pytest.approx(float(first.x[:2, 0].mean()))
    assert blend.mask[:, 0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda job: job.swap(X[:5], X[:4]), "B must have as many rows as A, 5, or one for all of them; got 4"),
        (lambda job: job.swap(X[:5], X[:5], "third"), "no factor 'third'; there are: first, second"),
        (lambda job: job.swap(X[:5, :3], X[:5]), "X has 3 features, but FactorSwapper is expecting 4"),
        (lambda job: job.compare(X, X, np.zeros(60)), "all labels are the same"),
        (lambda job: job.compare(X, X, np.zeros((60, 3))), r"labels should be of shape \(60,\) or \(60, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(job, call, message):
    with pytest.raises(ValueError, match=message):
        call(job)


def test_a_code_without_factors_is_refused_before_the_fit():
    with pytest.raises(ValueError, match=r"Linear\(size=2\) has no named factors; use a bottleneck such as split"):
        FactorSwapper(AutoEncoder(bottleneck="linear(size=2)", max_epochs=10**9)).fit(X)
    model = AutoEncoder(bottleneck="linear(size=2)", max_epochs=1, threads=1).fit(X)
    with pytest.raises(ValueError, match="no named factors"):
        factors_of(model)


def test_a_job_that_names_a_factor_which_is_not_there_says_so_when_fitted():
    model = AutoEncoder(bottleneck=HALVES, max_epochs=1, threads=1)
    with pytest.raises(ValueError, match="no factor 'style'; there are: first, second"):
        FactorSwapper(model, factor="style").fit(X)


def series(lengths, seed):
    random = np.random.default_rng(seed)
    return [np.sin(np.arange(n) * random.uniform(0.3, 1.2)) + random.normal() for n in lengths]


def test_series_stay_as_long_as_they_were_whatever_the_length_of_the_other():
    rows = series([20, 12, 17, 20] * 6, 0)
    split = Split({"content": Linear(2), "level": Linear(2)}, pooled=("level",), normalized=("content",))
    encoder, decoder = TemporalEncoder((8,), summary="steps"), TemporalDecoder((8,))
    model = AutoEncoder(bottleneck=split, encoder=encoder, decoder=decoder, max_epochs=1, threads=1, random_state=0)
    model.fit(rows)
    swapped = swap_factor(model, rows[:4], rows[4:8][::-1], "level")
    assert [len(one) for one in swapped] == [20, 12, 17, 20]
    (one,) = swap_factor(model, rows[1:2], rows[0:1], "level")
    assert np.allclose(one, swap_factor(model, rows[:4], rows[0:1], "level")[1], atol=1e-6)


@pytest.mark.slow
def test_what_an_image_has_once_follows_the_pooled_factor_and_its_shape_stays():
    digits = load_digits()
    random = np.random.default_rng(0)
    order = random.permutation(np.flatnonzero(np.isin(digits.target, [0, 1, 4])))[:400]
    bright = random.integers(0, 2, len(order))
    images = digits.images[order] / 16 * 0.5 + 0.5 * bright[:, None, None]
    labels = np.stack([bright, digits.target[order]], axis=1)
    split = Split({"content": Linear(4), "style": Linear(1)}, pooled=("style",), normalized=("content",))
    encoder, decoder = ConvEncoder((32,), flatten=False), ConvDecoder((32,))
    model = AutoEncoder(bottleneck=split, encoder=encoder, decoder=decoder, max_epochs=20, threads=1)
    job = FactorSwapper(model, random_state=0)
    figures = {row["method"]: row for row in job.compare(images[:280], images[280:], labels[280:])}
    assert figures["auto-encoder"]["both"] > 0.75
    assert all(row["both"] < 0.6 for name, row in figures.items() if name != "auto-encoder")


def test_a_saved_job_swaps_as_before(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    split = Split({"content": Linear(2), "style": Linear(3)}, pooled=("style",), normalized=("content",))
    model = AutoEncoder(
        bottleneck=split, encoder=ConvEncoder((4,), flatten=False), decoder=ConvDecoder((4,)), max_epochs=1, threads=1
    )
    job = FactorSwapper(model, factor="content", random_state=0).fit(images)
    saving.save(job, tmp_path / "model")
    again = saving.load(tmp_path / "model")
    assert again.factor_names_ == ("content", "style")
    assert np.array_equal(again.swap(images[:5], images[5:10]), job.swap(images[:5], images[5:10]))


@pytest.mark.slow
def test_the_job_keeps_the_contract():
    check_job(FactorSwapper)
    check_job(FactorSwapper(AutoEncoder(bottleneck=HALVES)), X=X)


@parametrize_with_checks(
    [FactorSwapper(AutoEncoder(bottleneck=HALVES, encoder=MLPEncoder((8,)), dtype="float64", max_epochs=2, threads=1))]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_a_clone_is_not_fitted_and_one_seed_gives_one_answer(job):
    assert not hasattr(clone(job), "estimator_")
    model = AutoEncoder(bottleneck=HALVES, max_epochs=1, threads=1)
    one, again = (FactorSwapper(model, random_state=0).fit(X).swap(X[:5], X[5:10]) for _ in range(2))
    assert np.array_equal(one, again)
