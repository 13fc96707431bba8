"""The estimator: scikit-learn's contract, and what its users do."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import AutoEncoder
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.rows import ArrayRows

X = load_iris().data
QUICK = dict(max_epochs=3, threads=1, random_state=0)


@parametrize_with_checks([AutoEncoder(dtype="float64", max_epochs=5, threads=1)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_code_is_the_deterministic_mean():
    model = AutoEncoder(bottleneck="gaussian(size=2)", **QUICK).fit(X)
    assert np.array_equal(model.transform(X), model.transform(X))


def test_reconstruct_is_transform_then_inverse_transform():
    model = AutoEncoder(dtype="float64", bottleneck="linear(size=2)", **QUICK).fit(X)
    np.testing.assert_allclose(model.reconstruct(X), model.inverse_transform(model.transform(X)), atol=1e-10)


def test_score_samples_is_the_gaussian_log_likelihood_of_standardised_rows():
    model = AutoEncoder(dtype="float64", bottleneck="linear(size=2)", **QUICK).fit(X)
    differences = (model.reconstruct(X) - X) / X.std(0)
    expected = -0.5 * (differences**2).sum(1) - 4 * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)
    assert model.score(X) == pytest.approx(expected.mean())


def test_a_row_unlike_the_others_scores_lower():
    model = AutoEncoder(bottleneck="linear(size=1)", **QUICK).fit(X)
    odd = X.mean(0) + np.array([-3, 3, 3, -3]) * X.std(0)
    assert model.score_samples(odd[None])[0] < model.score_samples(X).min()


def test_linear_bottleneck_is_no_worse_than_pca_of_its_size_on_new_rows():
    digits = load_digits().data
    train, test = digits[:1200], digits[1200:]
    model = AutoEncoder(bottleneck="linear(size=8)", max_epochs=20, threads=1, random_state=0).fit(train)
    scale = np.where(train.std(0) > 0, train.std(0), 1)
    ours = ((model.reconstruct(test) - test) / scale) ** 2
    pca = PCA(8).fit(train / scale)
    theirs = (pca.inverse_transform(pca.transform(test / scale)) - test / scale) ** 2
    assert ours.sum(1).mean() < theirs.sum(1).mean()


def test_float32_in_float32_out():
    model = AutoEncoder(**QUICK).fit(X.astype(np.float32))
    assert model.transform(X.astype(np.float32)).dtype == np.float32
    assert model.transform(X).dtype == np.float64


def test_prototypes_are_cloned_and_stay_unbuilt():
    encoder, bottleneck = MLPEncoder((8,)), Linear(2)
    model = AutoEncoder(bottleneck=bottleneck, encoder=encoder, **QUICK).fit(X)
    assert encoder.facts is None
    assert bottleneck.facts is None
    assert model.module_.encoder is not encoder
    assert clone(model).get_params()["encoder__hidden"] == (8,)


def test_parts_by_name_and_as_instances_are_the_same_model():
    named = AutoEncoder(bottleneck="linear(size=2)", encoder="mlp_encoder(hidden=(8,))", **QUICK).fit(X)
    given = AutoEncoder(bottleneck=Linear(2), encoder=MLPEncoder((8,)), **QUICK).fit(X)
    assert np.array_equal(named.transform(X), given.transform(X))


def test_set_params_reaches_into_a_part_given_by_name():
    model = AutoEncoder(bottleneck="gaussian(size=3)").set_params(bottleneck__beta=4.0, max_epochs=7)
    assert repr(model.bottleneck) == "Gaussian(beta=4.0, size=3)"
    assert model.max_epochs == 7
    with pytest.raises(ValueError, match="Invalid parameter"):
        model.set_params(bottleneck__depth=1)


def test_grid_search_over_the_size_of_the_code_prefers_more():
    search = GridSearchCV(AutoEncoder(bottleneck=Linear(1), **QUICK), {"bottleneck__size": [1, 3]}, cv=2).fit(X)
    assert search.best_params_ == {"bottleneck__size": 3}


def test_a_pipeline_classifies_by_the_code():
    labels = load_iris().target
    line = make_pipeline(StandardScaler(), AutoEncoder(bottleneck="linear(size=2)", **QUICK), LogisticRegression())
    assert line.fit(X, labels).score(X, labels) > 0.85


def test_set_output_gives_frames_with_names():
    model = AutoEncoder(bottleneck="linear(size=2)", **QUICK).set_output(transform="pandas").fit(X)
    frame = model.transform(X)
    assert list(frame.columns) == ["autoencoder0", "autoencoder1"]
    assert list(model.get_feature_names_out()) == ["autoencoder0", "autoencoder1"]


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_frames_come_back_as_they_were(container):
    frame = container({"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", "y", "x", "y"], "c": [True, False, True, True]})
    model = AutoEncoder(bottleneck="linear(size=2)", **QUICK).fit(frame)
    back = model.reconstruct(frame)
    assert type(back) is container
    assert list(back.columns) == ["a", "b", "c"]
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    assert set(back["b"]) <= {"x", "y"}


def test_sample_needs_a_prior():
    model = AutoEncoder(bottleneck="linear(size=2)", **QUICK).fit(X)
    with pytest.raises(ValueError, match=r"Linear\(size=2\) cannot sample. Bottlenecks that can: .*Gaussian"):
        model.sample(3)


def test_samples_are_repeatable_and_look_like_the_data():
    model = AutoEncoder(bottleneck="gaussian(size=2, beta=0.1)", max_epochs=30, threads=1, random_state=0).fit(X)
    drawn = model.sample(500, random_state=1)
    assert np.array_equal(drawn, model.sample(500, random_state=1))
    assert not np.array_equal(drawn, model.sample(500, random_state=2))
    assert (np.abs(drawn.mean(0) - X.mean(0)) < 0.5 * X.std(0)).all()


def test_partial_fit_learns_more_from_more_passes():
    model = AutoEncoder(bottleneck="linear(size=1)", threads=1, random_state=0)
    scores = [model.partial_fit(X).score(X) for _ in range(20)]
    assert scores[-1] > scores[0]
    assert len(model.history_) == 20
    assert model.options_.constant


def test_partial_fit_goes_on_from_a_fit():
    model = AutoEncoder(bottleneck="linear(size=1)", **QUICK).fit(X)
    before = model.score(X)
    for _ in range(10):
        model.partial_fit(X)
    assert model.score(X) > before


def test_partial_fit_is_repeatable():
    codes = [AutoEncoder(threads=1, random_state=0).partial_fit(X).partial_fit(X[:50]).transform(X) for _ in range(2)]
    assert np.array_equal(*codes)


def test_a_fitted_model_can_be_pickled_by_scikit_learns_tools():
    model = AutoEncoder(**QUICK).fit(X)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).transform(X), model.transform(X))


def test_batches_of_any_size_score_alike(monkeypatch):
    model = AutoEncoder(dtype="float64", **QUICK).fit(X)
    whole = model.score_samples(X)
    np.testing.assert_allclose([model.score_samples(row[None])[0] for row in X[:7]], whole[:7], rtol=1e-9)
    monkeypatch.setattr("isthmus.inference.PIECE_BYTES", 1)
    np.testing.assert_allclose(model.score_samples(X), whole, rtol=1e-9)


def test_rows_that_do_not_fit_in_memory_are_streamed_and_give_the_same_model(monkeypatch):
    images = load_digits().images[:100].astype(np.uint8)
    resident = AutoEncoder(**QUICK).fit(images).transform(images)
    monkeypatch.setattr("isthmus.data.COPY_BYTES", 0)
    assert np.array_equal(AutoEncoder(**QUICK).fit(images).transform(images), resident)


def test_rows_that_lie_in_a_file_are_read_in_blocks_and_score_alike(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    model = AutoEncoder(dtype="float64", **QUICK).fit(X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr("isthmus.data.BLOCK_BYTES", 7 * 4 * 8)
    rows = ArrayRows(mapped)
    np.testing.assert_allclose(model.score_samples(rows), model.score_samples(X), rtol=1e-9)
    np.testing.assert_allclose(model.transform(rows), model.transform(X), rtol=1e-9)
    np.testing.assert_allclose(model.reconstruct(rows), model.reconstruct(X), rtol=1e-9)


def test_bfloat16_is_close_to_float32():
    half = AutoEncoder(dtype="bfloat16", **QUICK).fit(X)
    full = AutoEncoder(dtype="float32", **QUICK).fit(X)
    assert next(half.module_.parameters()).dtype == torch.float32
    assert half.score(X) == pytest.approx(full.score(X), abs=0.1)


def test_images_go_in_and_out_as_they_were():
    images = (load_digits().images[:60] * 15).astype(np.uint8)
    model = AutoEncoder(bottleneck=Gaussian(4), **QUICK).fit(images)
    assert model.transform(images).shape == (60, 4)
    assert model.reconstruct(images).shape == images.shape
    assert model.reconstruct(images).dtype == np.uint8
    assert model.sample(5).shape == (5, 8, 8)


def test_a_map_of_codes_is_flattened_and_comes_back():
    images = load_digits().images[:40]
    model = AutoEncoder(
        bottleneck=Linear(3), encoder=ConvEncoder((4,), flatten=False), decoder=ConvDecoder((4,)), **QUICK
    ).fit(images)
    codes = model.transform(images)
    assert model.code_shape_ == (4, 4, 3)
    assert codes.shape == (40, 48)
    assert model.inverse_transform(codes).shape == images.shape


def test_a_decoder_need_not_mirror_the_encoder():
    images = load_digits().images[:40]
    model = AutoEncoder(encoder=ConvEncoder((4,)), decoder=MLPDecoder((16,)), **QUICK).fit(images)
    assert model.reconstruct(images).shape == images.shape


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1, or None, got 0"),
        ({"max_epochs": "many"}, "max_epochs must be a whole number of at least 1, or None, got 'many'"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"learning_rate": -1.0}, "learning_rate must be a number above 0, or None, got -1.0"),
        ({"ema": 1.0}, "ema must be a number of at least 0 and below 1"),
        ({"weight_decay": -1.0}, "weight_decay must be a number of at least 0"),
        ({"dtype": "float16"}, "dtype must be 'auto' or one of"),
        ({"bottleneck": "nothing"}, "no part is called 'nothing'"),
        ({"bottleneck": "linear(size=0)"}, "size"),
        ({"encoder": "conv_encoder"}, "needs images"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        AutoEncoder(**QUICK | params).fit(X)


def test_a_thing_that_is_no_part_is_refused():
    with pytest.raises(TypeError, match="bottlenecks take a part or its name, got int"):
        AutoEncoder(bottleneck=3, **QUICK).fit(X)


def test_nothing_works_before_fit():
    for method, argument in (("transform", X), ("inverse_transform", X), ("score_samples", X), ("sample", 3)):
        with pytest.raises(NotFittedError):
            getattr(AutoEncoder(), method)(argument)


def test_codes_of_the_wrong_size_are_refused():
    model = AutoEncoder(bottleneck="linear(size=2)", **QUICK).fit(X)
    with pytest.raises(ValueError, match=r"expected codes of shape \(n, 2\), got \(150, 4\)"):
        model.inverse_transform(X)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_fit_on_a_gpu_scores_the_same_on_the_processor():
    model = AutoEncoder(device="cuda", dtype="float32", **QUICK).fit(X)
    scores = model.score_samples(X)
    model.module_.to("cpu")
    model.device = "cpu"
    np.testing.assert_allclose(model.score_samples(X), scores, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "grid"),
    [
        ({"bottleneck": "vector_quantizer(symbols=8)"}, {"bottleneck__symbols": [4, 8]}),
        ({"bottleneck": "grouped(quantizer=finite_scalar)"}, {"bottleneck__groups": [2, 3]}),
        ({"bottleneck": "one_hot"}, {"bottleneck__size": [3, 5]}),
        ({"bottleneck": "gaussian(size=2, prior=mixture)"}, {"bottleneck__prior__components": [1, 3]}),
        (
            {"bottleneck": "split(factors={'a': linear(size=1), 'b': binary(size=3)})"},
            {"bottleneck__factors__a__size": [1, 2]},
        ),
        ({"bottleneck": "gaussian(size=2)", "objective": "importance_weighted"}, {"objective__draws": [1, 3]}),
        ({"corruption": "mask"}, {"corruption__share": [0.1, 0.5]}),
        ({"encoder": "mlp_encoder(shortcut=False, mirrored=True)"}, {"encoder__hidden": [(8,), (8, 8)]}),
        ({}, {"penalties": [(), ("mmd",), ("adversarial_prior(hidden=(8,))",)]}),
    ],
)
def test_every_slot_can_be_searched(parts, grid):
    X = np.random.default_rng(0).normal(size=(40, 5))
    model = AutoEncoder(**parts, max_epochs=1, threads=1, random_state=0)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
