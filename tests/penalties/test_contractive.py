"""The contractive penalty against the Jacobian that autograd finds."""

import pytest
import torch

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Linear
from isthmus.networks import ConvEncoder, MLPEncoder
from isthmus.penalties import Contractive
from isthmus.penalties.jacobian import jacobian_norms, saturation


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
def test_a_thousand_probes_average_to_the_jacobian_s_norm(encoder, shape):
    encoder, bottleneck, step, exact = line(encoder, Linear(3), shape, n=4)
    # Copies of an example beside each other draw a probe each.
    x = step.source.x.detach().repeat_interleave(1_000, 0).requires_grad_()
    features = encoder(Batch(x))
    many = Step(Batch(x), Batch(x), features, bottleneck(features), None)
    penalty = Contractive(1.0).build()
    penalty.watch(encoder, bottleneck)
    torch.manual_seed(1)
    estimate = penalty(many).detach().view(4, 1_000).mean(1)
    assert abs((estimate.mean() / exact.mean()).item() - 1) < 0.02
    assert (estimate / exact - 1).abs().max() < 0.1


@pytest.mark.parametrize("n_probes", [3, 50])
def test_as_many_probes_as_code_values_are_exact(n_probes):
    encoder, bottleneck, step, exact = line(MLPEncoder((8, 5), activation="tanh"), Linear(3), [6])
    penalty = Contractive(0.5, n_probes=n_probes).build()
    penalty.watch(encoder, bottleneck)
    torch.testing.assert_close(penalty(step), 0.5 * exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("encoder", "bottleneck"),
    [
        (MLPEncoder((), shortcut=False), Linear(3, activation="sigmoid")),
        (MLPEncoder((), shortcut=False), Linear(3, activation="tanh")),
        (MLPEncoder((7, 5), activation="tanh"), Linear(3)),
    ],
)
def test_curvature_is_the_change_of_the_jacobian_to_a_noisy_input(encoder, bottleneck):
    encoder, bottleneck, step, _ = line(encoder, bottleneck, [6])
    penalty = Contractive(0.0, n_probes=3, curvature=2.0, noise=0.3).build()
    penalty.watch(encoder, bottleneck)
    torch.manual_seed(1)
    nats = penalty(step)
    torch.manual_seed(1)
    x = step.source.x.detach()
    noisy = x + 0.3 * torch.randn_like(x)

    def jacobian(one):
        return torch.autograd.functional.jacobian(lambda given: bottleneck(encoder(Batch(given[None]))).z[0], one)

    wanted = [2.0 * (jacobian(a) - jacobian(b)).square().sum() for a, b in zip(x, noisy, strict=True)]
    torch.testing.assert_close(nats, torch.stack(wanted), rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("encoder", "bottleneck", "shape"),
    [
        (MLPEncoder((), shortcut=False), Linear(3, activation="sigmoid"), [6]),
        (MLPEncoder((), shortcut=False), Linear(3, activation="tanh"), [6]),
        (MLPEncoder((8, 5)), Linear(3, activation="sigmoid"), [6]),
        (ConvEncoder((3,), flatten=False), Linear(2), [4, 6, 1]),
    ],
)
def test_measured_norms_are_those_of_autograd_s_jacobian(encoder, bottleneck, shape):
    encoder, bottleneck, step, exact = line(encoder, bottleneck, shape)
    norms = jacobian_norms(encoder, bottleneck, Batch(step.source.x.detach()))
    assert not norms.requires_grad
    torch.testing.assert_close(norms, exact.sqrt())


def test_saturated_units_are_those_within_a_twentieth_of_an_end():
    z = torch.tensor([[0.01, 0.04, 0.06, 0.5], [0.96, 0.94, 1.0, 0.0]])
    assert saturation(z).tolist() == [0.5, 0.75]
    assert saturation(2 * z - 1, low=-1.0).tolist() == [0.5, 0.75]
    assert saturation(z.view(2, 2, 2)).tolist() == [0.5, 0.75]


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
    [
        (Contractive(-1.0), "weight must be at least 0"),
        (Contractive(n_probes=0), "n_probes must be at least 1, got 0"),
        (Contractive(curvature=-1.0), "curvature must be at least 0 and noise above 0, got -1.0 and 0.1"),
        (Contractive(curvature=1.0, noise=0.0), "noise above 0, got 1.0 and 0.0"),
    ],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build()
