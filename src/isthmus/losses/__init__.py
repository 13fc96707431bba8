"""Losses: negative log-likelihoods and errors weighed as such, in nats per example."""

from isthmus.losses.bernoulli import BernoulliLikelihood
from isthmus.losses.cells import CellLikelihood
from isthmus.losses.gaussian import GaussianLikelihood
from isthmus.losses.similarity import StructuralSimilarity
from isthmus.losses.squares import SquaredError

__all__ = ["BernoulliLikelihood", "CellLikelihood", "GaussianLikelihood", "SquaredError", "StructuralSimilarity"]
