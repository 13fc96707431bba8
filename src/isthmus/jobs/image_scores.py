"""What an image costs: how unusual its detail and its error are, anywhere, at several scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["ImageCosts"]

# Of both pyramids, in pixels of a shorter side of 64: the width that parts one band from the next, and over
# which its energy is gathered.
DETAIL = ((0.7, 1.5), (1.4, 3.0), (2.8, 5.0))
ERROR = ((0.0, 1.0), (1.5, 1.5), (3.0, 3.0), (6.0, 6.0))
SIDE = 64
# Energies below this are all alike: a sixteenth of what rounding to 8 bits adds, 1/12 of a squared level.
ROUNDING = 1 / 12 / 16 / 255**2
# How far a place's mean and spread are shared with its neighbours, in pixels of 64; and with all places.
SHARED_MEAN, SHARED_SPREAD, FLOOR = 2.0, 3.0, 0.1


class ImageCosts:
    r"""The cost of images: how many standard deviations the most unusual thing about each is from the usual.

    Two pyramids of maps are made of each image: *detail*, the logarithm of the local energy of
    three bands of the image itself, from the finest; and *error*, the same of the difference
    between the image and what the network makes of it, smoothed at four widths. Each place of
    each map is counted in held-out standard deviations from its held-out mean; a map's
    largest, smallest and mean place are counted in theirs once more; the cost is the largest of
    these numbers, either way.

    Parameters
    ----------
    place_means, place_spreads : ndarray of shape (maps, h, w)
        Of each place of each map, over held-out images.
    means, spreads : ndarray of shape (3 * maps,)
        Of each map's largest, smallest and mean place, over held-out images.

    Notes
    -----
    Error alone does not find what is too simple: a blurred or painted-over image is easier to
    reconstruct than a sharp one. Here both too much and too little count, of error and of
    detail. Detail finds what lacks texture or has too much, whatever the network does; error
    finds what is drawn well but is not what belongs there.

    The maps are made of the channels' energies together. ``pixels`` and ``errors`` are in the
    units of the batch, in which 8-bit values lie between 0 and 1.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> pixels, errors = random.random((40, 16, 16, 1)), 0.1 * random.normal(size=(40, 16, 16, 1))
    >>> costs = ImageCosts.measure(pixels[:30], errors[:30])
    >>> pixels[30, 4:12, 4:12] = 0.5
    >>> int(costs.costs(pixels[30:], errors[30:]).argmax())
    0
    """

    def __init__(self, place_means: np.ndarray, place_spreads: np.ndarray, means: np.ndarray, spreads: np.ndarray):
        self.place_means, self.place_spreads = place_means, place_spreads
        self.means, self.spreads = means, spreads

    @classmethod
    def measure(cls, pixels: np.ndarray, errors: np.ndarray) -> ImageCosts:
        """Return the measure that held-out images give.

        Parameters
        ----------
        pixels : ndarray of shape (n, h, w, c)
            The images, at least two.
        errors : ndarray of shape (n, h, w, c)
            Image less what the network makes of it.
        """
        if len(pixels) < 2:
            raise ValueError(f"what is usual takes at least 2 held-out images, got {len(pixels)}.")
        maps = _maps(pixels, errors)
        scale = _scale(pixels)
        place_means = gaussian_filter(maps.mean(0), (0, SHARED_MEAN * scale, SHARED_MEAN * scale))
        shared = np.sqrt(gaussian_filter(maps.var(0), (0, SHARED_SPREAD * scale, SHARED_SPREAD * scale)))
        place_spreads = shared + FLOOR * shared.mean((1, 2), keepdims=True) + 1e-6
        summary = _summary((maps - place_means) / place_spreads)
        return cls(place_means, place_spreads, summary.mean(0), summary.std(0) + 1e-6)

    def costs(self, pixels: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Return the cost of each image, ``(n,)``."""
        return np.abs(self._unusual(self.places(pixels, errors))).max(1)

    def places(self, pixels: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Return how unusual each place of each map is, in held-out standard deviations, ``(n, maps, h, w)``."""
        return (_maps(pixels, errors) - self.place_means) / self.place_spreads

    def heat(self, pixels: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """Return a picture of what is unusual where, ``(n, h, w)``: of the map that makes the image's cost.

        Its size, either way: for blurred places as for places with too much.
        """
        places = self.places(pixels, errors)
        which = np.abs(self._unusual(places)).argmax(1) % places.shape[1]
        return np.abs(places[np.arange(len(places)), which])

    def state(self) -> dict[str, np.ndarray]:
        """Return it as arrays."""
        return {f"image_{name}": getattr(self, name) for name in _FIELDS}

    @classmethod
    def restored(cls, state: Mapping[str, Any], shape: tuple[int, int]) -> ImageCosts:
        """Return what :meth:`state` was asked of, for images of this height and width.

        Raises
        ------
        ValueError
            If it is not that.
        """
        maps = len(DETAIL) + len(ERROR)
        wanted = dict(zip(_FIELDS, [(maps, *shape)] * 2 + [(3 * maps,)] * 2, strict=True))
        arrays = {name: np.asarray(state.get(f"image_{name}"), np.float64) for name in _FIELDS}
        for name, array in arrays.items():
            fits = array.shape == wanted[name] and bool(np.isfinite(array).all())
            if not fits or (name.endswith("spreads") and not (array > 0).all()):
                raise ValueError(
                    f"the detector's image_{name} should be {wanted[name]} finite numbers, spreads above 0; got "
                    f"{array.shape}."
                )
        return cls(**arrays)

    def _unusual(self, places: np.ndarray) -> np.ndarray:
        return (_summary(places) - self.means) / self.spreads


_FIELDS = ("place_means", "place_spreads", "means", "spreads")


def _summary(places: np.ndarray) -> np.ndarray:
    """Return the largest, smallest and mean place of each map, ``(n, 3 * maps)``."""
    return np.concatenate([places.max((2, 3)), places.min((2, 3)), places.mean((2, 3))], 1)


def _scale(pixels: np.ndarray) -> float:
    return min(pixels.shape[1:3]) / SIDE


def _maps(pixels: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the maps of both pyramids, ``(n, maps, h, w)``."""
    if pixels.ndim != 4 or pixels.shape != errors.shape:
        raise ValueError(f"pixels and errors should both be (n, h, w, c), got {pixels.shape} and {errors.shape}.")
    scale, maps = _scale(pixels), []
    rest = pixels.astype(np.float64)
    for width, gathered in DETAIL:
        smooth = _smooth(rest, width * scale)
        maps.append(_energy(rest - smooth, gathered * scale))
        rest = smooth
    maps += [_energy(_smooth(errors.astype(np.float64), width * scale), gathered * scale) for width, gathered in ERROR]
    return np.stack(maps, 1)


def _smooth(images: np.ndarray, width: float) -> np.ndarray:
    return gaussian_filter(images, (0, width, width, 0)) if width > 0 else images


def _energy(images: np.ndarray, width: float) -> np.ndarray:
    """Return the logarithm of the energy around each place, of all channels together, ``(n, h, w)``."""
    return np.log(gaussian_filter(np.square(images).mean(3), (0, width, width)) + ROUNDING)
