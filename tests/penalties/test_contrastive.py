"""InfoNCE within sequences, against loops over every candidate."""

import math

import numpy as np
import pytest
import torch

from isthmus import AutoEncoder
from isthmus.batch import Batch, Code, Step
from isthmus.networks import ConvEncoder
from isthmus.penalties import ContrastivePrediction, NextItem

RAGGED = torch.tensor([[True, True, True, True], [True, True, False, False], [True, True, True, False]])


def step_of(z, mask=None):
    batch = Batch(z.new_zeros(*z.shape[:-1], 1), mask)
    return Step(batch, batch, None, Code(z, z.new_zeros(len(z))), None)


def told(wanted, others):
    """Return minus the log of the wanted candidate's share."""
    scores = torch.stack([wanted, *others])
    return scores.logsumexp(0) - wanted


@pytest.mark.parametrize("mask", [None, RAGGED], ids=["whole", "ragged"])
def test_codes_ahead_are_told_from_those_of_other_examples_at_the_same_place(mask):
    torch.manual_seed(0)
    penalty = ContrastivePrediction(2.0, ahead=2, context=5).build(code=[4, 3])
    z = torch.randn(3, 4, 3)
    real = torch.ones(3, 4, dtype=torch.bool) if mask is None else mask
    contexts, _ = penalty.recurrent(z)
    wanted = torch.zeros(3)
    for k, predict in enumerate(penalty.steps, 1):
        for i in range(3):
            for t in range(4 - k):
                if not (real[i, t] and real[i, t + k]):
                    continue
                scores = z[:, t + k] @ predict(contexts[i, t])
                others = [scores[j] for j in range(3) if j != i and real[j, t + k]]
                wanted[i] += 2.0 * told(scores[i], others) / 2
    torch.testing.assert_close(penalty(step_of(z, mask)), wanted)


@pytest.mark.parametrize("mask", [None, RAGGED], ids=["whole", "ragged"])
def test_neighbours_are_told_from_the_example_s_other_items_and_from_other_examples(mask):
    torch.manual_seed(0)
    penalty = NextItem(2.0, size=5).build(code=[4, 3])
    z = torch.randn(3, 4, 3)
    real = torch.ones(3, 4, dtype=torch.bool) if mask is None else mask
    read, offered = penalty.reader(z), penalty.candidate(z)
    wanted = torch.zeros(3)
    for offset in (1, -1):
        for i in range(3):
            for t in range(4):
                near = t + offset
                if not 0 <= near < 4 or not (real[i, t] and real[i, near]):
                    continue
                others = [read[i, t] @ offered[i, s] for s in range(4) if s not in (t, near) and real[i, s]]
                others += [read[i, t] @ offered[j, near] for j in range(3) if j != i and real[j, near]]
                wanted[i] += 2.0 * told(read[i, t] @ offered[i, near], others)
    torch.testing.assert_close(penalty(step_of(z, mask)), wanted)


@pytest.mark.parametrize("penalty", [ContrastivePrediction(context=4), NextItem(size=4)])
def test_a_sequence_with_nothing_in_it_costs_nothing_and_its_gradient_is_finite(penalty):
    penalty.build(code=[4, 3])
    z = torch.randn(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[False] * 4, [True, False, False, False]])
    nats = penalty(step_of(z, mask))
    nats.sum().backward()
    assert nats.tolist() == [0.0, 0.0]
    assert z.grad.isfinite().all()


def test_codes_that_say_nothing_cost_the_logarithm_of_the_candidates():
    z = torch.zeros(8, 3, 2)
    ahead = ContrastivePrediction(ahead=1).build(code=[3, 2])(step_of(z))
    assert ahead.tolist() == pytest.approx([2 * math.log(8)] * 8)
    neighbours = NextItem(backward=False).build(code=[3, 2])(step_of(z))
    assert neighbours.tolist() == pytest.approx([2 * math.log(2 + 7)] * 8)


def test_a_map_is_read_row_by_row():
    penalty = ContrastivePrediction(ahead=2).build(code=[2, 3, 4])
    z = torch.randn(5, 2, 3, 4)
    torch.testing.assert_close(penalty(step_of(z)), penalty(step_of(z.reshape(5, 6, 4))))


def test_looking_further_than_a_sequence_reaches_is_cut():
    assert len(ContrastivePrediction(ahead=9).build(code=[4, 3]).steps) == 3
    shorter = torch.randn(2, 1, 3)
    assert ContrastivePrediction().build(code=[4, 3])(step_of(shorter)).tolist() == [0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [ContrastivePrediction(30.0, ahead=1), NextItem(30.0)])
def test_a_code_keeps_what_is_shared_along_an_image_and_drops_what_is_not(penalty):
    random = np.random.default_rng(0)
    # A grey level for the whole image, and louder noise in each of its four patches.
    shared = random.normal(size=(256, 1, 1))
    patches = random.normal(size=(256, 4, 4)).repeat(4, 1).repeat(4, 2)[:, :8, :8]
    X = shared + 1.5 * patches
    found = []
    for penalties in ([], [penalty]):
        model = AutoEncoder(
            encoder=ConvEncoder((8, 8), flatten=False), bottleneck="linear(size=1)", penalties=penalties,
            max_epochs=30, batch_size=64, threads=1, random_state=0,
        )  # fmt: skip
        z = model.fit(X).transform(X)
        assert model.code_shape_ == (2, 2, 1)
        found.append(abs(np.corrcoef(z[:, 0], z[:, 3])[0, 1]))
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(
    ("penalty", "code", "message"),
    [
        (ContrastivePrediction(), [5], "at least 2 positions, got a code of shape .5.. Use an encoder that keeps"),
        (NextItem(), [1, 5], "next_item needs codes with at least 2 positions"),
        (ContrastivePrediction(ahead=0), [3, 2], "ahead and context must be at least 1, got 0 and 64"),
        (NextItem(size=0), [3, 2], "size must be at least 1, got 0"),
        (NextItem(-1.0), [3, 2], "weight must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused(penalty, code, message):
    with pytest.raises(ValueError, match=message):
        penalty.build(code=code)
