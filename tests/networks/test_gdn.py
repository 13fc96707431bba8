"""Divisive normalisation and the networks made of it."""

import numpy as np
import pytest
import torch

from isthmus.batch import Batch
from isthmus.networks import GDNDecoder, GDNEncoder, LappedEncoder
from isthmus.networks.gain import LEAST, SimplifiedGDN


@pytest.mark.parametrize("inverse", [False, True])
def test_normalisation_is_what_numpy_says(inverse):
    torch.manual_seed(0)
    norm = SimplifiedGDN(4, inverse).double()
    with torch.no_grad():
        norm.beta.copy_(torch.tensor([1.0, 0.5, -3.0, 2.0]))
        norm.gamma.normal_()
    x = torch.randn(2, 4, 3, 5).double()
    beta = np.maximum(norm.beta.detach().numpy(), LEAST)
    gamma = np.maximum(norm.gamma.detach().numpy(), 0)
    activity = beta[:, None, None] + np.einsum("ij,bjhw->bihw", gamma, np.abs(x.numpy()))
    wanted = x.numpy() * activity if inverse else x.numpy() / activity
    np.testing.assert_allclose(norm(x).detach().numpy(), wanted)


def test_a_parameter_below_its_bound_can_come_back():
    norm = SimplifiedGDN(2)
    norm.beta.data.fill_(-1.0)
    norm(torch.ones(1, 2, 1, 1)).sum().backward()
    assert (norm.beta.grad != 0).all()


def test_the_networks_begin_as_the_lapped_transform():
    torch.manual_seed(0)
    x = torch.rand(30, 16, 24, 2).cumsum(1).cumsum(2) / 400
    encoder, plain = GDNEncoder((4, 4), 30), LappedEncoder(30, 16, 8)
    for one in (encoder, plain):
        one.build(shape=[16, 24, 2]).start(Batch(x))
    code = encoder(Batch(x))
    torch.testing.assert_close(code, plain(Batch(x)))
    decoder = GDNDecoder((4, 4)).build(code=[2, 3, 30], shape=[16, 24, 2])
    decoder.start(code, x)
    error = (decoder(code, None) - x).square().sum() / (x - x.mean((0, 1, 2))).square().sum()
    assert error < 0.05


def test_networks_take_any_size_and_halve_as_often_as_they_double():
    encoder = GDNEncoder((4, 4, 4), 8).build(shape=[32, 32, 3])
    decoder = GDNDecoder((4, 4, 4), told=True).build(code=[2, 2, 9], shape=[32, 32, 3])
    code = encoder(Batch(torch.rand(2, 41, 80, 3)))
    assert code.shape == (2, 3, 5, 8)
    z = torch.cat([code, torch.zeros(2, 3, 5, 1)], -1)
    assert decoder(z, None).shape == (2, 48, 80, 3)
