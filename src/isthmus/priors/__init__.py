"""Priors: what codes are like before any data is seen, and where new ones are drawn from."""

from isthmus.priors.normal import Normal

__all__ = ["Normal"]
