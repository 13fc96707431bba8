"""Sprites with known factors, drawn by the rule of dSprites at 32 x 32 pixels.

Matthey et al., "dSprites: Disentanglement testing Sprites dataset", 2017: a white square, ellipse or heart on
black, in 6 sizes, 40 orientations, and 32 places across and down. The files of the original are not used: a
pixel here is white where at least half of its 4 x 4 points lie within the shape, so that there are no greys.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["FACTORS", "SHAPES", "Sprites", "draw", "sprites"]

SHAPES = ("square", "ellipse", "heart")
# Name, and how many values: shape, half of the largest size to the largest, a full turn, places.
FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SIDE, POINTS = 32, 4
# Of the frame's half-width: where centres lie, and the radius of the circle around the largest square.
REACH, RADIUS = 0.5, 0.47
CHUNK = 128


class Sprites(NamedTuple):
    """Images and what they show.

    Attributes
    ----------
    images : ndarray of uint8
        ``(n, 32, 32)``, 0 or 255.
    factors : ndarray of int64
        ``(n, 5)``: the position of each factor's value, in the order of ``FACTORS``.
    """

    images: np.ndarray
    factors: np.ndarray


def sprites(n: int, seed: int = 0) -> Sprites:
    """Return ``n`` sprites whose factors are drawn independently and uniformly from the grid."""
    random = np.random.default_rng(seed)
    factors = np.stack([random.integers(0, size, n) for size in FACTORS.values()], axis=1)
    return Sprites(draw(factors), factors)


def draw(factors: np.ndarray) -> np.ndarray:
    """Return the images ``(n, 32, 32)`` of factors ``(n, 5)``."""
    images = np.empty((len(factors), SIDE, SIDE), np.uint8)
    for begin in range(0, len(factors), CHUNK):
        images[begin : begin + CHUNK] = _draw(factors[begin : begin + CHUNK])
    return images


def _draw(factors: np.ndarray) -> np.ndarray:
    shape, scale, turn, x, y = (factors[:, i, None, None].astype(np.float32) for i in range(5))
    size = RADIUS * (0.5 + 0.5 * scale / (FACTORS["scale"] - 1))
    angle = 2 * np.pi * turn / FACTORS["orientation"]
    points = (np.arange(SIDE * POINTS, dtype=np.float32) + 0.5) / (SIDE * POINTS) * 2 - 1
    right = points[None, None, :] - REACH * (2 * x / (FACTORS["x"] - 1) - 1)
    down = points[None, :, None] - REACH * (2 * y / (FACTORS["y"] - 1) - 1)
    # In the shape's own frame: turned back, and the circle around it of radius one.
    cos, sin = np.cos(angle) / size, np.sin(angle) / size
    u, v = cos * right + sin * down, cos * down - sin * right
    inside = np.empty(u.shape, bool)
    for kind, within in enumerate((_square, _ellipse, _heart)):
        chosen = factors[:, 0] == kind
        inside[chosen] = within(u[chosen], v[chosen])
    covered = inside.reshape(len(factors), SIDE, POINTS, SIDE, POINTS).sum((2, 4))
    return np.where(2 * covered >= POINTS**2, 255, 0).astype(np.uint8)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= np.sqrt(0.5)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u * u + 4 * v * v <= 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # The sextic heart curve (x^2 + y^2 - 1)^3 = x^2 y^3, upright where v points down.
    u, v = 1.35 * u, 0.1 - 1.35 * v
    ring = u * u + v * v - 1
    return ring * ring * ring <= u * u * v * v * v
