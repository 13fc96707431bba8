"""What all jobs owe: the contract, prototypes left alone, seeds passed on, errors that say what to do."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import AutoEncoder, jobs
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.checks import check_job
from isthmus.corruptions import GaussianNoise
from isthmus.jobs.job import Job, choose, is_table
from isthmus.networks import MLPEncoder
from isthmus.rows import as_rows

QUICK = dict(max_epochs=2, threads=1)
X = np.random.default_rng(0).normal(size=(40, 3)) @ np.random.default_rng(1).normal(size=(3, 5))
ALL = [jobs.AnomalyDetector, jobs.Denoiser, jobs.Generator, jobs.Mapper, jobs.SimilaritySearch]


def prototype(**params) -> AutoEncoder:
    """Return an auto-encoder that suits every job."""
    return AutoEncoder(
        bottleneck=Gaussian(2), corruption=GaussianNoise(0.2), encoder=MLPEncoder((8,)), **QUICK | params
    )


def answer(job: Job) -> np.ndarray:
    """Return what the job says of the rows."""
    if isinstance(job, jobs.Generator):
        return job.sample(4, random_state=0)
    verb = {"detect": "score_samples", "denoise": "denoise", "map": "transform", "search": "kneighbors"}[job.verb]
    return getattr(job, verb)(X)


def untimed(table: list[dict]) -> list[dict]:
    """Return figures without those of the clock."""
    return [{name: value for name, value in row.items() if name != "milliseconds"} for row in table]


def test_every_job_that_is_offered_is_tried_here():
    # Of the swapper, which needs a code of factors, of those that learn from labels, of series and images elsewhere.
    others = [jobs.Compressor, jobs.FactorSwapper, jobs.PretrainedClassifier, jobs.PretrainedRegressor]
    others += [jobs.VectorCompressor, jobs.WrappedCodec]
    every = [*ALL, *others, jobs.SeriesDetector]
    assert sorted(jobs.__all__) == sorted(cls.__name__ for cls in every)
    assert len({cls.verb for cls in every}) == len(every)


@parametrize_with_checks(
    [
        jobs.AnomalyDetector(AutoEncoder(dtype="float64", max_epochs=5, threads=1)),
        *(cls(prototype(dtype="float64")) for cls in ALL if cls is not jobs.AnomalyDetector),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", ALL)
def test_the_contract_holds_with_an_estimator_of_the_callers(cls):
    check_job(cls(prototype()), X=X)


@pytest.mark.parametrize("cls", ALL)
def test_a_clone_has_the_same_params_and_nothing_that_was_fitted(cls):
    job = cls(prototype(), random_state=3).fit(X)
    copy = clone(job)
    assert repr(copy) == repr(job)
    assert not hasattr(copy, "estimator_")
    assert copy.get_params()["random_state"] == 3
    assert copy.get_params()["estimator__bottleneck__size"] == 2
    assert copy.set_params(estimator__max_epochs=9).estimator.max_epochs == 9
    assert job.estimator.max_epochs == 2


@pytest.mark.parametrize("cls", ALL)
def test_the_estimator_is_a_prototype_that_fit_leaves_alone(cls):
    estimator = prototype()
    before = repr(estimator.get_params())
    job = cls(estimator, random_state=0).fit(X)
    assert job.estimator is estimator
    assert job.estimator_ is not estimator
    assert repr(estimator.get_params()) == before
    assert not hasattr(estimator, "module_")
    assert estimator.bottleneck.facts is None
    assert estimator.random_state is None


@pytest.mark.parametrize("cls", ALL)
def test_the_seed_of_the_job_is_that_of_an_auto_encoder_without_one(cls):
    one, again, other = (answer(cls(prototype(), random_state=seed).fit(X)) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("cls", ALL)
def test_an_auto_encoder_with_a_seed_keeps_it(cls):
    job = cls(prototype(random_state=5), random_state=0).fit(X)
    assert job.estimator_.random_state == 5


@pytest.mark.parametrize("cls", ALL)
def test_a_fit_does_not_touch_the_callers_random_numbers(cls):
    before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    job = cls(prototype(), random_state=0).fit(X)
    job.compare(X, X, np.arange(40) % 2 if job.verb == "detect" else None)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize("cls", ALL)
def test_the_callback_is_called_and_not_copied(cls):
    class Screen:
        """Something that cannot be copied, such as a terminal."""

        def __init__(self):
            self.events = []

        def __call__(self, event):
            self.events.append(event)

        def __deepcopy__(self, memo):
            return Screen()

    screen = Screen()
    job = cls(prototype(callback=screen), random_state=0).fit(X)
    assert job.estimator_.callback is screen
    assert len(screen.events) >= 2


@pytest.mark.parametrize("cls", ALL)
def test_before_fitting_there_is_nothing_to_ask(cls):
    job = cls()
    with pytest.raises(NotFittedError):
        answer(job)
    # As scikit-learn's own: an attribute that is not there yet.
    assert not hasattr(job, "estimator_")
    with pytest.raises(NotFittedError):
        _ = job.n_features_in_


@pytest.mark.parametrize("cls", ALL)
def test_what_is_no_auto_encoder_is_refused(cls):
    with pytest.raises(TypeError, match="estimator must be an AutoEncoder or None, got str"):
        cls("linear").fit(X)


@pytest.mark.parametrize("cls", ALL)
def test_the_width_and_the_names_of_columns_are_known(cls):
    frame = pl.DataFrame({name: X[:, i] for i, name in enumerate("abcde")})
    job = cls(prototype(), random_state=0).fit(frame)
    assert job.n_features_in_ == 5
    assert job.feature_names_in_.tolist() == list("abcde")
    assert not hasattr(cls(prototype(), random_state=0).fit(X), "feature_names_in_")


@pytest.mark.parametrize("cls", [jobs.AnomalyDetector, jobs.Denoiser, jobs.Mapper, jobs.SimilaritySearch])
def test_rows_of_another_width_are_refused(cls):
    job = cls(prototype(), random_state=0).fit(X)
    verb = {"detect": "predict", "denoise": "denoise", "map": "transform", "search": "kneighbors"}[job.verb]
    with pytest.raises(ValueError, match=f"X has 4 features, but {cls.__name__} is expecting 5 features"):
        getattr(job, verb)(X[:, :4])


@pytest.mark.parametrize("cls", ALL)
def test_compare_of_a_job_that_is_not_fitted_fits_a_copy(cls):
    job = cls(prototype(), random_state=0)
    table = job.compare(X[:30], X[10:])
    assert not hasattr(job, "estimator_")
    assert untimed(table) == untimed(job.fit(X[:30]).compare(X[:30], X[10:]))
    assert len({row["method"] for row in table}) == len(table) >= 2
    figures = [value for row in table for name, value in row.items() if name != "method"]
    assert all(np.isfinite(value) for value in figures)


@pytest.mark.parametrize("cls", ALL)
def test_a_fitted_job_survives_pickling(cls):
    job = cls(prototype(), random_state=0).fit(X)
    assert np.array_equal(answer(pickle.loads(pickle.dumps(job))), answer(job))


@pytest.mark.parametrize("cls", ALL)
def test_defaults_suit_tables_and_images(cls):
    images = np.random.default_rng(0).uniform(size=(24, 4, 4))
    for given in (X, images):
        job = cls(random_state=0)
        made = cls(job.default_estimator(given).set_params(max_epochs=1, threads=1), random_state=0).fit(given)
        assert made.n_features_in_ == given[0].size


@pytest.mark.parametrize("cls", ALL)
def test_jobs_fit_in_silence(cls, caplog, capsys):
    with caplog.at_level(logging.WARNING):
        cls(prototype(), random_state=0).fit(X[:20])
    assert all("false-alarm rate" in record.message for record in caplog.records)
    assert capsys.readouterr() == ("", "")


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Job()


def test_chosen_rows_are_of_the_kind_they_were():
    index = np.array([3, 1])
    assert np.array_equal(choose(as_rows(X), index).array, X[index])
    frame = pl.DataFrame({"a": [1, 2, 3, 4]})
    assert choose(as_rows(frame), index).frame["a"].to_list() == [4, 2]
    assert choose(as_rows(frame), index).container == "polars"


def test_chosen_rows_of_a_reader_are_loaded_when_they_are_asked_for():
    class Folder:
        set_aside = ()
        asked: list = []

        def __len__(self):
            return 10

        def take(self, index):
            self.asked.append(index)
            return X[:10][index]

    folder = Folder()
    chosen = choose(folder, np.array([7, 2, 5]))
    assert len(chosen) == 3
    assert folder.asked == []
    assert np.array_equal(chosen.take(slice(1, 3)), X[[2, 5]])
    assert np.array_equal(chosen.take(np.array([0])), X[[7]])


def test_two_axes_make_a_table_and_three_make_images():
    assert is_table(X)
    assert is_table(pl.DataFrame({"a": [1.0]}))
    assert not is_table(np.zeros((2, 3, 3)))
    assert not is_table(np.zeros((2, 3, 3, 1)))


def test_a_bottleneck_that_lacks_what_a_job_needs_is_refused_by_name():
    for bottleneck in ("linear(size=2)", Linear(2)):
        with pytest.raises(
            ValueError, match=r"needs a bottleneck that can sample, got Linear\(.*Bottlenecks that can: .*Gauss"
        ):
            jobs.Generator(AutoEncoder(bottleneck=bottleneck), density=None).fit(X)
