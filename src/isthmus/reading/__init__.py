"""Reading: files and folders in, rows out; and back."""

from isthmus.reading.crops import ImageCrops
from isthmus.reading.doors import read, write
from isthmus.reading.folders import ImageFolder

__all__ = ["ImageCrops", "ImageFolder", "read", "write"]
