"""Images: arrays and folders of files, in and out."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from isthmus.batch import Batch
from isthmus.layers import check_choice, principal_components
from isthmus.losses import BernoulliLikelihood, GaussianLikelihood
from isthmus.modalities.facts import check_image_facts
from isthmus.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from isthmus.part import Part
from isthmus.rows import Rows

__all__ = ["Images"]

# Bytes of images read at once, of those looked at while fitting, and pixels of each of these.
CHUNK_BYTES = 2**24
SAMPLE_BYTES = 2**27
SAMPLE_PIXELS = 64 * 64


class Images(Part):
    """Images of one size: an array ``(n, height, width[, channels])`` or a folder of files.

    ``uint8`` images stay ``uint8`` until a mini-batch is read; the networks see values
    between 0 and 1.

    Parameters
    ----------
    likelihood : {'gaussian', 'bernoulli'}, default='gaussian'
        Of a pixel: squared error around a value between 0 and 1, or binary cross-entropy.
    network : {'auto', 'dense', 'convolutional'}, default='auto'
        The default networks; 'auto' is dense up to 32 x 32 pixels and convolutional above.
        (Digits of scikit-learn in 8 numbers, one seed: test error 0.72 dense, 0.74 with
        strides, 0.76 with residual blocks, 0.79 with pooling and unpooling.)

    binarize : {'dynamic', 'half'}, optional
        Make pixels black or white, for ``likelihood='bernoulli'``. 'dynamic' draws each pixel
        white with its grey level as probability: anew at every step while training, and in
        evaluation one draw that is an image's own, always the same. 'half' splits at one half.
        Images that are black and white already stay as they are.

    Raises
    ------
    ValueError
        If the array is not of images, pixels are not finite, or sizes differ from those
        fitted on.

    Notes
    -----
    Images that are not ``uint8`` are brought to 0..1 by the least and the greatest value seen
    while fitting, unless they lie within 0 and 1 already; values beyond are cut to that range.

    References
    ----------
    Burda, Grosse & Salakhutdinov, 2016, https://arxiv.org/abs/1509.00519, section 5 (binary images
    drawn anew at every step). Likelihoods of one fixed draw of the training images are some
    2 nats worse on MNIST: never compare the two.

    Examples
    --------
    >>> from isthmus.rows import as_rows
    >>> images = Images().fit(as_rows(np.zeros((3, 8, 8), np.uint8)))
    >>> images.example()
    {'shape': [8, 8, 1]}
    >>> images.to_batch(as_rows(np.zeros((3, 8, 8), np.uint8))).x.dtype
    torch.uint8
    """

    missing = False

    def __init__(self, likelihood: str = "gaussian", network: str = "auto", binarize: str | None = None):
        super().__init__()
        self.likelihood = likelihood
        self.network = network
        self.binarize = binarize

    def fit(self, rows: Rows) -> Self:
        """Learn size, channels and range."""
        self._check_types()
        check_choice("likelihood", self.likelihood, ("gaussian", "bernoulli"))
        check_choice("network", self.network, ("auto", "dense", "convolutional"))
        if self.binarize is not None:
            check_choice("binarize", self.binarize, ("dynamic", "half"))
            if self.likelihood != "bernoulli":
                raise ValueError(f"binarize={self.binarize!r} makes black and white: set likelihood='bernoulli' too.")
        given = rows.take(slice(0, 1))
        first = _pixels(given)
        low, high = (0.0, 255.0) if first.dtype == np.uint8 else self._range(rows, first.nbytes)
        shape = [int(side) for side in first.shape[1:]]
        facts = {
            "shape": shape,
            "dtype": str(first.dtype),
            "low": low,
            "high": high,
            "channels_named": np.ndim(given) == 4,
        }
        self.build(**facts, rank=1)
        most = min(2_048, max(64, SAMPLE_BYTES // first.nbytes), len(rows))
        index = np.unique(np.linspace(0, len(rows) - 1, most).astype(np.int64))
        # Components that hold most of the variance are smooth: some of the pixels tell how many.
        stride = math.ceil(math.sqrt(shape[0] * shape[1] / SAMPLE_PIXELS))
        sample = self._stored(rows.take(index))[:, ::stride, ::stride]
        self.build(**facts, rank=_rank(self._levels(torch.from_numpy(sample.copy()))))
        return self

    def setup(self, shape, dtype, low, high, channels_named, rank) -> None:
        """Take what was learned of the images."""
        check_image_facts(shape, dtype, low, high, channels_named, rank)
        self.shape = tuple(shape)
        self.dtype = dtype
        self.low = low
        self.high = high
        self.channels_named = channels_named
        self.rank = rank
        # A tensor, so that uint8 pixels become numbers of the model's type and where it is.
        self.register_buffer("greatest", torch.tensor(255.0), persistent=False)

    def example(self) -> dict[str, Any]:
        """Return the facts of an example, which the other parts are built from."""
        return {"shape": list(self.shape)}

    def blank(self, n: int) -> Batch:
        """Return ``n`` black images."""
        return Batch(torch.zeros(n, *self.shape))

    def expand(self, stored: Batch) -> Batch:
        """Return stored pixels as values between 0 and 1, or as 0 and 1 where they are to be binary."""
        x = self._levels(stored.x)
        if self.binarize == "half":
            x = (x >= 0.5).to(x)
        elif self.binarize == "dynamic":
            x = ((torch.rand_like(x) if self.training else _own_uniforms(x)) < x).to(x)
        return stored if x is stored.x else stored.with_x(x)

    def to_batch(self, rows: Rows, dtype: torch.dtype = torch.float32) -> Batch:
        """Return images as a batch ``(b, h, w, c)``, ``uint8`` where they were."""
        x = torch.empty(0)
        step = self._step()
        for begin in range(0, len(rows), step):
            piece = slice(begin, min(begin + step, len(rows)))
            stored = self._stored(rows.take(piece))
            if begin == 0:
                x = torch.empty(len(rows), *self.shape, dtype=torch.uint8 if stored.dtype == np.uint8 else dtype)
            # Through numpy: torch warns of arrays that are read-only, as mapped files are.
            x.numpy()[piece] = stored
        return Batch(x)

    def to_rows(self, x: Tensor) -> np.ndarray:
        """Return values between 0 and 1 as images of the shape and type that was fitted."""
        images = np.empty(x.shape, self.dtype)
        step = self._step()
        for begin in range(0, len(x), step):
            piece = x[begin : begin + step].detach().cpu().double().clamp(0, 1).numpy()
            piece = piece * (self.high - self.low) + self.low
            images[begin : begin + step] = piece if images.dtype.kind == "f" else np.rint(piece)
        return images if self.channels_named else rearrange(images, "b h w 1 -> b h w")

    def encoder(self) -> Part:
        """Return the encoder for images of this size."""
        return MLPEncoder((512, 256)) if self._is_dense() else ConvEncoder()

    def decoder(self) -> Part:
        """Return the decoder for images of this size."""
        return MLPDecoder((256, 512)) if self._is_dense() else ConvDecoder()

    def loss(self) -> Part:
        """Return the likelihood of pixels."""
        return BernoulliLikelihood() if self.likelihood == "bernoulli" else GaussianLikelihood(link="sigmoid")

    def _levels(self, x: Tensor) -> Tensor:
        return x / self.greatest if x.dtype == torch.uint8 else x

    def _is_dense(self) -> bool:
        return self.network == "dense" or (self.network == "auto" and self.shape[0] * self.shape[1] <= 1024)

    def _step(self) -> int:
        """Return how many images to hold at once as float64."""
        return max(1, CHUNK_BYTES // (8 * math.prod(self.shape)))

    def _range(self, rows: Rows, nbytes: int) -> tuple[float, float]:
        low, high = np.inf, -np.inf
        step = max(1, CHUNK_BYTES // nbytes)
        for begin in range(0, len(rows), step):
            pixels = _pixels(rows.take(slice(begin, min(begin + step, len(rows)))))
            low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high if high > low else low + 1)

    def _stored(self, given: Any) -> np.ndarray:
        """Return images as a batch stores them: ``uint8``, or float64 between 0 and 1."""
        pixels = _pixels(given)
        if pixels.shape[1:] != self.shape:
            raise ValueError(
                f"images of {_size(pixels.shape[1:])} were given to a model of {_size(self.shape)} images; resize them."
            )
        self._check_scale(pixels)
        if self.dtype == "uint8" and pixels.dtype == np.uint8:
            return pixels
        scaled = (pixels.astype(np.float64) - self.low) / (self.high - self.low)
        return scaled.clip(0, 1)

    def _check_scale(self, pixels: np.ndarray) -> None:
        """Raise ValueError where 0..1 meets 0..255: all would be black, or white."""
        if self.dtype == "uint8" and pixels.dtype.kind == "f" and pixels.max() <= 1 and (pixels % 1).any():
            raise ValueError(
                f"images of {pixels.dtype} up to {pixels.max():.3g} were given to a model of uint8 images "
                "from 0 to 255; multiply them by 255."
            )
        if self.dtype != "uint8" and pixels.dtype == np.uint8 and self.high <= 1 < pixels.max():
            raise ValueError(
                f"uint8 images up to {pixels.max()} were given to a model of {self.dtype} images from "
                f"{self.low:.3g} to {self.high:.3g}; divide them by 255."
            )


def _pixels(given: Any) -> np.ndarray:
    """Return images ``(n, h, w, c)``, checked."""
    if isinstance(given, list) and len({np.shape(one) for one in given}) > 1:
        raise ValueError("images are of one size, got a list of arrays of different ones. Series are for Sequences().")
    array = np.asarray(given)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"expected images (n, height, width) or (n, height, width, channels) with 1, 3 or 4 channels, "
            f"got shape {np.shape(given)}."
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"pixels must be numbers, got {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.argmin(np.isfinite(array).all((1, 2, 3))))
        raise ValueError(f"image {bad} has pixels that are not finite; leave it out or fill them.")
    return array


def _own_uniforms(x: Tensor) -> Tensor:
    """Return a number in [0, 1) for each pixel, a function of the pixel's place and of its whole image.

    Evaluation is not random, and no image's result depends on those beside it: a generator
    would break both. The integers overflow, as hashes do (Steele et al., 2014, SplitMix).
    """
    levels = (x.flatten(1) * 65_535).round().long()
    place = _mixed(torch.arange(levels.shape[1], device=x.device))
    image = (levels * place).sum(1, keepdim=True)
    return ((_mixed(image + place) & 0xFFFFFF) / 2**24).to(x.dtype).view_as(x)


def _mixed(bits: Tensor) -> Tensor:
    """Return ``int64`` numbers whose bits all depend on all bits of those given."""
    bits = (bits + 1) * -7_046_029_254_386_353_131
    for shift, factor in ((30, -4_658_895_280_553_007_687), (27, -7_723_592_293_110_705_685)):
        # The sign would be shifted in: an arithmetic shift, made a logical one.
        bits = (bits ^ (bits >> shift & (1 << (64 - shift)) - 1)) * factor
    return bits ^ (bits >> 31 & (1 << 33) - 1)


def _rank(x: Tensor) -> int:
    """Return how many principal components hold 90 % of the pixels' variance, 8 to 64."""
    _, deviations, _ = principal_components(x, 64)
    total = x.flatten(1).double().var(0, correction=0).sum().clamp_min(1e-30)
    share = deviations.square().cumsum(0) / total
    return max(2, min(64, int((share < 0.9).sum()) + 1))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]} with {shape[2]} channel{'s' * (shape[2] > 1)}"
