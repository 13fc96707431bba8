"""The composition: sizes that are seen, the start at PCA, what a cost is made of."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.corruptions import GaussianNoise, Mask
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.modalities import Images, Tables
from isthmus.module import AutoEncoderModule
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.part import Part
from isthmus.penalties import L1, Contractive
from isthmus.rows import as_rows

RANDOM = np.random.default_rng(0)


def joined(X, bottleneck, dtype=torch.float64, **parts):
    """Return the line over the data's default parts, and the data as a batch."""
    rows = as_rows(X)
    modality = (Tables(heavy_tails="keep") if np.ndim(X) == 2 else Images(likelihood="gaussian")).fit(rows)
    parts = {"encoder": modality.encoder(), "decoder": modality.decoder(), "loss": modality.loss()} | parts
    torch.manual_seed(0)
    module = AutoEncoderModule(modality, bottleneck=bottleneck, **parts).to(dtype)
    return module, modality.to_batch(rows, dtype)


def mixed(rows, columns, rank=None):
    rank = rank or columns
    return RANDOM.normal(size=(rows, rank)) @ RANDOM.normal(size=(rank, columns)) + 5


CONSTANT = np.c_[mixed(200, 6), np.full(200, 3.0), np.full(200, 1e9)]


@pytest.mark.parametrize(
    ("X", "size"),
    [
        (mixed(300, 12), 4),
        (mixed(300, 12), 1),
        (mixed(300, 12), 12),
        (mixed(300, 100), 20),
        (mixed(15, 40), 5),
        (mixed(15, 40), 14),
        (mixed(200, 10, rank=3), 5),
        (CONSTANT, 3),
        (CONSTANT, 8),
    ],
    ids=["4 of 12", "1 of 12", "all", "wide", "few rows", "all rows", "rank 3", "constant", "constant, all"],
)
@pytest.mark.parametrize("bottleneck", [Linear, Gaussian])
def test_training_starts_at_pca_exactly(X, size, bottleneck):
    module, batch = joined(X, bottleneck(size))
    module.start(batch)
    with torch.no_grad():
        found = module.eval()(batch).output.numpy()
    x = batch.x.numpy()
    pca = PCA(size).fit(x)
    np.testing.assert_allclose(found, pca.inverse_transform(pca.transform(x)), atol=1e-5)


@pytest.mark.parametrize("networks", [{}, {"encoder": ConvEncoder((4, 4), width=32), "decoder": ConvDecoder((4, 4))}])
def test_training_on_images_starts_at_pca_exactly_too(networks):
    module, batch = joined(
        RANDOM.integers(0, 256, (60, 8, 6, 1), dtype=np.uint8), Linear(5), loss=GaussianLikelihood(), **networks
    )
    module.start(batch)
    with torch.no_grad():
        step = module.eval()(batch)
    x = step.target.x.flatten(1).numpy()
    pca = PCA(5).fit(x)
    np.testing.assert_allclose(step.output.flatten(1), pca.inverse_transform(pca.transform(x)), atol=1e-5)


def test_the_start_in_single_precision_is_as_good_as_pca_to_four_digits():
    module, batch = joined(mixed(300, 12), Linear(4), dtype=torch.float32)
    module.start(batch)
    with torch.no_grad():
        step = module.eval()(batch)
        error = module.loss.error(step.output, step.target).mean().item()
    x = batch.x.double().numpy()
    pca = PCA(4).fit(x)
    best = ((pca.inverse_transform(pca.transform(x)) - x) ** 2).sum(1).mean()
    assert error == pytest.approx(best, rel=1e-4)


def test_the_start_leaves_the_mode_and_draws_nothing_else():
    module, batch = joined(mixed(50, 5), Gaussian(2))
    for training in (True, False):
        module.train(training).start(batch)
        assert module.training is training


def test_sizes_between_parts_are_seen_not_declared():
    module, _ = joined(np.zeros((4, 9, 7), np.uint8), Linear(3), encoder=ConvEncoder((4,), flatten=False))
    assert module.bottleneck.facts["width"] == 4
    assert module.decoder.facts == {"code": [5, 4, 3], "shape": [9, 7, 1]}


def test_cost_is_loss_and_code_and_while_training_the_penalties():
    module, batch = joined(mixed(30, 4), Gaussian(2), penalties=[L1(0.5), L1(0.25)])
    for training in (True, False):
        step = module.train(training)(batch)
        expected = module.loss(step.output, step.target) + step.code.penalty
        if training:
            expected = expected + 0.75 * step.code.z.abs().sum(1)
        torch.testing.assert_close(module.cost(step), expected)


def test_the_source_is_corrupted_while_training_only_unless_asked():
    module, batch = joined(mixed(30, 4), Linear(2), corruption=GaussianNoise(1.0))
    assert not torch.equal(module.train()(batch).source.x, batch.x)
    assert torch.equal(module.train()(batch).target.x, batch.x)
    assert torch.equal(module.eval()(batch).source.x, batch.x)
    assert not torch.equal(module.eval()(batch, corrupt=True).source.x, batch.x)
    assert torch.equal(module.train()(batch, corrupt=False).source.x, batch.x)


def test_an_encoder_whose_source_will_be_masked_reads_the_mask():
    module, _ = joined(mixed(30, 4), Linear(2), corruption=Mask(0.5))
    assert module.encoder.facts["missing"] is True
    module, _ = joined(mixed(30, 4), Linear(2))
    assert module.encoder.facts["missing"] is False


def test_the_source_carries_a_gradient_only_for_penalties_that_ask():
    module, batch = joined(mixed(30, 4), Linear(2), penalties=[Contractive()])
    assert module.train()(batch).source.x.requires_grad
    assert not module.eval()(batch).source.x.requires_grad
    assert not batch.x.requires_grad
    module, batch = joined(mixed(30, 4), Linear(2), penalties=[L1()])
    assert not module.train()(batch).source.x.requires_grad


def test_the_closed_form_is_used_where_it_holds():
    plain = {"encoder": MLPEncoder((), shortcut=False), "decoder": MLPDecoder((4,))}
    module, _ = joined(mixed(30, 4), Linear(2, activation="sigmoid"), penalties=[Contractive()], **plain)
    assert module.penalties[0]._one_layer
    module, _ = joined(mixed(30, 4), Linear(2), penalties=[Contractive()], **plain)
    assert not module.penalties[0]._one_layer


def test_the_code_is_that_of_the_uncorrupted_rows():
    module, batch = joined(mixed(30, 4), Gaussian(2), corruption=GaussianNoise(1.0))
    module.eval()
    torch.testing.assert_close(module.encode(batch), module(batch).code.z)


def test_a_decoder_that_gives_another_shape_is_refused_by_name():
    class Short(Part):
        def setup(self, code, shape):
            pass

        def forward(self, z, target=None):
            return z

    with pytest.raises(ValueError, match=r"Short\(\) gives \[2\], but the loss needs \[4\]"):
        joined(mixed(30, 4), Linear(2), decoder=Short())


def test_any_code_that_computes_fits():
    class Twice(Part):
        def setup(self, width, rank=None):
            pass

        def forward(self, features):
            return Code(torch.cat([features, -features], -1), features.new_zeros(len(features)))

    module, batch = joined(mixed(30, 4), Twice(), loss=GaussianLikelihood(learned=True))
    assert module.decoder.facts["code"] == [2 * module.encoder.body.width]
    assert isinstance(module(batch), Step)


def test_double_precision_images_are_read_in_double_precision():
    module, batch = joined(np.full((4, 6, 5), 51, np.uint8), Linear(2), loss=BernoulliLikelihood())
    assert batch.x.dtype == torch.uint8
    step = module(batch)
    assert step.target.x.dtype == torch.float64
    assert step.target.x.unique().tolist() == [0.2]


def test_a_row_that_was_masked_costs_only_what_was_seen():
    module, batch = joined(mixed(30, 4), Linear(2))
    module.eval()
    mask = torch.zeros_like(batch.x, dtype=torch.bool)
    cost = module.cost(module(Batch(batch.x, mask)))
    assert cost.tolist() == [0] * 30
