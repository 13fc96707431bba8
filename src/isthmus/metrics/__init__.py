"""Metrics: how far codes keep apart what varies, of rows that were drawn, of scores of steps, and of codecs."""

from isthmus.metrics.disentanglement import Disentanglement, disentanglement
from isthmus.metrics.generation import covered, frechet_distance
from isthmus.metrics.information import mig, modularity, mutual_information
from isthmus.metrics.prediction import DCI, dci, sap
from isthmus.metrics.rates import bd_rate, psnr
from isthmus.metrics.spans import vus_pr
from isthmus.metrics.votes import factor_vae_score

__all__ = [
    "DCI",
    "Disentanglement",
    "bd_rate",
    "covered",
    "dci",
    "disentanglement",
    "factor_vae_score",
    "frechet_distance",
    "mig",
    "modularity",
    "mutual_information",
    "psnr",
    "sap",
    "vus_pr",
]
