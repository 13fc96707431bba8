"""Every part and every job keeps the contract, and the suite that says so has teeth."""

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import jobs, names
from isthmus.batch import Batch, Code
from isthmus.bottlenecks import Binary, EntropyBottleneck, Gaussian, Linear, OneHot, PictureFile
from isthmus.checks import check_job, check_part
from isthmus.corruptions import Affine, Mask
from isthmus.losses import CellLikelihood, GaussianLikelihood, SquaredError
from isthmus.modalities import Images
from isthmus.networks import (
    CompactEncoder,
    ConvDecoder,
    ConvEncoder,
    GDNDecoder,
    GDNEncoder,
    LappedDecoder,
    LappedEncoder,
    MLPDecoder,
    MLPEncoder,
    RecurrentDecoder,
    RecurrentEncoder,
    RestoringDecoder,
    TemporalDecoder,
    TemporalEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from isthmus.part import Part
from isthmus.penalties import Consistency, Contractive, Information

PARTS = [pytest.param(cls, slot, id=cls.__name__) for slot, parts in names.slots().items() for cls in parts.values()]
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 7, 5, 3), dtype=np.uint8)
CODEC = {"X": IMAGES, "bottleneck": EntropyBottleneck((0.01, 0.1)), "loss": SquaredError()}
WRAPPED = {"X": IMAGES, "encoder": CompactEncoder((4,)), "bottleneck": PictureFile(), "loss": SquaredError()}
SERIES = [np.random.default_rng(i).normal(size=(4 + i % 4, 2)) for i in range(16)]


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "slot"), PARTS)
def test_every_part_keeps_the_contract(cls, slot):
    check_part(cls, slot)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("cls", "slot"), PARTS)
def test_every_part_keeps_the_contract_on_a_gpu(cls, slot):
    check_part(cls, slot, device="cuda")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", jobs.__all__)
def test_every_job_keeps_the_contract(name):
    check_job(getattr(jobs, name))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "options"),
    [
        (MLPEncoder((8, 8), norm="layer", residual=True, dropout=0.2), {}),
        (MLPEncoder((8, 8), norm="batch", residual=True), {}),
        (MLPEncoder((), shortcut=False), {}),
        (MLPDecoder((8, 8), norm="batch", residual=True, shortcut=False), {}),
        (MLPDecoder(tied=True, shortcut=False), {"encoder": MLPEncoder((8, 6), shortcut=False)}),
        (ConvEncoder((4, 8), pooling="max", norm="batch", residual=True, width=8), {"X": IMAGES}),
        (ConvEncoder((4,), pooling="average", flatten=False), {"X": IMAGES}),
        (ConvEncoder((4, 8), shortcut=False, width=8), {"X": IMAGES, "corruption": Mask(0.5)}),
        (ConvDecoder((8, 4), upsampling="unpooling", norm="batch", residual=True), {"X": IMAGES}),
        (ConvDecoder((4,), upsampling="nearest"), {"X": IMAGES, "encoder": ConvEncoder((4,), flatten=False)}),
        (LappedEncoder(6, 4, 4), {"X": IMAGES, "corruption": Mask(0.5)}),
        (LappedEncoder(6, branch=(4, 6)), CODEC),
        (LappedDecoder(filter=(6,), told=True), CODEC | {"encoder": LappedEncoder(6)}),
        (GDNEncoder((4,), 6, shortcut=False), CODEC),
        (GDNDecoder((4,), told=True), CODEC | {"encoder": GDNEncoder((4,), 6)}),
        (EntropyBottleneck((0.05,), mixture=2, told=False), {}),
        (CompactEncoder((4,), scale=3), {"X": IMAGES, "corruption": Mask(0.5)}),
        (RestoringDecoder((4,), told=True), WRAPPED),
        (RestoringDecoder((), scale=3, told=True), WRAPPED | {"encoder": CompactEncoder((4,), scale=3)}),
        (PictureFile("webp"), WRAPPED | {"decoder": RestoringDecoder((4,), told=True)}),
        (Gaussian(2, beta=4.0, free_bits=0.5), {}),
        (Gaussian(2, warm_up=0.5), {}),
        (Images(likelihood="bernoulli", binarize="dynamic"), {"X": IMAGES}),
        (Linear(2, activation="relu"), {}),
        (OneHot(4, groups=2, hard=False, learned_prior=True), {}),
        (Binary(4, beta=1.0, balance=1.0, drawn=False, median=True), {}),
        (RecurrentEncoder("lstm", 6, bidirectional=True, summary="mean"), {"X": SERIES}),
        (RecurrentEncoder(width=6, layers=2, reversed=True, summary="flat"), {"X": SERIES}),
        (RecurrentDecoder("lstm", 6, autoregressive=True, step_dropout=(0.0, 0.5)), {"X": SERIES}),
        (RecurrentDecoder(width=6, reversed=True), {"X": SERIES, "encoder": TemporalEncoder((4,), summary="steps")}),
        (TemporalEncoder((4,), summary="mean", stride=3, residual=False), {"X": SERIES}),
        (TemporalDecoder((4,)), {"X": SERIES, "encoder": TemporalEncoder((4,), summary="steps")}),
        (TransformerEncoder(8, 1, 2, summary="steps"), {"X": SERIES, "corruption": Mask(0.5)}),
        (TransformerDecoder(8, 1, 2, patch=2, autoregressive=True, step_dropout=0.3), {"X": SERIES}),
        (GaussianLikelihood(sigma=0.5, learned=True), {}),
        (GaussianLikelihood(link="sigmoid"), {}),
        (CellLikelihood(sigma=0.5, learned=True), {}),
        (Contractive(n_probes=3), {"encoder": MLPEncoder((), shortcut=False)}),
        (Contractive(), {"bottleneck": Gaussian(2)}),
        (Consistency(Affine()), {"X": IMAGES, "bottleneck": OneHot(3)}),
        (Information(), {"bottleneck": Binary(3)}),
    ],
    ids=lambda value: f"{value!r}" if isinstance(value, Part) else "",
)
def test_every_option_keeps_the_contract(part, options):
    check_part(part, **options)


def test_a_part_that_is_not_ours_needs_its_slot_named():
    with pytest.raises(ValueError, match="which slot it is for.*bottlenecks"):
        check_part(BatchMean)


class BatchMean(Part):
    """Gaussian loss that averages over the batch."""

    def setup(self, shape, categories=None):
        self.inner = GaussianLikelihood().build(shape=shape, categories=categories)
        self.width = self.inner.width

    def forward(self, output, target):
        return self.inner(output, target).mean().expand(len(target))

    def __getattr__(self, name):
        if name in ("cells", "error", "mean", "draw", "guess"):
            return getattr(self.inner, name)
        return super().__getattr__(name)


class MeanOverCells(BatchMean):
    """Gaussian loss that averages over the cells, so that beta means something else."""

    def forward(self, output, target):
        return self.cells(output, target).flatten(1).mean(1)


class Scalar(BatchMean):
    """Gaussian loss of the whole batch."""

    def forward(self, output, target):
        return self.inner(output, target).sum()


class BlindToMasks(BatchMean):
    """Gaussian loss that counts what was not observed."""

    def forward(self, output, target):
        return self.inner(output, Batch(target.x))

    def cells(self, output, target):
        return self.inner.cells(output, Batch(target.x))


class InPlace(Part):
    """Linear encoder that standardises the caller's tensor."""

    def setup(self, shape, categories=None, missing=False):
        self.linear = nn.Linear(int(np.prod(shape)), 4)

    def forward(self, source):
        return self.linear(source.x.mul_(0.5).flatten(1))


class ChannelsFirst(Part):
    """Image decoder as torch has them."""

    def setup(self, code, shape):
        self.shape = tuple(shape)
        self.linear = nn.Linear(int(np.prod(code)), int(np.prod(shape)))

    def forward(self, z, target=None):
        return self.linear(z).view(len(z), *self.shape).movedim(-1, 1)


class Unsaved(Part):
    """Bottleneck with weights that no state dict holds."""

    def setup(self, width, rank=None):
        self.linear = nn.Linear(width, 2)
        self.shift = torch.randn(2).tolist()

    def forward(self, features):
        z = self.linear(features)
        return Code(z + z.new_tensor(self.shift), features.new_zeros(len(features)))


class Noisy(Unsaved):
    """Bottleneck that draws in evaluation as well."""

    def forward(self, features):
        z = self.linear(features)
        return Code(z + torch.randn_like(z), features.new_zeros(len(features)))


class NumpyNoise(Unsaved):
    """Bottleneck that draws from numpy's generator while training."""

    def forward(self, features):
        z = self.linear(features)
        if self.training:
            z = z + z.new_tensor(np.random.default_rng().normal(size=z.shape))
        return Code(z, features.new_zeros(len(features)))


class Detached(Unsaved):
    """Bottleneck that no gradient passes."""

    def forward(self, features):
        return Code(self.linear(features).detach(), features.new_zeros(len(features)))


class Standardised(Unsaved):
    """Bottleneck whose codes depend on the batch."""

    def forward(self, features):
        z = self.linear(features)
        return Code(z - z.mean(0), features.new_zeros(len(features)))


class OneTensor(Unsaved):
    """Bottleneck that returns no Code."""

    def forward(self, features):
        return self.linear(features)


class SinglePrecision(Unsaved):
    """Bottleneck that always gives float32."""

    def forward(self, features):
        return Code(self.linear(features).float(), features.new_zeros(len(features)))


class Stored(Part):
    """Bottleneck that converts its argument.

    Parameters
    ----------
    size : int
        Size of the code.
    """

    def __init__(self, size: int = 3):
        super().__init__()
        self.size = (size,)


class Looked(Part):
    """Bottleneck that checks its argument too early.

    Parameters
    ----------
    size : int
        Size of the code.
    """

    def __init__(self, size: int = 3):
        super().__init__()
        if size < 1:
            raise ValueError("size must be at least 1.")
        self.size = size


class Silent(Part):
    """Bottleneck whose parameter is not documented."""

    def __init__(self, size: int = 3):
        super().__init__()
        self.size = size


class Gullible(Unsaved):
    """Bottleneck that takes anything for its parameter.

    Parameters
    ----------
    scale
        Factor of the code.
    """

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale


class Early(Unsaved):
    """Bottleneck that makes weights before it has seen the data."""

    def __init__(self):
        super().__init__()
        self.early = nn.Linear(2, 2)


class ArrayFacts(Part):
    """Bottleneck that adds a fact that is not JSON."""

    def build(self, **facts):
        super().build(**facts)
        self.facts = facts | {"mean": np.zeros(2)}
        return self

    def setup(self, width, rank=None):
        self.linear = nn.Linear(width, 2)

    def forward(self, features):
        return Code(self.linear(features), features.new_zeros(len(features)))


class HalfASymbol(Part):
    """Corruption that adds noise to symbols."""

    def setup(self, shape, categories=None):
        pass

    def forward(self, target):
        return target.with_x(target.x + 0.1 * torch.rand_like(target.x))


class ForgetsTheMask(HalfASymbol):
    """Corruption that drops the mask."""

    def forward(self, target):
        return Batch(target.x)


class PerBatchPenalty(Part):
    """Penalty that gives one number."""

    def forward(self, step):
        return step.code.z.square().mean()


class NotOfNumbers(Part):
    """Encoder that takes no data of ours."""

    def setup(self, shape, categories=None, missing=False):
        raise ValueError("this encoder is for trees.")


@pytest.mark.parametrize(
    ("cls", "slot", "message"),
    [
        (BatchMean, "losses", "nats must be the sum of cells|depend on the others"),
        (MeanOverCells, "losses", "must be the sum of cells over each example, not a mean"),
        (Scalar, "losses", r"nats per example, of shape \(24,\)|the cost should be finite nats"),
        (BlindToMasks, "losses", "values whose mask is False change its result"),
        (InPlace, "networks", "changed its input"),
        (ChannelsFirst, "networks", r"gives \[3, 8, 6\], but the loss needs \[8, 6, 3\]"),
        (Unsaved, "bottlenecks", "differs after save and load"),
        (Noisy, "bottlenecks", "two calls in evaluation mode differ"),
        (NumpyNoise, "bottlenecks", "with one seed, two calls differ"),
        (Detached, "bottlenecks", "no gradient reaches encoder"),
        (Standardised, "bottlenecks", "results of 4 examples depend on the others"),
        (OneTensor, "bottlenecks", "has no attribute 'z'|should return a Code"),
        (SinglePrecision, "bottlenecks", r"dtype|gives torch.float32"),
        (Stored, "bottlenecks", "must store size untouched"),
        (Looked, "bottlenecks", "must only store its arguments and not look at them"),
        (Silent, "bottlenecks", "size of Silent needs a line in the docstring"),
        (Gullible, "bottlenecks", "was built with scale=nonsense"),
        (Early, "bottlenecks", "has weights before build"),
        (ArrayFacts, "bottlenecks", "cannot be saved as JSON"),
        (HalfASymbol, "corruptions", "holds symbols, and it put something else there"),
        (ForgetsTheMask, "corruptions", "it lost the mask"),
        (PerBatchPenalty, "penalties", "nats per example|the cost should be finite nats"),
        (NotOfNumbers, "networks", "fits none of the data it was tried on: a table.*for trees"),
    ],
)
def test_a_broken_part_is_caught_and_told_why(cls, slot, message):
    with pytest.raises(AssertionError, match=message):
        check_part(cls, slot)


class Brief(jobs.Denoiser):
    """Job that forgets what it found.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        The auto-encoder.
    random_state : int, optional
        Of the auto-encoder.
    """

    def fit(self, X, y=None):
        super().fit(X, y)
        self.shift_ = 1.0
        return self

    def denoise(self, X):
        return super().denoise(X) + getattr(self, "shift_", 0.0)


def test_a_job_that_forgets_what_it_found_is_caught():
    with pytest.raises(AssertionError, match="denoise differs after save and load"):
        check_job(Brief, X=np.random.default_rng(0).normal(size=(20, 3)))


def test_a_job_that_keeps_its_state_in_objects_is_caught(monkeypatch):
    monkeypatch.setattr(jobs.Denoiser, "state", lambda self: {"when": {1, 2}})
    with pytest.raises(AssertionError, match="state 'when' is neither an array nor JSON"):
        check_job(jobs.Denoiser, X=np.random.default_rng(0).normal(size=(20, 3)))
