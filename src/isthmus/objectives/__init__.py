"""Objectives: what becomes of the nats of codes that were drawn."""

from isthmus.objectives.bounds import ELBO, ImportanceWeighted

__all__ = ["ELBO", "ImportanceWeighted"]
