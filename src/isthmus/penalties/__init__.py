"""Penalties: what a code should be besides sufficient, in nats per example."""

from isthmus.penalties.adversarial_prior import AdversarialPrior
from isthmus.penalties.consistency import Consistency
from isthmus.penalties.contractive import Contractive
from isthmus.penalties.contrastive import ContrastivePrediction, NextItem
from isthmus.penalties.discriminator import Discriminator
from isthmus.penalties.independence import IndependenceCritic
from isthmus.penalties.infomax import DeepInfoMax
from isthmus.penalties.information import Information
from isthmus.penalties.labels import LabelClassifier
from isthmus.penalties.mmd import MMD
from isthmus.penalties.neighbors import Neighbors
from isthmus.penalties.sparse import L1, L2, KLSparsity
from isthmus.penalties.total_correlation import TotalCorrelation

__all__ = [
    "L1",
    "L2",
    "MMD",
    "AdversarialPrior",
    "Consistency",
    "Contractive",
    "ContrastivePrediction",
    "DeepInfoMax",
    "Discriminator",
    "IndependenceCritic",
    "Information",
    "KLSparsity",
    "LabelClassifier",
    "Neighbors",
    "NextItem",
    "TotalCorrelation",
]
