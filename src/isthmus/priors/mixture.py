"""A mixture of Gaussians: codes that come in groups, or lie in a shape that many small ones fill."""

from __future__ import annotations

import math
import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from isthmus.layers import bounded, check_choice
from isthmus.part import Part

__all__ = ["Mixture", "check_components", "log_components"]

MOST_COMPONENTS = 100_000
MOST_CLUSTERS = 30
# Ours, and as scikit-learn calls them.
COVARIANCES = {"diagonal": "diag", "full": "full"}
# Of a component's log standard deviation: beyond, one code could have a component, or a gradient, of its own.
NARROWEST, WIDEST = -5.0, 5.0


class Mixture(Part):
    r"""``p(z) = sum_k w_k N(z; m_k, C_k)``, each position of a code by itself.

    Parameters
    ----------
    components : int, default=10
        Gaussians in the mixture.
    covariance : {'diagonal', 'full'}, default='diagonal'
        Shape of a Gaussian: its axes along those of the code, or turned as they may be. Of
        'full' ones fewer are needed to fill a curved shape; a code of ``d`` dimensions costs
        ``d^2`` products for each of them instead of ``d``.

    Facts
    -----
    size : int
        Dimensions of the code.

    Raises
    ------
    ValueError
        If components is not within 1 and 100,000, or covariance is another.

    Notes
    -----
    .. math:: \log N(z; m, C) = -\sum_j \tfrac12 y_j^2 + \log s_j + \tfrac12 \log 2\pi, \qquad
              s_j y_j = z_j - m_j + \sum_{i<j} u_{ij} (z_i - m_i)

    where ``u = 0`` for 'diagonal'; for 'full', ``-u`` are the weights that predict dimension
    ``j`` from those before it, and ``s_j`` is the standard deviation that remains.

    Weights, means, standard deviations and ``u`` learn with the rest. They begin where
    expectation-maximisation ends on the codes of the start, itself begun at k-means, so that
    no component starts where there are no codes. Standard deviations are kept within
    ``exp(-5)`` and ``exp(5)``.

    A code belongs to the component that :meth:`responsibilities` makes most likely: with as
    many components as there are groups, this is a clustering.

    References
    ----------
    Dilokthanakul et al., "Deep unsupervised clustering with Gaussian mixture variational
    autoencoders", 2016, https://arxiv.org/abs/1611.02648; Jiang et al., "Variational deep
    embedding", IJCAI 2017, https://arxiv.org/abs/1611.05148. Differs from both: the posterior
    has no variable for the component, which is summed over instead, so that the bound is
    tighter and nothing can collapse onto one component by the variable's own divergence.

    Examples
    --------
    >>> prior = Mixture(components=4).build(size=3)
    >>> prior.log_prob(torch.zeros(2, 3)).shape, prior.sample(5).shape
    (torch.Size([2]), torch.Size([5, 3]))
    """

    def __init__(self, components: int = 10, covariance: str = "diagonal"):
        super().__init__()
        self.components = components
        self.covariance = covariance

    def setup(self, size: int) -> None:
        """Create weights, means, standard deviations, and turns."""
        check_components(self.components, "components")
        check_choice("covariance", self.covariance, COVARIANCES)
        self.logits = nn.Parameter(torch.zeros(self.components))
        self.means = nn.Parameter(torch.randn(self.components, size))
        self.log_scales = nn.Parameter(torch.zeros(self.components, size))
        if self.covariance == "full":
            # Only what is above the diagonal is read.
            self.turns = nn.Parameter(torch.zeros(self.components, size, size))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the log-density of codes ``(b, *p, d)`` in nats, ``(b,)``."""
        joint = self._log_joint(z.reshape(-1, z.shape[-1]))
        return joint.logsumexp(1).view(len(z), -1).sum(1)

    def responsibilities(self, z: Tensor) -> Tensor:
        """Return the probability of each component given a code ``(b, *p, d)``, ``(b, *p, components)``."""
        joint = self._log_joint(z.reshape(-1, z.shape[-1]))
        return joint.softmax(1).view(*z.shape[:-1], self.components)

    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)``."""
        chosen = torch.multinomial(self.logits.softmax(0), n * math.prod(positions), replacement=True)
        means = self.means[chosen]
        noise = torch.randn_like(means)
        if self.covariance == "diagonal":
            deviations = self._log_scales()[chosen].exp() * noise
        else:
            upper = self._whitening()[chosen]
            deviations = torch.linalg.solve_triangular(upper, noise[:, None], upper=True, left=False)[:, 0]
        return (means + deviations).view(n, *positions, -1)

    @torch.no_grad()
    def start(self, z: Tensor, features: Tensor) -> None:
        """Begin at the mixture that fits the codes ``(b, *p, d)`` best."""
        flat = z.reshape(-1, z.shape[-1])
        count = min(self.components, len(torch.unique(flat, dim=0)))
        # A floor for the variances: a component on a single code would be a point.
        floor = 1e-3 * float(flat.var(0, correction=0).mean()) + 1e-6
        seed = int(torch.randint(2**31 - 1, ()))
        # k-means may cut across clusters; many components fill a shape, and any start will do.
        starts = 3 if count <= MOST_CLUSTERS else 1
        mixture = GaussianMixture(
            count, covariance_type=COVARIANCES[self.covariance], reg_covar=floor, n_init=starts, random_state=seed
        )
        with warnings.catch_warnings():
            # A start need not have converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(flat.double().cpu().numpy())
        # Where there are fewer codes than components, several begin at one place.
        source = torch.arange(self.components) % count
        weights, means, whitening = (
            torch.from_numpy(value)[source].to(self.means)
            for value in (mixture.weights_, mixture.means_, mixture.precisions_cholesky_)
        )
        if self.covariance == "full":
            diagonal = whitening.diagonal(dim1=1, dim2=2)
            self.turns.copy_((whitening / diagonal[:, None]).triu(1))
            whitening = diagonal
        self.logits.copy_((weights / torch.bincount(source, minlength=count).to(weights)[source]).log())
        self.means.copy_(means)
        self.log_scales.copy_((-whitening.log()).clamp(NARROWEST, WIDEST))

    def _log_scales(self) -> Tensor:
        return bounded(self.log_scales, NARROWEST, WIDEST)

    def _whitening(self) -> Tensor:
        """Return what makes deviations from each mean standard normal, ``(k, d, d)``, upper triangular."""
        return (self.turns.triu(1) + torch.eye(self.turns.shape[1]).to(self.turns)) * (-self._log_scales()).exp()[
            :, None
        ]

    def _log_joint(self, z: Tensor) -> Tensor:
        weights = self.logits.log_softmax(0)
        if self.covariance == "diagonal":
            return weights + log_components(z, self.means, self._log_scales())
        whitening = self._whitening()
        white = torch.einsum("nd,kde->nke", z, whitening) - torch.einsum("kd,kde->ke", self.means, whitening)
        return weights - (0.5 * white.square() + self._log_scales() + 0.5 * math.log(2 * math.pi)).sum(2)


def log_components(z: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """Return ``log N(z_i; m_k, diag(s_k^2))`` of codes ``(n, d)`` under components ``(k, d)``, ``(n, k)``.

    As matrix products, with nothing of shape ``(n, k, d)``. The products cancel: codes and
    means are measured from the means' centre, which leaves least to cancel.
    """
    centre = means.detach().mean(0)
    z, means = z - centre, means - centre
    precisions = (-2 * log_scales).exp()
    quadratic = z.square() @ precisions.T - 2 * z @ (means * precisions).T + (means.square() * precisions).sum(1)
    return -0.5 * quadratic - log_scales.sum(1) - 0.5 * math.log(2 * math.pi) * means.shape[1]


def check_components(value: int, name: str) -> None:
    """Raise ValueError unless a mixture can have so many components."""
    if not 1 <= value <= MOST_COMPONENTS:
        raise ValueError(f"{name} must be a whole number from 1 to {MOST_COMPONENTS:,}, got {value}.")
