"""Very low rates: networks around a standard codec, whose own file is what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from isthmus.bottlenecks import PictureFile
from isthmus.coding import CorruptStreamError
from isthmus.estimator import AutoEncoder
from isthmus.jobs.codec_curves import compared
from isthmus.jobs.identity import identity
from isthmus.jobs.image_asking import check_images, check_one, picture_for, written
from isthmus.jobs.image_parts import MAX_PIXELS, check_model
from isthmus.jobs.job import Job
from isthmus.jobs.standard_codecs import quality_at
from isthmus.jobs.wrap_coding import WrapCoder, WrapCoding
from isthmus.jobs.wrap_stream import read_wrapped
from isthmus.layers import check_choice
from isthmus.metrics import bd_rate, psnr
from isthmus.networks import CompactEncoder, RestoringDecoder
from isthmus.networks.compact import check_scale
from isthmus.reading.pictures import Picture
from isthmus.reading.standard import CODECS, read_pixels, write_pixels
from isthmus.rows import as_rows

__all__ = ["ScaledCodec", "WrappedCodec"]

QUALITY = 15.0
# Qualities that are compared.
LADDER = (3, 6, 10, 16, 25, 40, 60)
SAID = {"jpeg": "JPEG", "webp": "WebP", "jpeg2000": "JPEG 2000"}


class WrappedCodec(Job):
    """Images at very low rates: made smaller, written by a standard codec, and restored by a network.

    Parameters
    ----------
    estimator : AutoEncoder, optional
        With a ``compact_encoder``, a ``picture_file`` and a ``restoring_decoder``; by default
        :meth:`default_estimator`.
    codec : {'jpeg', 'webp', 'jpeg2000'}, default='jpeg'
        Whose file is within, for the default estimator.
    scale : int, default=2
        How many times smaller the image within is, 1 to 4, for the default estimator.
    random_state : int, RandomState instance or None, default=None
        Of the auto-encoder where it has none of its own.

    Attributes
    ----------
    estimator_ : AutoEncoder
        The fitted auto-encoder.
    model_ : int
        First eight bytes of the identity of the weights; files say which model they need.

    Raises
    ------
    ValueError
        If the rows are no images of 8 bits, or the auto-encoder has other parts.

    Notes
    -----
    Before training it is what is known as scaled JPEG: bicubic, JPEG, bicubic. The standard codec's file
    within can be taken out and opened by anything; it shows the small image.

    Any size from 1 x 1: borders are repeated up to a multiple of the scale, and cut off again. A
    grey image is written as a grey file, and is three equal colours to a model of colours.
    Transparency is kept without loss, and what it hides is replaced by the mean colour. Pixels may
    differ by one on another machine: the networks are floating-point work.

    References
    ----------
    Jiang et al., "An end-to-end compression framework based on convolutional neural networks", 2017,
    https://arxiv.org/abs/1708.00838. Differs: see :class:`~isthmus.bottlenecks.PictureFile`.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    >>> job = WrappedCodec().fit(images)  # doctest: +SKIP
    >>> data = job.compress(images[0], quality=10)  # doctest: +SKIP
    >>> job.decompress(data).shape  # doctest: +SKIP
    (32, 32, 3)
    """

    verb: ClassVar[str] = "wrap"
    needs: ClassVar[tuple[str, ...]] = ("dequantize", "codec")

    def __init__(
        self,
        estimator: AutoEncoder | None = None,
        *,
        codec: str = "jpeg",
        scale: int = 2,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.codec = codec
        self.scale = scale
        self.random_state = random_state

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder fitted where none is given."""
        check_choice("codec", self.codec, CODECS)
        check_scale(self.scale)
        return AutoEncoder(
            encoder=CompactEncoder(scale=self.scale),
            bottleneck=PictureFile(self.codec, scale=self.scale),
            decoder=RestoringDecoder(scale=self.scale, told=True),
            loss="squared_error",
            batch_size=8,
            learning_rate=2e-3,
            weight_decay=0.0,
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the networks, with the standard codec between them.

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
        self.estimator_ = self._prepared(rows).fit(rows)
        return self.restore({})

    def compress(
        self,
        image: Any,
        quality: float | None = None,
        *,
        target_size: int | None = None,
        target_psnr: float | None = None,
        strip: bool = False,
    ) -> bytes:
        """Return an image as the bytes of a file.

        Parameters
        ----------
        image : array of uint8, PIL.Image.Image or Picture
            ``(h, w)`` or ``(h, w, c)``: grey, grey with alpha, colours, colours with alpha.
        quality : float, optional
            Of the standard codec, from 0, coarsest, to 100, rounded to a whole number; 15 if
            nothing is asked for.
        target_size : int, optional
            The best quality whose file has at most so many bytes, instead.
        target_psnr : float, optional
            The least quality that reaches so many dB in what is coded with loss, instead.
        strip : bool, default=False
            Leave out colour profile, EXIF and XMP.

        Raises
        ------
        TypeError
            If it has other than 8 bits a channel.
        ValueError
            If it cannot be made so small or so good, says what can be; if it has more pixels a
            side than the standard codec allows.
        """
        check_is_fitted(self, "estimator_")
        check_one(quality, target_size, target_psnr)
        picture = picture_for(image, self._coder.colours)
        coding = WrapCoding(self._coder, self.model_, picture, {} if strip else picture.metadata)
        return written(coding, QUALITY if quality is None else quality, target_size, target_psnr)

    def decompress(self, data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Return the image of a file: ``(h, w)``, or ``(h, w, c)`` with 2, 3 or 4 channels; see :meth:`picture`."""
        return self.picture(data, max_pixels=max_pixels).array

    def picture(self, data: bytes | memoryview, *, max_pixels: int = MAX_PIXELS) -> Picture:
        """Return the image of a file, with its metadata.

        Parameters
        ----------
        data : bytes-like
            From :meth:`compress`.
        max_pixels : int, default=2**28
            The most that the image may have.

        Raises
        ------
        CorruptStreamError
            If the file is damaged, cut short, or none.
        ValueError
            If it needs another model, or is larger than allowed.
        """
        check_is_fitted(self, "estimator_")
        wrapped, coder = read_wrapped(data, max_pixels), self._coder
        check_model(wrapped.model, self.model_)
        facts = wrapped.facts
        if (facts.codec, facts.scale) != (coder.codec, coder.scale) or facts.channels > coder.colours:
            raise CorruptStreamError("the header of the image is not of this model's making.")
        return Picture(coder.restored(wrapped.file, facts), wrapped.alpha, wrapped.metadata)

    def baselines(self) -> dict[str, Any]:
        """Return the standard codec alone, and on images made smaller and larger again by a formula."""
        codec, scale = self.codec, self.scale
        if hasattr(self, "_coder"):
            codec, scale = self._coder.codec, self._coder.scale
        return {SAID[codec]: ScaledCodec(codec, 1), f"scaled {SAID[codec]}": ScaledCodec(codec, scale)}

    def compare(self, train: Any, test: Any, y: Any = None) -> list[dict[str, Any]]:
        """Return size and quality of files per method, at most 24 images, whole files counted.

        Returns
        -------
        list of dict
            ``method``; ``psnr`` in dB at ``bpp`` bits a pixel, those of the middle one of seven
            low qualities of the wrapped codec, interpolated for the others; ``bd_rate``: how many
            per cent more bits the wrapped codec takes than this method at equal PSNR (negative:
            less). None where a method has no such files.
        """
        job = self._fitted(train)
        images = compared(as_rows(test))
        ours = _curve(images, job._written)
        rate, quality = (float(one[len(LADDER) // 2]) for one in ours)
        table: list[dict[str, Any]] = [{"method": "auto-encoder", "bpp": rate, "psnr": quality, "bd_rate": 0.0}]
        for name, codec in job.baselines().items():
            theirs = _curve(images, codec.written)
            saved = bd_rate(*ours, *theirs)
            row = {"method": name, "bpp": rate, "psnr": quality_at(theirs, rate)}
            table.append(row | {"bd_rate": saved if np.isfinite(saved) else None})
        return table

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Name the model by its weights; all that was fitted is in the auto-encoder."""
        module = self.estimator_.module_
        parts = (module.encoder, module.bottleneck, module.decoder)
        if not all(map(isinstance, parts, (CompactEncoder, PictureFile, RestoringDecoder))):
            raise ValueError(
                "a WrappedCodec is made of compact_encoder, picture_file and restoring_decoder, got "
                f"{', '.join(type(part).__name__ for part in parts)}."
            )
        self._coder = WrapCoder(module)
        self.model_ = int(identity(module, {}), 16)
        return self

    def _written(self, image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
        data = self.compress(image, quality)
        return len(data), self.decompress(data)


class ScaledCodec(BaseEstimator):
    """A standard codec on images made smaller before and larger after, for comparison.

    Parameters
    ----------
    codec : {'jpeg', 'webp', 'jpeg2000'}, default='jpeg'
        As its encoder makes files smallest: :func:`isthmus.reading.standard.write_pixels`.
    scale : int, default=1
        How many times smaller, by Lanczos' filter and back by bicubic interpolation; 1: as it is.
    """

    def __init__(self, codec: str = "jpeg", scale: int = 1):
        self.codec = codec
        self.scale = scale

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn nothing."""
        return self

    def written(self, image: np.ndarray, quality: int) -> tuple[int, np.ndarray]:
        """Return the size of an image's file, and the image as it comes back."""
        height, width = image.shape[:2]
        small = Image.fromarray(image)
        if self.scale > 1:
            size = (-(-width // self.scale), -(-height // self.scale))
            small = small.resize(size, Image.Resampling.LANCZOS)
        pixels = np.asarray(small).reshape(small.height, small.width, -1)
        data = write_pixels(pixels, self.codec, quality)
        back = read_pixels(data, self.codec, pixels.shape)
        again = Image.fromarray(back if image.ndim == 3 else back[..., 0])
        return len(data), np.asarray(again.resize((width, height), Image.Resampling.BICUBIC))


def _curve(
    images: Sequence[np.ndarray], written: Callable[[np.ndarray, int], tuple[int, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return bits a pixel and PSNR at each quality of the ladder, averages over images."""
    points = np.empty((2, len(LADDER), len(images)))
    for place, image in enumerate(images):
        for step, quality in enumerate(LADDER):
            size, restored = written(image, quality)
            points[:, step, place] = 8 * size / (image.shape[0] * image.shape[1]), min(psnr(image, restored), 99.0)
    rates, qualities = points.mean(axis=2)
    return rates, qualities
