"""Patches, spans and steps that are hidden: how many, where, and that the encoder is told."""

import pytest
import torch

from isthmus.batch import Batch
from isthmus.corruptions import MaskPatches, MaskSpans, MaskTime
from isthmus.corruptions.hiding import hide


def images(n=50, height=8, width=8, channels=2) -> Batch:
    return Batch(torch.rand(n, height, width, channels) + 1)


def test_exactly_the_share_of_the_patches_is_hidden_and_each_wholly():
    torch.manual_seed(0)
    source = MaskPatches(4, 0.75).build(shape=[8, 12, 2])(images(width=12))
    patches = source.mask.view(50, 2, 4, 3, 4).float().mean((2, 4)).flatten(1)
    assert set(patches.unique().tolist()) == {0.0, 1.0}
    assert (patches.sum(1) == round(6 * 0.25)).all()


def test_every_patch_is_hidden_as_often_as_any_other():
    torch.manual_seed(0)
    source = MaskPatches(2, 0.5).build(shape=[4, 4, 1])(images(8_000, 4, 4, 1))
    shares = source.mask.float().mean(0)
    assert (shares - 0.5).abs().max() < 0.03


def test_patches_at_the_border_of_odd_images_are_smaller():
    torch.manual_seed(0)
    source = MaskPatches(4, 0.5).build(shape=[7, 5, 2])(images(height=7, width=5))
    assert source.mask.shape == (50, 7, 5)
    corner = source.mask[:, 4:, 4:].flatten(1)
    assert (corner.all(1) | ~corner.any(1)).all()


def test_what_is_hidden_reads_zero_and_the_rest_is_untouched():
    torch.manual_seed(0)
    for corruption in (MaskPatches(3, 0.5), MaskSpans(0.3), MaskTime(2, 0.5)):
        batch = images()
        source = corruption.build(shape=[8, 8, 2])(batch)
        assert torch.equal(source.x == 0, ~source.mask.unsqueeze(-1).expand_as(batch.x))
        assert torch.equal(source.x[source.mask], batch.x[source.mask])


def test_spans_hide_their_share_in_runs_of_their_length():
    torch.manual_seed(0)
    hidden = ~MaskSpans(0.2, length=4).build(shape=[200, 1])(Batch(torch.ones(400, 200, 1))).mask
    # The first positions have fewer places before them at which a span could begin.
    assert abs(hidden[:, 3:].float().mean().item() - 0.2) < 0.01
    for row in hidden[:50].int().tolist():
        runs = [len(run) for run in "".join(map(str, row)).split("0") if run]
        assert all(run >= 4 for run in runs[:-1])


def test_a_span_of_one_is_a_mask_over_positions():
    torch.manual_seed(0)
    hidden = ~MaskSpans(0.3, length=1).build(shape=[50, 1])(Batch(torch.ones(2_000, 50, 1))).mask
    neighbours = (hidden[:, :-1] & hidden[:, 1:]).float().mean().item()
    assert abs(neighbours - 0.09) < 0.01


def test_blocks_of_time_hide_whole_steps_and_no_more_than_the_longest():
    torch.manual_seed(0)
    hidden = ~MaskTime(blocks=1, longest=0.3).build(shape=[10, 4, 2])(images(4_000, 10, 4)).mask
    assert torch.equal(hidden.all(2), hidden.any(2))
    lengths = hidden[:, :, 0].sum(1)
    # Lengths 0, 1, 2 and 3 are equally likely.
    shares = torch.bincount(lengths, minlength=4) / 4_000
    assert len(shares) == 4
    assert (shares - 0.25).abs().max() < 0.03
    starts = hidden[:, :, 0].int().diff(dim=1).abs().sum(1)
    assert starts.max() <= 2


def test_a_mask_for_each_value_stays_one():
    x, mask = torch.ones(1, 3, 2), torch.tensor([[[True, False]] * 3])
    kept = torch.tensor([[True, False, True]])
    source = hide(Batch(x, mask), kept)
    assert source.mask.tolist() == [[[True, False], [False, False], [True, False]]]
    assert torch.equal(source.x, source.mask.float())


def test_a_mask_over_positions_loses_what_is_hidden():
    source = hide(Batch(torch.ones(1, 3, 2), torch.tensor([[True, True, False]])), torch.tensor([[True, False, True]]))
    assert source.mask.tolist() == [[True, False, False]]


@pytest.mark.parametrize("cls", [MaskSpans, MaskTime])
def test_a_table_has_no_positions_to_hide(cls):
    with pytest.raises(ValueError, match=r"hides positions.*use mask\(share"):
        cls().build(shape=[5])


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (MaskPatches(share=1.2), "share must be within 0 and 1"),
        (MaskPatches(size=0), "size must be at least 1"),
        (MaskSpans(length=0), "length must be at least 1"),
        (MaskTime(blocks=0), "blocks must be at least 1"),
        (MaskTime(longest=2.0), "longest must be within 0 and 1"),
    ],
)
def test_what_cannot_be_hidden_is_refused(corruption, message):
    with pytest.raises(ValueError, match=message):
        corruption.build(shape=[8, 8, 1])


def test_patches_are_of_images():
    with pytest.raises(ValueError, match=r"is for images.*got examples of shape \[8, 3\]"):
        MaskPatches().build(shape=[8, 3])
