"""Temporal convolution and transformers: lengths, positions, and where they start."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus.batch import Batch
from isthmus.bottlenecks import Linear
from isthmus.losses import GaussianLikelihood
from isthmus.modalities import Sequences
from isthmus.module import AutoEncoderModule
from isthmus.networks import (
    RecurrentDecoder,
    RecurrentEncoder,
    TemporalDecoder,
    TemporalEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from isthmus.rows import as_rows

SMALL = {"temporal": {"channels": (4, 6)}, "transformer": {"width": 8, "layers": 1, "heads": 2, "patch": 3}}
KINDS = {"temporal": TemporalEncoder, "transformer": TransformerEncoder}


def series(b, t=13, c=2, seed=0):
    return torch.randn(b, t, c, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("summary", ["flat", "mean", "steps"])
def test_features_are_alike_whatever_an_example_is_padded_to(kind, summary):
    torch.manual_seed(0)
    encoder = KINDS[kind](summary=summary, shortcut=False, **SMALL[kind]).build(shape=[13, 2], missing=True).eval()
    x, mask = series(2), torch.arange(13) < torch.tensor([[6], [13]])
    among, alone = encoder(Batch(x, mask)), encoder(Batch(x[:1], mask[:1]))
    assert torch.allclose(among[:1], alone, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_beyond_an_example_are_zero(kind):
    encoder = KINDS[kind](summary="steps", **SMALL[kind]).build(shape=[13, 2], missing=True).eval()
    features = encoder(Batch(series(1), torch.arange(13)[None] < 6))
    within = {"temporal": 2, "transformer": 2}[kind]
    assert features[:, :within].any(-1).all()
    assert not features[:, within:].any()


@pytest.mark.parametrize(("steps", "stride", "wanted"), [(13, 2, 4), (16, 2, 4), (13, 3, 2), (1, 2, 1)])
def test_each_level_keeps_every_stride_th_step(steps, stride, wanted):
    encoder = TemporalEncoder((4, 6), stride=stride, summary="steps").build(shape=[steps, 2])
    assert encoder(Batch(series(2, steps))).shape == (2, wanted, 6)
    decoder = TemporalDecoder((6, 4), stride=stride).build(code=[wanted, 6], shape=[steps, 2])
    assert decoder(torch.zeros(2, wanted, 6), None).shape == (2, steps, 2)


def test_attention_does_not_reach_beyond_an_example():
    encoder = TransformerEncoder(**SMALL["transformer"], summary="mean").build(shape=[13, 2]).eval()
    x = series(1).requires_grad_()
    encoder(Batch(x, torch.arange(13)[None] < 6)).sum().backward()
    assert not x.grad[:, 6:].any()


def test_swapped_pieces_are_told_apart_by_their_places():
    torch.manual_seed(0)
    encoder = TransformerEncoder(**SMALL["transformer"], summary="mean", shortcut=False).build(shape=[12, 2]).eval()
    x = series(1, 12)
    swapped = torch.cat([x[:, 3:6], x[:, :3], x[:, 6:]], 1)
    assert not torch.allclose(encoder(Batch(x)), encoder(Batch(swapped)), atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (RecurrentEncoder(width=16), RecurrentDecoder(width=16)),
        (RecurrentEncoder(width=16), RecurrentDecoder(width=16, autoregressive=True)),
        (TemporalEncoder((4, 6), width=16), TemporalDecoder((6, 4))),
        (TransformerEncoder(16, 1, 2), TransformerDecoder(16, 1, 2)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_line_of_them_starts_at_principal_components(encoder, decoder):
    X = np.random.default_rng(0).normal(size=(60, 9)) @ np.random.default_rng(1).normal(size=(9, 9))
    modality = Sequences(heavy_tails="keep").fit(as_rows(X))
    batch = modality.to_batch(as_rows(X), torch.float64)
    module = AutoEncoderModule(modality, encoder, Linear(3), decoder, GaussianLikelihood()).double().eval()
    module.start(batch)
    flat = batch.x.flatten(1).numpy()
    pca = PCA(3).fit(flat)
    theirs = np.square(pca.inverse_transform(pca.transform(flat)) - flat).sum(1).mean()
    with torch.no_grad():
        step = module(batch)
        ours = module.loss.error(step.output, step.target).mean()
    assert float(ours) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (TemporalEncoder(kernel=4), "kernel must be an odd number of steps, got 4"),
        (TemporalEncoder(channels=()), "channels must be 1 to 16 positive whole numbers"),
        (TransformerEncoder(width=10, heads=4), "width must be a multiple of heads, got width=10 and heads=4"),
        (TransformerEncoder(dropout=1.0), "dropout must be at least 0 and below 1"),
    ],
)
def test_params_out_of_range_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.build(shape=[13, 2])
