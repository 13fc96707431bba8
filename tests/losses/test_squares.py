"""Squared error in bits a pixel, whose gradient passes the cut."""

import math

import numpy as np
import pytest
import torch

from isthmus.batch import Batch
from isthmus.losses import SquaredError

X = torch.from_numpy(np.random.default_rng(0).random((4, 6, 5, 3)))


def test_nats_are_pixels_times_the_mean_squared_error_in_8_bit_steps():
    output = X + 0.1 * torch.randn(X.shape, dtype=X.dtype)
    loss = SquaredError(0.02).build(shape=[6, 5, 3])
    levels = 255 * (output.clamp(0, 1) - X)
    wanted = 30 * math.log(2) * 0.02 * levels.square().mean((1, 2, 3))
    torch.testing.assert_close(loss(output, Batch(X)), wanted)


def test_an_output_beyond_the_range_costs_what_the_cut_one_does_and_is_drawn_back():
    loss = SquaredError().build(shape=[3])
    target = Batch(torch.tensor([[0.0, 0.5, 1.0]]))
    output = torch.tensor([[-1.0, 1.5, 2.0]], requires_grad=True)
    assert loss.error(output, target).item() == pytest.approx(0.25)
    loss(output, target).sum().backward()
    assert output.grad[0, 0] == output.grad[0, 2] == 0
    assert output.grad[0, 1] == pytest.approx(2 * 0.5 * 255**2 * math.log(2) / 3)


def test_categories_and_weights_of_nothing_are_refused():
    with pytest.raises(ValueError, match="cell_likelihood"):
        SquaredError().build(shape=[2], categories=[0, 3])
    with pytest.raises(ValueError, match="weight must be above 0"):
        SquaredError(0.0).build(shape=[2])
