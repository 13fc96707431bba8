"""Losses: negative log-likelihoods, in nats per example."""

from isthmus.losses.bernoulli import BernoulliLikelihood
from isthmus.losses.cells import CellLikelihood
from isthmus.losses.gaussian import GaussianLikelihood

__all__ = ["BernoulliLikelihood", "CellLikelihood", "GaussianLikelihood"]
