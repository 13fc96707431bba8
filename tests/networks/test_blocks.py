"""Dense layers, the stem, the linear shortcut."""

import numpy as np
import pytest
import torch

from isthmus.batch import Batch
from isthmus.networks.blocks import Dense, LinearShortcut, Stem


def test_dense_layers_are_linear_norm_activation_dropout():
    dense = Dense(5, (4, 3), "tanh", "layer", 0.0, residual=False)
    x = torch.randn(7, 5)
    expected = x
    for linear, norm, _ in dense.layers:
        h = expected @ linear.weight.T + linear.bias
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
        expected = torch.tanh(h * norm.weight + norm.bias)
    torch.testing.assert_close(dense(x), expected)


def test_residual_layers_add_their_input_where_widths_agree():
    dense = Dense(4, (4, 4, 3), "relu", None, 0.0, residual=True)
    x = torch.randn(7, 4)
    one, two, three = dense.linears
    h = x + torch.relu(one(x))
    h = h + torch.relu(two(h))
    torch.testing.assert_close(dense(x), torch.relu(three(h)))


def test_dropout_is_of_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    dense = Dense(4, (2_000,), "sigmoid", None, 0.25, residual=False)
    x = torch.randn(3, 4)
    dropped, kept = dense.train()(x), dense.eval()(x)
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.02
    torch.testing.assert_close(dropped[dropped != 0], (kept / 0.75)[dropped != 0])


def test_no_layers_pass_the_input():
    x = torch.randn(3, 4)
    assert Dense(4, (), "relu", None, 0.0, False)(x) is x


@pytest.mark.parametrize(("norm", "dropout"), [("group", 0.0), (None, 1.0), (None, -0.1)])
def test_options_out_of_range_are_refused(norm, dropout):
    with pytest.raises(ValueError, match="norm must be one of|dropout must be at least 0 and below 1"):
        Dense(4, (3,), "relu", norm, dropout, False)


def test_numbers_and_embeddings_stand_side_by_side():
    stem = Stem([4], categories=[0, 3, 1, 5], embedding=2)
    x = torch.tensor([[0.5, 2.0, 1.0, 4.0], [-1.0, 0.0, 0.0, 3.0]])
    table = stem.table.weight
    flat = stem(Batch(x))
    assert stem.width == flat.shape[1] == 2 + 2 * 2
    torch.testing.assert_close(flat[:, :2], x[:, [0, 2]])
    # The symbols of the second category come after the first's three.
    torch.testing.assert_close(flat[0, 2:], torch.cat([table[2], table[3 + 4]]))
    torch.testing.assert_close(flat[1, 2:], torch.cat([table[0], table[3 + 3]]))


def test_a_missing_cell_reads_zero_or_the_absent_symbol_and_its_mask():
    stem = Stem([3], categories=[0, 4, 1], missing=True, embedding=2)
    mask = torch.tensor([[False, False, True]])
    flat = stem(Batch(torch.tensor([[7.0, 3.0, 1.0]]), mask))
    expected = torch.cat([torch.tensor([0.0, 1.0]), stem.table.weight[0], torch.tensor([0.0, 0.0, 1.0])])
    torch.testing.assert_close(flat[0], expected)


def test_where_nothing_is_missing_the_mask_reads_ones():
    stem = Stem([3], missing=True)
    x = torch.randn(2, 3)
    torch.testing.assert_close(stem(Batch(x)), torch.cat([x, torch.ones(2, 3)], 1))
    torch.testing.assert_close(stem(Batch(x)), stem(Batch(x, torch.ones(2, 3, dtype=torch.bool))))


def test_an_image_s_mask_is_one_number_a_pixel():
    stem = Stem([4, 3, 2], missing=True)
    mask = torch.rand(5, 4, 3) < 0.5
    x = torch.randn(5, 4, 3, 2)
    flat = stem(Batch(x, mask))
    assert stem.width == flat.shape[1] == 24 + 12
    torch.testing.assert_close(flat[:, :24], (x * mask.unsqueeze(-1)).flatten(1))
    assert torch.equal(flat[:, 24:].bool(), mask.flatten(1))


def test_an_unmasked_encoder_still_reads_hidden_cells_as_zero():
    stem = Stem([2])
    flat = stem(Batch(torch.tensor([[3.0, 4.0]]), torch.tensor([[True, False]])))
    assert flat.tolist() == [[3.0, 0.0]]


def test_the_shortcut_starts_at_scores_in_the_unit_of_the_first():
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.normal(size=(300, 5)) * [4, 2, 1, 0.5, 0.1] + 3)
    shortcut = LinearShortcut(5, 8).double()
    shortcut.start_at_components(x)
    features = shortcut(x).detach()
    deviations = features.std(0)
    expected = np.sqrt(np.linalg.eigvalsh(np.cov(x.T))[::-1])
    np.testing.assert_allclose(deviations[:5], expected / expected[0], rtol=1e-8)
    assert (features[:, 5:] == 0).all()
    assert features.mean(0).abs().max() < 1e-9


def test_the_least_squares_start_is_numpy_s_solution():
    random = np.random.default_rng(0)
    z, target = random.normal(size=(200, 4)), random.normal(size=(200, 3, 2))
    shortcut = LinearShortcut(4, 6).double()
    shortcut.start_at_least_squares(torch.from_numpy(z), torch.from_numpy(target))
    with_one = np.c_[z, np.ones(200)]
    solution, *_ = np.linalg.lstsq(with_one, target.reshape(200, 6), rcond=None)
    np.testing.assert_allclose(shortcut.linear.weight.detach(), solution[:4].T, atol=1e-6)
    np.testing.assert_allclose(shortcut.linear.bias.detach(), solution[4], atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_repeated_and_constant_code_dimensions_do_not_blow_up_the_least_squares(dtype):
    torch.manual_seed(0)
    z = torch.randn(100, 2, dtype=dtype)
    z = torch.cat([z, z @ torch.randn(2, 2, dtype=dtype), torch.full((100, 1), 3.0, dtype=dtype)], 1)
    target = z[:, :2] @ torch.randn(2, 4, dtype=dtype) + 1
    shortcut = LinearShortcut(5, 4).to(dtype)
    shortcut.start_at_least_squares(z, target)
    torch.testing.assert_close(shortcut(z), target, atol=1e-5, rtol=0)
    assert shortcut.linear.weight.abs().max() < 10


def test_a_single_row_starts_at_a_constant():
    shortcut = LinearShortcut(3, 2)
    shortcut.start_at_least_squares(torch.randn(1, 3), torch.tensor([[5.0, 7.0]]))
    torch.testing.assert_close(shortcut(torch.randn(4, 3)), torch.tensor([[5.0, 7.0]]).expand(4, 2))
    shortcut.start_at_components(torch.randn(1, 3))
    assert (shortcut(torch.randn(4, 3)) == 0).all()
