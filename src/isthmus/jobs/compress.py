"""Compression of images: a codec fitted on your own kind of picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from isthmus.building import quick_dtype
from isthmus.coding import CorruptStreamError, LatentCoder
from isthmus.data import blocks
from isthmus.estimator import AutoEncoder
from isthmus.guards import threads_set
from isthmus.jobs.codec_curves import beside_ours, compared, curves_of
from isthmus.jobs.context_learning import coders_of
from isthmus.jobs.effort import DEFAULT, EFFORTS
from isthmus.jobs.identity import identity
from isthmus.jobs.image_asking import check_images, check_one, picture_for, step_of, written
from isthmus.jobs.image_codec import ImageCodec
from isthmus.jobs.image_coding import ImageCoding
from isthmus.jobs.image_parts import MAX_PIXELS, check_model
from isthmus.jobs.image_reading import ImageReading
from isthmus.jobs.image_stream import read_stream
from isthmus.jobs.job import Job, choose
from isthmus.jobs.standard_codecs import FORMATS, StandardCodec
from isthmus.reading.pictures import Picture
from isthmus.rows import Rows, as_rows

__all__ = ["Compressor"]

QUALITY = 60.0
# Numbers that the tables of a level are counted over.
MOST_COUNTED = 1 << 23
# Side of tiles in pixels, and of images that are one.
TILE, WHOLE = 512, 1024
# What the header has a byte for.
MOST_STRIDE = 255


class Compressor(Job):
    """Lossy compression of images, by an auto-encoder fitted on images of the same kind.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        With an ``entropy_bottleneck``, an encoder that has a ``stride``, and a decoder that is
        convolutional; by default :meth:`default_estimator`.
    tile : int, optional
        Side of the tiles, in pixels, that are read one by one: memory is bounded by it, and what is
        lost where a file is damaged. By default 512, and all of an image whose sides are 1024 at most.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    coders_ : list of LatentCoder
        Contexts and tables learned from the images fitted on, one coder for all levels of quality or, where
        there are few images, one for each: part of the model.
    model_ : int
        First eight bytes of the identity of weights and tables; files say which model they need.

    Raises
    ------
    ValueError
        If the rows are no images of 8 bits, or the auto-encoder is no codec.

    Notes
    -----
    **The whole numbers of a file are the same on every machine**: they are read by tables that
    are stored, chosen by whole-number contexts; one thread or many, alone or among others. What
    the decoder makes of them is floating-point work: pixels may differ by one elsewhere.

    Any size from 1 x 1: borders are repeated up to a multiple of the stride, and cut off again. A
    grey image is three equal colours to a model of colours, and grey when it comes back.
    Transparency is kept without loss, and what it hides is replaced by the mean colour.

    References
    ----------
    Theis et al., "Lossy image compression with compressive autoencoders", ICLR 2017,
    https://arxiv.org/abs/1703.00395: tables of counts on the training images, scales for all rates.
    Differs: contexts of what is decoded already (:class:`~isthmus.coding.LatentCoder`).

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    >>> job = Compressor().fit(images)  # doctest: +SKIP
    >>> data = job.compress(images[0], quality=40)  # doctest: +SKIP
    >>> job.decompress(data).shape  # doctest: +SKIP
    (32, 32, 3)
    """

    verb: ClassVar[str] = "compress"
    needs: ClassVar[tuple[str, ...]] = ("trade_off", "quantize", "dequantize")

    def __init__(self, estimator: AutoEncoder | None = None, *, tile: int | None = None, random_state: Any = None):
        self.estimator = estimator
        self.tile = tile
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given: a lapped transform and a small filter.

        It is that of ``isthmus.recipes.lapped_codec``; ``gdn_codec`` is the one for a GPU.
        """
        return AutoEncoder(
            encoder="lapped_encoder(branch=(64, 96))",
            bottleneck="entropy_bottleneck",
            decoder="lapped_decoder(filter=(96, 96), told=True)",
            loss="squared_error",
            batch_size=8,
            learning_rate=1e-3,
            weight_decay=0.0,
            dtype=quick_dtype(),
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the auto-encoder, then count the tables of every quality over the images.

        Parameters
        ----------
        X : array (n, h, w[, 1 or 3]) of uint8, or Rows
            Images of one size; of a folder :class:`~isthmus.reading.ImageCrops`.
        y : None
            Not used.

        Returns
        -------
        Self
        """
        rows = as_rows(X)
        check_images(rows, type(self).__name__)
        if self.tile is not None and (type(self.tile) is not int or not 64 <= self.tile <= 4096):
            raise ValueError(f"tile must be a whole number of pixels from 64 to 4096, got {self.tile!r}.")
        estimator = self._prepared(rows).fit(rows)
        if not 1 <= getattr(estimator.module_.encoder, "stride", 0) <= MOST_STRIDE:
            raise ValueError(
                f"a Compressor needs an encoder that keeps positions and has a stride of at most {MOST_STRIDE} pixels, "
                f"such as lapped_encoder or gdn_encoder; got {estimator.module_.encoder!r}."
            )
        self.estimator_ = estimator
        self._take(coders_of(self._numbers(rows)))
        return self

    def compress(
        self,
        image: Any,
        quality: float | None = None,
        *,
        target_size: int | None = None,
        target_psnr: float | None = None,
        strip: bool = False,
        effort: int | None = None,
    ) -> bytes:
        """Return an image as the bytes of a file.

        Parameters
        ----------
        image : array of uint8, PIL.Image.Image or Picture
            ``(h, w)`` or ``(h, w, c)``: grey, grey with alpha, colours, colours with alpha.
        quality : float, optional
            From 0, coarsest, to 100; 60 if nothing is asked for.
        target_size : int, optional
            The best quality whose file has at most so many bytes, instead.
        target_psnr : float, optional
            The least quality that reaches so many dB in what is coded with loss, instead.
        strip : bool, default=False
            Leave out colour profile, EXIF and XMP.
        effort : int, optional
            How hard to look for whole numbers that take fewer bits for what they lose, from 0, features
            rounded, to 3; 1 if nothing is asked for. See :func:`~isthmus.jobs.effort.numbers_of`.

        Raises
        ------
        TypeError
            If it has other than 8 bits a channel.
        ValueError
            If it cannot be made so small or so good; says what can be.
        """
        check_is_fitted(self, "estimator_")
        check_one(quality, target_size, target_psnr)
        coding = self._coding(image, strip, effort, keep=target_size is not None or target_psnr is not None)
        return written(coding, QUALITY if quality is None else quality, target_size, target_psnr)

    def bits(
        self, image: Any, quality: float | None = None, *, strip: bool = False, effort: int | None = None
    ) -> float:
        """Return about how many bits :meth:`compress` would take for an image, by its tables; see there.

        Within 1 % of files of at least 10,000 bytes; of small images, whose header is shorter, up to 100 bytes more.
        """
        check_is_fitted(self, "estimator_")
        coding = self._coding(image, strip, effort)
        return coding.bits(step_of(coding, QUALITY if quality is None else quality))

    def decompress(
        self, data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS, conceal: bool = False
    ) -> np.ndarray:
        """Return the image of a file: ``(h, w)``, or ``(h, w, c)`` with 2, 3 or 4 channels; see :meth:`picture`."""
        return self.picture(data, max_pixels=max_pixels, conceal=conceal).array

    def picture(
        self,
        data: bytes | memoryview,
        *,
        max_pixels: int = MAX_PIXELS,
        conceal: bool = False,
        groups: int | None = None,
    ) -> Picture:
        """Return the image of a file, with its metadata.

        Parameters
        ----------
        data : bytes-like
            From :meth:`compress`.
        max_pixels : int, default=2**28
            The most that the image may have.
        conceal : bool, default=False
            Where tiles are damaged or cut off, give the rest, with a note; they are flat, or as in
            a preview where what that takes is whole.
        groups : int, optional
            Give a preview: of so many groups of channels alone, the first ones, from a file that
            may be cut short. Nothing is looked at that its checksum does not confirm; a file
            that is whole up to there holds a preview of all tiles in the first 4 groups.

        Raises
        ------
        CorruptStreamError
            If the file is damaged, cut short, or none.
        ValueError
            If it needs another model, or is larger than allowed.
        """
        check_is_fitted(self, "estimator_")
        if groups is not None and (isinstance(groups, bool) or not isinstance(groups, int) or groups < 1):
            raise ValueError(f"a preview takes at least 1 group of channels, got {groups!r}.")
        conceal = conceal or groups is not None
        stream = read_stream(data, max_pixels, conceal)
        facts, codec = stream.facts, self._codec
        check_model(stream.model, self.model_)
        if (facts.stride, facts.levels) != (codec.stride, codec.levels) or facts.channels > codec.colours:
            raise CorruptStreamError("the header of the image is not of this model's making.")
        return ImageReading(codec, stream, groups, conceal).picture()

    def baselines(self) -> dict[str, Any]:
        """Return JPEG, WebP, JPEG 2000 and AVIF, those that Pillow has, each as good as its encoder makes it."""
        known = {name: StandardCodec(name) for name in FORMATS}
        return {name: codec for name, codec in known.items() if codec.is_there}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return size and quality of files per method, at most 24 images, whole files counted.

        Returns
        -------
        list of dict
            ``method``; ``psnr`` in dB at ``bpp`` bits a pixel, those of the auto-encoder's
            middle quality, interpolated for the others; ``bd_rate``: how many per cent more bits
            the auto-encoder takes than this method at equal PSNR (negative: less), averages over
            images taken first. None where a method has no such files.
        """
        job = self._fitted(train)
        return beside_ours(curves_of(job, compared(as_rows(test))))

    def state(self) -> dict[str, Any]:
        """Return contexts and tables, as bytes."""
        check_is_fitted(self, "estimator_")
        return {f"coder_{i}": np.frombuffer(one.to_bytes(), np.uint8).copy() for i, one in enumerate(self.coders_)}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        module = self.estimator_.module_
        levels = getattr(module.bottleneck, "levels", 0)
        found = [state.get(f"coder_{i}") for i in range(len(state))]
        if len(state) not in (1, levels) or not all(
            isinstance(one, np.ndarray) and one.dtype == np.uint8 and one.ndim == 1 for one in found
        ):
            raise ValueError(f"a codec of {levels} levels has 1 or {levels} coders in bytes, got {sorted(state)[:9]}.")
        self._take([LatentCoder.from_bytes(one.tobytes()) for one in found if one is not None])
        return self

    def _coding(self, image: Any, strip: bool, effort: int | None, keep: bool = False) -> ImageCoding:
        """Return an image on its way into a file; to keep its features is for several qualities."""
        effort = DEFAULT if effort is None else effort
        if effort not in EFFORTS:
            raise ValueError(f"effort must be a whole number from 0 to {EFFORTS[-1]}, got {effort!r}.")
        picture = picture_for(image, self._codec.colours)
        metadata = {} if strip else picture.metadata
        tile = self.tile or (WHOLE if max(picture.pixels.shape[:2]) <= WHOLE else TILE)
        return ImageCoding(self._codec, self.model_, picture, tile, metadata, effort, keep)

    def _take(self, coders: list[LatentCoder]) -> None:
        """Keep tables, and name the model by them and the weights."""
        module = self.estimator_.module_
        channels = len(module.bottleneck.log_gain[0])
        if any(sum(coder.groups) != channels for coder in coders):
            raise ValueError(f"the tables should be for {channels} channels, got {sum(coders[0].groups)}.")
        known, levels = sum(coder.contexts.levels for coder in coders), int(module.bottleneck.levels)
        if known != levels:
            raise ValueError(f"the tables should be for {levels} levels of quality, got {known}.")
        self.coders_ = coders
        self._codec = ImageCodec(module, coders)
        self.model_ = int(identity(module, self.state()), 16)

    def _numbers(self, rows: Rows) -> list[np.ndarray]:
        """Return the whole numbers ``(n, h, w, c)`` of each level, of images evenly chosen, not too many."""
        module = self.estimator_.module_
        bottleneck = module.bottleneck
        found: list[list[np.ndarray]] = [[] for _ in range(int(bottleneck.levels))]
        with threads_set(1), torch.inference_mode():
            size = bottleneck.log_gain.shape[1] * math.prod(self.estimator_.code_shape_[:-1])
            many = min(len(rows), max(1, MOST_COUNTED // size))
            index = np.unique(np.linspace(0, len(rows) - 1, many).round().astype(np.int64))
            for block in blocks(choose(rows, index), self.estimator_.modality_, self._dtype):
                for begin in range(0, len(block), 8):
                    piece = block[begin : begin + 8].to(self._device)
                    features = module.encoder(module.modality.expand(piece))
                    for level, numbers in enumerate(found):
                        numbers.append(bottleneck.quantize(features, float(level)).to(torch.int32).cpu().numpy())
        return [np.concatenate(numbers) for numbers in found]
