"""Lapped linear transforms as layers: the adjoint pair, and where they start."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from isthmus.layers import principal_components

__all__ = ["Analysis", "Synthesis", "check_lapping", "image_shape", "lapped_components", "mirrored", "pixels"]

# Blocks that principal components are computed from: 768 values each need some tens of thousands.
MOST_BLOCKS = 32_768
# The kernels' share of the learning rate: steps of the others' length would undo where they begin.
KERNELS = 0.1


class Analysis(nn.Module):
    """A strided convolution of images mirrored at their borders: ``(b, c, h, w)`` to ``(b, k, h', w')``.

    Parameters
    ----------
    colours, channels : int
        Of the image, of the result.
    size, stride : int
        Side of the kernel, a multiple of the stride, and the stride. Images are a multiple of
        the stride; one of ``h`` rows becomes ``h / stride``.
    """

    learning_rate_scale = KERNELS

    def __init__(self, colours: int, channels: int, size: int, stride: int):
        super().__init__()
        self.stride, self.margin = stride, (size - stride) // 2
        # Blocks first: a convolution of few taps over many channels is one matrix product.
        self.kernel = nn.Conv2d(colours * stride**2, channels, size // stride)

    def forward(self, image: Tensor) -> Tensor:
        """Return the coefficients."""
        return self.kernel(F.pixel_unshuffle(mirrored(image, self.margin), self.stride))

    @torch.no_grad()
    def put(self, kernels: Tensor, colours: Tensor) -> None:
        """Take kernels ``(k, c, size, size)`` on images less these mean colours ``(c,)``; further rows are zero."""
        weight = _in_blocks(kernels, self.stride).to(self.kernel.weight)
        self.kernel.weight.zero_()[: len(weight), : weight.shape[1]] = weight
        self.kernel.bias.zero_()[: len(weight)] = -(kernels.sum((2, 3)) @ colours.to(kernels)).to(weight)


class Synthesis(nn.Module):
    """The adjoint of :class:`Analysis`: what lies beyond a border is folded back over it.

    So an orthonormal analysis and its own kernels here give back the image to its last row.
    """

    learning_rate_scale = KERNELS

    def __init__(self, channels: int, colours: int, size: int, stride: int):
        super().__init__()
        self.stride, self.margin = stride, (size - stride) // 2
        self.kernel = nn.ConvTranspose2d(channels, colours * stride**2, size // stride, bias=False)
        self.colours = nn.Parameter(torch.full((colours,), 0.5))

    def forward(self, z: Tensor) -> Tensor:
        """Return images ``(b, c, h, w)``."""
        image = F.pixel_shuffle(self.kernel(z), self.stride)
        for axis in (2, 3) if self.margin else ():
            image = _folded(image, self.margin, axis)
        return image + self.colours[:, None, None]

    @torch.no_grad()
    def put(self, kernels: Tensor, colours: Tensor) -> None:
        """Take kernels ``(k, c, size, size)`` and mean colours ``(c,)``; further channels are silent."""
        weight = _in_blocks(kernels, self.stride).to(self.kernel.weight)
        self.kernel.weight.zero_()[: len(weight)] = weight
        self.colours.copy_(colours)


def _in_blocks(kernels: Tensor, stride: int) -> Tensor:
    """Return kernels as ``torch.nn.functional.pixel_unshuffle`` does, which leaves none of them as they are."""
    return rearrange(kernels, "k c (h s) (w t) -> k (c s t) h w", s=stride, t=stride)


def mirrored(image: Tensor, margin: int) -> Tensor:
    """Return images with ``margin`` more rows and columns at each border, the border itself repeated.

    ``torch.nn.functional.pad`` mirrors about the outermost row, which a lapped transform must not.
    """
    for axis in (2, 3) if margin else ():
        first = image.narrow(axis, 0, margin).flip(axis)
        last = image.narrow(axis, image.shape[axis] - margin, margin).flip(axis)
        image = torch.cat([first, image, last], axis)
    return image


@torch.no_grad()
def lapped_components(image: Tensor, channels: int, size: int, stride: int) -> tuple[Tensor, Tensor]:
    r"""Return kernels ``(k, c, size, size)`` of images, the strongest first, and their mean colours ``(c,)``.

    Parameters
    ----------
    image : Tensor
        Shape ``(b, c, h, w)``, of sides that are multiples of the stride.
    channels : int
        Kernels at most; fewer if the blocks have fewer principal components.
    size, stride : int
        Side of the kernels. Where both are the same these are the principal components of
        blocks, else those of lapped blocks, whose kernels are two strides wide.

    Notes
    -----
    Lapping turns the samples at both sides of a block's edge into each other before the
    principal components are taken, in rows and in columns, by the orthogonal matrix

    .. math:: P = \tfrac12 \begin{pmatrix} I & J \\ J & -I \end{pmatrix}
                  \begin{pmatrix} I & 0 \\ 0 & V \end{pmatrix}
                  \begin{pmatrix} I & J \\ J & -I \end{pmatrix},
              \qquad V = J C_{II}^\top C_{IV} J

    with J the reversal and C cosine transforms. All kernels together are orthonormal. Samples
    mirrored at the image's border are left as they are by P: nothing need be done there.

    References
    ----------
    Malvar & Staelin, "The LOT: transform coding without blocking effects", 1989; in this form
    Tran, Liang & Tu, "Lapped transform via time-domain pre- and post-filtering", 2003, section
    IV. Differs: principal components of the data in place of the cosine transform.
    """
    colours = image.double().mean((0, 2, 3))
    centred = image - colours.to(image)[:, None, None]
    lapping = _lapping(stride) if size > stride else None
    if lapping is None:
        blocks = rearrange(centred, "b c (h p) (w q) -> (b h w) (c p q)", p=stride, q=stride)
        blocks = blocks[:: math.ceil(len(blocks) / MOST_BLOCKS)]
    else:
        blocks = _lapped_blocks(centred, lapping, stride)
    found = principal_components(blocks, min(channels, blocks.shape[1]))[0]
    kernels = rearrange(found, "k (c p q) -> k c p q", p=stride, q=stride)
    if lapping is not None:
        kernels = torch.einsum("kcpq,pm,qn->kcmn", kernels, lapping, lapping)
    margin = (size - kernels.shape[2]) // 2
    return F.pad(kernels, (margin,) * 4), colours


def check_lapping(size: int, stride: int) -> None:
    """Raise ValueError unless kernels of this size lie evenly over blocks of this stride."""
    if stride < 2 or stride % 2 or size not in (stride, 2 * stride, 3 * stride):
        raise ValueError(
            f"stride must be even and size one, two or three strides, got size={size} and stride={stride}; "
            "32 and 16, for example."
        )


def image_shape(shape) -> tuple[int, int, int]:
    """Return height, width and colours, or raise ValueError where examples are not images."""
    if len(shape) != 3:
        raise ValueError(
            f"a lapped network needs images (height, width, channels), got examples of shape {tuple(shape)}. "
            "Use mlp_encoder and mlp_decoder for these, or the images modality."
        )
    height, width, colours = shape
    return height, width, colours


def pixels(source, stride: int, missing: bool) -> Tensor:
    """Return a batch's pixels ``(b, c, h, w)``, zero where unobserved, borders repeated to multiples of the stride.

    Where pixels may be missing, the mask is one more channel.
    """
    image = rearrange(source.x, "b h w c -> b c h w")
    if source.mask is not None:
        image = image * source.mask.unsqueeze(1)
    if missing:
        seen = image.new_ones(image[:, 0].shape) if source.mask is None else source.mask.to(image)
        image = torch.cat([image, seen.unsqueeze(1)], 1)
    height, width = image.shape[2:]
    padding = (0, -width % stride, 0, -height % stride)
    return F.pad(image, padding, mode="replicate") if any(padding) else image


def _folded(image: Tensor, margin: int, axis: int) -> Tensor:
    """Return the adjoint of mirroring along an axis: what is beyond a border added to its mirror image."""
    length = image.shape[axis] - 2 * margin
    inner = image.narrow(axis, margin, length)
    first = image.narrow(axis, 0, margin).flip(axis)
    last = image.narrow(axis, margin + length, margin).flip(axis)
    between = torch.zeros_like(inner.narrow(axis, 0, length - margin))
    return inner + torch.cat([first, between], axis) + torch.cat([between, last], axis)


def _lapped_blocks(image: Tensor, lapping: Tensor, stride: int) -> Tensor:
    """Return lapped blocks ``(n, c p q)`` of images, some of them where there are many."""
    wide = mirrored(image, stride // 2)
    places = [(i, j) for i in range(0, image.shape[2], stride) for j in range(0, image.shape[3], stride)]
    most = max(1, MOST_BLOCKS // len(image))
    lapping = lapping.to(image)
    pieces = []
    for i, j in places[:: math.ceil(len(places) / most)]:
        window = wide[:, :, i : i + 2 * stride, j : j + 2 * stride]
        pieces.append(torch.einsum("bcmn,pm,qn->bcpq", window, lapping, lapping).flatten(1))
    return torch.cat(pieces)


def _lapping(stride: int) -> Tensor:
    """Return ``(stride, 2 stride)``: a block of lapped samples from twice as many, half a block at either side."""
    half = stride // 2
    n = torch.arange(half, dtype=torch.float64)
    second = torch.cos(math.pi / half * n[:, None] * (n + 0.5)) * math.sqrt(2 / half)
    second[0] *= math.sqrt(0.5)
    fourth = torch.cos(math.pi / half * (n[:, None] + 0.5) * (n + 0.5)) * math.sqrt(2 / half)
    turned = (second.T @ fourth).flip(0, 1)
    eye = torch.eye(half, dtype=torch.float64)
    sums = torch.cat([torch.cat([eye, eye.flip(0)], 1), torch.cat([eye.flip(0), -eye], 1)])
    both = 0.5 * sums @ torch.block_diag(eye, turned) @ sums
    # The upper half of a block lies below one edge, the lower half above the next.
    return torch.block_diag(both[half:], both[:half])
