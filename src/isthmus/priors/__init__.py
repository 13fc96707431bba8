"""Priors: what codes are like before any data is seen, and where new ones are drawn from."""

from isthmus.priors.autoregressive import Autoregressive
from isthmus.priors.flow import Flow
from isthmus.priors.mixture import Mixture
from isthmus.priors.normal import Normal
from isthmus.priors.vamp import VampPrior

__all__ = ["Autoregressive", "Flow", "Mixture", "Normal", "VampPrior"]
