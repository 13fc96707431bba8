"""One image on its way into a file: at a quality, within a size, or as good as is asked for."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from isthmus.jobs.effort import DEFAULT, THROUGH_DECODER, numbers_of
from isthmus.jobs.image_codec import HALO, ImageCodec, scaled, widened, within
from isthmus.jobs.image_stream import FINE, ImageFacts, Tile, write_stream
from isthmus.metrics import psnr
from isthmus.reading.pictures import Picture

__all__ = ["ImageCoding"]

# What a sum of squares may be off by.
NEAR = 1e-9


class ImageCoding:
    """One image on its way into a file; features are computed once, if they are needed again."""

    def __init__(
        self,
        codec: ImageCodec,
        model: int,
        picture: Picture,
        tile: int,
        metadata: dict[str, bytes],
        effort: int = DEFAULT,
    ):
        self.codec, self.model, self.metadata, self.effort = codec, model, metadata, effort
        self.alpha, self.pixels = picture.alpha, _unhidden(picture)
        self.finest = FINE * (codec.levels - 1)
        self._edge = max(HALO, tile // codec.stride)
        self._features: dict[int, Tensor] = {}
        self._keep = False

    def facts(self, step: int) -> ImageFacts:
        """Return what the file will say of itself."""
        height, width, channels = self.pixels.shape
        parts = (*(["alpha"] if self.alpha is not None else []), *self.metadata)
        return ImageFacts(width, height, channels, self.codec.levels, self.codec.stride, HALO, step, self._edge, parts)

    def file(self, step: int) -> bytes:
        """Return the file at a quality."""
        facts = self.facts(step)
        return self.codec.file(
            facts, self.model, lambda tile: self._numbers(tile, facts.level), self.alpha, self.metadata
        )

    def bits(self, step: int) -> float:
        """Return about how many bits the file at a quality has, nothing being written but what goes with the tiles."""
        facts = self.facts(step)
        tiles = list(facts.every_tile())
        around = write_stream(facts, self.model, [(b"", b"")] * len(tiles), self.alpha, self.metadata)
        coder = self.codec.coder(facts.level)
        return 8 * len(around) + sum(coder.bits(self._numbers(tile, facts.level)) for tile in tiles)

    def within(self, size: int) -> bytes:
        """Return the best file of at most this size."""
        self._keep = True
        best = self.file(0)
        if len(best) > size:
            raise ValueError(
                f"the smallest file has {len(best)} bytes, more than the {size} asked for; make it smaller first."
            )
        low, high = 0, self.finest + 1
        while high - low > 1:
            middle = (low + high) // 2
            tried = self.file(middle)
            low, high, best = (middle, high, tried) if len(tried) <= size else (low, middle, best)
        return best

    def reaching(self, wanted: float) -> bytes:
        """Return the file of the least quality that reaches a PSNR."""
        self._keep = True
        low, high = -1, self.finest
        reached = self._psnr(high)
        if reached < wanted - NEAR:
            raise ValueError(f"this model reaches {reached:.2f} dB on this image, less than the {wanted:g} asked for.")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._psnr(middle) >= wanted - NEAR else (middle, high)
        return self.file(high)

    def _psnr(self, step: int) -> float:
        facts = self.facts(step)
        return psnr(self.pixels, self.codec.pixels(facts, lambda tile: self._numbers(tile, facts.level)))

    def _numbers(self, tile: Tile, level: float) -> np.ndarray:
        positions = self.facts(0).positions
        margin = HALO if self.effort >= THROUGH_DECODER else 0
        rows, columns = (widened(*one) for one in zip((tile.rows, tile.columns), (margin,) * 2, positions, strict=True))
        features = self._features.get(tile.number)
        if features is None:
            features = self.codec.features(self.pixels, Tile(tile.number, rows, columns))
            if self._keep:
                self._features[tile.number] = features
        pixels = self.pixels[scaled(rows, self.codec.stride), scaled(columns, self.codec.stride)]
        found = numbers_of(self.codec, features, level, self.effort, pixels)
        # What lies around a tile is moved with it and not written: that is its neighbours' business.
        return found[within(tile.rows, rows), within(tile.columns, columns)]


def _unhidden(picture: Picture) -> np.ndarray:
    """Return the pixels, the mean colour where nobody sees them."""
    hidden = None if picture.alpha is None else picture.alpha == 0
    if hidden is None or not hidden.any() or hidden.all():
        return picture.pixels
    mean = np.rint(picture.pixels[~hidden].mean(axis=0)).astype(np.uint8)
    return np.where(hidden[..., None], mean, picture.pixels)
