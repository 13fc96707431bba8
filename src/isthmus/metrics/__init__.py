"""Metrics: of codes, how far they keep what varies in the data apart; of rows that were drawn; of scores of steps."""

from isthmus.metrics.disentanglement import Disentanglement, disentanglement
from isthmus.metrics.generation import covered, frechet_distance
from isthmus.metrics.information import mig, modularity, mutual_information
from isthmus.metrics.prediction import DCI, dci, sap
from isthmus.metrics.spans import vus_pr
from isthmus.metrics.votes import factor_vae_score

__all__ = [
    "DCI",
    "Disentanglement",
    "covered",
    "dci",
    "disentanglement",
    "factor_vae_score",
    "frechet_distance",
    "mig",
    "modularity",
    "mutual_information",
    "sap",
    "vus_pr",
]
