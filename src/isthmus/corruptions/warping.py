"""Moving what an image shows: shifts, turns and scales, elastic deformation, and cut-out rectangles."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from isthmus.batch import Batch
from isthmus.corruptions.hiding import check_least, image_shape
from isthmus.corruptions.noise import check_share
from isthmus.part import Part

__all__ = ["Affine", "CutOut", "Elastic"]

# A warped pixel counts as observed if this share of what it was mixed from was.
OBSERVED = 0.999


class Affine(Part):
    """Shift, turn and scale every image a little, each by its own random amount.

    As a corruption the target stays where it was: the decoder must give back the image
    unmoved, and cannot, so the code comes to say what is shown rather than where. With
    ``both`` the target is moved as well: data augmentation, for codes that must generalise.

    Parameters
    ----------
    shift : float, default=0.05
        Greatest shift, as a share of the image's height and width.
    angle : float, default=10.0
        Greatest turn, in degrees.
    scale : float, default=0.1
        Greatest enlargement or reduction as a share of the size.
    both : bool, default=False
        Move the target as well as the source, while training.
    share : float, default=1.0
        Share of the images that are moved; the others stay as sharp as they are.
    shear : float, default=0.0
        Greatest slant: how far a row moves to the side for each row that it lies above the
        middle. Hands differ by some 0.3 either way.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If the examples are not images, shift, angle or shear is negative, or scale or share is
        not within 0 and 1.

    Notes
    -----
    All amounts are uniform between plus and minus the greatest. Pixels are interpolated by
    cubics, held within the image's own range, for straight lines between pixels blur: a model of
    blurred images is a worse model of sharp ones. Beyond the border they are those of the border.

    References
    ----------
    Hinton, Krizhevsky & Wang, "Transforming auto-encoders", ICANN 2011, for codes that are
    told apart from a movement; here the code is to forget it.

    Examples
    --------
    >>> moved = Affine().build(shape=[8, 8, 1])(Batch(torch.ones(2, 8, 8, 1))).x
    >>> moved.shape, bool((moved - 1).abs().max() < 1e-5)
    (torch.Size([2, 8, 8, 1]), True)
    """

    def __init__(
        self,
        shift: float = 0.05,
        angle: float = 10.0,
        scale: float = 0.1,
        both: bool = False,
        share: float = 1.0,
        shear: float = 0.0,
    ):
        super().__init__()
        self.shift = shift
        self.angle = angle
        self.scale = scale
        self.both = both
        self.share = share
        self.shear = shear

    def setup(self, shape, categories=None) -> None:
        """Check the params."""
        check_least("shift", self.shift, 0)
        check_least("angle", self.angle, 0)
        check_least("shear", self.shear, 0)
        check_share("scale", self.scale)
        check_share("share", self.share)
        self.height, self.width, _ = image_shape(self, shape)

    def forward(self, target: Batch) -> Batch:
        """Return the images moved, or with ``both`` as they are: :meth:`augment` has moved them."""
        return target if self.both else self._moved(target)

    def augment(self, target: Batch) -> Batch:
        """Return what source and target are both made from."""
        return self._moved(target) if self.both else target

    def _moved(self, target: Batch) -> Batch:
        x = target.x
        amounts = 2 * torch.rand(4 + (self.shear > 0), len(x), dtype=x.dtype, device=x.device) - 1
        angle = math.radians(self.angle) * amounts[0]
        scale = 1 + self.scale * amounts[1]
        cos, sin = scale * angle.cos(), scale * angle.sin()
        # In the units of grid_sample a side is 2 long: a turn must know how long it is in pixels.
        ratio = self.height / self.width
        slant = self.shear * amounts[4] if self.shear else 0.0
        rows = (
            torch.stack([cos, (slant * cos - sin) * ratio, 2 * self.shift * amounts[2]], 1),
            torch.stack([sin / ratio, slant * sin + cos, 2 * self.shift * amounts[3]], 1),
        )
        grid = F.affine_grid(torch.stack(rows, 1), [len(x), 1, self.height, self.width], align_corners=False)
        return _some(target, _sampled(target, grid), self.share)


class Elastic(Part):
    r"""Deform every image by a smooth random field, as handwriting differs from hand to hand.

    As a corruption the target stays as it was; with ``both`` it is deformed as well
    (:class:`Affine`).

    Parameters
    ----------
    strength : float, default=1.0
        Standard deviation of a pixel's displacement in each direction, in pixels.
    smoothness : float, default=4.0
        Standard deviation of the Gaussian that smooths the field, in pixels.
    both : bool, default=False
        Deform the target as well as the source, while training.
    share : float, default=1.0
        Share of the images that are deformed.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If the examples are not images, strength is negative, smoothness is not above 0, or
        share is not within 0 and 1.

    Notes
    -----
    .. math:: u = s K_h N K_w^\top

    with white noise N for each direction, Gaussian matrices K whose rows have length one, so
    that every displacement has the standard deviation s, also at the border.

    References
    ----------
    Simard, Steinkraus & Platt, "Best practices for convolutional neural networks", ICDAR
    2003, section 2. Differs: normal noise in place of uniform, and the strength is that of the
    smoothed field.

    Examples
    --------
    >>> Elastic().build(shape=[8, 8, 1])(Batch(torch.rand(2, 8, 8, 1))).x.shape
    torch.Size([2, 8, 8, 1])
    """

    def __init__(self, strength: float = 1.0, smoothness: float = 4.0, both: bool = False, share: float = 1.0):
        super().__init__()
        self.strength = strength
        self.smoothness = smoothness
        self.both = both
        self.share = share

    def setup(self, shape, categories=None) -> None:
        """Make the matrices that smooth."""
        check_least("strength", self.strength, 0)
        check_share("share", self.share)
        if not self.smoothness > 0:
            raise ValueError(f"smoothness must be above 0, got {self.smoothness}.")
        height, width, _ = image_shape(self, shape)
        for name, side in (("down", height), ("across", width)):
            self.register_buffer(name, _gaussian(side, self.smoothness), persistent=False)
        still = torch.eye(2, 3)[None]
        grid = F.affine_grid(still, [1, 1, height, width], align_corners=False)
        self.register_buffer("still", grid, persistent=False)
        # x before y, as grid_sample has them, and from pixels to its units.
        self.register_buffer("unit", torch.tensor([2 / width, 2 / height]), persistent=False)

    def forward(self, target: Batch) -> Batch:
        """Return the images deformed, or with ``both`` as they are: :meth:`augment` has deformed them."""
        return target if self.both else self._deformed(target)

    def augment(self, target: Batch) -> Batch:
        """Return what source and target are both made from."""
        return self._deformed(target) if self.both else target

    def _deformed(self, target: Batch) -> Batch:
        x = target.x
        noise = torch.randn(len(x), 2, len(self.down), len(self.across), dtype=x.dtype, device=x.device)
        field = rearrange(self.down @ noise @ self.across.T, "b two h w -> b h w two").to(x)
        return _some(target, _sampled(target, self.still + self.strength * self.unit * field), self.share)


class CutOut(Part):
    """Paint over a random rectangle of every image; the encoder is not told.

    Parameters
    ----------
    area : tuple of two float, default=(0.05, 0.3)
        Least and greatest area, as a share of the image.
    aspect : float, default=3.0
        Greatest ratio of the rectangle's sides, either way.
    value : float or None, default=0.0
        What it is painted with; None: noise, uniform from 0 to 1 for each value.

    Facts
    -----
    shape : list of int
        ``(h, w, c)``.
    categories : list of int, optional
        Taken for every corruption.

    Raises
    ------
    ValueError
        If the examples are not images, the areas are not shares in order, or aspect is below 1.

    Notes
    -----
    Area and the logarithm of the aspect are uniform; a side longer than the image is cut to it.

    References
    ----------
    Zhong et al., "Random erasing data augmentation", AAAI 2020,
    https://arxiv.org/abs/1708.04896; DeVries & Taylor, "Cutout", 2017,
    https://arxiv.org/abs/1708.04552 (a square, painted with zeros). To tell the encoder what
    is gone, use :class:`MaskPatches`.

    Examples
    --------
    >>> cut = CutOut((0.25, 0.25), aspect=1.0).build(shape=[8, 8, 1])
    >>> (cut(Batch(torch.ones(1, 8, 8, 1))).x == 0).sum()
    tensor(16)
    """

    def __init__(self, area: tuple[float, float] = (0.05, 0.3), aspect: float = 3.0, value: float | None = 0.0):
        super().__init__()
        self.area = area
        self.aspect = aspect
        self.value = value

    def setup(self, shape, categories=None) -> None:
        """Check the params."""
        if not 0 <= self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area must be two shares, the least and the greatest, got {self.area}.")
        check_least("aspect", self.aspect, 1)
        self.height, self.width, _ = image_shape(self, shape)

    def forward(self, target: Batch) -> Batch:
        """Return the images with a rectangle painted over."""
        x = target.x
        area, aspect, top, left = torch.rand(4, len(x), 1, dtype=x.dtype, device=x.device)
        area = (self.area[0] + (self.area[1] - self.area[0]) * area) * self.height * self.width
        aspect = self.aspect ** (2 * aspect - 1)
        down = _within((area * aspect).sqrt().round(), top, self.height)
        across = _within((area / aspect).sqrt().round(), left, self.width)
        hit = (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(-1)
        paint = torch.rand_like(x) if self.value is None else x.new_tensor(self.value)
        return target.with_x(torch.where(hit, paint, x))


def _within(length: Tensor, place: Tensor, side: int) -> Tensor:
    """Return ``(b, side)``, True along a stretch of this length; ``place`` in 0..1 says where it lies."""
    first = (place * (side - length.clamp_max(side) + 1)).floor()
    index = torch.arange(side, device=length.device)
    return (index >= first) & (index < first + length)


def _gaussian(side: int, deviation: float) -> Tensor:
    """Return a matrix ``(side, side)`` that smooths, and leaves white noise its variance."""
    index = torch.arange(side)
    kernel = torch.exp(-0.5 * ((index[:, None] - index[None]) / deviation) ** 2)
    return F.normalize(kernel, dim=1)


def _some(before: Batch, after: Batch, share: float) -> Batch:
    """Return a share of the examples as they are after, the others as they were before."""
    if share >= 1:
        return after
    changed = torch.rand(len(before), device=before.x.device) < share

    def chosen(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(changed.view(-1, *[1] * (old.ndim - 1)), new, old)

    mask = before.mask if after.mask is None else chosen(before.mask, after.mask)
    return Batch(chosen(before.x, after.x), mask, before.condition)


def _sampled(target: Batch, grid: Tensor) -> Batch:
    """Return images, and their masks, read at the places that a grid ``(b, h, w, 2)`` names."""
    if target.mask is None:
        x = target.x
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return target.with_x(torch.minimum(torch.maximum(_read(x, grid, "bicubic"), low), high))
    x = _read(target.x, grid)
    mask = target.mask if target.mask.ndim == x.ndim else target.mask.unsqueeze(-1)
    # A pixel mixed with one that was not observed says nothing.
    seen = _read(mask.to(x), grid) > OBSERVED
    return Batch(x * seen, seen if target.mask.ndim == x.ndim else seen.squeeze(-1), target.condition)


def _read(x: Tensor, grid: Tensor, mode: str = "bilinear") -> Tensor:
    image = rearrange(x, "b h w c -> b c h w")
    read = F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)
    return rearrange(read, "b c h w -> b h w c")
