"""Penalties: what a code should be besides sufficient, in nats per example."""

from isthmus.penalties.contractive import Contractive
from isthmus.penalties.sparse import L1, L2, KLSparsity

__all__ = ["L1", "L2", "Contractive", "KLSparsity"]
