"""Convolutions with divisive normalisation: the networks of learned image compression, beside a lapped transform."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import check_widths
from isthmus.networks.gain import SimplifiedGDN
from isthmus.networks.lapped import check_map, cut
from isthmus.networks.lapping import Analysis, Synthesis, image_shape, lapped_components, pixels
from isthmus.part import Part

__all__ = ["GDNDecoder", "GDNEncoder"]

# The convolutions' share of a learning rate that suits a bottleneck's few numbers.
CONVOLUTIONS = 0.4


class GDNEncoder(Part):
    """Strided 5x5 convolutions with divisive normalisation between, beside a lapped transform.

    ``(b, h, w, c)`` to ``(b, h', w', width)``.

    Parameters
    ----------
    channels : tuple of int, default=(64, 64, 64)
        After each convolution but the last; every convolution halves height and width.
    width : int, default=192
        Channels of the features.
    shortcut : bool, default=True
        Beside the convolutions a lapped principal component transform of the same stride, with
        which it begins: the last convolution starts at zero. Without it the features' scale is chance.

    Facts
    -----
    shape, categories, missing
        As of :class:`LappedEncoder`.

    Raises
    ------
    ValueError
        If a width is not positive, or the examples are not images.

    References
    ----------
    Balle, Laparra & Simoncelli, "End-to-end optimized image compression", ICLR 2017,
    https://arxiv.org/abs/1611.01704; Balle et al., 2018, https://arxiv.org/abs/1802.01436,
    figure 4 (sizes). Differs: the transform beside; simplified normalisation.

    Examples
    --------
    >>> import torch
    >>> images = Batch(torch.zeros(2, 40, 64, 3))
    >>> GDNEncoder((8, 8, 8), 24).build(shape=[32, 32, 3])(images).shape
    torch.Size([2, 3, 4, 24])
    """

    def __init__(self, channels: tuple[int, ...] = (64, 64, 64), width: int = 192, shortcut: bool = True):
        super().__init__()
        self.channels = channels
        self.width = width
        self.shortcut = shortcut

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        channels = check_widths("channels", self.channels, least=1, most=6)
        (width,) = check_widths("width", self.width)
        colours = image_shape(shape)[2] + missing
        self.missing = missing
        self.stride = 2 ** (len(channels) + 1)
        layers: list[nn.Module] = []
        for before, after in zip((colours, *channels), (*channels, width), strict=False):
            layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), SimplifiedGDN(after)]
        self.levels = nn.Sequential(*layers[:-1])
        self.levels.learning_rate_scale = CONVOLUTIONS  # type: ignore[assignment]
        self.transform = Analysis(colours, width, 2 * self.stride, self.stride) if self.shortcut else None
        if self.shortcut:
            nn.init.zeros_(layers[-2].weight)
            nn.init.zeros_(layers[-2].bias)

    def forward(self, source: Batch) -> Tensor:
        """Return features, ``(b, h', w', width)``."""
        image = pixels(source, self.stride, self.missing)
        features = self.levels(image - 0.5)
        if self.transform is not None:
            features = features + self.transform(image)
        return rearrange(features, "b k h w -> b h w k")

    def start(self, source: Batch) -> None:
        """Begin the shortcut at the lapped principal components of ``source``."""
        if self.transform is not None:
            image = pixels(source, self.stride, False)
            self.transform.put(*lapped_components(image, self.width, 2 * self.stride, self.stride))


class GDNDecoder(Part):
    """Strided 5x5 transposed convolutions with inverse normalisation between, beside a lapped transform.

    ``(b, h', w', d)`` to ``(b, h, w, c)``.

    Parameters
    ----------
    channels : tuple of int, default=(64, 64, 48)
        After each convolution but the last; every convolution doubles height and width.
    shortcut : bool, default=True
        As in :class:`GDNEncoder`.
    told : bool, default=False
        Whether the code's last channel is the logarithm of its step (:class:`LappedDecoder`): the
        convolutions then read it as one more channel, the shortcut does not.

    Facts
    -----
    code, shape
        As of :class:`LappedDecoder`.

    Raises
    ------
    ValueError
        If a width is not positive, the code is no map, or its positions are not those of the image.

    References
    ----------
    As of :class:`GDNEncoder`.

    Examples
    --------
    >>> import torch
    >>> decoder = GDNDecoder((8, 8, 8)).build(code=[2, 2, 24], shape=[32, 32, 3])
    >>> decoder(torch.zeros(1, 3, 5, 24), None).shape
    torch.Size([1, 48, 80, 3])
    """

    def __init__(self, channels: tuple[int, ...] = (64, 64, 48), shortcut: bool = True, told: bool = False):
        super().__init__()
        self.channels = channels
        self.shortcut = shortcut
        self.told = told

    def setup(self, code, shape) -> None:
        """Create the layers."""
        channels = check_widths("channels", self.channels, least=1, most=6)
        self.shape = image_shape(shape)
        self.stride = 2 ** (len(channels) + 1)
        self.positions = check_map(self, code, self.shape, self.stride)
        self.width = code[-1] - self.told
        if self.width < 1:
            raise ValueError(f"told takes one channel of the code for the step, and the code has {code[-1]}.")
        layers: list[nn.Module] = []
        for before, after in zip((code[-1], *channels), (*channels, self.shape[2]), strict=False):
            layers.append(nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1))
            layers.append(SimplifiedGDN(after, inverse=True))
        self.levels = nn.Sequential(*layers[:-1])
        self.levels.learning_rate_scale = CONVOLUTIONS  # type: ignore[assignment]
        self.transform = None
        if self.shortcut:
            self.transform = Synthesis(self.width, self.shape[2], 2 * self.stride, self.stride)
            nn.init.zeros_(layers[-2].weight)
            nn.init.zeros_(layers[-2].bias)

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, h, w, c)``; the target is not looked at."""
        map_ = rearrange(z, "b h w k -> b k h w")
        image = self.levels(map_)
        image = image + (0.5 if self.transform is None else self.transform(map_[:, : self.width]))
        return rearrange(cut(image, z, self.positions, self.shape), "b c h w -> b h w c")

    def start(self, z: Tensor, guess: Tensor) -> None:
        """Begin the shortcut at the lapped principal components of ``guess``, an output that would fit."""
        if self.transform is not None:
            image = pixels(Batch(guess), self.stride, False)
            self.transform.put(*lapped_components(image, self.width, 2 * self.stride, self.stride))
