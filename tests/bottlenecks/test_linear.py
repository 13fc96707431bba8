"""The plain code."""

import pytest
import torch

from isthmus.bottlenecks import Linear


def test_the_code_is_an_affine_map_through_the_activation():
    part = Linear(2, activation="tanh").build(width=3)
    features = torch.randn(4, 3)
    code = part(features)
    torch.testing.assert_close(code.z, torch.tanh(features @ part.linear.weight.T + part.linear.bias))
    assert code.penalty.tolist() == [0] * 4


def test_the_size_is_the_data_s_rank_unless_said():
    assert Linear().build(width=9, rank=5).linear.out_features == 5
    assert Linear().build(width=9).linear.out_features == 8
    assert Linear(2).build(width=9, rank=5).linear.out_features == 2


def test_training_starts_at_codes_of_unit_variance_along_the_components():
    torch.manual_seed(0)
    features = torch.randn(500, 6).double() * torch.tensor([5.0, 3, 2, 0.5, 0.1, 1]).double() + 7
    part = Linear(3).build(width=6).double()
    part.start(features)
    z = part(features).z
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(z.T.cov(), torch.eye(3).double(), atol=1e-9, rtol=0)


def test_dimensions_beyond_the_rank_keep_random_weights_to_be_trained():
    torch.manual_seed(0)
    features = torch.randn(50, 2) @ torch.randn(2, 6)
    part = Linear(4).build(width=6)
    before = part.linear.weight.detach().clone()
    part.start(features)
    assert torch.equal(part.linear.weight[2:], before[2:])
    assert not torch.equal(part.linear.weight[:2], before[:2])


def test_constant_features_leave_the_weights_alone():
    part = Linear(4).build(width=6)
    before = part.linear.weight.detach().clone()
    part.start(torch.full((50, 6), 0.1))
    assert torch.equal(part.linear.weight, before)


def test_positions_are_coded_one_by_one():
    part = Linear(2).build(width=3)
    features = torch.randn(4, 5, 3)
    part.start(features)
    torch.testing.assert_close(part(features).z.view(-1, 2), part(features.view(-1, 3)).z)
    assert part(features).penalty.shape == (4,)


@pytest.mark.parametrize("size", [0, -3, 2_000_000])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="size must be a whole number from 1"):
        Linear(size).build(width=2)


def test_a_layer_wider_than_its_features_keeps_its_random_weights():
    torch.manual_seed(0)
    for width, size, stays in ((4, 5, True), (4, 4, False)):
        part = Linear(size).build(width=width)
        before = part.linear.weight.clone()
        part.start(torch.randn(50, width) * torch.tensor([1.0, 0.5, 0.1, 0.01]))
        assert torch.equal(part.linear.weight, before) == stays
