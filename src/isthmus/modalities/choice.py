"""Which modality rows are of, where nobody said."""

from __future__ import annotations

from isthmus.modalities.images import Images
from isthmus.modalities.sequences import Sequences
from isthmus.modalities.tables import Tables
from isthmus.part import Part
from isthmus.rows import ArrayRows, FrameRows, Rows, SequenceRows

__all__ = ["default_modality"]


def default_modality(rows: Rows) -> Part:
    """Return tables for frames and 2-D arrays, sequences for lists of arrays, images for the rest."""
    if isinstance(rows, SequenceRows):
        return Sequences()
    is_table = isinstance(rows, FrameRows) or (isinstance(rows, ArrayRows) and rows.array.ndim == 2)
    return Tables() if is_table else Images()
