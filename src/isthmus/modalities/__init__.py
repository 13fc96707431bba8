"""Modalities: the doors through which rows come in as batches and go out as rows."""

from isthmus.modalities.images import Images
from isthmus.modalities.sequences import Sequences
from isthmus.modalities.tables import Tables
from isthmus.modalities.vectors import Vectors

__all__ = ["Images", "Sequences", "Tables", "Vectors"]
