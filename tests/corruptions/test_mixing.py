"""Blends of rows."""

import math

import pytest
import torch

from isthmus.batch import Batch
from isthmus.corruptions import Blend


def rows(n: int = 4_000) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(n, 3) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 0, 0.5]])


def test_blends_of_centred_rows_keep_mean_and_covariance():
    x = rows()
    torch.manual_seed(1)
    blended = Blend().build(shape=[3]).augment(Batch(x)).x
    assert torch.allclose(blended.mean(0), x.mean(0), atol=0.15)
    assert torch.allclose(blended.T.cov(), x.T.cov(), atol=0.3)
    assert not torch.allclose(blended, x)


def test_a_blend_lies_in_the_plane_of_two_rows_no_further_than_the_angle():
    x = torch.eye(5)
    blended = Blend(angle=0.3).build(shape=[5]).augment(Batch(x)).x
    assert ((blended != 0).sum(1) <= 2).all()
    assert (blended.diagonal() >= math.cos(0.3)).all()
    assert torch.allclose(blended.square().sum(1), torch.ones(5))


def test_without_angle_and_gain_rows_stay_and_gain_scales_whole_rows():
    x = rows(10)
    assert torch.equal(Blend(angle=0.0).build(shape=[3]).augment(Batch(x)).x, x)
    ratio = Blend(angle=0.0, gain=0.5).build(shape=[3]).augment(Batch(x)).x / x
    assert torch.allclose(ratio, ratio[:, :1].expand(-1, 3))
    assert ratio.std() > 0.1


def test_symbols_are_the_first_rows_and_what_either_row_lacks_is_lacking():
    x = torch.tensor([[1.0, 2.0], [3.0, 1.0]])
    mask = torch.tensor([[True, True], [False, False]])
    found = Blend().build(shape=[2], categories=[0, 3]).augment(Batch(x, mask))
    assert found.x[:, 1].tolist() == [2.0, 1.0]
    assert found.mask.tolist() == [[False, True], [False, False]]


def test_the_source_is_the_target():
    batch = Batch(rows(4))
    assert Blend().build(shape=[3])(batch) is batch


@pytest.mark.parametrize("params", [{"angle": -0.1}, {"angle": 2.0}, {"gain": -1.0}])
def test_params_out_of_range_are_refused(params):
    with pytest.raises(ValueError, match="gain"):
        Blend(**params).build(shape=[3])
