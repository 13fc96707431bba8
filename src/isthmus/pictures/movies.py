"""Moving pictures: images that follow each other, as a GIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isthmus.files import atomic

__all__ = ["save_movie"]

LEAST_SIDE = 160
MILLISECONDS = 90


def save_movie(images: np.ndarray, path: str | Path) -> Path:
    """Write images ``(n, h, w[, c])`` as frames of a ``.gif`` that goes there and back, whole or not at all.

    Small images are enlarged by a whole number, so that a pixel stays a square.

    Raises
    ------
    ValueError
        If the name does not end in .gif, or there are no images.
    """
    path, images = Path(path), np.asarray(images)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"a movie is written as .gif, got {path.name!r}; change the name's end.")
    if images.ndim not in (3, 4) or 0 in images.shape or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(f"a movie takes images (n, h, w) or (n, h, w, 1 or 3), got {images.shape}.")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    times = max(1, -(-LEAST_SIDE // max(images.shape[1:3])))
    frames = [Image.fromarray(frame.repeat(times, 0).repeat(times, 1)) for frame in _bytes(images)]
    frames += frames[-2:0:-1]
    with atomic(path) as part:
        more: dict[str, Any] = {"duration": MILLISECONDS, "loop": 0}
        frames[0].save(part, format="GIF", save_all=True, append_images=frames[1:], **more)
    return path


def _bytes(images: np.ndarray) -> np.ndarray:
    """Return images as ``uint8``; grey ones dark on white, as the other pictures are."""
    if images.dtype != np.uint8:
        low, high = min(float(images.min()), 0.0), max(float(images.max()), 1e-12)
        images = np.rint((images.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)
    return 255 - images if images.ndim == 3 else images
