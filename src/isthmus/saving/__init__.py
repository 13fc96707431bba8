"""The model folder: what was fitted, whole or not at all, and back, within bounds."""

from isthmus.saving.folder import FORMAT, check_place, inspect, load, save

__all__ = ["FORMAT", "check_place", "inspect", "load", "save"]
