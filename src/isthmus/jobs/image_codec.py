"""Images as whole numbers, tile by tile, and back: the networks' half of a codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from isthmus.batch import Batch
from isthmus.coding import CorruptStreamError, LatentCoder
from isthmus.guards import memory_returned, threads_set
from isthmus.jobs.image_stream import ImageFacts, Tile, write_small, write_stream
from isthmus.module import AutoEncoderModule

__all__ = ["HALO", "PREVIEW", "ImageCodec", "scaled", "widened", "within"]

# Positions around a tile that networks look at: lapping takes one, the filter another.
HALO = 2
# Groups of channels in the first piece of a tile's stream, where that has two: part of the format.
PREVIEW = 4
# Bytes of a stream from which on it has two pieces, 16 bytes more in the file; and of a file up to
# which a small one is tried.
IN_TWO, SMALL = 4096, 4096
# Tiles after each of which freed memory is returned: of an image of 400 the heap would grow by 0.1 GB.
TRIMMED = 16


class ImageCodec:
    """A fitted line and its tables.

    Parameters
    ----------
    module : AutoEncoderModule
        Its encoder has a ``stride``, its bottleneck levels of quality.
    coders : sequence of LatentCoder
        One for each level, or one that knows of all levels.

    Notes
    -----
    Tiles part the *code*, not the image: a tile's features are computed from its pixels and
    those of ``HALO`` positions around it, and its pixels from its whole numbers and those of as many
    around it. So there are no seams and nothing is coded twice, and still each tile is read by
    itself. One tile at a time and one thread: results depend on nothing else that is going on.
    """

    def __init__(self, module: AutoEncoderModule, coders: Sequence[LatentCoder]):
        self.module, self.coders = module, coders
        self.stride = int(module.encoder.stride)
        self.levels = int(module.bottleneck.levels)
        shape = module.modality.example()["shape"]
        self.colours = int(shape[2])
        # The decoder cuts maps as large as those fitted on down to the images fitted on.
        self._cut_map = tuple(-(-side // self.stride) for side in shape[:2]) if _uneven(shape, self.stride) else None
        self._weight = next(module.parameters())

    def features(self, pixels: np.ndarray, tile: Tile) -> Tensor:
        """Return the features of a tile of an image ``(h, w, c)``, on the model's device."""
        rows, columns = widened(tile.rows, HALO), widened(tile.columns, HALO)
        stride = self.stride
        region = pixels[rows.start * stride : rows.stop * stride, columns.start * stride : columns.stop * stride]
        with threads_set(1), torch.inference_mode():
            found = self.module.encoder(self.batch(region))[0]
        return found[within(tile.rows, rows), within(tile.columns, columns)]

    def batch(self, pixels: np.ndarray) -> Batch:
        """Return pixels ``(h, w, c)`` as the networks read them, in their colours and on their device."""
        # A copy: torch warns of arrays that are read-only, as those of Pillow are.
        pixels = np.repeat(pixels, self.colours // pixels.shape[2], axis=2)
        return self.module.modality.expand(Batch(torch.from_numpy(pixels[None])).to(self._weight.device))

    def coder(self, level: float) -> LatentCoder:
        """Return the tables that a level is coded by."""
        return self.coders[round(level) if len(self.coders) > 1 else 0].at(level)

    def numbers(self, features: Tensor, level: float) -> np.ndarray:
        """Return the whole numbers ``(h, w, c)`` that features are written as."""
        with threads_set(1):
            return self.module.bottleneck.quantize(features[None], level)[0].cpu().numpy()

    def file(
        self,
        facts: ImageFacts,
        model: int,
        numbers_of: Callable[[Tile], np.ndarray],
        alpha: np.ndarray | None = None,
        metadata: dict[str, bytes] | None = None,
    ) -> bytes:
        """Return the file of an image, of each tile's whole numbers, asked for once and in order."""
        tiles = []
        for tile in facts.every_tile():
            numbers = numbers_of(tile)
            tiles.append(self.encode(numbers, facts.level))
            if (tile.number + 1) % TRIMMED == 0:
                memory_returned()
        found = write_stream(facts, model, tiles, alpha, metadata or {})
        if len(tiles) == 1 and len(found) <= SMALL:
            small = write_small(facts, model, self.coder(facts.level).encode(numbers, short=True))
            return found if small is None else min(small, found, key=len)
        return found

    def encode(self, numbers: np.ndarray, level: float) -> tuple[bytes, bytes]:
        """Return the stream of a tile's whole numbers: what a preview takes, and the rest, which may be empty."""
        coder = self.coder(level)
        with threads_set(1):
            data = coder.encode(numbers)
            end = coder.length(data, numbers.shape, PREVIEW) if len(data) >= IN_TWO else len(data)
        return data[:end], data[end:]

    def decode(
        self, data: bytes | memoryview | None, facts: ImageFacts, tile: Tile, groups: int | None = None
    ) -> np.ndarray:
        """Return the whole numbers of a tile's stream, or of its first groups alone; zeros if it is lost."""
        shape = (*(side.stop - side.start for side in (tile.rows, tile.columns)), sum(self.coders[0].groups))
        if data is None:
            return np.zeros(shape, np.int64)
        try:
            with threads_set(1):
                return self.coder(facts.level).decode(data, shape, groups, short=facts.small)
        except CorruptStreamError as error:
            count = facts.tiles[0] * facts.tiles[1]
            raise CorruptStreamError(f"tile {tile.number} of {count}: {error}") from error

    def pixels(self, facts: ImageFacts, numbers_of: Callable[[Tile], np.ndarray]) -> np.ndarray:
        """Return the image ``(h, w, channels)``, uint8, of each tile's whole numbers, asked for once and in order."""
        image = np.empty((facts.height, facts.width, facts.channels), np.uint8)
        rows, columns = facts.positions
        last = facts.tiles[0] - 1
        current = self._row(facts, 0, numbers_of)
        above = current[:0]
        for row in range(last + 1):
            after = self._row(facts, row + 1, numbers_of) if row < last else current[:0]
            strip = np.concatenate([above, current, after[: facts.halo]])
            for tile in facts.tiles_of_row(row):
                wide = widened(tile.columns, facts.halo, columns)
                decoded = self._synthesis(strip[:, wide], facts.level)
                inner = within(tile.columns, wide)
                top, left = len(above) * self.stride, inner.start * self.stride
                place = image[scaled(tile.rows, self.stride), scaled(tile.columns, self.stride)]
                found = decoded[top : top + place.shape[0], left : left + place.shape[1]]
                place[...] = found if facts.channels == found.shape[2] else _grey(found)
            # A copy of the margin, so that only two rows of tiles are there at once.
            above, current = current[max(0, len(current) - facts.halo) :].copy(), after
            if row < last:
                memory_returned()
        return image

    def _row(self, facts: ImageFacts, row: int, numbers_of: Callable[[Tile], np.ndarray]) -> np.ndarray:
        return np.concatenate([numbers_of(tile) for tile in facts.tiles_of_row(row)], axis=1)

    def values(self, numbers: Tensor, level: float) -> Tensor:
        """Return what a map of numbers is decoded to, ``(h stride, w stride, c)``, from 0 to 1."""
        if numbers.shape[:2] == self._cut_map:
            numbers = torch.cat([numbers, numbers[-1:]])
        read = self.module.bottleneck.dequantize(numbers[None].to(self._weight.device), level)
        return self.module.loss.mean(self.module.decoder(read, None))[0]

    def _synthesis(self, numbers: np.ndarray, level: float) -> np.ndarray:
        """Return the pixels ``(h stride, w stride, c)`` of a map of whole numbers."""
        with threads_set(1), torch.inference_mode():
            values = self.values(torch.from_numpy(np.ascontiguousarray(numbers)), level).float()
            # Only made-up streams have numbers that are beyond all floats.
            return values.nan_to_num_().clamp_(0, 1).mul_(255).round_().to(torch.uint8).cpu().numpy()


def _grey(colours: np.ndarray) -> np.ndarray:
    """Return the grey image nearest to one of colours."""
    return np.rint(colours.mean(axis=2, keepdims=True)).astype(np.uint8)


def _uneven(shape: Sequence[int], stride: int) -> bool:
    return any(side % stride for side in shape[:2])


def widened(part: slice, by: int, most: int | None = None) -> slice:
    """Return a slice longer at both ends, within 0 and the most there is."""
    return slice(max(0, part.start - by), part.stop + by if most is None else min(most, part.stop + by))


def within(part: slice, whole: slice) -> slice:
    """Return where a part is, counted from the beginning of the whole."""
    return slice(part.start - whole.start, part.stop - whole.start)


def scaled(part: slice, by: int) -> slice:
    """Return the pixels of positions."""
    return slice(part.start * by, part.stop * by)
