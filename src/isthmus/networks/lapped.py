"""A lapped transform and its way back: fast networks for codecs, begun in closed form."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import check_widths
from isthmus.networks.gain import SimplifiedGDN
from isthmus.networks.lapping import Analysis, Synthesis, check_lapping, image_shape, lapped_components, pixels
from isthmus.part import Part

__all__ = ["LappedDecoder", "LappedEncoder"]

# Pixels a side that the filter takes as one position.
FOLD = 4
SLOPE = 0.1


class LappedEncoder(Part):
    """One wide convolution, begun at a lapped principal component transform.

    ``(b, h, w, c)`` to ``(b, h', w', channels)``, a position for each block of pixels.

    Parameters
    ----------
    channels : int, default=192
        Coefficients of a position, ordered by energy.
    size : int, default=32
        Side of the kernels, in pixels: one, two or three strides. One: no overlap.
    stride : int, default=16
        Pixels between positions, even.
    branch : tuple of int, default=()
        Widths of a small network beside the transform, begun at zero: 3x3 convolutions on blocks
        of 4 x 4 pixels, with divisive normalisation between; each but the first halves. As many
        widths as there are halvings down to the stride: two for 16, such as (64, 96).

    Facts
    -----
    shape : list of int
        ``(h, w, c)``. Images of any size will do later: borders are repeated up to a multiple of
        the stride.
    categories : list of int, optional
        Taken for every encoder; images have none.
    missing : bool, default=False
        Whether pixels may be unobserved: they read zero, and the mask is one more channel.

    Raises
    ------
    ValueError
        If size and stride do not fit, the branch's widths are not as many as the stride asks
        for, or the examples are not images.

    Notes
    -----
    For colour images and the defaults: 2.3 thousand multiplications a pixel (3.2 more for the
    branch (64, 96)), against 42 of the networks of Balle et al. (2018). Where it begins is
    written at :func:`isthmus.networks.lapping.lapped_components`.

    References
    ----------
    Malvar & Staelin, 1989, for the transform; Yang & Mandt, "Computationally-efficient neural
    image compression with shallow decoders", ICCV 2023, https://arxiv.org/abs/2304.06244: one
    transposed convolution whose kernels overlap decodes nearly as well as a deep linear network.

    Examples
    --------
    >>> import torch
    >>> images = Batch(torch.zeros(2, 40, 64, 3))
    >>> LappedEncoder(24).build(shape=[32, 32, 3])(images).shape
    torch.Size([2, 3, 4, 24])
    """

    def __init__(self, channels: int = 192, size: int = 32, stride: int = 16, branch: tuple[int, ...] = ()):
        super().__init__()
        self.channels = channels
        self.size = size
        self.stride = stride
        self.branch = branch

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        check_lapping(self.size, self.stride)
        (channels,) = check_widths("channels", self.channels)
        _, _, colours = image_shape(shape)
        self.missing = missing
        self.transform = Analysis(colours + missing, channels, self.size, self.stride)
        self.beside = _branch(colours + missing, self.branch, channels, self.stride) if self.branch else None

    def forward(self, source: Batch) -> Tensor:
        """Return the coefficients, ``(b, h', w', channels)``."""
        image = pixels(source, self.stride, self.missing)
        features = self.transform(image)
        if self.beside is not None:
            features = features + self.beside(image - 0.5)
        return rearrange(features, "b k h w -> b h w k")

    def start(self, source: Batch) -> None:
        """Begin at the lapped principal components of ``source``."""
        image = pixels(source, self.stride, False)
        self.transform.put(*lapped_components(image, self.channels, self.size, self.stride))


class LappedDecoder(Part):
    r"""The way back from lapped coefficients, and a small filter that mends what rounding did.

    ``(b, h', w', d)`` to ``(b, h, w, c)``.

    Parameters
    ----------
    size, stride : int, default=32, 16
        As in :class:`LappedEncoder`.
    filter : tuple of int, default=(64, 64)
        Widths of the filter's hidden layers, 3x3 convolutions on blocks of 4 x 4 pixels; none: no filter.
    told : bool, default=False
        Whether the code's last channel is the logarithm of its step, as :class:`EntropyBottleneck`
        gives it: the filter then works in units of the step.

    Facts
    -----
    code : list of int
        ``(h', w', d)``.
    shape : list of int
        ``(h, w, c)`` of the output. Later, codes of other positions become images of as many blocks.

    Raises
    ------
    ValueError
        If size and stride do not fit, the code is no map, or its positions are not those of the image.

    Notes
    -----
    .. math:: x = S z, \qquad \hat x = x + s F((x - \tfrac12) / s)

    with S the transposed transform and s the step, 1 where it is not told. What rounding does to
    an image grows with the step, so that in its units one filter fits all qualities. F begins
    at zero, S where the encoder's transform begins: both find it from the same images, and the
    transform is orthonormal.

    For colour images and the defaults: 8.1 thousand multiplications a pixel, 5.8 of them the filter.

    References
    ----------
    As of :class:`LappedEncoder`; Shi et al., 2016, https://arxiv.org/abs/1609.05158 (blocks of
    pixels as channels).

    Examples
    --------
    >>> import torch
    >>> decoder = LappedDecoder().build(code=[2, 2, 24], shape=[32, 32, 3])
    >>> decoder(torch.zeros(1, 3, 5, 24), None).shape
    torch.Size([1, 48, 80, 3])
    """

    def __init__(self, size: int = 32, stride: int = 16, filter: tuple[int, ...] = (64, 64), told: bool = False):
        super().__init__()
        self.size = size
        self.stride = stride
        self.filter = filter
        self.told = told

    def setup(self, code, shape) -> None:
        """Create the layers."""
        check_lapping(self.size, self.stride)
        self.shape = image_shape(shape)
        self.positions = check_map(self, code, self.shape, self.stride)
        if self.filter and self.stride % FOLD:
            raise ValueError(f"a filter needs a stride that is a multiple of {FOLD}, got {self.stride}; or filter=().")
        self.channels = code[-1] - self.told
        if self.channels < 1:
            raise ValueError(f"told takes one channel of the code for the step, and the code has {code[-1]}.")
        self.transform = Synthesis(self.channels, self.shape[2], self.size, self.stride)
        self.mend = _filter(self.shape[2], check_widths("filter", self.filter)) if self.filter else None

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, h, w, c)``; the target is not looked at."""
        image = self.transform(rearrange(z[..., : self.channels], "b h w k -> b k h w"))
        if self.mend is not None:
            step = z[:, :1, :1, -1:].exp() if self.told else 1.0
            image = image + step * self.mend((image - 0.5) / step)
        return rearrange(cut(image, z, self.positions, self.shape), "b c h w -> b h w c")

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin at the lapped principal components of ``guess``, an output that would fit."""
        image = pixels(Batch(guess), self.stride, False)
        self.transform.put(*lapped_components(image, self.channels, self.size, self.stride))


def check_map(part: Part, code, shape: tuple[int, int, int], stride: int) -> tuple[int, int]:
    """Return the positions of a code, or raise ValueError where they are not those of the image's blocks."""
    wanted = (-(-shape[0] // stride), -(-shape[1] // stride))
    if tuple(code[:-1]) != wanted:
        raise ValueError(
            f"{type(part).__name__} needs a code of {wanted} positions for images of {shape[0]} x {shape[1]}, got "
            f"{tuple(code[:-1])}: take an encoder that keeps positions and halves as often, such as lapped_encoder."
        )
    return wanted


def cut(image: Tensor, z: Tensor, positions: tuple[int, int], shape: tuple[int, int, int]) -> Tensor:
    """Return an image as large as the data's where the code has the data's positions, else as it is."""
    return image[:, :, : shape[0], : shape[1]] if tuple(z.shape[1:3]) == positions else image


def _filter(colours: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Convolutions on blocks of pixels, the last at zero."""
    blocks = colours * FOLD**2
    layers: list[nn.Module] = [nn.PixelUnshuffle(FOLD)]
    for before, after in zip((blocks, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
    last = nn.Conv2d(widths[-1], blocks, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last, nn.PixelShuffle(FOLD))


def _branch(colours: int, widths: tuple[int, ...], channels: int, stride: int) -> nn.Sequential:
    """Convolutions from blocks of 4 x 4 pixels down to the stride, the last at zero."""
    widths = check_widths("branch", widths)
    if FOLD * 2 ** len(widths) != stride:
        raise ValueError(
            f"branch {widths} halves {len(widths)} times from blocks of {FOLD}, to a stride of "
            f"{FOLD * 2 ** len(widths)}, got stride={stride}."
        )
    layers: list[nn.Module] = [nn.PixelUnshuffle(FOLD)]
    for i, (before, after) in enumerate(zip((colours * FOLD**2, *widths), (*widths, channels), strict=False)):
        layers += [SimplifiedGDN(before)] * (i > 0) + [nn.Conv2d(before, after, 3, stride=1 + (i > 0), padding=1)]
    nn.init.zeros_(layers[-1].weight)
    nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)
