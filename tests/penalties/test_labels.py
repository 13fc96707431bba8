"""Labels on the code: read where they should be, unreadable where they should not."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from isthmus import AutoEncoder
from isthmus.batch import Batch, Code, Step
from isthmus.penalties import LabelClassifier


def step_of(z, labels, mask=None):
    batch = Batch(z.new_zeros(*z.shape[:-1], 1), mask, labels)
    return Step(batch, batch, None, Code(z, z.new_zeros(len(z))), None)


def test_the_cost_is_the_cross_entropy_of_labels_that_are_known():
    penalty = LabelClassifier(2.0, hidden=(5,)).build(code=[3], labels=4)
    z, labels = torch.randn(5, 3), torch.tensor([0, -1, 3, 1, -1])
    nats = penalty(step_of(z, labels))
    logits = penalty.player(z)
    for i, label in enumerate(labels.tolist()):
        wanted = torch.zeros(()) if label < 0 else -2.0 * logits[i].log_softmax(0)[label]
        torch.testing.assert_close(nats[i], wanted)


def test_logits_are_averaged_over_the_positions_that_hold_data():
    penalty = LabelClassifier(hidden=()).build(code=[3, 2], labels=2)
    z, labels = torch.randn(2, 3, 2), torch.tensor([0, 1])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    logits = torch.stack([penalty.player(z[0, :2]).mean(0), penalty.player(z[1]).mean(0)])
    torch.testing.assert_close(penalty(step_of(z, labels, mask)), F.cross_entropy(logits, labels, reduction="none"))


def test_confusion_is_nothing_for_a_classifier_that_does_not_know_and_more_for_one_that_does():
    penalty = LabelClassifier(1.0, adversarial=True, hidden=(), updates="alternating").build(code=[2], labels=3)
    penalty.player.after_step(0.0)
    layer = penalty.player.critic.layers[0]
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([1.0, 1.0, 1.0]))
    labels = torch.tensor([0, 2, -1])
    assert penalty(step_of(torch.randn(3, 2), labels)).abs().max() < 1e-6
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([0.7, 0.2, 0.1]).log())
    wanted = -sum(math.log(p) for p in (0.7, 0.2, 0.1)) / 3 - math.log(3)
    assert penalty(step_of(torch.randn(3, 2), labels)).tolist() == pytest.approx([wanted, wanted, 0.0], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("adversarial", "best", "least"), [(True, 0.75, 0.0), (False, 1.0, 0.95)])
def test_a_code_hides_the_label_or_shows_it(adversarial, best, least):
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    # The label is one of six directions of equal variance, and the code has three.
    X = np.column_stack([2.0 * y - 1, random.normal(size=(400, 5))])
    penalty = LabelClassifier(10.0, adversarial=adversarial, hidden=(32,))
    model = AutoEncoder(
        bottleneck="linear(size=3)", penalties=[penalty], max_epochs=40, batch_size=50, threads=1, random_state=0
    )
    z = model.fit(X, np.where(np.arange(400) % 5 == 0, -1, y)).transform(X)
    score = LogisticRegression().fit(z[:200], y[:200]).score(z[200:], y[200:])
    assert least <= score <= best
    assert model.module_.is_game == adversarial


def test_labels_are_asked_for():
    X = np.random.default_rng(0).normal(size=(30, 4))
    with pytest.raises(ValueError, match="needs labels"):
        AutoEncoder(penalties=["label_classifier"], max_epochs=1).fit(X)
    with pytest.raises(ValueError, match="needs labels of at least 2 classes, got 1"):
        LabelClassifier().build(code=[2], labels=1)
    penalty = LabelClassifier().build(code=[2], labels=2)
    with pytest.raises(ValueError, match="needs labels, got none"):
        penalty(step_of(torch.zeros(3, 2), None))
