"""The contractive penalty against the Jacobian that autograd finds."""

import pytest
import torch

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Linear
from isthmus.networks import ConvEncoder, MLPEncoder
from isthmus.penalties import Contractive


def line(encoder, bottleneck, shape, n=5):
    """Return a built encoder and bottleneck, an input with gradient, and the exact norms."""
    torch.manual_seed(0)
    encoder = encoder.build(shape=shape).double()
    x = torch.randn(n, *shape).double()
    bottleneck = bottleneck.build(width=encoder(Batch(x)).shape[-1]).double()
    with torch.no_grad():
        for parameter in [*encoder.parameters(), *bottleneck.parameters()]:
            parameter.add_(0.3 * torch.randn_like(parameter))

    def code(one):
        return bottleneck(encoder(Batch(one[None]))).z[0]

    exact = torch.stack([torch.autograd.functional.jacobian(code, one).square().sum() for one in x])
    x.requires_grad_()
    features = encoder(Batch(x))
    return encoder, bottleneck, Step(Batch(x), Batch(x), features, bottleneck(features), None), exact


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_one_layer_has_the_closed_form_of_its_jacobian(activation):
    encoder, bottleneck, step, exact = line(MLPEncoder((), shortcut=False), Linear(3, activation=activation), [6])
    penalty = Contractive(0.5).build()
    penalty.watch(encoder, bottleneck)
    torch.testing.assert_close(penalty(step), 0.5 * exact, rtol=1e-5, atol=0)
    assert torch.equal(penalty(step), penalty(step))  # nothing is drawn


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [
        (MLPEncoder((8, 5), activation="tanh"), [6]),
        (MLPEncoder((7,), norm="layer", shortcut=False), [6]),
        (ConvEncoder((3, 4), width=5), [8, 6, 2]),
        (ConvEncoder((3,), pooling="max", flatten=False), [4, 6, 1]),
    ],
)
def test_probes_average_to_the_jacobian_s_norm(encoder, shape):
    encoder, bottleneck, step, exact = line(encoder, Linear(3), shape, n=4)
    penalty = Contractive(1.0, n_probes=1_000).build()
    penalty.watch(encoder, bottleneck)
    torch.manual_seed(1)
    estimate = penalty(step).detach()
    assert abs((estimate.mean() / exact.mean()).item() - 1) < 0.02
    assert (estimate / exact - 1).abs().max() < 0.1


def test_one_probe_of_a_one_number_code_is_exact():
    _, _, step, exact = line(MLPEncoder((8, 5)), Linear(1), [6])
    torch.testing.assert_close(Contractive(1.0).build()(step).detach(), exact, rtol=1e-9, atol=0)


def test_the_estimate_has_the_gradient_of_the_norm():
    encoder, bottleneck, step, _ = line(MLPEncoder((5,), activation="tanh", shortcut=False), Linear(1), [4], n=3)
    weight = encoder.body.linears[0].weight
    Contractive(1.0).build()(step).sum().backward()

    def norms(changed: torch.Tensor) -> float:
        with torch.no_grad():
            weight.add_(changed)
        x = step.source.x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(bottleneck(encoder(Batch(x))).z.sum(), x)
        with torch.no_grad():
            weight.sub_(changed)
        return gradient.square().sum().item()

    expected = torch.zeros_like(weight)
    for i, j in torch.cartesian_prod(torch.arange(5), torch.arange(4)).tolist():
        nudge = torch.zeros_like(weight)
        nudge[i, j] = 1e-5
        expected[i, j] = (norms(nudge) - norms(-nudge)) / 2e-5
    torch.testing.assert_close(weight.grad, expected, rtol=1e-5, atol=1e-7)


def test_a_code_that_depends_on_no_number_is_refused():
    z = torch.randn(3, 2, requires_grad=True)
    step = Step(Batch(torch.zeros(3, 1, requires_grad=True)), None, None, Code(z * 2, z.new_zeros(3)), None)
    with pytest.raises(ValueError, match="contractive needs numbers in the data"):
        Contractive().build()(step)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [(Contractive(-1.0), "weight must be at least 0"), (Contractive(n_probes=0), "n_probes must be at least 1, got 0")],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build()
