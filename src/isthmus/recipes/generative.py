"""Codes with a prior: models that sample, and those whose dimensions mean something."""

from __future__ import annotations

from typing import Any

from isthmus.bottlenecks import Gaussian, Hyperspherical, Linear
from isthmus.estimator import AutoEncoder
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.objectives import ImportanceWeighted
from isthmus.penalties import MMD, AdversarialPrior, Discriminator, IndependenceCritic, TotalCorrelation
from isthmus.priors import VampPrior
from isthmus.recipes.making import Modality, joined

__all__ = [
    "adversarial_autoencoder",
    "beta_tc_vae",
    "beta_vae",
    "factor_vae",
    "hyperspherical_vae",
    "iwae",
    "vae",
    "vae_gan",
    "vamp_vae",
    "wasserstein_autoencoder",
]


def vae(modality: Modality = None, *, size: int = 16, sigma: float = 0.1, **options: Any) -> AutoEncoder:
    """Variational auto-encoder (Kingma & Welling, 2014, https://arxiv.org/abs/1312.6114).

    ``sigma`` is the spread of the likelihood, in units of the standardised data (pixels: of
    their range). Give ``loss="bernoulli_likelihood"`` for black and white images.
    """
    return joined(modality, {"bottleneck": Gaussian(size), "loss": GaussianLikelihood(sigma)}, options)


def beta_vae(modality: Modality = None, *, size: int = 10, beta: float = 4.0, **options: Any) -> AutoEncoder:
    """Beta-VAE (Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl)."""
    return joined(modality, {"bottleneck": Gaussian(size, beta=beta), "loss": BernoulliLikelihood()}, options)


def beta_tc_vae(modality: Modality = None, *, size: int = 10, beta: float = 6.0, **options: Any) -> AutoEncoder:
    """Beta-TC-VAE (Chen et al., 2018, https://arxiv.org/abs/1802.04942): only the total correlation weighs more."""
    parts = {
        "bottleneck": Gaussian(size),
        "loss": BernoulliLikelihood(),
        "penalties": (TotalCorrelation(beta - 1),),
    }
    return joined(modality, parts, options)


def factor_vae(modality: Modality = None, *, size: int = 10, gamma: float = 10.0, **options: Any) -> AutoEncoder:
    """FactorVAE (Kim & Mnih, 2018, https://arxiv.org/abs/1802.05983): a critic tells codes from shuffled ones.

    Differs: both sides learn in every step, from the same batch.
    """
    parts = {
        "bottleneck": Gaussian(size),
        "loss": BernoulliLikelihood(),
        "penalties": (IndependenceCritic(gamma),),
    }
    return joined(modality, parts, options)


def iwae(modality: Modality = None, *, size: int = 50, draws: int = 5, **options: Any) -> AutoEncoder:
    """Importance-weighted auto-encoder (Burda et al., 2016, https://arxiv.org/abs/1509.00519), one layer of codes."""
    parts = {
        "bottleneck": Gaussian(size),
        "loss": BernoulliLikelihood(),
        "objective": ImportanceWeighted(draws),
    }
    return joined(modality, parts, options)


def vamp_vae(modality: Modality = None, *, size: int = 40, pseudo_inputs: int = 500, **options: Any) -> AutoEncoder:
    """VAE with a VampPrior (Tomczak & Welling, 2018, https://arxiv.org/abs/1705.07120).

    Differs: the pseudo-inputs are features, at the bottleneck's door, and not images.
    """
    parts = {"bottleneck": Gaussian(size, prior=VampPrior(pseudo_inputs)), "loss": BernoulliLikelihood()}
    return joined(modality, parts, options)


def hyperspherical_vae(modality: Modality = None, *, size: int = 10, **options: Any) -> AutoEncoder:
    """Hyperspherical VAE (Davidson et al., 2018, https://arxiv.org/abs/1804.00891).

    Differs: the power spherical distribution (De Cao & Aziz, 2020) for the von Mises-Fisher.
    """
    return joined(modality, {"bottleneck": Hyperspherical(size), "loss": GaussianLikelihood(0.1)}, options)


def adversarial_autoencoder(
    modality: Modality = None, *, size: int = 8, weight: float = 1.0, **options: Any
) -> AutoEncoder:
    """Adversarial auto-encoder (Makhzani et al., 2015, https://arxiv.org/abs/1511.05644): a critic shapes the codes."""
    return joined(modality, {"bottleneck": Linear(size), "penalties": (AdversarialPrior(weight),)}, options)


def wasserstein_autoencoder(
    modality: Modality = None, *, size: int = 8, weight: float = 10.0, **options: Any
) -> AutoEncoder:
    """Wasserstein auto-encoder with a maximum mean discrepancy (Tolstikhin et al., 2018).

    https://arxiv.org/abs/1711.01558, algorithm 2. The encoder is deterministic.
    """
    return joined(modality, {"bottleneck": Linear(size), "penalties": (MMD(weight),)}, options)


def vae_gan(modality: Modality = None, *, size: int = 32, weight: float = 1.0, **options: Any) -> AutoEncoder:
    """VAE-GAN (Larsen et al., 2016, https://arxiv.org/abs/1512.09300): a critic of images beside the likelihood.

    Differs: pixels stay in the loss, beside the distance in the critic's features.
    """
    parts = {
        "bottleneck": Gaussian(size),
        "loss": GaussianLikelihood(0.1, link="sigmoid"),
        "penalties": (Discriminator(weight, similarity=1.0),),
    }
    return joined(modality, parts, options)
