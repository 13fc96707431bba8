"""Metrics of codes: how far a code keeps what varies in the data apart."""

from isthmus.metrics.disentanglement import Disentanglement, disentanglement
from isthmus.metrics.information import mig, modularity, mutual_information
from isthmus.metrics.prediction import DCI, dci, sap
from isthmus.metrics.votes import factor_vae_score

__all__ = [
    "DCI",
    "Disentanglement",
    "dci",
    "disentanglement",
    "factor_vae_score",
    "mig",
    "modularity",
    "mutual_information",
    "sap",
]
