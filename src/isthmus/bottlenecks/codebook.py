"""What a vector-quantised code learns: its vectors, how strongly encoders are held to them, where both start."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from isthmus.layers import principal_components

__all__ = ["Codebook", "Commitment", "start_at_spread"]

# Keeps a code that nothing was assigned to finite; as in the paper's published code.
LAPLACE = 1e-5
# Of the running means behind the commitment's rate of exchange: some fifty steps.
MEAN_DECAY = 0.98
# Length of the steps aside by which it is measured, as a share of the codes' error: a hundredth of its square.
NUDGE = 0.1
# Vectors that k-means looks at: beyond some dozens a code its centres hardly move.
VECTORS_A_CODE = 64
LEAST_VECTORS = 8_192
ITERATIONS = 25


class Codebook(nn.Module):
    r"""Vectors that others are replaced by, and the rules by which they move.

    Parameters
    ----------
    symbols, size : int
        How many vectors, of how many numbers.
    decay : float
        Of the moving averages, a step.
    restart : float
        A vector used less than this share of the mean use is dead, and put elsewhere; 0: never.
    cosine : bool
        Vectors have length one.
    learned : bool
        Vectors are a parameter, moved by the optimizer; otherwise by moving averages.

    Notes
    -----
    In ``after_step`` number t, from the batch's :math:`n_k` vectors nearest to code k and their sum:

    .. math:: N_k \leftarrow \gamma N_k + (1 - \gamma) \frac{K n_k}{\sum_j n_j}, \quad
              m_k \leftarrow \gamma m_k + (1 - \gamma) \frac{K \sum_i h_i}{\sum_j n_j}, \quad
              e_k = m_k \frac{1 + \epsilon}{N_k + \epsilon}, \quad
              \gamma = \min(\text{decay}, t / (9 + t))

    van den Oord et al., 2017, https://arxiv.org/abs/1711.00937, appendix A.1, with counts divided
    by their mean, so that a code's count does not depend on the size of a batch, and short averages
    at first, while encoders move fast. A dead code goes to
    a vector of the batch, chosen with a probability in proportion to its squared error as in
    k-means++, and its averages are those of a code of mean use that has always been there: with
    the old ones, the next step would put it back.
    """

    counts: Tensor
    sums: Tensor
    steps: Tensor

    def __init__(self, symbols: int, size: int, decay: float, restart: float, cosine: bool, learned: bool):
        super().__init__()
        self.decay, self.restart, self.cosine, self.learned = decay, restart, cosine, learned
        codes = torch.randn(symbols, size)
        codes = F.normalize(codes, dim=-1) if cosine else codes
        if learned:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
            self.register_buffer("sums", codes.clone())
        self.register_buffer("counts", torch.ones(symbols))
        self.register_buffer("steps", torch.zeros(()))
        # Of the latest step. Empty whenever a checkpoint may be written, so that these need not be buffers.
        self._noted: tuple[Tensor, Tensor] | None = None
        self._latest: tuple[Tensor, Tensor] | None = None

    def nearest(self, h: Tensor) -> Tensor:
        """Return the position of the code nearest to each vector ``(..., size)``, ``(...)``."""
        codes = self._codes().detach()
        flat = h.detach().reshape(-1, codes.shape[1])
        # The square of the vector itself is the same for all codes.
        distances = torch.addmm(codes.square().sum(1), flat, codes.T, alpha=-2)
        return distances.argmin(1).view(h.shape[:-1])

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes at these positions, ``(..., size)``."""
        return F.embedding(indices, self._codes())

    def note(self, h: Tensor, indices: Tensor) -> None:
        """Remember what a step assigned, for ``after_step``."""
        flat, indices = h.detach().flatten(0, -2), indices.flatten()
        counts = torch.bincount(indices, minlength=len(self.counts)).to(flat)
        sums = torch.zeros_like(self._codes()).index_add_(0, indices, flat)
        if self._noted is not None:  # one codebook may serve several levels
            counts, sums = counts + self._noted[0], sums + self._noted[1]
        self._noted = counts, sums
        self._latest = flat, (flat - self._codes().detach()[indices]).square().sum(1)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the codes by what was noted since the last step."""
        if self._noted is None or self._latest is None:
            return
        counts, sums = self._noted
        self.steps += 1
        # Encoders move fast at first, and a long average would stay behind.
        weight = (9 / (9 + self.steps)).clamp_min(1 - self.decay)
        share = len(counts) / counts.sum()
        self.counts.lerp_(counts * share, weight)
        if not self.learned:
            self.sums.lerp_(sums * share, weight)
            self._place(self.sums * ((1 + LAPLACE) / (self.counts + LAPLACE)).unsqueeze(1))
        if self.restart:
            self._restart_dead(*self._latest)
        self._noted = self._latest = None

    @torch.no_grad()
    def start(self, h: Tensor) -> None:
        """Begin at the centres that k-means finds among vectors ``(..., size)``."""
        flat = h.flatten(0, -2)
        most = max(LEAST_VECTORS, VECTORS_A_CODE * len(self.counts))
        if len(flat) > most:
            flat = flat[torch.randperm(len(flat), device=flat.device)[:most]]
        centres, shares = _centres(flat, len(self.counts))
        self._place(centres.to(flat))
        self.counts.copy_(len(self.counts) * shares.to(flat))
        if not self.learned:
            self.sums.copy_(self.codes * self.counts.unsqueeze(1))

    def _codes(self) -> Tensor:
        # A learned code leaves the sphere with every step of the optimizer.
        return F.normalize(self.codes, dim=-1) if self.cosine and self.learned else self.codes

    def _place(self, codes: Tensor) -> None:
        self.codes.copy_(F.normalize(codes, dim=-1) if self.cosine else codes)

    def _restart_dead(self, h: Tensor, errors: Tensor) -> None:
        # Chosen for every code, and used for the dead: to ask whether there are any would wait for the device.
        chosen = h[torch.multinomial(errors + 1e-12, len(self.counts), replacement=True)]
        dead = self.counts < self.restart
        self._place(torch.where(dead.unsqueeze(1), chosen, self.codes))
        self.counts.masked_fill_(dead, 1.0)
        if not self.learned:
            self.sums.copy_(torch.where(dead.unsqueeze(1), self.codes, self.sums))


class Commitment(nn.Module):
    r"""The pull of vectors towards their codes, in multiples of the curvature of all that follows.

    Parameters
    ----------
    weight : float
        The multiple.
    learned : bool
        Also pull the codes towards their vectors, with weight one.

    Notes
    -----
    .. math:: \text{weight} \cdot \kappa \cdot \tfrac12 \lVert h - \mathrm{sg}(c) \rVert^2, \qquad
              \kappa = \frac{\sum \epsilon \cdot g(c + \epsilon)}{\sum \epsilon \cdot \epsilon}

    A squared distance between codes is no number of nats, and how many nats one is worth depends
    on the likelihood, its sigma, the size of the data and the scale of the code. So it is
    measured: while training, the decoder sees codes moved by a little noise :math:`\epsilon`, and
    the gradient g that comes back, in nats, has a share along it: the mean curvature of the cost
    around the codes (Stein's and Hutchinson's estimate), at the price of the noise. A vector
    rests where gradient and pull are equal, which with weight one is Newton's step from its
    code to where the decoder would rather have it; the nearest code is then the one that
    promises least cost. A pull in proportion to the gradient's length has no such
    point of rest: below weight one vectors and codes drifted outwards for as long as the fit went on.

    Held-out error on Fashion-MNIST (64 codes of 8 numbers at 7 x 7 places, 1,338 steps, one seed): with
    a decay of the codebook of 0.99, 6.08 for weight 3 and 6.48 for 6; with 0.8, 6.29 for 1 and 6.00 for 3. A
    pull in proportion to the gradient had 6.59 with a share of 0.25 and 6.87 with one of 1.
    """

    exchange: Tensor
    means: Tensor
    steps: Tensor

    def __init__(self, weight: float, learned: bool):
        super().__init__()
        self.weight, self.learned = weight, learned
        # Nats per squared unit; and the steps behind it, for the first ones to count in full.
        self.register_buffer("exchange", torch.ones(()))
        self.register_buffer("means", torch.zeros(2))
        self.register_buffer("steps", torch.zeros(()))
        # Of the latest step. Empty whenever a checkpoint may be written, so that these need not be buffers.
        self._error: Tensor | None = None
        self._felt: Tensor | None = None

    def forward(self, h: Tensor, code: Tensor) -> Tensor:
        """Return nats, ``(b,)``, and remember how far the vectors are from their codes."""
        error = (h - code.detach()).square()
        self._error = error.detach().mean()
        nats = self.weight * error
        if self.learned:
            nats = nats + (h.detach() - code).square()
        return 0.5 * self.exchange * nats.flatten(1).sum(1)

    def nudge(self, z: Tensor) -> Tensor | None:
        """Return the noise that codes are moved by while training; none where nothing is pulled."""
        if self._error is None or not (self.weight or self.learned):
            return None
        return NUDGE * self._error.sqrt() * torch.randn_like(z)

    def notice(self, gradient: Tensor, nudge: Tensor) -> None:
        """Remember how much of the gradient at the codes lies along their noise."""
        # Of the batch's mean: times its rows, the gradient is that of an example.
        self._felt = torch.stack([len(gradient) * (gradient * nudge).mean(), nudge.square().mean()])

    def after_step(self, progress: float) -> None:
        """Measure the rate of exchange."""
        if self._felt is not None:
            self.steps += 1
            self.means.lerp_(self._felt.to(self.means), (1 / self.steps).clamp_min(1 - MEAN_DECAY))
            self.exchange.copy_((self.means[0] / self.means[1].clamp_min(1e-30)).clamp_min(0))
        self._error = self._felt = None


@torch.no_grad()
def start_at_spread(linear: nn.Linear, features: Tensor) -> None:
    """Let a layer read the principal components, in proportion, with a mean variance of one.

    A code of few symbols should spend them where the variance is, which k-means can do only if
    components of small variance stay small. Where there are fewer components than outputs, the
    other outputs keep their random weights.
    """
    components, scales, mean = principal_components(
        features.reshape(-1, features.shape[-1])[:4096], linear.out_features
    )
    if len(scales):
        weight = (components / scales.square().mean().sqrt()).to(linear.weight)
        linear.weight[: len(weight)] = weight
        linear.bias[: len(weight)] = -(weight @ mean.to(weight))


def _centres(h: Tensor, symbols: int) -> tuple[Tensor, Tensor]:
    """Return the centres of k-means ``(symbols, size)``, and the share of vectors that each has."""
    distinct, inverse = torch.unique(h.double().cpu(), dim=0, return_inverse=True)
    if len(distinct) <= symbols:
        # Every vector has a code of its own; the others stand by, at chosen ones of these.
        shares = torch.bincount(inverse, minlength=symbols) / len(h)
        spare = torch.randint(len(distinct), (symbols - len(distinct),))
        return torch.cat([distinct, distinct[spare]]), shares
    seed = int(torch.randint(2**31 - 1, ()))
    vectors = h.double().cpu().numpy()
    # One thread: several would add up in an order of chance, and no two fits would be equal.
    with threadpool_limits(1):
        found = KMeans(symbols, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(vectors)
    shares = torch.from_numpy(np.bincount(found.labels_, minlength=symbols) / len(vectors))
    return torch.from_numpy(found.cluster_centers_), shares
