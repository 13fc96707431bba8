"""Pictures out of streams: whole, what is left of them, or a preview."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from isthmus.coding import CorruptStreamError
from isthmus.jobs.image_codec import PREVIEW, ImageCodec
from isthmus.jobs.image_stream import Stream, Tile
from isthmus.reading.pictures import Picture

__all__ = ["ImageReading"]


class ImageReading:
    """One image on its way out of a file.

    Parameters
    ----------
    codec : ImageCodec
        That of the model which the file needs.
    stream : Stream
        The file, taken apart.
    groups : int, optional
        Groups of channels that are decoded, the first ones; by default all.
    conceal : bool, default=False
        Go on where a tile's stream is damaged; without it, a CorruptStreamError.
    """

    def __init__(self, codec: ImageCodec, stream: Stream, groups: int | None = None, conceal: bool = False):
        self.codec, self.stream, self.conceal = codec, stream, conceal
        self.count = len(codec.coders[0].groups)
        self.groups = self.count if groups is None else min(groups, self.count)
        self._lost: set[int] = set()

    def picture(self) -> Picture:
        """Return the image, with notes of what is not there."""
        pixels = self.codec.pixels(self.stream.facts, self._numbers)
        return Picture(pixels, self.stream.alpha, self.stream.metadata, self._notes())

    def _numbers(self, tile: Tile) -> np.ndarray:
        facts, data = self.stream.facts, self.stream.tiles.get(tile.number)
        groups = min(self.groups, PREVIEW) if tile.number in self.stream.begun else self.groups
        try:
            numbers = self.codec.decode(data, facts, tile, groups)
        except CorruptStreamError:
            if not self.conceal:
                raise
            data, numbers = None, self.codec.decode(None, facts, tile)
        if data is None:
            self._lost.add(tile.number)
        return numbers

    def _notes(self) -> list[str]:
        """Return what is not there, once all is decoded."""
        coarse = self.stream.begun - self._lost if self.groups > PREVIEW else set()
        notes = [f"a preview: {self.groups} of {self.count} groups of channels"] if self.groups < self.count else []
        notes += [*self._tiles(self._lost, "lost"), *self._tiles(coarse, "coarse, the rest of them lost")]
        return notes + [f"{name} lost" for name in self.stream.lost]

    def _tiles(self, some: Iterable[int], what: str) -> list[str]:
        found, (rows, columns) = sorted(some), self.stream.facts.tiles
        return [f"{len(found)} of {rows * columns} tiles {what} (the first: {found[0]})"] if found else []
