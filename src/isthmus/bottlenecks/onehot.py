"""The one-hot code: one of a few categories, or several such choices side by side."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from sklearn.cluster import KMeans
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.usage import Usage, perplexity, share_used
from isthmus.part import Part

__all__ = ["OneHot"]

CURE = (
    "lower beta, give each choice a smaller size, begin at a higher temperature, "
    "or add the penalty information(), which asks for equally frequent symbols."
)


class OneHot(Part):
    r"""Categories: ``groups`` choices, each one of ``size`` symbols, as one-hot vectors.

    Parameters
    ----------
    size : int, default=10
        Symbols to choose from, at least 2.
    groups : int, default=1
        Choices per position. The code has ``groups * size`` dimensions and ``size ** groups``
        different values.
    beta : float, default=1.0
        Weight of the KL divergence to the prior. 1 is the evidence lower bound.
    temperature : float, default=1.0
        Of the relaxed draw at the first step. High ones blur the choice and give gradients
        that vary little; low ones come close to a choice, with gradients that vary much.
    final_temperature : float, default=0.5
        Of the relaxed draw at the last step; between the two it falls geometrically.
    hard : bool, default=True
        While training, hand the decoder the choice itself and let the gradient pass as if it
        were the relaxed draw (straight-through). Otherwise the decoder sees the relaxed draw.
    learned_prior : bool, default=False
        Learn how frequent each symbol is, rather than hold all to be equally frequent.

    Facts
    -----
    width : int
        Channels of the features.

    Attributes
    ----------
    perplexity : float
        Equally frequent symbols that would say as much, of the last steps of training.
    share_used : float
        Share of the symbols in use.

    Raises
    ------
    ValueError
        If size is below 2, groups below 1, beta negative, or a temperature not above 0.

    Notes
    -----
    With logits :math:`a` of features, :math:`q_k = \operatorname{softmax}(a)_k`, Gumbel noise
    :math:`g_k = -\log(-\log u_k)` and temperature :math:`\tau`,

    .. math:: y = \operatorname{softmax}((\log q + g) / \tau), \qquad
              z = \operatorname{onehot}(\arg\max_k \log q_k + g_k), \qquad
              KL = \sum_k q_k \log (q_k / p_k)

    z is an exact draw from q whatever the temperature, so that the cost of a hard code is the
    discrete evidence lower bound. What is relaxed is its gradient, which is that of y and is
    biased. With ``hard=False`` the decoder sees y, and the cost of a training step bounds
    nothing. :meth:`draw` is hard always. In evaluation z is the most likely symbol.

    Training begins at k-means of the features: the logits are those of a mixture of equal round
    normals at the centres, with the mean squared distance to the own centre as variance.

    References
    ----------
    Jang, Gu & Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017,
    https://arxiv.org/abs/1611.01144; Maddison, Mnih & Teh, "The concrete distribution", ICLR
    2017, https://arxiv.org/abs/1611.00712. Differs: the KL divergence is that of the
    categories, not of their relaxations (its density ratio, the latter's equation 20).

    Examples
    --------
    >>> code = OneHot(4, groups=2).build(width=16).eval()(torch.zeros(5, 16))
    >>> code.z.shape, code.indices.shape, code.z.sum(1).tolist()
    (torch.Size([5, 8]), torch.Size([5, 2]), [2.0, 2.0, 2.0, 2.0, 2.0])
    """

    tau: Tensor

    def __init__(
        self,
        size: int = 10,
        groups: int = 1,
        beta: float = 1.0,
        temperature: float = 1.0,
        final_temperature: float = 0.5,
        hard: bool = True,
        learned_prior: bool = False,
    ):
        super().__init__()
        self.size = size
        self.groups = groups
        self.beta = beta
        self.temperature = temperature
        self.final_temperature = final_temperature
        self.hard = hard
        self.learned_prior = learned_prior

    def setup(self, width: int) -> None:
        """Create the layer of the logits, and the prior's where it is learned."""
        if not 2 <= self.size <= 1_000_000 or not 1 <= self.groups <= 10_000:
            raise ValueError(f"size must be at least 2 and groups at least 1, got {self.size} and {self.groups}.")
        if not self.beta >= 0:
            raise ValueError(f"beta must be at least 0, got {self.beta}.")
        if not min(self.temperature, self.final_temperature) > 0:
            raise ValueError(
                "temperature and final_temperature must be above 0, "
                f"got {self.temperature} and {self.final_temperature}; 0.1 is close to a choice."
            )
        self.linear = nn.Linear(width, self.groups * self.size)
        if self.learned_prior:
            self.prior_logits = nn.Parameter(torch.zeros(self.groups, self.size))
        self.usage = Usage(self.groups, self.size, CURE)
        self.register_buffer("tau", torch.tensor(float(self.temperature)))

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``: drawn while training, else the most likely symbols."""
        log_q = self.log_probs(features)
        penalty = self._penalty(log_q)
        if not self.training:
            indices = log_q.argmax(-1)
            return Code(self.dequantize(indices).to(log_q), penalty, indices)
        hard, soft, indices = self._relaxed(log_q)
        self.usage.see(indices)
        z = _through(hard, soft) if self.hard else soft
        return Code(rearrange(z, "b ... q k -> b ... (q k)"), penalty, indices)

    def draw(self, features: Tensor) -> Code:
        """Return the code drawn from its posterior, in evaluation too, with its exact ``log_ratio``."""
        log_q = self.log_probs(features)
        hard, soft, indices = self._relaxed(log_q)
        if self.training:
            self.usage.see(indices)
        z = _through(hard, soft)
        # Through z, so that the gradient is that of the divergence and not of log q alone, whose mean is zero.
        ratio = (z * (log_q - self.log_prior())).flatten(1).sum(1)
        return Code(rearrange(z, "b ... q k -> b ... (q k)"), self._penalty(log_q), indices, log_ratio=ratio)

    def log_probs(self, features: Tensor) -> Tensor:
        """Return log q of each symbol, ``(b, *p, groups, size)``."""
        logits = rearrange(self.linear(features), "b ... (q k) -> b ... q k", q=self.groups)
        return logits.log_softmax(-1)

    def log_prior(self) -> Tensor:
        """Return log p of each symbol, ``(groups, size)``."""
        if self.learned_prior:
            return self.prior_logits.log_softmax(-1)
        return self.linear.weight.new_full((self.groups, self.size), -math.log(self.size))

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, groups * size)`` from the prior."""
        draws = torch.multinomial(self.log_prior().exp(), n * math.prod(positions), replacement=True)
        indices = draws.T.reshape(n, *positions, self.groups)
        return self.dequantize(indices).to(self.linear.weight)

    def quantize(self, z: Tensor) -> Tensor:
        """Return the symbols ``(b, *p, groups)`` that codes ``(b, *p, groups * size)`` are closest to."""
        return rearrange(z, "b ... (q k) -> b ... q k", q=self.groups).argmax(-1)

    def dequantize(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, groups * size)`` of symbols ``(b, *p, groups)``."""
        hot = F.one_hot(indices, self.size).to(self.linear.weight)
        return rearrange(hot, "b ... q k -> b ... (q k)")

    def frequencies(self) -> Tensor:
        """Return how frequent each symbol was in the last steps of training, ``(groups, size)``."""
        return self.usage.frequencies()

    @property
    def perplexity(self) -> float:
        """Equally frequent symbols that would say as much; the mean over groups."""
        return perplexity(self.frequencies())

    @property
    def share_used(self) -> float:
        """Share of the symbols in use."""
        return share_used(self.frequencies())

    def after_step(self, progress: float) -> None:
        """Lower the temperature, and count the symbols of the step."""
        self.tau.fill_(self.temperature * (self.final_temperature / self.temperature) ** progress)
        self.usage.move(progress)

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Begin at k-means of the features; each group at another one."""
        flat = features.flatten(0, -2)[:4096]
        for group in range(self.groups):
            rows = slice(group * self.size, (group + 1) * self.size)
            centres, spread = _k_means(flat, self.size)
            self.linear.weight[rows] = centres / spread
            self.linear.bias[rows] = -0.5 * centres.square().sum(1) / spread
        self.usage.begin(self.log_probs(features).argmax(-1))

    def _relaxed(self, log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a draw as one-hot vectors, its relaxation, and its symbols."""
        noisy = log_q - torch.empty_like(log_q).exponential_().log()
        indices = noisy.argmax(-1)
        return F.one_hot(indices, self.size).to(log_q), (noisy / self.tau).softmax(-1), indices

    def _penalty(self, log_q: Tensor) -> Tensor:
        divergence = log_q.exp() * (log_q - self.log_prior())
        return self.beta * divergence.flatten(1).sum(1)


def _through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return ``hard`` with the gradient of ``soft``."""
    return hard + (soft - soft.detach())


def _k_means(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return centres ``(k, c)`` of rows, and the mean squared distance to the nearest one, above 0."""
    rows = x.double().cpu().numpy()
    distinct = len(np.unique(rows, axis=0))
    # One seed drawn from torch's generator, which is the only one that a fit draws from.
    found = KMeans(min(k, distinct), n_init=1, random_state=int(torch.randint(2**31, ()))).fit(rows)
    centres = torch.from_numpy(found.cluster_centers_)
    # Where rows are fewer than symbols, the symbols left over share the centres.
    centres = centres[torch.arange(k) % len(centres)]
    return centres.to(x), torch.tensor(max(found.inertia_ / len(rows), 1e-6)).to(x)
