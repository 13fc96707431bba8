"""Masks and swaps: their share, and what they mean."""

import pytest
import torch

from isthmus.batch import Batch
from isthmus.corruptions import Mask, SwapRows


def test_a_mask_hides_its_share_of_cells_and_they_read_zero():
    torch.manual_seed(0)
    batch = Batch(torch.rand(20_000, 3) + 1)
    source = Mask(0.3).build(shape=[3])(batch)
    shares = 1 - source.mask.float().mean(0)
    assert (shares - 0.3).abs().max() < 0.015
    assert torch.equal(source.x == 0, ~source.mask)
    assert torch.equal(source.x[source.mask], batch.x[source.mask])


def test_cells_of_a_row_are_hidden_one_by_one():
    torch.manual_seed(0)
    hidden = ~Mask(0.5).build(shape=[2])(Batch(torch.ones(20_000, 2))).mask
    assert abs((hidden[:, 0] & hidden[:, 1]).float().mean().item() - 0.25) < 0.015


def test_of_an_image_whole_pixels_are_hidden():
    torch.manual_seed(0)
    batch = Batch(torch.ones(200, 8, 6, 3))
    source = Mask(0.4).build(shape=[8, 6, 3])(batch)
    assert source.mask.shape == (200, 8, 6)
    assert abs(1 - source.mask.float().mean().item() - 0.4) < 0.02
    assert torch.equal(source.x, source.mask.unsqueeze(-1).expand_as(batch.x).float())


def test_what_was_missing_stays_missing():
    torch.manual_seed(0)
    mask = torch.rand(500, 3) < 0.5
    source = Mask(0.3).build(shape=[3])(Batch(torch.ones(500, 3), mask))
    assert not (source.mask & ~mask).any()
    assert (source.mask & mask).any()


def test_swapped_values_are_other_rows_of_the_same_column_and_of_the_share():
    torch.manual_seed(0)
    # Each value tells its row and its column.
    x = torch.arange(10_000.0)[:, None] * 10 + torch.arange(3)
    swapped = SwapRows(0.2).build(shape=[3])(Batch(x)).x
    assert torch.equal(swapped % 10, x % 10)
    assert abs((swapped != x).float().mean().item() - 0.2) < 0.01


def test_every_other_row_is_as_likely_a_donor_and_the_row_itself_is_none():
    torch.manual_seed(0)
    x = torch.arange(4.0)[:, None].expand(4, 20_000).contiguous()
    swapped = SwapRows(1.0).build(shape=[20_000])(Batch(x)).x
    for row in range(4):
        shares = torch.bincount(swapped[row].long(), minlength=4) / 20_000
        expected = torch.full((4,), 1 / 3)
        expected[row] = 0
        assert (shares - expected).abs().max() < 0.02


def test_a_swapped_cell_brings_its_mask():
    torch.manual_seed(0)
    mask = torch.rand(2_000, 3) < 0.5
    x = torch.arange(2_000.0)[:, None].expand(2_000, 3).contiguous()
    source = SwapRows(0.5).build(shape=[3])(Batch(x, mask))
    donor = source.x.long()
    assert torch.equal(source.mask, mask.gather(0, donor))


def test_hidden_pixels_are_no_donors():
    torch.manual_seed(0)
    mask = torch.rand(50, 4, 4) < 0.5
    x = torch.where(mask, 1.0, -1.0).unsqueeze(-1).repeat(1, 1, 1, 2)
    source = SwapRows(0.9).build(shape=[4, 4, 2])(Batch(x, mask))
    assert (source.x[mask] == 1).all()
    assert torch.equal(source.mask, mask)


def test_one_row_has_nobody_to_swap_with():
    batch = Batch(torch.rand(1, 3))
    assert torch.equal(SwapRows(1.0).build(shape=[3])(batch).x, batch.x)


@pytest.mark.parametrize("share", [-0.1, 1.1])
@pytest.mark.parametrize("cls", [Mask, SwapRows])
def test_a_share_out_of_range_is_refused(cls, share):
    with pytest.raises(ValueError, match="share must be within 0 and 1"):
        cls(share).build(shape=[3])
