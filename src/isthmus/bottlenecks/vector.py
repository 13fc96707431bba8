"""The vector-quantised code: each position's vector becomes the nearest of a codebook's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.bottlenecks.codebook import Codebook, Commitment, start_at_spread
from isthmus.bottlenecks.quantizer import Quantizer
from isthmus.part import Part

__all__ = ["VectorQuantizer"]

MOST_SYMBOLS = 1_000_000


class VectorQuantizer(Quantizer):
    r"""``z = e_k`` with ``k = argmin_j ||h - e_j||``, ``h`` a linear map of the features.

    Parameters
    ----------
    symbols : int, default=512
        Vectors of the codebook.
    size : int, default=8
        Dimensions of a vector. Low ones are searched well and use the whole codebook.
    commitment : float, default=3.0
        Pull of the encoder towards its codes, as a multiple of the curvature of the cost around them.
    decay : float, default=0.99
        Of the moving averages, a step, that the codebook follows.
    restart : float, default=0.02
        A code used less than this share of the mean use is put elsewhere; 0: never.
    cosine : bool, default=False
        Vectors and codes have length one: the nearest is that of the smallest angle.
    learned : bool, default=False
        Move the codebook by gradient rather than by moving averages.
    rotation : bool, default=False
        Pass the gradient on rotated and scaled as the code is to its vector, rather than as
        it is.
    jitter : float, default=0.0
        Share of positions that, while training, take the code of a neighbour.
    prior : Part, optional
        What symbols are like, to draw new ones from: ``isthmus.priors.Autoregressive``. It
        learns beside the auto-encoder; the code does not learn from it.

    Facts
    -----
    width : int
        Channels of the features.
    positions : list of int, default=()
        Shape of the positions that have a code each.
    level : int, optional
        Place within another quantizer; from 1 on, the features are themselves quantized.

    Attributes
    ----------
    perplexity, share_used : float
        The number of equally frequent symbols that would say as much; the share of symbols used.

    Raises
    ------
    ValueError
        If a param is out of its range.

    Notes
    -----
    The penalty is the commitment while training, and minus the prior's log-probability of the
    symbols, in nats. One position costs at most ``log2(symbols)`` bits. The codebook begins at
    the centres of k-means, moves after each step of the optimizer and never in ``forward``, and
    is at rest in evaluation. While training, codes have a noise of a hundredth of their squared
    error, by which the commitment is measured. Distances are in float32 at least. Held-out rows meet the averaged
    encoder and the codebook of the moment: on Fashion-MNIST their error was 5 % above that of the
    encoder of the moment after 22 steps and 1 % after 110, as averages are behind at first.

    ``sample`` draws from the prior. Without one it draws each symbol by itself, as often as it was
    used: what that makes of a map is texture, no image.

    A network without positions has one vector an example, so ``log2(symbols)`` bits in all: for
    tables and dense networks, :class:`Grouped` or :class:`Residual` give it several symbols.

    References
    ----------
    van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017,
    https://arxiv.org/abs/1711.00937. Differs: a projection to few dimensions (Yu et al., 2022,
    https://arxiv.org/abs/2110.04627, with ``cosine``), a start at k-means, restarts, and a
    commitment relative to the curvature (:class:`~isthmus.bottlenecks.codebook.Commitment`).
    Rotation: Fifty et al., 2024, https://arxiv.org/abs/2410.06424, section 4.2. Jitter:
    Chorowski et al., 2019, https://arxiv.org/abs/1901.08810, section II-C.

    Examples
    --------
    >>> quantizer = VectorQuantizer(64).build(width=16).eval()
    >>> code = quantizer(torch.randn(2, 7, 7, 16))
    >>> code.z.shape, code.indices.shape
    (torch.Size([2, 7, 7, 8]), torch.Size([2, 7, 7, 1]))
    >>> bool((quantizer.dequantize(code.indices) == code.z).all())
    True
    """

    def __init__(
        self,
        symbols: int = 512,
        size: int = 8,
        commitment: float = 3.0,
        decay: float = 0.99,
        restart: float = 0.02,
        cosine: bool = False,
        learned: bool = False,
        rotation: bool = False,
        jitter: float = 0.0,
        prior: Part | None = None,
    ):
        super().__init__()
        self.symbols = symbols
        self.size = size
        self.commitment = commitment
        self.decay = decay
        self.restart = restart
        self.cosine = cosine
        self.learned = learned
        self.rotation = rotation
        self.jitter = jitter
        self.prior = prior

    def setup(self, width: int, positions: Sequence[int] = (), level: int | None = None) -> None:
        """Create projection and codebook."""
        self._check()
        size = width if level else self.size
        self.linear = None if level else nn.Linear(width, size)
        self.codebook = Codebook(self.symbols, size, self.decay, self.restart, self.cosine, self.learned)
        self.pull = Commitment(self.commitment, self.learned)
        self.join([int(self.symbols)], size, positions, level)

    def _check(self) -> None:
        if not 2 <= self.symbols <= MOST_SYMBOLS or not 1 <= self.size <= MOST_SYMBOLS:
            raise ValueError(
                f"symbols must be a whole number from 2 to {MOST_SYMBOLS:,} and size one from 1, "
                f"got {self.symbols} and {self.size}."
            )
        for name, most in (("commitment", 1e6), ("restart", 1.0), ("decay", 1.0), ("jitter", 1.0)):
            value = getattr(self, name)
            if not 0 <= value <= most or (most == 1.0 and value == 1.0):
                raise ValueError(f"{name} must be at least 0 and below {most:g}, got {value}.")

    def project(self, features: Tensor) -> Tensor:
        """Return the vectors ``(b, *p, size)`` to quantize."""
        return features if self.linear is None else self.linear(features)

    def assign(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes, symbols and the commitment."""
        h = F.normalize(h, dim=-1) if self.cosine else h
        indices = self.codebook.nearest(h)
        code = self.codebook.look_up(indices)
        penalty = h.new_zeros(len(h))
        if self.training:
            self.codebook.note(h, indices)
            penalty = self.pull(h, code)
        return code, indices.unsqueeze(-1), penalty

    def pass_through(self, h: Tensor, code: Tensor) -> Tensor:
        """Return codes whose gradient goes on to ``h``, as it is or rotated."""
        h = F.normalize(h, dim=-1) if self.cosine else h
        return rotated(h, code.detach()) if self.rotation else super().pass_through(h, code)

    def disturb(self, z: Tensor) -> Tensor:
        """Return codes of which some are a neighbour's."""
        return jittered(z, self.jitter) if self.jitter and z.ndim > 2 else z

    def nudge(self, z: Tensor) -> Tensor | None:
        """Return noise that is small beside the codes' error."""
        return self.pull.nudge(z)

    def notice(self, gradient: Tensor, nudge: Tensor) -> None:
        """Look at the gradient that reaches codes so moved."""
        self.pull.notice(gradient, nudge)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, size)`` of symbols ``(b, *p, 1)``."""
        return self.codebook.look_up(indices.squeeze(-1))

    def start_projection(self, features: Tensor) -> None:
        """Begin at the principal components, in proportion."""
        if self.linear is not None:
            start_at_spread(self.linear, features)

    def start_codes(self, h: Tensor) -> None:
        """Begin at the centres of k-means."""
        self.codebook.start(F.normalize(h, dim=-1) if self.cosine else h)


def rotated(h: Tensor, code: Tensor) -> Tensor:
    r"""Return ``code`` as a rotated and scaled ``h``, so that gradients are turned with it.

    With unit vectors :math:`u` of h, :math:`v` of the code and :math:`r` of :math:`u + v`, all
    taken for constants:

    .. math:: z = \frac{\lVert c \rVert}{\lVert h \rVert} (h - 2 r r^\top h + 2 v u^\top h)
    """
    held = h.detach()
    length = held.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    u, v = held / length, F.normalize(code, dim=-1, eps=1e-12)
    r = F.normalize(u + v, dim=-1, eps=1e-12)
    turned = h - 2 * r * (r * h).sum(-1, keepdim=True) + 2 * v * (u * h).sum(-1, keepdim=True)
    turned = turned * (code.norm(dim=-1, keepdim=True) / length)
    # Its value is the code already but for rounding, and equal symbols should have equal codes.
    return code + (turned - turned.detach())


def jittered(z: Tensor, share: float) -> Tensor:
    """Return ``z`` with a share of positions replaced by a neighbour along one axis; beyond a border, by itself."""
    b, *positions, _ = z.shape
    n = int(torch.tensor(positions).prod())
    move = torch.rand(b, n, device=z.device) < share
    axis = torch.randint(len(positions), (b, n), device=z.device)
    side = 2 * torch.randint(2, (b, n), device=z.device) - 1
    index = torch.zeros(b, n, dtype=torch.int64, device=z.device)
    stride = n
    place = torch.arange(n, device=z.device)
    for number, length in enumerate(positions):
        stride //= length
        here = place // stride % length
        step = torch.where(move & (axis == number), side, 0)
        index += stride * (here + step).clamp(0, length - 1)
    flat = z.flatten(1, -2)
    return flat.gather(1, index.unsqueeze(-1).expand_as(flat)).view_as(z)
