"""Networks around a standard codec: one makes an image smaller, one restores what came back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from isthmus.batch import Batch
from isthmus.layers import check_widths
from isthmus.networks.lapped import SLOPE, check_map, cut
from isthmus.networks.lapping import image_shape, pixels
from isthmus.part import Part

__all__ = ["CompactEncoder", "RestoringDecoder"]

# Positions a side that the restoring layers take as one.
FOLD = 2
# The compact picture's share of a learning rate that suits the restoring layers. At ten times as much, the gradient
# that passes the codec straight through led pictures away from what files hold, in fits of thousands of steps.
BESIDE = 0.005


class CompactEncoder(Part):
    r"""Make an image smaller so that it can be restored: a filter, and convolutions beside it.

    ``(b, h, w, c)`` to ``(b, h', w', c)``, values mostly between 0 and 1.

    Parameters
    ----------
    channels : tuple of int, default=(32, 32)
        Widths of the hidden layers, 3x3 convolutions on blocks of scale x scale pixels; none: the filter alone.
    scale : int, default=2
        How many times smaller, 1 to 4.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``. Images of any size will do later: borders are repeated up to a multiple of
        the scale.
    categories : list of int, optional
        Taken for every encoder; images have none.
    missing : bool, default=False
        Whether pixels may be unobserved: they read zero, and the mask is one more channel.

    Attributes
    ----------
    margin : int
        Positions that a feature looks at in each direction besides its own.

    Raises
    ------
    ValueError
        If the scale is none of these, a width is not positive, or the examples are not images.

    Notes
    -----
    .. math:: y = D x + F(x - \tfrac12)

    with D the bicubic filter, as wide as the scale asks for, and F convolutions that begin at
    zero: before training it is what image programs do.

    References
    ----------
    Jiang et al., 2017, https://arxiv.org/abs/1708.00838 (ComCNN). Differs: the filter beside the
    convolutions; colours; blocks of pixels as channels (Shi et al., 2016, https://arxiv.org/abs/1609.05158).

    Examples
    --------
    >>> images = Batch(torch.zeros(2, 9, 12, 3))
    >>> CompactEncoder().build(shape=[8, 8, 3])(images).shape
    torch.Size([2, 5, 6, 3])
    """

    def __init__(self, channels: tuple[int, ...] = (32, 32), scale: int = 2):
        super().__init__()
        self.channels = channels
        self.scale = scale

    def setup(self, shape, categories=None, missing: bool = False) -> None:
        """Create the layers."""
        check_scale(self.scale)
        channels = check_widths("channels", self.channels)
        colours = image_shape(shape)[2]
        self.missing = missing
        self.stride = self.scale
        self.beside = None
        if channels:
            self.beside = _layers((colours + missing) * self.scale**2, channels, colours)
            # What they add is small beside the picture; the decoder must keep up with it.
            self.beside.learning_rate_scale = BESIDE  # type: ignore[assignment]
        # Positions that a feature looks at in each direction: four pixels for the filter.
        self.margin = -(-4 // self.scale) + len(channels) + 1

    def forward(self, source: Batch) -> Tensor:
        """Return the small images, ``(b, h', w', c)``, of values that are mostly between 0 and 1."""
        image = pixels(source, self.scale, self.missing)
        size = [side // self.scale for side in image.shape[2:]]
        colours = image[:, : image.shape[1] - self.missing]
        small = F.interpolate(colours, size, mode="bicubic", antialias=True)
        if self.beside is not None:
            small = small + self.beside(F.pixel_unshuffle(image - 0.5, self.scale))
        return rearrange(small, "b c h w -> b h w c")


class RestoringDecoder(Part):
    r"""Make a small image as large as it was, and mend what a codec did to it.

    ``(b, h', w', c)`` to ``(b, h, w, c)``.

    Parameters
    ----------
    channels : tuple of int, default=(64, 64, 64)
        Widths of the hidden layers, 3x3 convolutions on blocks of 2 x 2 positions; none: bicubic
        interpolation alone.
    scale : int, default=2
        As in :class:`CompactEncoder`.
    told : bool, default=False
        Whether the code's last channel is the logarithm of its step, as ``picture_file`` gives it.

    Facts
    -----
    code : list of int
        ``(h', w', c)``; one channel more where the step is told.
    shape : list of int
        ``(h, w, c)`` of the output. Later, codes of other positions become images of as many blocks.

    Attributes
    ----------
    margin : int
        Positions that a pixel looks at in each direction besides its own.

    Raises
    ------
    ValueError
        If the scale is not 1 to 4, a width is not positive, or the code is no small image.

    Notes
    -----
    .. math:: \hat x = U z + s F\big((z - \tfrac12) / s, \log s\big)

    with U bicubic interpolation and s the step, 1 where it is not told: what a codec does to an
    image grows with its step. F begins at zero.

    For colour images and the defaults: 29 thousand multiplications a pixel of the small image, 7 of the large one.

    References
    ----------
    Jiang et al., 2017, https://arxiv.org/abs/1708.00838 (RecCNN: 20 layers at full resolution). Differs: few
    and wide layers on blocks of positions, a fiftieth of the arithmetic; one network for all qualities; no
    batch normalisation.

    Examples
    --------
    >>> decoder = RestoringDecoder().build(code=[4, 4, 3], shape=[8, 8, 3])
    >>> decoder(torch.zeros(1, 5, 6, 3), None).shape
    torch.Size([1, 10, 12, 3])
    """

    def __init__(self, channels: tuple[int, ...] = (64, 64, 64), scale: int = 2, told: bool = False):
        super().__init__()
        self.channels = channels
        self.scale = scale
        self.told = told

    def setup(self, code, shape) -> None:
        """Create the layers."""
        check_scale(self.scale)
        channels = check_widths("channels", self.channels)
        self.shape = image_shape(shape)
        self.positions = check_map(self, code, self.shape, self.scale)
        self.colours = self.shape[2]
        if code[-1] != self.colours + self.told:
            raise ValueError(
                f"a code of small images has {self.colours + self.told} channels here, got {code[-1]}; "
                "told is for codes whose last channel tells their step."
            )
        folds = FOLD**2
        self.mend = None
        if channels:
            self.mend = _layers(self.colours * folds + self.told, channels, self.colours * folds * self.scale**2)
        # Positions that a pixel looks at in each direction: two for the filter.
        self.margin = FOLD * (len(channels) + 1) + 2

    def forward(self, z: Tensor, target: Batch | None = None) -> Tensor:
        """Return ``(b, h, w, c)``; the target is not looked at."""
        code = rearrange(z, "b h w c -> b c h w")
        small = code[:, : self.colours]
        size = [side * self.scale for side in small.shape[2:]]
        image = F.interpolate(small, size, mode="bicubic", align_corners=False)
        if self.mend is not None:
            height, width = small.shape[2:]
            even = F.pad(small, (0, -width % FOLD, 0, -height % FOLD), mode="replicate")
            log_step = code[:, self.colours :, :1, :1]
            step = log_step.exp() if self.told else 1.0
            folded = F.pixel_unshuffle((even - 0.5) / step, FOLD)
            folded = torch.cat([folded, log_step.expand(-1, -1, *folded.shape[2:])], 1)
            mended = step * F.pixel_shuffle(self.mend(folded), FOLD * self.scale)
            image = image + mended[:, :, : size[0], : size[1]]
        return rearrange(cut(image, z, self.positions, self.shape), "b c h w -> b h w c")


def check_scale(scale: int) -> None:
    """Raise ValueError unless images can be made so many times smaller."""
    if not 1 <= scale <= 4:
        raise ValueError(f"scale must be 1 to 4 times smaller, got {scale}.")


def _layers(before: int, widths: tuple[int, ...], after: int) -> nn.Sequential:
    """3x3 convolutions, the last at zero."""
    layers: list[nn.Module] = []
    for one, other in zip((before, *widths), widths, strict=False):
        layers += [nn.Conv2d(one, other, 3, padding=1), nn.LeakyReLU(SLOPE)]
        nn.init.kaiming_normal_(layers[-2].weight, SLOPE)
    last = nn.Conv2d(widths[-1], after, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
