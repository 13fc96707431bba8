"""One image on its way into a file: at a quality, within a size, or as good as is asked for."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from isthmus.jobs.effort import DEFAULT, THROUGH_DECODER, numbers_of
from isthmus.jobs.image_codec import HALO, ImageCodec, scaled, widened, within
from isthmus.jobs.image_parts import parts_of
from isthmus.jobs.image_stream import FINE, ImageFacts, Tile, write_stream
from isthmus.metrics import psnr
from isthmus.reading.pictures import Picture

__all__ = ["ImageCoding"]


class ImageCoding:
    """One image on its way into a file; with ``keep`` features are computed once, for several qualities."""

    advice = ""

    def __init__(
        self,
        codec: ImageCodec,
        model: int,
        picture: Picture,
        tile: int,
        metadata: dict[str, bytes],
        effort: int = DEFAULT,
        keep: bool = False,
    ):
        self.codec, self.model, self.metadata, self.effort = codec, model, metadata, effort
        self.alpha, self.pixels = picture.alpha, picture.shown
        self.finest = FINE * (codec.levels - 1)
        self._edge = max(HALO, tile // codec.stride)
        self._features: dict[int, Tensor] = {}
        self._keep = keep

    def facts(self, step: int) -> ImageFacts:
        """Return what the file will say of itself."""
        height, width, channels = self.pixels.shape
        parts = parts_of(self.alpha, self.metadata)
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

    def psnr(self, step: int) -> float:
        """Return how good the image is at a quality, in dB."""
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
