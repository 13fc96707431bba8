"""Maximum mean discrepancy: codes as a whole like draws of a prior, without a critic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.draws import PriorDraws
from isthmus.penalties.pieces import observed_positions, piece_of, piece_width
from isthmus.penalties.sparse import check_weight

__all__ = ["MMD", "discrepancy"]


class MMD(Part):
    r"""``weight`` times the squared maximum mean discrepancy between codes and a prior.

    Parameters
    ----------
    weight : float, default=10.0
        Nats per unit; the discrepancy lies between 0 and twice the number of scales.
    prior : Part, optional
        What codes should be like: one of ``isthmus.priors``, whose weights stay as they are;
        by default the standard normal.
    categorical : bool, default=False
        Draw one-hot vectors instead, each dimension as often. It excludes ``prior``.
    factor : str, optional
        Act on this named factor of a split code alone.
    scales : tuple of float, default=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
        Widths of the kernel in units of 2d, the mean squared distance between two draws of a
        d-dimensional standard normal.

    Facts
    -----
    code : list of int
        ``(*p, d)`` of a code.
    factors : dict of str to list of int, optional
        The same of its factors.
    width : int, optional
        Channels of the features, for priors that ask.

    Raises
    ------
    ValueError
        If weight is negative, a scale is not above 0, or the code has no such factor.

    Notes
    -----
    The inverse multiquadratic kernel, whose tails are heavy enough to call codes back from
    far away, and the unbiased estimate over a batch of n codes z and n draws y:

    .. math:: k(a, b) = \sum_s \frac{2 d s}{2 d s + \|a - b\|^2}, \qquad
              \sum_{i \ne j} \frac{k(z_i, z_j) + k(y_i, y_j)}{n (n - 1)}
              - 2 \sum_{i, j} \frac{k(z_i, y_j)}{n^2}

    Every example bears the same penalty. An unbiased estimate of nothing is below zero as often
    as above. Each position of a code is compared with draws by itself, and the discrepancies are
    summed. A batch of one has none.

    References
    ----------
    Tolstikhin et al., "Wasserstein auto-encoders", ICLR 2018, https://arxiv.org/abs/1711.01558,
    algorithm 2, with the kernel and the scales of its published code; Gretton et al., 2012,
    equation 3 (the estimate).

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> model = AutoEncoder(bottleneck="linear(size=2)", penalties=["mmd(weight=100.0)"])
    """

    def __init__(
        self,
        weight: float = 10.0,
        prior: Part | None = None,
        categorical: bool = False,
        factor: str | None = None,
        scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    ):
        super().__init__()
        self.weight = weight
        self.prior = prior
        self.categorical = categorical
        self.factor = factor
        self.scales = scales

    def setup(
        self, code: Sequence[int], factors: Mapping[str, Sequence[int]] | None = None, width: int | None = None
    ) -> None:
        """Check the params and make ready to draw."""
        check_weight(self.weight)
        if not self.scales or not all(scale > 0 for scale in self.scales):
            raise ValueError(f"scales must be numbers above 0, at least one, got {self.scales}.")
        size = piece_width(code, factors or {}, self.factor)
        self.draws = PriorDraws(self.prior, self.categorical, size, code[:-1], width)

    def watch(self, bottleneck: Part) -> None:
        """Let a prior look at the bottleneck, where it asks to."""
        self.draws.watch(bottleneck)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z = piece_of(step, self.factor)
        observed = observed_positions(step, z)
        codes, draws = (rearrange(one, "b ... d -> (...) b d") for one in (z, self.draws.like(z)))
        weights = None if observed is None else rearrange(observed, "b ... -> (...) b").to(z)
        return (self.weight * discrepancy(codes, draws, self.scales, weights).sum()).expand(len(z))


def discrepancy(z: Tensor, drawn: Tensor, scales: Sequence[float], weights: Tensor | None = None) -> Tensor:
    """Return the unbiased squared discrepancy ``(...)`` of samples ``(..., n, d)``.

    Parameters
    ----------
    z, drawn : Tensor
        The two samples, equally large.
    scales : sequence of float
        Widths of the kernel in units of 2d.
    weights : Tensor, optional
        Ones, and zeros for those of z to leave out, ``(..., n)``.
    """
    n = z.shape[-2]
    others = 1 - torch.eye(n).to(z)
    ones = z.new_ones(z.shape[:-1]) if weights is None else weights
    among = ones.unsqueeze(-1) * ones.unsqueeze(-2) * others
    across = ones.unsqueeze(-1).expand_as(among)
    own = _mean(_kernel(z, z, scales), among)
    theirs = _mean(_kernel(drawn, drawn, scales), others.expand_as(among))
    found = own + theirs - 2 * _mean(_kernel(z, drawn, scales), across)
    # Two codes are needed for one distance.
    return torch.where(ones.sum(-1) > 1, found, torch.zeros_like(found))


def _kernel(one: Tensor, other: Tensor, scales: Sequence[float]) -> Tensor:
    apart = one.square().sum(-1).unsqueeze(-1) + other.square().sum(-1).unsqueeze(-2)
    # Rounding of the difference may leave less than nothing.
    apart = (apart - 2 * one @ other.mT).clamp_min(0)
    widths = [2 * one.shape[-1] * scale for scale in scales]
    return torch.stack([width / (width + apart) for width in widths]).sum(0)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp_min(1)
