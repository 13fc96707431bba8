"""Options of the adversaries and contrastive penalties keep the contract too."""

import numpy as np
import pytest

from isthmus.bottlenecks import Gaussian
from isthmus.checks import check_part
from isthmus.networks import ConvEncoder, MLPEncoder
from isthmus.part import Part
from isthmus.penalties import (
    MMD,
    AdversarialPrior,
    Contractive,
    ContrastivePrediction,
    DeepInfoMax,
    Discriminator,
    LabelClassifier,
    TotalCorrelation,
)
from isthmus.priors import Normal

TABLE = np.random.default_rng(0).normal(size=(24, 4))
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 7, 5, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "options"),
    [
        (AdversarialPrior(updates="alternating", learning_rate_scale=2.0), {"X": TABLE}),
        (AdversarialPrior(prior=Normal(), updates="reversal"), {"X": TABLE}),
        (MMD(categorical=True), {"X": IMAGES, "encoder": ConvEncoder((4,), flatten=False)}),
        (TotalCorrelation(information=-1.0, marginals=0.5, n=24), {"X": TABLE, "bottleneck": Gaussian(2)}),
        (LabelClassifier(adversarial=True, hidden=(), updates="alternating"), {"X": TABLE}),
        (Discriminator(similarity=1.0, channels=(4,)), {"X": IMAGES, "bottleneck": Gaussian(2)}),
        (DeepInfoMax(bound="jsd", local="input", patch=3), {"X": IMAGES}),
        (ContrastivePrediction(ahead=1), {"X": IMAGES, "encoder": ConvEncoder((4,), flatten=False)}),
        (Contractive(curvature=1.0), {"X": TABLE, "encoder": MLPEncoder((), shortcut=False)}),
        (Contractive(n_probes=3, curvature=1.0), {"X": TABLE}),
    ],
    ids=lambda value: f"{value!r}" if isinstance(value, Part) else "",
)
def test_every_option_keeps_the_contract(part, options):
    check_part(part, **options)
