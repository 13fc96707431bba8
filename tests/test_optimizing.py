"""AdamW on one flat vector equals torch's, and the average and the clipping are what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isthmus.optimizing import FlatAdamW


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def gradient(net, x):
    return (net(x) ** 2).sum()


@pytest.mark.parametrize("large", [1, 20, 10**6], ids=["each alone", "some alone", "all end to end"])
def test_the_update_equals_torchs_adamw(large, monkeypatch):
    monkeypatch.setattr("isthmus.optimizing.LARGE", large)
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, theirs = network(), network()
    flat = FlatAdamW(ours, weight_decay=0.1, clip=0.0, ema=0.0)
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(20):
        flat.zero_grad()
        gradient(ours, x).backward()
        flat.step(1e-2)
        adam.zero_grad()
        gradient(theirs, x).backward()
        adam.step()
    for first, second in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("large", [1, 10**6])
def test_the_average_equals_its_recursion(large, monkeypatch):
    monkeypatch.setattr("isthmus.optimizing.LARGE", large)
    net = network()
    flat = FlatAdamW(net, clip=0.0, ema=0.95)
    expected = [parameter.detach().clone() for parameter in net.parameters()]
    x = torch.ones(3, 4, dtype=torch.float64)
    for t in range(1, 40):
        flat.zero_grad()
        gradient(net, x).backward()
        flat.step(1e-2)
        decay = min(0.95, (1 + t) / (10 + t))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, net.parameters(), strict=True)]
    last = [parameter.detach().clone() for parameter in net.parameters()]
    with flat.averaged():
        for parameter, value in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.detach(), value)
    for parameter, value in zip(net.parameters(), last, strict=True):
        assert torch.equal(parameter.detach(), value)


@pytest.mark.parametrize("large", [1, 10**6])
def test_a_gradient_far_longer_than_usual_is_cut_to_the_limit(large, monkeypatch):
    monkeypatch.setattr("isthmus.optimizing.LARGE", large)
    net = network()
    flat = FlatAdamW(net, clip=2.0, ema=0.0)
    for size in (1.0, 1.0, 1.0):
        _set_gradient(flat, size)
        flat.step(0.0)
    typical = float(flat._typical)
    _set_gradient(flat, 1000.0)
    flat._clip()
    norm = torch.cat([g.flatten() for g in _gradients(flat)]).norm()
    assert float(norm) == pytest.approx(2 * typical)
    assert float(flat._typical) == pytest.approx(typical + 0.05 * (2 * typical - typical))


def test_an_ordinary_gradient_is_not_cut():
    flat = FlatAdamW(network(), clip=5.0, ema=0.0)
    _set_gradient(flat, 1.0)
    before = _gradients(flat)[0].clone()
    flat._clip()
    assert torch.equal(_gradients(flat)[0], before)


def _set_gradient(flat, size):
    for gradient in _gradients(flat):
        gradient.fill_(size)


def _gradients(flat):
    return [gradient for group in flat._groups for gradient in group.gradients()]


def test_a_part_may_ask_for_its_own_learning_rate():
    net = network()
    net[0].learning_rate_scale = 0.0
    before = net[0].weight.detach().clone(), net[2].weight.detach().clone()
    flat = FlatAdamW(net, clip=0.0)
    gradient(net, torch.ones(2, 4, dtype=torch.float64)).backward()
    flat.step(1e-2)
    assert torch.equal(net[0].weight, before[0])
    assert not torch.equal(net[2].weight, before[1])


def test_a_weight_used_twice_is_stored_once_and_frozen_weights_stay():
    net = network()
    net[0].bias.requires_grad_(False)
    shared = nn.ModuleList([net, net])
    flat = FlatAdamW(shared)
    assert sum(value.numel() for value in flat.weights()) == 4 * 8 + 8 * 2 + 2


def test_release_gives_every_weight_its_own_storage():
    net = network()
    flat = FlatAdamW(net)
    assert net[0].weight.untyped_storage().data_ptr() == net[2].weight.untyped_storage().data_ptr()
    values = [p.detach().clone() for p in net.parameters()]
    flat.release()
    assert net[0].weight.untyped_storage().data_ptr() != net[2].weight.untyped_storage().data_ptr()
    assert all(p.grad is None and torch.equal(p, v) for p, v in zip(net.parameters(), values, strict=True))


def test_a_large_parameter_that_is_not_used_only_decays(monkeypatch):
    monkeypatch.setattr("isthmus.optimizing.LARGE", 1)
    net = network()
    before = net[2].weight.detach().clone()
    flat = FlatAdamW(net, weight_decay=0.5, clip=0.0, ema=0.0)
    net[0](torch.ones(2, 4, dtype=torch.float64)).sum().backward()
    flat.step(0.1)
    torch.testing.assert_close(net[2].weight.detach(), before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("large", [1, 20, 10**6])
def test_state_and_load_go_on_exactly(large, monkeypatch):
    monkeypatch.setattr("isthmus.optimizing.LARGE", large)
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first, second = network(), network(seed=9)
    one, two = FlatAdamW(first), FlatAdamW(second)
    for _ in range(3):
        one.zero_grad()
        gradient(first, x).backward()
        one.step(1e-2)
    two.load(one.state())
    for net, flat in ((first, one), (second, two)):
        flat.zero_grad()
        gradient(net, x).backward()
        flat.step(1e-2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    with one.averaged(), two.averaged():
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)
