"""Shared mathematics: principal components, bounds, batch normalisation, checks."""

import time

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from isthmus.layers import ACTIVATIONS, BatchNorm, activation_layer, bounded, check_widths, principal_components


def correlated(rows: int, columns: int, rank: int | None = None) -> np.ndarray:
    random = np.random.default_rng(rows + columns)
    rank = rank or columns
    scales = np.geomspace(5, 0.1, rank)
    return random.normal(size=(rows, rank)) * scales @ random.normal(size=(rank, columns)) + random.normal(size=columns)


@pytest.mark.parametrize(("rows", "columns", "size"), [(200, 12, 4), (200, 12, 12), (15, 60, 6), (15, 60, 14)])
def test_components_are_those_of_sklearn(rows, columns, size):
    x = correlated(rows, columns)
    pca = PCA(size).fit(x)
    components, scales, mean = principal_components(torch.from_numpy(x), size)
    np.testing.assert_allclose(scales, pca.explained_variance_**0.5, rtol=1e-8)
    np.testing.assert_allclose(mean, pca.mean_, atol=1e-12)
    cosines = (components.numpy() * pca.components_).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-7)


def test_the_sign_of_a_component_does_not_depend_on_the_order_of_rows():
    x = torch.from_numpy(correlated(100, 6))
    one, _, _ = principal_components(x, 4)
    other, _, _ = principal_components(x.flip(0), 4)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("rows", "columns"), [(50, 8), (8, 50)])
def test_there_are_no_more_components_than_the_rank(rows, columns):
    components, scales, _ = principal_components(torch.from_numpy(correlated(rows, columns, rank=3)), 7)
    assert components.shape == (3, columns)
    assert (scales > 0).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3e-5])
@pytest.mark.parametrize(("rows", "columns"), [(50, 8), (8, 50), (1, 4)])
def test_constant_data_has_no_components(value, rows, columns):
    components, _, mean = principal_components(torch.full((rows, columns), value), 3)
    assert components.shape == (0, columns)
    torch.testing.assert_close(mean, torch.full((columns,), value).double())


@pytest.mark.slow
def test_large_images_take_less_than_three_seconds():
    x = torch.randn(4096, 12288)
    began = time.process_time()
    components, _, _ = principal_components(x, 256)
    assert time.process_time() - began < 3
    assert components.shape == (256, 12288)
    torch.testing.assert_close(components @ components.T, torch.eye(256).double(), atol=1e-8, rtol=0)


def test_of_wide_data_rows_are_looked_at_evenly():
    # All the variance along the second axis is in the last rows.
    x = torch.zeros(3_000, 1_100)
    x[:, 0] = torch.linspace(-1, 1, 3_000)
    x[2_500:, 1] = 10 * torch.linspace(-1, 1, 500)
    components, _, _ = principal_components(x, 1)
    assert components[0, 1].abs() > 0.99


def test_bounded_values_are_clamped_and_their_gradient_passes():
    x = torch.tensor([-1e9, -3.0, 0.5, 3.0, 1e30], requires_grad=True)
    held = bounded(x, -2, 2)
    assert held.tolist() == [-2, -2, 0.5, 2, 2]
    held.sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("over_images", [False, True])
def test_batch_normalisation_is_torch_s_for_two_and_more(over_images):
    ours = BatchNorm(3, over_images)
    theirs = nn.BatchNorm2d(3) if over_images else nn.BatchNorm1d(3)
    for _ in range(3):
        x = torch.randn((4, 3, 2, 2) if over_images else (4, 3))
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_batch_normalisation_of_one_example_uses_and_leaves_the_running_statistics():
    norm = BatchNorm(3)
    norm(torch.randn(50, 3) * 2 + 1)
    before = norm.norm.running_mean.clone()
    x = torch.randn(1, 3)
    assert torch.equal(norm(x), norm.eval()(x))
    assert torch.equal(norm.norm.running_mean, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_its_name(name):
    assert activation_layer(name)(torch.zeros(2)).shape == (2,)


def test_an_unknown_activation_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="activation must be one of 'relu', .*, got 'rely'"):
        activation_layer("rely")


def test_widths_are_counted_and_positive():
    assert check_widths("hidden", [np.int64(3), 4]) == (3, 4)
    assert check_widths("hidden", ()) == ()
    for wrong in ((0,), (3, -1), range(1), (1,) * 101):
        with pytest.raises((ValueError, TypeError), match="hidden must be|'range'"):
            check_widths("hidden", wrong)
    with pytest.raises(ValueError, match="channels must be 1 to 10"):
        check_widths("channels", (), least=1, most=10)
