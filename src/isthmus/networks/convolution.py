"""Convolutional networks over images: pooling and unpooling, strides and transposed convolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import BatchNorm, activation_layer, check_choice, check_widths
from isthmus.networks.blocks import LinearShortcut
from isthmus.part import Part

__all__ = ["ConvDecoder", "ConvEncoder"]

POOLINGS = ("stride", "max", "average")
UPSAMPLINGS = ("transposed", "unpooling", "nearest")


class ConvEncoder(Part):
    """Convolutions that halve height and width once a level.

    ``(b, h, w, c)`` to ``(b, width)``, or to a map ``(b, h', w', channels[-1])`` with
    ``flatten=False``.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64)
        Channels after each level; a level halves height and width.
    pooling : {'stride', 'max', 'average'}, default='stride'
        How a level halves: a strided 4x4 convolution, or a 3x3 convolution and 2x2 pooling.
    activation : str, default='silu'
        As in :class:`MLPEncoder`.
    norm : {'batch'}, optional
        Batch normalisation after each convolution.
    residual : bool, default=False
        A residual 3x3 block at each level, after the halving.
    flatten : bool, default=True
        End in one vector for the image rather than in a map.
    width : int, default=256
        Length of that vector.
    shortcut : bool, default=True
        With ``flatten``, a linear path from pixels to features, which starts at the
        principal components, as in :class:`MLPEncoder`.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``. Any size: borders are repeated up to a multiple of ``2**levels``.
    categories : list of int, optional
        Taken for every encoder; images have none.
    missing : bool, default=False
        Whether pixels may be unobserved: they read zero, and the mask is one more channel.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or the examples are not images.

    References
    ----------
    Masci et al., "Stacked convolutional auto-encoders", ICANN 2011 (pooling); Springenberg
    et al., 2014, https://arxiv.org/abs/1412.6806 (strides in place of pooling).

    Examples
    --------
    >>> images = Batch(torch.zeros(2, 30, 21, 3))
    >>> ConvEncoder().build(shape=[30, 21, 3])(images).shape
    torch.Size([2, 256])
    >>> ConvEncoder((16, 32), flatten=False).build(shape=[30, 21, 3])(images).shape
    torch.Size([2, 8, 6, 32])
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (32, 64),
        pooling: str = "stride",
        activation: str = "silu",
        norm: str | None = None,
        residual: bool = False,
        flatten: bool = True,
        width: int = 256,
        shortcut: bool = True,
    ):
        super().__init__()
        self.channels = channels
        self.pooling = pooling
        self.activation = activation
        self.norm = norm
        self.residual = residual
        self.flatten = flatten
        self.width = width
        self.shortcut = shortcut

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        height, width, colours = _image_shape(shape)
        self.missing = missing
        channels = check_widths("channels", self.channels, least=1, most=10)
        check_widths("width", self.width)
        check_choice("pooling", self.pooling, POOLINGS)
        self.padding = _padding(height, width, len(channels))
        levels: list[nn.Module] = []
        for before, after in zip((colours + missing, *channels), channels, strict=False):
            size, stride = (4, 2) if self.pooling == "stride" else (3, 1)
            levels.append(nn.Conv2d(before, after, size, stride, padding=1, bias=self.norm is None))
            levels += _after(after, self.norm, self.activation)
            if self.pooling != "stride":
                levels.append(nn.MaxPool2d(2) if self.pooling == "max" else nn.AvgPool2d(2))
            if self.residual:
                levels.append(_Residual(after, self.norm, self.activation))
        self.levels = nn.Sequential(*levels)
        if self.flatten:
            h, w = (height + self.padding[3]) >> len(channels), (width + self.padding[1]) >> len(channels)
            self.head = nn.Linear(h * w * channels[-1], self.width)
            if self.shortcut:
                self.linear = LinearShortcut(math.prod(shape), self.width)
                self.scale = nn.Parameter(torch.zeros(self.width))

    def forward(self, source: Batch) -> Tensor:
        """Return features, ``(b, width)`` or ``(b, h', w', channels[-1])``."""
        x = _seen(source)
        image = rearrange(x, "b h w c -> b c h w")
        if self.missing:
            mask = image.new_ones(len(x), *x.shape[1:3]) if source.mask is None else source.mask.to(image)
            image = torch.cat([image, mask.unsqueeze(1)], 1)
        if any(self.padding):
            image = F.pad(image, self.padding, mode="replicate")
        features = self.levels(image)
        if not self.flatten:
            return rearrange(features, "b c h w -> b h w c")
        vector = self.head(features.flatten(1))
        return torch.addcmul(self.linear(x.flatten(1)), vector, self.scale) if self.shortcut else vector

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the principal components of ``source``."""
        if self.flatten and self.shortcut:
            self.linear.start_at_components(_seen(source).flatten(1))


class ConvDecoder(Part):
    """Convolutions that double height and width once a level.

    ``(b, d)`` or ``(b, h', w', d)`` to ``(b, h, w, c)``.

    Parameters
    ----------
    channels : tuple of int, default=(64, 32)
        Channels at the input of each level; a level doubles height and width.
    upsampling : {'transposed', 'unpooling', 'nearest'}, default='transposed'
        How a level doubles: a strided 4x4 transposed convolution ("deconvolution"); 2x2
        unpooling to the upper left corner, zeros elsewhere, then a 3x3 convolution; or
        nearest-neighbour copies, then a 3x3 convolution.
    activation, norm, residual
        As in :class:`ConvEncoder`.
    shortcut : bool, default=True
        For a code that is one vector, a linear path from code to pixels, which starts at
        the least-squares solution.

    Facts
    -----
    code : list of int
        ``(d,)`` or ``(h', w', d)``.
    shape : list of int
        ``(h, w, c)`` of the output; what a multiple of ``2**levels`` has too much is cut off.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, or a map's size does not fit the image's.

    Notes
    -----
    Unpooling has no switches from the encoder's pooling: they would carry information past
    the bottleneck.

    References
    ----------
    Zeiler et al., "Adaptive deconvolutional networks", ICCV 2011. Differs: as noted above.

    Examples
    --------
    >>> ConvDecoder().build(code=[10], shape=[30, 21, 3])(torch.zeros(2, 10), None).shape
    torch.Size([2, 30, 21, 3])
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 32),
        upsampling: str = "transposed",
        activation: str = "silu",
        norm: str | None = None,
        residual: bool = False,
        shortcut: bool = True,
    ):
        super().__init__()
        self.channels = channels
        self.upsampling = upsampling
        self.activation = activation
        self.norm = norm
        self.residual = residual
        self.shortcut = shortcut

    def setup(self, code, shape) -> None:
        """Create the layers."""
        height, width, colours = _image_shape(shape)
        channels = check_widths("channels", self.channels, least=1, most=10)
        check_choice("upsampling", self.upsampling, UPSAMPLINGS)
        self.shape = (height, width, colours)
        _, right, _, bottom = _padding(height, width, len(channels))
        self.map = (channels[0], (height + bottom) >> len(channels), (width + right) >> len(channels))
        self.is_vector = len(code) == 1
        if not self.is_vector and tuple(code[:-1]) != self.map[1:]:
            raise ValueError(
                f"a code map of {tuple(code[:-1])} positions does not grow to {height} x {width} in "
                f"{len(channels)} doublings, which need {self.map[1:]}: give encoder and decoder equally many channels."
            )
        self.head = nn.Linear(code[-1], math.prod(self.map)) if self.is_vector else nn.Conv2d(code[-1], channels[0], 1)
        levels: list[nn.Module] = []
        for level, before in enumerate(channels):
            if self.residual:
                levels.append(_Residual(before, self.norm, self.activation))
            last = level == len(channels) - 1
            after = colours if last else channels[level + 1]
            levels += _doubling(before, after, self.upsampling, bias=last or self.norm is None)
            if not last:
                levels += _after(after, self.norm, self.activation)
        self.levels = nn.Sequential(activation_layer(self.activation), *levels)
        if self.is_vector and self.shortcut:
            self.linear = LinearShortcut(code[-1], math.prod(self.shape))
            # The linear path begins alone: the last convolution's contribution starts at zero.
            self.scale = nn.Parameter(torch.zeros(colours))

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, h, w, c)``; the target is not looked at."""
        height, width, _ = self.shape
        if self.is_vector:
            image = self.levels(self.head(z).view(len(z), *self.map))
        else:
            image = self.levels(self.head(rearrange(z, "b h w d -> b d h w")))
        output = rearrange(image[:, :, :height, :width], "b c h w -> b h w c")
        if self.is_vector and self.shortcut:
            output = torch.addcmul(self.linear(z).view(len(z), *self.shape), output, self.scale)
        return output

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the least-squares map from ``z`` to ``guess``, an output that would fit."""
        if self.is_vector and self.shortcut:
            self.linear.start_at_least_squares(z, guess)


def _seen(source: Batch) -> Tensor:
    """Return the pixels, zero where they were not observed."""
    return source.x if source.mask is None else source.x * source.mask.unsqueeze(-1)


class _Residual(nn.Module):
    """``x + conv(act(conv(x)))``, the second convolution starting at zero."""

    def __init__(self, channels: int, norm: str | None, activation: str):
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        first = nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None)
        self.body = nn.Sequential(first, *_after(channels, norm, activation), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Unpool(nn.Module):
    """Each value to the upper left of a 2x2 block of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        spread = F.pad(rearrange(x, "b c h w -> b c h 1 w 1"), (0, 1, 0, 0, 0, 1))
        return rearrange(spread, "b c h p w q -> b c (h p) (w q)")


def _doubling(before: int, after: int, upsampling: str, bias: bool) -> list[nn.Module]:
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)]
    grow = _Unpool() if upsampling == "unpooling" else nn.Upsample(scale_factor=2)
    return [grow, nn.Conv2d(before, after, 3, padding=1, bias=bias)]


def _after(channels: int, norm: str | None, activation: str) -> list[nn.Module]:
    if norm is not None:
        check_choice("norm", norm, ("batch",))
    return [BatchNorm(channels, over_images=True)] * (norm is not None) + [activation_layer(activation)]


def _image_shape(shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(
            f"a convolutional network needs images (height, width, channels), got examples of shape {tuple(shape)}. "
            "Use mlp_encoder and mlp_decoder for these, or the images modality."
        )
    height, width, colours = shape
    return height, width, colours


def _padding(height: int, width: int, levels: int) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) paddings that make both sides multiples of ``2**levels``."""
    step = 2**levels
    return (0, -width % step, 0, -height % step)
