"""The papers' names: each returns the auto-encoder that a paper describes, unfitted.

A recipe is a choice of parts and nothing more; whatever it returns can be said without it.
Data decide sizes and networks, as always: where a paper's network is not given below, the
modality's own is used, which is the one difference that all recipes share. Further keyword
arguments are :class:`~isthmus.estimator.AutoEncoder`'s and override the recipe's.
"""

from isthmus.recipes.classic import (
    contractive_autoencoder,
    deep_autoencoder,
    denoising_autoencoder,
    masked_autoencoder,
    seq2seq_autoencoder,
    sparse_autoencoder,
)
from isthmus.recipes.codecs import gdn_codec, lapped_codec
from isthmus.recipes.discrete import fsq_vae, gumbel_softmax_vae, imsat, rq_vae, semantic_hashing, vq_vae
from isthmus.recipes.factors import content_style_autoencoder, contrastive_predictive_coding, deep_infomax
from isthmus.recipes.generative import (
    adversarial_autoencoder,
    beta_tc_vae,
    beta_vae,
    factor_vae,
    hyperspherical_vae,
    iwae,
    vae,
    vae_gan,
    vamp_vae,
    wasserstein_autoencoder,
)

__all__ = [
    "adversarial_autoencoder",
    "beta_tc_vae",
    "beta_vae",
    "content_style_autoencoder",
    "contractive_autoencoder",
    "contrastive_predictive_coding",
    "deep_autoencoder",
    "deep_infomax",
    "denoising_autoencoder",
    "factor_vae",
    "fsq_vae",
    "gumbel_softmax_vae",
    "gdn_codec",
    "hyperspherical_vae",
    "imsat",
    "iwae",
    "lapped_codec",
    "masked_autoencoder",
    "rq_vae",
    "semantic_hashing",
    "seq2seq_autoencoder",
    "sparse_autoencoder",
    "vae",
    "vae_gan",
    "vamp_vae",
    "vq_vae",
    "wasserstein_autoencoder",
]
