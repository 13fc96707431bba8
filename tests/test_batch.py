"""Batches: examples as tensors."""

import torch

from isthmus.batch import Batch


def full() -> Batch:
    x = torch.arange(12.0).view(4, 3)
    return Batch(x, x > 2, torch.arange(4))


def test_a_slice_is_a_view_of_everything():
    batch = full()
    piece = batch[1:3]
    assert len(piece) == 2
    assert piece.condition.tolist() == [1, 2]
    assert torch.equal(piece.mask, batch.mask[1:3])
    assert piece.x.data_ptr() == batch.x[1:].data_ptr()


def test_taken_examples_are_copies_in_the_order_asked_for():
    batch = full()
    piece = batch.take(torch.tensor([3, 0, 3]))
    assert piece.condition.tolist() == [3, 0, 3]
    piece.x.zero_()
    assert batch.x[3].tolist() == [9, 10, 11]


def test_what_is_absent_stays_absent():
    batch = Batch(torch.zeros(4, 3))
    for other in (batch[:2], batch.take(torch.tensor([0])), batch.to("cpu"), batch.with_x(torch.ones(4, 3))):
        assert other.mask is None
        assert other.condition is None


def test_other_values_keep_mask_and_condition():
    batch = full()
    other = batch.with_x(torch.ones(4, 3))
    assert other.mask is batch.mask
    assert other.condition is batch.condition
    assert batch.x[0, 0] == 0


def test_bytes_are_those_of_all_tensors():
    assert full().nbytes == 12 * 4 + 12 + 4 * 8


def test_two_batches_can_be_compared_without_looking_into_tensors():
    assert full() != full()
