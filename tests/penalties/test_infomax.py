"""Deep InfoMax against loops over codes and pieces."""

import math

import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch, Code, Step
from isthmus.penalties import DeepInfoMax


def step_of(x, features, z, mask=None):
    batch = Batch(x, mask)
    return Step(batch, batch, features, Code(z, z.new_zeros(len(z))), None)


@pytest.mark.parametrize("bound", ["infonce", "jsd"])
def test_each_piece_tells_the_code_of_its_example_from_the_others(bound):
    torch.manual_seed(0)
    penalty = DeepInfoMax(2.0, bound=bound, size=5).build(shape=[6, 2], code=[3, 4], width=7, positions=[3])
    x, features, z = torch.randn(4, 6, 2), torch.randn(4, 3, 7), torch.randn(4, 3, 4)
    wanted = torch.zeros(4)
    for i in range(4):
        for piece in range(3):
            scores = penalty.of_code(z.mean(1)) @ penalty.of_piece(features[i, piece])
            if bound == "infonce":
                wanted[i] += 2 / 3 * -scores.log_softmax(0)[i]
            else:
                others = sum(F.softplus(scores[j]) for j in range(4) if j != i)
                wanted[i] += 2 / 3 * (F.softplus(-scores[i]) + others / 3)
    torch.testing.assert_close(penalty(step_of(x, features, z)), wanted)


def test_patches_cover_the_image_once_and_are_filled_up_with_zeros():
    penalty = DeepInfoMax(patch=2).build(shape=[3, 4, 2], code=[5], width=7, positions=[])
    penalty.of_piece = torch.nn.Identity()
    x = torch.arange(1.0, 49).view(2, 3, 4, 2)
    pieces = penalty.pieces(x)
    assert pieces.shape == (2, 4, 8)
    for row, left in ((0, 0), (0, 2), (2, 0), (2, 2)):
        piece = pieces[1, row + left // 2]
        patch = x[1, row : row + 2, left : left + 2]
        assert sorted(piece[piece > 0].tolist()) == patch.flatten().tolist()


@pytest.mark.parametrize(
    ("shape", "positions", "local", "cuts"),
    [
        ([6], [], None, False),
        ([8, 8, 1], [], None, True),
        ([8, 8, 1], [2, 2], None, False),
        ([8, 8, 1], [2, 2], "input", True),
        ([9, 2], [], "features", False),
    ],
)
def test_pieces_are_patches_where_features_have_lost_the_positions(shape, positions, local, cuts):
    penalty = DeepInfoMax(local=local).build(shape=shape, code=[3], width=7, positions=positions)
    assert penalty.cuts == cuts
    features = torch.randn(2, *positions, 7)
    assert penalty(step_of(torch.randn(2, *shape), features, torch.randn(2, 3))).shape == (2,)


def test_what_was_not_observed_is_not_shown_in_patches():
    penalty = DeepInfoMax(patch=2).build(shape=[4, 4, 2], code=[3], width=7, positions=[])
    torch.manual_seed(0)
    x, z, mask = torch.randn(3, 4, 4, 2), torch.randn(3, 3), torch.rand(3, 4, 4) < 0.5
    other = x + 5.0 * ~mask.unsqueeze(-1)
    torch.testing.assert_close(penalty(step_of(x, None, z, mask)), penalty(step_of(other, None, z, mask)))


def test_a_code_that_says_nothing_costs_the_logarithm_of_the_batch():
    penalty = DeepInfoMax().build(shape=[4], code=[3], width=7, positions=[])
    nats = penalty(step_of(torch.zeros(16, 4), torch.randn(16, 7), torch.zeros(16, 3)))
    assert nats.tolist() == pytest.approx([math.log(16)] * 16, rel=1e-5)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (DeepInfoMax(bound="donsker"), "bound must be one of 'infonce', 'jsd'"),
        (DeepInfoMax(local="layer"), "local must be one of 'features', 'input'"),
        (DeepInfoMax(local="input"), "a table has no patches"),
        (DeepInfoMax(patch=0), "patch and size must be at least 1, got 0 and 64"),
        (DeepInfoMax(-1.0), "weight must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build(shape=[4], code=[3], width=7, positions=[])
