"""A standard codec as a bottleneck: features are a small picture, and the code is what its file gives back."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from isthmus.batch import Code
from isthmus.layers import bounded, check_choice, in_full
from isthmus.part import Part
from isthmus.reading.standard import CODECS, read_pixels, write_pixels

__all__ = ["PictureFile"]

# Qualities at which a codec is measured before training.
LADDER = (0, 2, 4, 7, 10, 15, 20, 30, 45, 60, 80, 100)
MOST_MEASURED = 32
# Held-out pictures are judged at so many qualities in turn.
IN_TURN = 8
BLOCK = 8
GREATEST = 255
# What an image without content may cost and lose: nothing is divided by less.
LEAST_NATS, LEAST_ERROR = 8.0, 1e-6
LUMINANCE = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))


class PictureFile(Part):
    r"""Write features as the file of a standard codec and read it back; the penalty is about the file's length.

    Parameters
    ----------
    codec : {'jpeg', 'webp', 'jpeg2000'}, default='jpeg'
        Of Pillow.
    qualities : tuple of float, default=(4.0, 50.0)
        Least and greatest quality of the codec that is trained for, evenly on a logarithmic
        scale. Files may have any from 0 to 100.
    opened : tuple of float, default=(0.2, 0.75)
        Shares of the training between which the encoder learns; before and after it the decoder
        alone learns from what the codec makes of the encoder's pictures.
    scale : int, default=2
        How many times smaller the pictures are than the images: the errors of as many pixels squared
        hang on one of theirs.

    Facts
    -----
    width : int
        Channels of the features: 1, grey, or 3, colours.
    positions : list of int
        Two: features are a picture.

    Raises
    ------
    ValueError
        If the features are no picture, or a parameter is out of its range.

    Notes
    -----
    With C the codec at a quality and y the features, cut to 0..1,

    .. math:: z = C(\mathrm{round}(255 y)) / 255, \qquad
              \text{penalty} = a \sum_k \tfrac12 \ln(1 + (t_k / s)^2)

    whose gradients are those of z = y (straight through) and of the sum over coefficients t of 8x8
    cosine transforms of luminance and halved colours, the lowest ones as differences from their
    neighbours. Before training (``start``) the codec is run over a sample at a ladder of qualities: the
    step s is the root of 12 times its mean squared error, a brings the sum to the length of the true
    files, and the slope of length against error says how much distortion weighs
    (``Code.weight``), so that compact pictures stay where the codec is. A decoder learns from
    truly decoded pictures throughout.

    The last channel of z is the logarithm of the step.

    Measured on three of Kodak's images within JPEG, all from one decoder fitted alone, one run each of 135 or 200
    steps: PSNR at 0.10, 0.15 and 0.20 bits a pixel was 25.05, 26.13, 26.81 before; 25.14, 26.20,
    26.90 as here; 25.04, 26.19, 26.92 past the codec, encoder and decoder in turn; 24.75, 25.78,
    26.43 straight through without the penalty, for files became 40 % longer at equal quality.

    References
    ----------
    Jiang et al., 2017, https://arxiv.org/abs/1708.00838. Differs: they train the encoder past the
    codec, through the decoder alone, and not for the file's length; here the codec is on
    the way, and one model serves all qualities. Theis et al., 2017, https://arxiv.org/abs/1703.00395 (the
    identity's gradient).

    Examples
    --------
    >>> bottleneck = PictureFile().build(width=3, positions=[16, 16]).eval()
    >>> bottleneck(torch.rand(2, 16, 16, 3)).z.shape
    torch.Size([2, 16, 16, 4])
    """

    mixes_positions = True

    def __init__(
        self,
        codec: str = "jpeg",
        qualities: tuple[float, float] = (4.0, 50.0),
        opened: tuple[float, float] = (0.2, 0.75),
        scale: int = 2,
    ):
        super().__init__()
        self.codec = codec
        self.scale = scale
        self.qualities = qualities
        self.opened = opened

    def setup(self, width: int, positions: list[int]) -> None:
        """Create the tables of the ladder."""
        self._check()
        if width not in (1, 3) or len(positions) != 2:
            raise ValueError(
                f"a picture_file writes pictures of 1 or 3 channels, got features of {width} channels at positions "
                f"{positions}. Take compact_encoder before it."
            )
        for name in ("log_step", "log_trade_off", "log_share"):
            self.register_buffer(name, torch.zeros(len(LADDER)))
        self.register_buffer("transform", _cosines(), persistent=False)
        self.register_buffer("colours", torch.tensor(LUMINANCE), persistent=False)
        # A buffer, for a resumed fit to go on from.
        self.register_buffer("learns", torch.tensor(1.0), persistent=False)

    def forward(self, features: Tensor) -> Code:
        """Return the code of pictures ``(b, h, w, c)``: at random qualities while training, else at a middle one."""
        n = len(features)
        return self._code(features, torch.rand(n) if self.training else torch.full((n,), 0.5))

    def draw(self, features: Tensor) -> Code:
        """Return the code at qualities in turn, in evaluation too: held-out pictures are judged at all of them."""
        return self._code(features, (torch.arange(len(features)) % IN_TURN) / (IN_TURN - 1))

    def dequantize(self, indices: Tensor, quality: float) -> Tensor:
        """Return what the decoder reads of the pixels of a file, ``(b, h, w, c)`` of 0 to 255."""
        z = indices.to(self.log_step.dtype) / GREATEST
        return self._told(z, np.full(len(z), float(quality)))

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Measure the codec at a ladder of qualities."""
        pictures = features[:MOST_MEASURED].clamp(0, 1)
        pixels = pictures[0, ..., 0].numel()
        nats, errors = (np.array(one) for one in zip(*(self._measured(pictures, q) for q in LADDER), strict=True))
        self.log_step.copy_(torch.from_numpy(0.5 * np.log(12 * errors)))
        self.log_share.zero_()
        found = [self._nats(pictures, np.full(len(pictures), float(q))).mean().item() for q in LADDER]
        self.log_share.copy_(torch.from_numpy(np.log(nats / np.maximum(found, LEAST_NATS))))
        # Bits a pixel of the image for a mean squared error of one: -dR/dD = -(R/D) dlnR/dlnD.
        slope = -np.gradient(np.log(nats), np.log(errors * np.linspace(1.001, 1, len(errors))))
        bits = nats / math.log(2) / (pixels * self.scale**2)
        trade_off = np.clip(slope, 0.1, 10) * bits / (GREATEST**2 * errors)
        self.log_trade_off.copy_(torch.from_numpy(np.log(trade_off)))

    def after_step(self, progress: float) -> None:
        """Let the encoder learn from the first share of the training to the second."""
        self.learns.fill_(float(self.opened[0] <= progress < self.opened[1]))

    def _check(self) -> None:
        check_choice("codec", self.codec, CODECS)
        low, high = self.qualities
        if not 1 <= low <= high <= 100:
            raise ValueError(f"qualities must be two from 1 to 100, in order, got {self.qualities}.")
        first, last = self.opened
        if not 0 <= first <= last <= 1:
            raise ValueError(f"opened is two shares of the training, in order, within 0 and 1, got {self.opened}.")

    def _code(self, features: Tensor, places: Tensor) -> Code:
        """Return the code of pictures, each at its place in the range of qualities, from 0 to 1."""
        low, high = self.qualities
        qualities = np.rint(low * (high / low) ** places.double().numpy())
        with in_full(features):
            features = features.to(self.log_step.dtype)
            if self.training and not bool(self.learns):
                features = features.detach()
            held = bounded(features, 0.0, 1.0)
            z = self._coded(held, qualities) + (held - held.detach())
            log_trade_off = self._at(self.log_trade_off, qualities)
            # As an entropy_bottleneck weighs its levels, such that all count about alike.
            balance = (0.5 * (self._at(self.log_trade_off, np.array([low, high])).mean() - log_trade_off)).exp()
            nats = self._nats(held, qualities)
            return Code(self._told(z, qualities), balance * nats, weight=balance * log_trade_off.exp())

    def _coded(self, pictures: Tensor, qualities: np.ndarray) -> Tensor:
        """Return what the codec makes of each picture."""
        pixels = (pictures.detach() * GREATEST).round().to(torch.uint8).cpu().numpy()
        back = [self._round_trip(one, quality, haste=True)[1] for one, quality in zip(pixels, qualities, strict=True)]
        return torch.from_numpy(np.stack(back)).to(pictures) / GREATEST

    def _round_trip(self, pixels: np.ndarray, quality: float, haste: bool) -> tuple[int, np.ndarray]:
        file = write_pixels(pixels, self.codec, quality, haste=haste)
        return len(file), read_pixels(file, self.codec, pixels.shape)

    def _measured(self, pictures: Tensor, quality: float) -> tuple[float, float]:
        """Return nats of a picture's file, without what an empty one has, and the mean squared error."""
        pixels = (pictures * GREATEST).round().to(torch.uint8).cpu().numpy()
        empty, _ = self._round_trip(np.zeros_like(pixels[0]), quality, haste=False)
        sizes, back = zip(*(self._round_trip(one, quality, haste=False) for one in pixels), strict=True)
        error = float(np.square((np.stack(back).astype(np.float64) - pixels) / GREATEST).mean())
        return max(8 * math.log(2) * (float(np.mean(sizes)) - empty), LEAST_NATS), max(error, LEAST_ERROR)

    def _nats(self, pictures: Tensor, qualities: np.ndarray) -> Tensor:
        """Return about what files of pictures cost beside an empty one's, ``(b,)``."""
        image = rearrange(pictures, "b h w c -> b c h w")
        planes = [image]
        if image.shape[1] == 3:
            image = torch.einsum("kc,bchw->bkhw", self.colours, image)
            planes = [image[:, :1], F.avg_pool2d(image[:, 1:], 2, ceil_mode=True)]
        step = self._at(self.log_step, qualities).exp()[:, None, None, None, None]
        nats = pictures.new_zeros(len(pictures))
        for plane in planes:
            sides = plane.shape[2:]
            even = F.pad(plane, (0, -sides[1] % BLOCK, 0, -sides[0] % BLOCK), mode="replicate")
            blocks = rearrange(even, "b c (h p) (w q) -> (b c) h w p q", p=BLOCK, q=BLOCK)
            found = self.transform @ blocks @ self.transform.T
            found = rearrange(found, "(b c) h w p q -> b c h w (p q)", b=len(pictures)) / step
            lowest = found[..., 0]
            costs = (found[..., 1:], lowest.diff(dim=3), lowest[..., :1].diff(dim=2))
            nats = nats + sum(0.5 * torch.log1p(one.square()).flatten(1).sum(1) for one in costs)
        return nats * self._at(self.log_share, qualities).exp()

    def _told(self, z: Tensor, qualities: np.ndarray) -> Tensor:
        """Return a code with one channel more, that of the steps."""
        step = self._at(self.log_step, qualities)[:, None, None, None]
        return torch.cat([z, step.expand(*z.shape[:-1], 1)], -1)

    def _at(self, table: Tensor, qualities: np.ndarray) -> Tensor:
        """Return the values of a table over the ladder at these qualities, interpolated."""
        place = torch.from_numpy(np.interp(qualities, LADDER, np.arange(len(LADDER)))).to(table)
        below = place.floor().clamp_max(len(LADDER) - 2).long()
        return torch.lerp(table[below], table[below + 1], place - below)


def _cosines() -> Tensor:
    """Return the orthonormal cosine transform of a block's side, a row for each frequency."""
    places = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos((2 * places + 1) * places[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return rows.to(torch.get_default_dtype())
