"""Mirrored layers: plain networks that begin as a linear map."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus.batch import Batch
from isthmus.bottlenecks import Linear
from isthmus.guards import seeded
from isthmus.losses import GaussianLikelihood
from isthmus.modalities import Tables
from isthmus.module import AutoEncoderModule
from isthmus.networks import MLPDecoder, MLPEncoder
from isthmus.rows import as_rows

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(300, 12)) @ RANDOM.normal(size=(12, 12))


def encoder(hidden, activation):
    part = MLPEncoder(hidden, activation=activation, shortcut=False, mirrored=True).build(shape=[12]).double()
    with seeded(0):
        part.start(Batch(torch.from_numpy(ROWS)))
    return part


@pytest.mark.parametrize("activation", ["silu", "gelu", "relu", "softplus"])
@pytest.mark.parametrize("hidden", [(24,), (64, 24), (40, 30, 24), (41, 25)])
def test_pairs_read_with_opposite_weights_are_a_linear_map_that_loses_nothing(hidden, activation):
    features = encoder(hidden, activation)(Batch(torch.from_numpy(ROWS))).detach().numpy()
    pairs = hidden[-1] // 2
    said = features[:, :pairs] - features[:, pairs : 2 * pairs]
    there = np.c_[said, np.ones(len(said))]
    back, *_ = np.linalg.lstsq(there, ROWS, rcond=None)
    assert np.allclose(there @ back, ROWS, atol=1e-6)


def test_a_narrow_layer_passes_on_the_leading_components():
    features = encoder((30, 8), "silu")(Batch(torch.from_numpy(ROWS))).detach().numpy()
    said = features[:, :4] - features[:, 4:8]
    pca = PCA(4).fit(ROWS)
    there = np.c_[said, np.ones(len(said))]
    back, *_ = np.linalg.lstsq(there, ROWS, rcond=None)
    assert np.allclose(there @ back, pca.inverse_transform(pca.transform(ROWS)), atol=1e-6)


def test_a_decoder_begins_at_least_squares():
    z = torch.from_numpy(RANDOM.normal(size=(200, 3)))
    target = torch.from_numpy(np.sin(z.numpy() @ RANDOM.normal(size=(3, 5))) + 2)
    decoder = MLPDecoder((9, 20), shortcut=False, mirrored=True).build(code=[3], shape=[5]).double()
    with seeded(0):
        decoder.start(z, target)
    there = np.c_[z.numpy(), np.ones(200)]
    best = there @ np.linalg.lstsq(there, target.numpy(), rcond=None)[0]
    assert np.allclose(decoder(z).detach().numpy(), best, atol=1e-3)


def test_a_plain_network_with_mirrored_layers_begins_near_pca_and_one_without_does_not():
    rows = as_rows(ROWS)
    errors = {}
    for mirrored in (True, False):
        torch.manual_seed(0)
        modality = Tables(heavy_tails="keep").fit(rows)
        parts = (
            MLPEncoder((48, 24), shortcut=False, mirrored=mirrored),
            Linear(4),
            MLPDecoder((24, 48), shortcut=False, mirrored=mirrored),
        )
        module = AutoEncoderModule(modality, *parts, GaussianLikelihood()).double()
        batch = modality.to_batch(rows, torch.float64)
        module.start(batch)
        step = module.eval()(batch)
        errors[mirrored] = float(module.loss.error(step.output, step.target).mean().detach())
    x = batch.x.numpy()
    pca = PCA(4).fit(x)
    best = np.square(pca.inverse_transform(pca.transform(x)) - x).sum(1).mean()
    assert errors[True] < 1.1 * best
    assert errors[False] > 2 * best


def test_rows_that_are_all_alike_leave_finite_weights():
    part = MLPEncoder((8, 4), shortcut=False, mirrored=True).build(shape=[3])
    part.start(Batch(torch.ones(5, 3)))
    assert all(bool(value.isfinite().all()) for value in part.state_dict().values())


@pytest.mark.parametrize("wrong", [{"activation": "tanh"}, {"norm": "layer"}, {"residual": True}, {"shortcut": True}])
@pytest.mark.parametrize("cls", [MLPEncoder, MLPDecoder])
def test_what_would_not_begin_linear_is_refused(cls, wrong):
    part = cls((8,), **({"shortcut": False, "mirrored": True} | wrong))
    facts = {"shape": [3]} if cls is MLPEncoder else {"code": [2], "shape": [3]}
    with pytest.raises(ValueError, match="mirrored=True"):
        part.build(**facts)
