"""Labels that few rows have: what is learned from them, from the others, and what is kept."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import AutoEncoder
from isthmus.checks import check_job
from isthmus.corruptions import GaussianNoise, Mask
from isthmus.jobs import PretrainedClassifier, PretrainedRegressor
from isthmus.networks import MLPEncoder
from isthmus.saving import load, save

QUICK = dict(threads=1, random_state=0)
DIGITS = load_digits()
X, Y = DIGITS.images[:300], DIGITS.target[:300]
FEW = np.where(np.arange(300) % 5 == 0, Y, -1)


def prototype(**params) -> AutoEncoder:
    """Return an auto-encoder with a wide code and narrow layers."""
    given = dict(bottleneck="linear(size=8, activation='silu')", corruption=GaussianNoise(0.2)) | QUICK
    return AutoEncoder(**given | dict(encoder=MLPEncoder((16,)), max_epochs=2) | params)


def classifier(**params) -> PretrainedClassifier:
    return PretrainedClassifier(prototype(), **dict(unlabelled=-1, max_epochs=3, random_state=0) | params)


def standard(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return what a head is given: mean 0 and variance 1 over labelled rows, but for units that hardly move."""
    seen = values[known]
    spread = seen.std(0)
    floor = max(0.1 * np.sqrt((spread**2).mean()), 0.01 * np.sqrt((seen**2).mean()))
    return (values - seen.mean(0)) / np.maximum(spread, floor)


@parametrize_with_checks(
    [
        PretrainedClassifier(prototype(dtype="float64", max_epochs=1), max_epochs=15, learning_rate=0.02),
        PretrainedRegressor(prototype(dtype="float64", max_epochs=1), max_epochs=15, learning_rate=0.02),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("cls", [PretrainedClassifier, PretrainedRegressor])
def test_the_contract_holds_with_an_estimator_of_the_callers(cls):
    check_job(cls(prototype(), max_epochs=2), X=np.random.default_rng(0).normal(size=(40, 5)))


def test_rows_without_a_label_are_marked_in_any_of_three_ways():
    marked = [
        ("unlabelled=-1", -1, FEW),
        ("None", None, [None if label < 0 else int(label) for label in FEW]),
        ("NaN", None, np.where(FEW < 0, np.nan, FEW)),
    ]
    answers = []
    for _, sign, labels in marked:
        job = classifier(unlabelled=sign).fit(X, labels)
        assert job.classes_.tolist() == list(range(10))
        answers.append(job.predict_proba(X[:20]))
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_without_a_sign_minus_one_is_a_class():
    job = classifier(unlabelled=None).fit(X, FEW)
    assert job.classes_.tolist() == list(range(-1, 10))


def test_classes_of_text_come_back_as_text():
    names = np.array(["even", "odd"])[Y % 2]
    labels = np.where(np.arange(300) % 3 == 0, names, "?")
    job = classifier(unlabelled="?", max_epochs=20, learning_rate=5e-3).fit(X, labels)
    assert job.classes_.tolist() == ["even", "odd"]
    assert job.score(X, names) > 0.8


def test_the_code_is_learned_from_rows_without_labels_too():
    seen = classifier().fit(X, FEW).estimator_
    assert seen.options_.max_epochs == 2
    assert np.array_equal(seen.transform(X[:5]), prototype().fit(X).transform(X[:5]))


def test_fine_tuning_leaves_the_auto_encoder_as_it_was_and_changes_the_networks_encoder():
    job = classifier().fit(X, FEW)
    before, after = job.estimator_.module_.encoder.state_dict(), job.network_.encoder.state_dict()
    assert torch.equal(before["body.layers.0.0.weight"], prototype().fit(X).module_.encoder.body.linears[0].weight)
    assert not torch.equal(before["body.layers.0.0.weight"], after["body.layers.0.0.weight"])


def test_a_linear_head_is_scikit_learns_logistic_regression_on_the_code():
    job = classifier(head="linear", layer="code").fit(X, FEW)
    codes = standard(job.estimator_.transform(X), FEW >= 0)
    expected = LogisticRegression(max_iter=1_000).fit(codes[FEW >= 0], FEW[FEW >= 0])
    assert np.allclose(job.predict_proba(X), expected.predict_proba(codes), atol=1e-3)
    assert job.head_history_ == []


def test_by_default_the_head_reads_the_encoders_features_standardised():
    job = classifier(head="linear").fit(X, FEW)
    module = job.estimator_.module_
    with torch.no_grad():
        features = module.encoder(module.modality.expand(module.modality.to_batch(job._rows(X)))).double().numpy()
    features = standard(features, FEW >= 0)
    expected = LogisticRegression(max_iter=1_000).fit(features[FEW >= 0], FEW[FEW >= 0])
    assert np.allclose(job.predict_proba(X), expected.predict_proba(features), atol=1e-3)


def test_features_with_positions_are_averaged_over_them():
    model = prototype(encoder="conv_encoder(channels=(4,), flatten=False)", decoder="conv_decoder(channels=(4,))")
    job = PretrainedClassifier(model, unlabelled=-1, max_epochs=1, random_state=0).fit(X, FEW)
    assert job.network_.head.in_features == 4


def test_a_linear_head_of_two_classes_agrees_too():
    job = classifier(head="linear", layer="code").fit(X, np.where(FEW < 0, -1, FEW % 2))
    codes = standard(job.estimator_.transform(X), FEW >= 0)
    expected = LogisticRegression(max_iter=1_000).fit(codes[FEW >= 0], FEW[FEW >= 0] % 2)
    assert np.allclose(job.predict_proba(X), expected.predict_proba(codes), atol=1e-3)


def test_a_linear_head_for_numbers_is_ridge_regression_on_the_code():
    table, target = load_diabetes(return_X_y=True)
    few = np.where(np.arange(len(target)) % 3 == 0, target, np.nan)
    known = np.isfinite(few)
    job = PretrainedRegressor(prototype(), head="linear", layer="code").fit(table, few)
    codes = standard(job.estimator_.transform(table), known)
    ridge = Ridge().fit(codes[known], (few[known] - few[known].mean()) / few[known].std())
    expected = few[known].mean() + few[known].std() * ridge.predict(codes)
    assert np.allclose(job.predict(table), expected, rtol=1e-4)
    assert job.score(table, target) > 0.2


def test_not_pre_trained_is_random_weights_and_no_history():
    job = classifier(strategy="none").fit(X, FEW)
    assert job.estimator_.history_ == []
    assert len(job.head_history_) == 3
    other = prototype().build(X)
    assert np.array_equal(job.estimator_.transform(X[:5]), other.transform(X[:5]))


def test_an_auto_encoder_that_is_fitted_is_taken_as_it_is():
    fitted = prototype().fit(X)
    job = PretrainedClassifier(fitted, strategy="fitted", unlabelled=-1, max_epochs=2, random_state=0)
    # Fifty labelled rows are enough once the code is there.
    job.fit(X[FEW >= 0], FEW[FEW >= 0])
    assert job.estimator_ is fitted
    assert np.array_equal(fitted.transform(X[:5]), prototype().fit(X).transform(X[:5]))
    with pytest.raises(NotFittedError):
        clone(job).fit(X, FEW)
    with pytest.raises(ValueError, match="64 features"):
        job.fit(np.zeros((4, 5)), [0, 1, 0, 1])


def test_with_a_thousand_labels_a_tenth_is_held_out_and_with_fewer_none():
    images, labels = DIGITS.images, DIGITS.target
    assert "validation_cost" in classifier(max_epochs=1).fit(images, labels).head_history_[-1]
    assert "validation_cost" not in classifier(max_epochs=1).fit(X, Y).head_history_[-1]


def test_consistency_trains_on_rows_without_labels_as_well():
    alone = classifier(max_epochs=1).fit(X, FEW)
    both = classifier(max_epochs=1, consistency=1.0).fit(X, FEW)
    # 60 labelled rows in batches of 16, or 240 others and as many repeats of these in batches of 16.
    assert alone.head_history_[-1]["step"] == 4
    assert both.head_history_[-1]["step"] == 30
    everything = classifier(max_epochs=1, consistency=1.0).fit(X, Y)
    assert everything.head_history_[-1]["step"] == classifier(max_epochs=1).fit(X, Y).head_history_[-1]["step"]


@pytest.mark.parametrize(("head", "layer"), [("fine_tune", "features"), ("linear", "code"), ("fine_tune", "code")])
def test_a_saved_job_predicts_the_same(tmp_path, head, layer):
    job = classifier(head=head, layer=layer).fit(X, FEW)
    save(job, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(job.predict_proba(X), again.predict_proba(X))
    assert np.array_equal(job.estimator_.reconstruct(X[:3]), again.estimator_.reconstruct(X[:3]))
    assert again.head_history_ == job.head_history_


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a"]}, "classes should be at least two"),
        ({"classes": ["a", 1]}, "classes should be at least two"),
        ({"head_history": 3}, "head_history is not a list"),
        ({"network.head.bias": np.zeros(3)}, r"weights 'head.bias' .* of \(10,\)"),
        ({"network.head.bias": np.full(10, np.nan)}, "should be finite"),
    ],
)
def test_a_state_that_no_fit_left_behind_is_refused(changes, message):
    job = classifier(head="linear").fit(X, FEW)
    other = classifier()
    other.estimator_ = job.estimator_
    with pytest.raises(ValueError, match=message):
        other.restore(job.state() | changes)


def test_compare_gives_the_network_without_pre_training_and_both_baselines():
    rows = classifier(max_epochs=1).compare(X[:200], X[200:], Y[200:], y_train=FEW[:200])
    assert [row["method"] for row in rows] == [
        "auto-encoder",
        "same network, labelled rows alone",
        "logistic regression",
        "nearest on PCA",
    ]
    assert all(0 <= row["score"] <= 1 for row in rows)
    with pytest.raises(ValueError, match="needs the labels of both"):
        classifier().compare(X, X, Y)


@pytest.mark.parametrize(
    ("params", "labels", "message"),
    [
        ({"strategy": "greedy"}, FEW, "strategy must be one of"),
        ({"head": "svm"}, FEW, "head must be one of"),
        ({"layer": "output"}, FEW, "layer must be one of"),
        ({"consistency": -1.0}, FEW, "consistency must be a number of at least 0"),
        ({"dropout": 1.0}, FEW, "dropout must be"),
        ({"smoothing": 1.0}, FEW, "smoothing must be"),
        ({"learning_rate": 0.0}, FEW, "learning_rate must be a number above 0"),
        ({"max_epochs": 0}, FEW, "max_epochs must be a whole number"),
        ({}, np.full(300, -1), "none of the 300 rows has a label"),
        ({}, np.where(FEW < 0, -1, 3), "of 1 class, 3"),
        ({}, FEW[:10], "y must be one label for each of 300 rows, got 10"),
        ({}, Y + 0.5, "continuous"),
    ],
)
def test_what_cannot_be_learned_is_refused(params, labels, message):
    with pytest.raises(ValueError, match=message):
        classifier(**params).fit(X, labels)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="y must be numbers"):
        PretrainedRegressor(prototype()).fit(X, ["a"] * 300)
    with pytest.raises(ValueError, match="contains infinity"):
        PretrainedRegressor(prototype()).fit(X, np.full(300, np.inf))
    with pytest.raises(ValueError, match="none of the 300 rows has a number"):
        PretrainedRegressor(prototype()).fit(X, [None] * 300)


def test_before_fitting_there_is_nothing_to_ask():
    for job in (PretrainedClassifier(), PretrainedRegressor()):
        with pytest.raises(NotFittedError):
            job.predict(X)


def test_tables_of_mixed_columns_can_be_pre_trained_on():
    frame = pl.DataFrame({"size": np.arange(60.0), "kind": ["a", "b", None] * 20})
    labels = ["yes" if i % 2 else "no" for i in range(30)] + [None] * 30
    job = PretrainedClassifier(prototype(corruption="swap_rows"), max_epochs=2).fit(frame, labels)
    assert set(job.predict(frame)) <= {"yes", "no"}


def test_a_clone_is_a_prototype_and_a_seed_repeats():
    job = classifier().fit(X, FEW)
    copy = clone(job)
    assert not hasattr(copy, "network_")
    assert np.array_equal(copy.fit(X, FEW).predict_proba(X[:9]), job.predict_proba(X[:9]))


def test_a_mask_that_hides_while_training_hides_nothing_when_asked():
    job = PretrainedClassifier(prototype(corruption=Mask(0.5)), unlabelled=-1, max_epochs=2, random_state=0).fit(X, FEW)
    assert np.array_equal(job.predict_proba(X[:9]), job.predict_proba(X[:9]))
