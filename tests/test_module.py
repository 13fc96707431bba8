"""The composition: sizes that are seen, the start at PCA, what a cost is made of."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from isthmus.batch import Batch, Code, Step
from isthmus.bottlenecks import Gaussian, Linear
from isthmus.corruptions import GaussianNoise, Mask
from isthmus.estimator import AutoEncoder
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.modalities import Images, Tables
from isthmus.module import AutoEncoderModule
from isthmus.networks import ConvDecoder, ConvEncoder
from isthmus.objectives import ELBO, ImportanceWeighted
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
    assert not torch.equal(module.eval()(batch, as_training=True).source.x, batch.x)
    assert torch.equal(module.train()(batch, as_training=False).source.x, batch.x)


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


def test_an_objective_weighs_as_many_draws_of_each_example_as_it_asks_for():
    module, batch = joined(mixed(30, 6), Gaussian(2), objective=ImportanceWeighted(3))
    step = module.train()(batch)
    assert len(step.output) == len(step.target) == len(step.source) == 3 * len(batch)
    assert torch.equal(step.target.x[::3], module.modality.expand(batch).x)
    assert module.cost(step).shape == (len(batch),)
    held_out = module.eval()(batch, as_training=True)
    assert len(held_out.output) == 3 * len(batch)
    assert len(module.eval()(batch).output) == len(batch)


def test_held_out_codes_are_drawn_and_codes_of_the_model_are_not():
    module, batch = joined(mixed(30, 6), Gaussian(2))
    module.eval()
    assert not torch.equal(module(batch, as_training=True).code.z, module(batch, as_training=True).code.z)
    assert torch.equal(module(batch).code.z, module(batch).code.z)


def test_an_objective_that_draws_is_refused_where_the_bottleneck_cannot_or_a_penalty_needs_one_code():
    with pytest.raises(ValueError, match="needs a bottleneck that can draw"):
        joined(mixed(30, 6), Linear(2), objective=ELBO())
    with pytest.raises(ValueError, match="draws many codes"):
        joined(mixed(30, 6), Gaussian(2), objective=ELBO(2), penalties=[Contractive()])


class _Counter(Part):
    """A penalty that is told of every step."""

    needs_labels = True
    is_game = True

    def setup(self, labels: int, code: list, output: list) -> None:
        self.register_buffer("progress", torch.zeros(()))
        self.head = torch.nn.Linear(code[-1], labels)

    def forward(self, step: Step) -> torch.Tensor:
        known = step.target.condition >= 0
        nats = torch.nn.functional.cross_entropy(
            self.head(step.code.z), step.target.condition.clamp_min(0), reduction="none"
        )
        return nats * known

    def after_step(self, progress: float) -> None:
        self.progress.fill_(progress)


def test_a_part_that_asks_for_labels_and_steps_gets_them():
    X, y = mixed(60, 6), np.array(["a", "b", None] * 20, dtype=object)
    model = AutoEncoder(bottleneck="linear(size=2)", penalties=[_Counter()], max_epochs=3, random_state=0).fit(X, y)
    assert list(model.classes_) == ["a", "b"]
    (penalty,) = model.module_.penalties
    assert penalty.facts == {"labels": 2, "code": [2], "output": [6]}
    assert float(penalty.progress) == 1.0
    assert model.module_.is_game
    with pytest.raises(ValueError, match="needs labels, got none"):
        model.fit(X)
    with pytest.raises(ValueError, match="one label for each of 60 rows"):
        model.fit(X, y[:10])


def test_a_game_keeps_its_last_weights_and_runs_to_its_end():
    X, y = mixed(60, 6), [0, 1, -1] * 20
    model = AutoEncoder(
        bottleneck="linear(size=2)", penalties=[_Counter()], max_epochs=5, learning_rate=0.5, patience=1, random_state=0
    ).fit(X, y)
    costs = [row["validation_cost"] for row in model.history_ if "validation_cost" in row]
    assert model.history_[-1]["epoch"] == 5
    assert min(costs) < costs[-1]
    assert list(model.classes_) == [0, 1]
