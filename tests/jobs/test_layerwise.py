"""Greedy training: every layer learns, in turn, and the stack is an auto-encoder."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from isthmus import AutoEncoder
from isthmus.corruptions import Affine, GaussianNoise, Mask
from isthmus.jobs import PretrainedClassifier
from isthmus.networks import MLPDecoder, MLPEncoder

X, Y = load_digits().images[:200], load_digits().target[:200]
FEW = np.where(np.arange(200) % 4 == 0, Y, -1)


def stack(**params) -> AutoEncoder:
    given = dict(
        encoder=MLPEncoder((32, 24), activation="sigmoid", shortcut=False),
        bottleneck="linear(size=16, activation='sigmoid')",
        decoder=MLPDecoder((32,), shortcut=False),
        corruption=GaussianNoise(0.1),
        max_epochs=4,
        threads=1,
        random_state=0,
    )
    return AutoEncoder(**given | params)


def layerwise(estimator, **params) -> PretrainedClassifier:
    job = PretrainedClassifier(
        estimator, strategy="layerwise", head="linear", layer="code", unlabelled=-1, random_state=0, **params
    )
    return job.fit(X, FEW)


def weights(model) -> list[torch.Tensor]:
    module = model.module_
    return [linear.weight for linear in (*module.encoder.body.linears, module.bottleneck.linear)]


def test_every_layer_has_moved_from_its_random_start():
    fitted, built = layerwise(stack()).estimator_, stack().build(X)
    for after, before in zip(weights(fitted), weights(built), strict=True):
        assert after.shape == before.shape
        assert not torch.equal(after, before)


def test_a_layer_does_not_depend_on_those_above_it():
    low = layerwise(stack()).estimator_
    other = layerwise(stack(bottleneck="linear(size=5, activation='tanh')")).estimator_
    seeds_apart = [torch.equal(a, b) for a, b in zip(weights(low), weights(other), strict=True)]
    # The first weights are drawn before the code's size matters, and are trained before the code is.
    assert seeds_apart == [True, True, False]


@pytest.mark.slow
def test_the_stack_gives_rows_back_better_than_their_mean():
    model = layerwise(stack(max_epochs=12, learning_rate=0.02, batch_size=16)).estimator_
    error = ((model.reconstruct(X) - X) ** 2).sum((1, 2)).mean()
    assert error < 0.8 * ((X - X.mean(0)) ** 2).sum((1, 2)).mean()


def test_the_history_is_that_of_the_whole_and_its_weights_can_be_trained_on():
    model = layerwise(stack()).estimator_
    assert model.history_[-1]["epoch"] == 4
    assert all(parameter.requires_grad for parameter in model.module_.parameters())


def test_corruptions_of_images_are_put_on_the_first_layer_alone():
    for corruption in (Affine(), Mask(0.25)):
        model = layerwise(stack(corruption=corruption, max_epochs=1)).estimator_
        assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": MLPEncoder((32,))},
        {"encoder": MLPEncoder((32, 32), shortcut=False, residual=True)},
        {"encoder": None},
        {"bottleneck": "gaussian(size=4)"},
    ],
)
def test_what_is_no_plain_stack_is_refused(changes):
    with pytest.raises(ValueError, match="trains one layer after another"):
        layerwise(stack(**changes))
