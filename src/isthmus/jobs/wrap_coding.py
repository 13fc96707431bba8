"""The networks around a standard codec, on images of any size: piece by piece, so that memory is bounded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from isthmus.batch import Batch
from isthmus.guards import threads_set
from isthmus.jobs.image_codec import scaled, widened, within
from isthmus.jobs.image_parts import parts_of
from isthmus.jobs.wrap_stream import WrapFacts, write_wrapped
from isthmus.metrics import psnr
from isthmus.module import AutoEncoderModule
from isthmus.reading.pictures import Picture
from isthmus.reading.standard import read_pixels, write_pixels

__all__ = ["WrapCoder", "WrapCoding"]

# Positions a side that are worked on at once, besides their margins; a multiple of what is folded.
PIECE = 192


class WrapCoder:
    """A fitted line: images to small ones, small ones as files, and back.

    Parameters
    ----------
    module : AutoEncoderModule
        Its encoder has a ``stride`` and, as its decoder, a ``margin``; its bottleneck is a ``picture_file``.

    Notes
    -----
    Pieces are computed with as many positions around them as the networks look at: there are no
    seams. One piece at a time and one thread: results depend on nothing else that is going on.
    """

    def __init__(self, module: AutoEncoderModule):
        self.module = module
        self.scale = int(module.encoder.stride)
        self.codec = str(module.bottleneck.codec)
        self.colours = int(module.modality.example()["shape"][2])
        self._weight = next(module.parameters())
        # The decoder cuts maps as large as those fitted on down to the images fitted on.
        sides = module.modality.example()["shape"][:2]
        uneven = any(side % self.scale for side in sides)
        self._cut_map = tuple(-(-side // self.scale) for side in sides) if uneven else None

    def small(self, pixels: np.ndarray) -> np.ndarray:
        """Return the small image ``(h', w', c)`` of one ``(h, w, c)``, both uint8."""
        scale, channels = self.scale, pixels.shape[2]
        sides = [-(-side // scale) for side in pixels.shape[:2]]
        found = np.empty((*sides, channels), np.uint8)
        for rows, columns, wide in _pieces(sides, self.module.encoder.margin):
            region = pixels[tuple(slice(side.start * scale, side.stop * scale) for side in wide)]
            # A copy: torch warns of arrays that are read-only, as those of Pillow are.
            region = np.repeat(region, self.colours // channels, axis=2)
            with threads_set(1), torch.inference_mode():
                batch = Batch(torch.from_numpy(region[None])).to(self._weight.device)
                values = self.module.encoder(self.module.modality.expand(batch))[0].float().cpu().numpy()
            inner = values[within(rows, wide[0]), within(columns, wide[1])]
            found[rows, columns] = _bytes_of(inner, channels)
        return found

    def write(self, small: np.ndarray, quality: int) -> bytes:
        """Return the standard codec's file of a small image."""
        return write_pixels(small, self.codec, quality)

    def restored(self, file: bytes | memoryview, facts: WrapFacts) -> np.ndarray:
        """Return the pixels ``(h, w, c)`` of the standard codec's file.

        Raises
        ------
        CorruptStreamError
            If the file is not of the header's format, size and colours.
        """
        small = read_pixels(file, facts.codec, facts.small)
        scale, channels = self.scale, facts.channels
        image = np.empty((facts.height, facts.width, channels), np.uint8)
        for rows, columns, wide in _pieces(small.shape[:2], self.module.decoder.margin):
            values = self._restored(np.repeat(small[wide], self.colours // channels, axis=2), facts.quality)
            place = image[scaled(rows, scale), scaled(columns, scale)]
            top, left = (scale * (part.start - whole.start) for part, whole in zip((rows, columns), wide, strict=True))
            place[...] = _bytes_of(values[top : top + place.shape[0], left : left + place.shape[1]], channels)
        return image

    def _restored(self, small: np.ndarray, quality: int) -> np.ndarray:
        """Return values ``(h scale, w scale, c)`` of what came back of a small image."""
        taller = np.concatenate([small, small[-1:]]) if small.shape[:2] == self._cut_map else small
        with threads_set(1), torch.inference_mode():
            indices = torch.from_numpy(np.ascontiguousarray(taller)[None]).to(self._weight.device)
            output = self.module.decoder(self.module.bottleneck.dequantize(indices, quality), None)
            values = self.module.loss.mean(output)[0].float().cpu().numpy()
        return values[: small.shape[0] * self.scale]


class WrapCoding:
    """One image on its way into a file."""

    finest = 100

    def __init__(self, coder: WrapCoder, model: int, picture: Picture, metadata: dict[str, bytes]):
        self.coder, self.model, self.metadata = coder, model, metadata
        self.pixels, self.alpha = picture.shown, picture.alpha
        self.advice = f": it makes images {coder.scale} times smaller; for more take one fitted --for compress"
        self._small = coder.small(self.pixels)

    def facts(self, quality: int) -> WrapFacts:
        """Return what the file will say of itself."""
        height, width, channels = self.pixels.shape
        parts = parts_of(self.alpha, self.metadata)
        return WrapFacts(width, height, channels, self.coder.codec, self.coder.scale, quality, parts)

    def file(self, quality: int) -> bytes:
        """Return the file at a quality."""
        file = self.coder.write(self._small, quality)
        return write_wrapped(self.facts(quality), self.model, file, self.alpha, self.metadata)

    def psnr(self, quality: int) -> float:
        """Return how good the image is at a quality, in dB."""
        file = self.coder.write(self._small, quality)
        return psnr(self.pixels, self.coder.restored(file, self.facts(quality)))


def _pieces(sides: Sequence[int], margin: int) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """Yield rows and columns of each piece of a map, and both with as much around them as there is of the margin."""
    parts = [[slice(begin, min(begin + PIECE, side)) for begin in range(0, side, PIECE)] for side in sides]
    for rows, columns in itertools.product(*parts):
        yield rows, columns, (widened(rows, margin), widened(columns, margin))


def _bytes_of(values: np.ndarray, channels: int) -> np.ndarray:
    """Return values between 0 and 1 as uint8, of as many channels: the grey image nearest to one of colours."""
    values = values if values.shape[2] == channels else values.mean(axis=2, keepdims=True)
    return np.rint(np.nan_to_num(values).clip(0, 1) * 255).astype(np.uint8)
