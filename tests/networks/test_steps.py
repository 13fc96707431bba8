"""What networks over sequences share: masks and lengths, codes spread over time, teacher forcing."""

import math

import pytest
import torch

from isthmus.batch import Batch
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.networks.steps import TeacherForcing, one_later, positions, read_steps, spread, steps_within


def test_a_length_is_one_more_than_the_last_observed_step():
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    x, lengths = read_steps(Batch(torch.ones(3, 4, 2), mask), missing=False)
    assert lengths.tolist() == [3, 0, 4]
    assert x[:, :, 0].tolist() == mask.float().tolist()


def test_a_step_is_observed_if_one_of_its_values_is():
    mask = torch.zeros(1, 3, 2, dtype=torch.bool)
    mask[0, 1, 1] = True
    x, lengths = read_steps(Batch(torch.ones(1, 3, 2), mask), missing=True)
    assert lengths.tolist() == [2]
    assert x[0].tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]


def test_without_a_mask_all_is_observed():
    x, lengths = read_steps(Batch(torch.zeros(1, 2, 1)), missing=True)
    assert x.tolist() == [[[0, 1], [0, 1]]]
    assert lengths is None
    assert steps_within(lengths, 2) is None


def test_sinusoids_are_those_of_the_paper():
    found = positions(5, 6)
    for step in range(5):
        for i in range(3):
            angle = step / 10_000 ** (2 * i / 6)
            assert found[step, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[step, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_a_code_of_a_part_of_time_is_at_each_of_its_steps():
    z = torch.arange(2.0).view(1, 2, 1)
    assert spread(z, 5).flatten().tolist() == [0, 0, 0, 1, 1]
    assert spread(torch.ones(1, 3), 2).shape == (1, 2, 3)


def test_a_code_of_an_image_is_no_code_of_a_series():
    with pytest.raises(ValueError, match=r"a code \(d,\) or \(t, d\), got one of shape \(2, 2, 3\)"):
        spread(torch.zeros(1, 2, 2, 3), 4)


def forcing(hidden=0.0, loss=None):
    made = TeacherForcing(hidden)
    made.listen((loss or GaussianLikelihood()).build(shape=[4, 1]))
    return made


def test_each_step_is_told_the_one_before_and_the_first_nothing():
    told = forcing().told(Batch(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])))
    assert one_later(told).tolist() == [[[0, 0], [1, 1], [2, 1], [3, 1]]]


def test_what_was_not_observed_is_not_told():
    mask = torch.tensor([[True, False, True, True]])
    told = forcing().told(Batch(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]), mask))
    assert one_later(told).tolist() == [[[0, 0], [1, 1], [0, 0], [3, 1]]]


def test_hidden_steps_are_as_many_as_asked_for():
    torch.manual_seed(0)
    told = forcing(0.3).told(Batch(torch.ones(500, 40, 1)))
    assert 1 - told[:, :, 1].mean() == pytest.approx(0.3, abs=0.01)


def test_the_share_of_hidden_steps_moves_evenly_over_training():
    made = forcing((0.2, 1.0))
    shares = []
    for progress in (0.0, 0.5, 1.0):
        made.after_step(progress)
        shares.append(float(made.share))
    assert shares == pytest.approx([0.2, 0.6, 1.0])


def test_own_outputs_are_told_as_targets_of_those_values_are():
    made = forcing(loss=BernoulliLikelihood())
    output = torch.tensor([[[0.7]]])
    assert torch.equal(made.own(output)[..., :1], 4 * (output.sigmoid() - 0.5))


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match="step_dropout must be within 0 and 1"):
        TeacherForcing((0.0, 1.5))
