"""What is raised for a stream that cannot be what was written."""

from __future__ import annotations

__all__ = ["CorruptStreamError"]


class CorruptStreamError(ValueError):
    """A compressed stream is damaged, cut short, or not of the kind that was expected."""
