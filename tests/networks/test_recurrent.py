"""GRU and LSTM as encoder and decoder."""

import pytest
import torch

from isthmus.batch import Batch
from isthmus.losses import GaussianLikelihood
from isthmus.networks import RecurrentDecoder, RecurrentEncoder, TransformerDecoder


def series(b=3, t=7, c=2, seed=0):
    return torch.randn(b, t, c, generator=torch.Generator().manual_seed(seed))


def ends(t, *lengths):
    return torch.arange(t) < torch.tensor(lengths)[:, None]


def built(**params):
    torch.manual_seed(0)
    return RecurrentEncoder(width=5, shortcut=False, **params).build(shape=[7, 2]).eval()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_last_state_is_that_after_an_examples_own_last_step(cell):
    encoder, x = built(cell=cell), series()
    features = encoder(Batch(x, ends(7, 4, 7, 1)))
    for i, length in enumerate((4, 7, 1)):
        states, _ = encoder.rnn(x[i : i + 1, :length])
        assert torch.allclose(features[i], states[0, -1], atol=1e-6)


@pytest.mark.parametrize("summary", ["last", "mean"])
def test_reversed_reads_each_example_from_its_own_last_step(summary):
    encoder, backwards, x = built(summary=summary), built(summary=summary, reversed=True), series()
    turned = torch.cat([x[:1, :4].flip(1), x[:1, 4:]], 1)
    mask = ends(7, 4)
    assert torch.allclose(backwards(Batch(x[:1], mask)), encoder(Batch(turned, mask)), atol=1e-6)
    assert torch.allclose(backwards(Batch(x)), encoder(Batch(x.flip(1))), atol=1e-6)


def test_reversed_states_stand_at_their_own_steps():
    encoder, x = built(summary="steps", reversed=True), series(1)
    states = encoder(Batch(x, ends(7, 4)))
    wanted = encoder.rnn(x[:, :4].flip(1))[0].flip(1)
    assert torch.allclose(states[:, :4], wanted, atol=1e-6)
    assert not states[:, 4:].any()


def test_bidirectional_features_are_both_ways_last_states():
    encoder, x = built(bidirectional=True), series()
    _, last = encoder.rnn(x)
    assert torch.allclose(encoder(Batch(x)), torch.cat([last[0], last[1]], 1), atol=1e-6)


def test_the_mean_is_over_an_examples_own_steps():
    encoder, x = built(summary="mean"), series(1)
    wanted = encoder.rnn(x[:, :3])[0].mean(1)
    assert torch.allclose(encoder(Batch(x, ends(7, 3))), wanted, atol=1e-6)


def test_an_example_of_which_nothing_was_observed_has_finite_features():
    assert built()(Batch(series(), ends(7, 0, 0, 0))).isfinite().all()


@pytest.mark.parametrize("summary", ["last", "mean", "steps"])
def test_scale_free_features_grow_with_the_series_and_others_saturate(summary):
    x = 100 * series()
    free, plain = built(summary=summary, scale_free=True), built(summary=summary)
    assert torch.allclose(free(Batch(10 * x)), 10 * free(Batch(x)), rtol=1e-4, atol=1e-2)
    assert plain(Batch(10 * x)).abs().max() <= 1


def test_the_size_of_a_series_is_that_of_its_own_observed_values():
    encoder, x = built(scale_free=True), series(2)
    mask = ends(7, 4, 6)
    longer = torch.cat([x, 50 * series(2, 3, seed=1)], 1)
    wanted = encoder(Batch(x, mask))
    assert torch.allclose(encoder(Batch(longer, torch.cat([mask, ends(3, 0, 0)], 1))), wanted, atol=1e-6)
    alone = Batch(x[:1, :4])
    size = (alone.x.square().mean() + 0.01).sqrt()
    assert torch.allclose(encoder(alone), size * encoder.rnn(alone.x / size)[1][0], atol=1e-6)
    assert torch.allclose(encoder(alone), wanted[:1], atol=1e-6)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_a_scale_free_decoder_writes_in_the_size_of_the_code(autoregressive):
    torch.manual_seed(1)
    made = RecurrentDecoder(width=5, shortcut=False, scale_free=True, autoregressive=autoregressive)
    made.build(code=[4], shape=[7, 2]).listen(GaussianLikelihood().build(shape=[7, 2]))
    torch.nn.init.zeros_(made.outlet.head.bias)
    z = 100 * torch.randn(3, 4)
    once = made.eval()(z)
    assert once.abs().max() > 10
    assert torch.allclose(made(10 * z), 10 * once, rtol=1e-4, atol=1e-2)


def decoder(kind, **params):
    torch.manual_seed(1)
    made = kind(autoregressive=True, **params).build(code=[4], shape=[7, 2])
    loss = GaussianLikelihood().build(shape=[7, 2])
    made.listen(loss)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


KINDS = [
    (RecurrentDecoder, {}),
    (RecurrentDecoder, {"cell": "lstm", "layers": 2}),
    (RecurrentDecoder, {"reversed": True}),
    (TransformerDecoder, {"patch": 1, "width": 8}),
    (TransformerDecoder, {"patch": 3, "width": 8}),
    (RecurrentDecoder, {"scale_free": True}),
]


@pytest.mark.parametrize(("kind", "params"), KINDS)
def test_forced_with_what_it_wrote_freely_a_decoder_writes_the_same(kind, params):
    made, z = decoder(kind, **params), torch.randn(3, 4)
    free = made.eval()(z, None)
    assert torch.allclose(made.train()(z, Batch(free)), free, atol=1e-5)


@pytest.mark.parametrize(("kind", "params"), KINDS)
def test_in_evaluation_the_target_is_not_looked_at(kind, params):
    made, z = decoder(kind, **params).eval(), torch.randn(3, 4)
    assert torch.equal(made(z, Batch(series())), made(z, Batch(series(seed=1))))


@pytest.mark.parametrize(("kind", "params"), KINDS[:2] + KINDS[3:])
def test_a_forced_step_sees_none_of_its_own_time_or_later(kind, params):
    made, x = decoder(kind, **params).train(), series().requires_grad_()
    made(torch.randn(3, 4), Batch(x))[:, 3].sum().backward()
    assert not x.grad[:, 3:].any()
    assert x.grad[:, :3].any()


@pytest.mark.parametrize(("kind", "params"), KINDS)
def test_with_every_step_hidden_only_the_code_is_left(kind, params):
    made, z = decoder(kind, step_dropout=1.0, **params).train(), torch.randn(3, 4)
    assert torch.equal(made(z, Batch(series())), made(z, Batch(series(seed=1))))


def test_forcing_without_a_target_is_refused():
    with pytest.raises(ValueError, match="needs the target while training"):
        decoder(RecurrentDecoder).train()(torch.zeros(1, 4), None)


def test_a_code_for_each_part_of_time_is_written_from():
    made = RecurrentDecoder(width=5).build(code=[3, 4], shape=[7, 2])
    assert made(torch.zeros(2, 3, 4), None).shape == (2, 7, 2)


@pytest.mark.parametrize(
    ("part", "facts", "message"),
    [
        (RecurrentEncoder(cell="rnn"), {"shape": [7, 2]}, "cell must be one of 'gru', 'lstm', got 'rnn'"),
        (RecurrentEncoder(width=0), {"shape": [7, 2]}, "width must be at least 1, got 0"),
        (RecurrentEncoder(), {"shape": [8, 8, 3]}, r"needs series \(steps, channels\), got examples of shape"),
        (RecurrentDecoder(), {"code": [2, 2, 4], "shape": [7, 2]}, r"got one of shape \(2, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(part, facts, message):
    with pytest.raises(ValueError, match=message):
        part.build(**facts)
