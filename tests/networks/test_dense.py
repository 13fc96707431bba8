"""The multi-layer perceptron: shapes, the tied decoder, the escape from the linear start."""

import pytest
import torch
import torch.nn.functional as F

from isthmus.batch import Batch
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.networks import ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.networks.dense import default_hidden


@pytest.mark.parametrize(
    ("inputs", "hidden"), [(1, (64, 32)), (30, (64, 32)), (33, (128, 64)), (256, (512, 256)), (784, (512, 256))]
)
def test_default_widths_follow_the_data(inputs, hidden):
    assert default_hidden(inputs) == hidden


def test_features_are_the_scaled_layers_and_the_linear_path():
    encoder = MLPEncoder((5, 4)).build(shape=[3])
    x = torch.randn(6, 3)
    torch.testing.assert_close(encoder(Batch(x)), encoder.linear(x))
    with torch.no_grad():
        encoder.scale.copy_(torch.tensor([1.0, 2, 3, 4]))
    torch.testing.assert_close(encoder(Batch(x)), encoder.linear(x) + encoder.scale * encoder.body(x))


@pytest.mark.parametrize("shape", [[5], [4, 3, 2], [7, 2]])
def test_any_shape_is_flattened_and_given_back(shape):
    z = MLPEncoder((6,)).build(shape=shape)(Batch(torch.randn(3, *shape)))
    assert z.shape == (3, 6)
    assert MLPDecoder((6,)).build(code=[2, 3], shape=shape)(torch.randn(3, 2, 3)).shape == (3, *shape)


def test_training_escapes_the_zero_that_the_layers_start_at():
    torch.manual_seed(0)
    x = torch.rand(256, 2) * 4 - 2
    target = torch.stack([x[:, 0] * x[:, 1], (3 * x[:, 0]).sin()], 1)
    encoder, decoder = MLPEncoder((32, 16)).build(shape=[2]), MLPDecoder((16,)).build(code=[16], shape=[2])
    encoder.start(Batch(x))
    decoder.start(encoder(Batch(x)), target)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-2)
    losses = []
    for _ in range(300):
        adam.zero_grad()
        loss = F.mse_loss(decoder(encoder(Batch(x))), target)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert encoder.scale.abs().min() > 0


def tied(hidden=(6, 5), size=3, shape=(4,), activation="tanh"):
    torch.manual_seed(0)
    encoder = MLPEncoder(hidden, activation=activation, shortcut=False).build(shape=list(shape))
    bottleneck = Linear(size).build(width=encoder.body.width)
    decoder = MLPDecoder(activation=activation, shortcut=False, tied=True).build(code=[size], shape=list(shape))
    decoder.tie(encoder, bottleneck)
    return encoder, bottleneck, decoder


def test_a_tied_decoder_is_the_transposed_encoder():
    encoder, bottleneck, decoder = tied()
    one, two = encoder.body.linears
    with torch.no_grad():
        for bias in decoder.biases:
            bias.normal_()
    z = torch.randn(7, 3)
    h = torch.tanh(z @ bottleneck.linear.weight + decoder.biases[0])
    h = torch.tanh(h @ two.weight + decoder.biases[1])
    torch.testing.assert_close(decoder(z), h @ one.weight + decoder.biases[2])


def test_every_tied_weight_gets_the_gradient_of_both_its_uses():
    encoder, bottleneck, decoder = tied()
    weights = [linear.weight for linear in (*encoder.body.linears, bottleneck.linear)]
    code = bottleneck(encoder(Batch(torch.randn(7, 4)))).z
    both = torch.autograd.grad(decoder(code).square().sum(), weights, retain_graph=True)
    given = code.detach().requires_grad_()
    *as_decoder, pull = torch.autograd.grad(decoder(given).square().sum(), [*weights, given])
    as_encoder = torch.autograd.grad(code, weights, grad_outputs=pull)
    for whole, one, other in zip(both, as_decoder, as_encoder, strict=True):
        torch.testing.assert_close(whole, one + other)
        assert min(one.abs().max(), other.abs().max()) > 0


def test_tied_weights_are_saved_once_and_come_back():
    encoder, bottleneck, decoder = tied()
    assert set(decoder.state_dict()) == {"biases.0", "biases.1", "biases.2"}
    whole = torch.nn.ModuleDict({"e": encoder, "b": bottleneck, "d": decoder})
    assert len(list(whole.parameters())) == 2 * 3 + 3
    other_encoder, other_bottleneck, other_decoder = tied()
    other = torch.nn.ModuleDict({"e": other_encoder, "b": other_bottleneck, "d": other_decoder})
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.normal_()
    z = torch.randn(7, 3)
    assert not torch.equal(decoder(z), other_decoder(z))
    other.load_state_dict(whole.state_dict())
    assert torch.equal(decoder(z), other_decoder(z))


@pytest.mark.parametrize(
    "options", [{"hidden": (3,)}, {"shortcut": True}, {"norm": "layer"}, {"residual": True}, {"dropout": 0.1}]
)
def test_a_tied_decoder_has_no_layers_of_its_own(options):
    with pytest.raises(ValueError, match="a tied decoder has the encoder's layers"):
        MLPDecoder(**({"shortcut": False, "tied": True} | options)).build(code=[3], shape=[4])


@pytest.mark.parametrize(
    ("encoder", "bottleneck", "facts"),
    [
        (MLPEncoder((6,)), Linear(3), {"shape": [4]}),
        (MLPEncoder((6,), shortcut=False, norm="layer"), Linear(3), {"shape": [4]}),
        (MLPEncoder((6,), shortcut=False, residual=True), Linear(3), {"shape": [4]}),
        (MLPEncoder((6,), shortcut=False), Linear(3), {"shape": [4], "missing": True}),
        (MLPEncoder((6,), shortcut=False), Linear(3), {"shape": [4], "categories": [0, 0, 0, 5]}),
        (ConvEncoder((3,), width=6), Linear(3), {"shape": [2, 2, 1]}),
    ],
)
def test_a_tied_decoder_refuses_an_encoder_that_cannot_be_transposed(encoder, bottleneck, facts):
    decoder = MLPDecoder(tied=True, shortcut=False).build(code=[3], shape=[4])
    with pytest.raises(ValueError, match="tied=True needs an encoder MLPEncoder"):
        decoder.tie(encoder.build(**facts), bottleneck.build(width=6))


def test_a_gaussian_code_can_be_tied_too():
    encoder = MLPEncoder((6,), shortcut=False).build(shape=[4])
    decoder = MLPDecoder(tied=True, shortcut=False).build(code=[3], shape=[4])
    decoder.tie(encoder, Gaussian(3).build(width=6))
    assert decoder(torch.randn(2, 3)).shape == (2, 4)


def test_the_input_itself_is_told_from_features():
    assert MLPEncoder((), shortcut=False).build(shape=[4]).is_identity
    assert not MLPEncoder((), shortcut=True).build(shape=[4]).is_identity
    assert not MLPEncoder((3,), shortcut=False).build(shape=[4]).is_identity
    assert not MLPEncoder((), shortcut=False).build(shape=[4], missing=True).is_identity
    assert not MLPEncoder((), shortcut=False).build(shape=[2], categories=[0, 4]).is_identity
