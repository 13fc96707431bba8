"""The adversarial auto-encoder: codes that a critic cannot tell from draws of a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.critic import DenseCritic, Game, Judge, check_rate
from isthmus.penalties.draws import PriorDraws
from isthmus.penalties.pieces import observed_positions, over_positions, piece_of, piece_width
from isthmus.penalties.sparse import check_weight

__all__ = ["AdversarialPrior"]


class AdversarialPrior(Part):
    r"""Make codes look like draws from a prior, by a critic between the two.

    Parameters
    ----------
    weight : float, default=1.0
        Of the model's side of the game.
    prior : Part, optional
        What codes should be like: one of ``isthmus.priors``, whose weights stay as they are;
        by default the standard normal.
    categorical : bool, default=False
        Draw one-hot vectors instead, each dimension as often: for a one-hot code, or one
        through a softmax. It excludes ``prior``.
    factor : str, optional
        Act on this named factor of a split code alone.
    hidden : tuple of int, default=(128, 128)
        Layers of the critic.
    updates : {'reversal', 'alternating', 'simultaneous'}, default='simultaneous'
        Who learns when: :class:`isthmus.penalties.critic.Game`.
    learning_rate_scale : float, default=1.0
        The critic's learning rate, as a multiple of the fit's.

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
        If a parameter is not one of those above, or the code has no such factor.

    Notes
    -----
    With C the critic's logit that a code was drawn from the prior p,

    .. math:: c = \mathrm{E}_{p(z)} \log(1 + e^{-C(z)}) + \mathrm{E}_{q(z)} \log(1 + e^{C(z)}),
              \qquad m = \mathrm{E}_{q(z)} \log(1 + e^{-C(z)}).

    Nats are summed over positions; the critic sees one position at a time.

    Measured by ``python -m benchmarks.adversaries`` (1,297 8x8 digits to learn from, 500 held out,
    equal steps, means of 3 seeds). 1,000 times the squared MMD between codes and prior /
    squared error; without the adversary 555 / 0.76:

    ======  =============  =============  =============
    weight  reversal       alternating    simultaneous
    ======  =============  =============  =============
    1       129 / 0.77     25 / 0.78      17 / 0.80
    10      11 / 0.88      19 / 0.86      12 / 0.91
    ======  =============  =============  =============

    Reversal needs a higher weight, as its gradient fades where the critic is sure; at weight 1
    simultaneous updates come closest to the prior, for 0.03 more error than without any.

    References
    ----------
    Makhzani et al., "Adversarial autoencoders", 2015, https://arxiv.org/abs/1511.05644,
    sections 2 and 2.3 (a categorical and a normal factor). Differs: critic and model learn
    in one optimizer; any bottleneck can be the encoder's end.

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> model = AutoEncoder(bottleneck="linear(size=2)", penalties=["adversarial_prior(weight=10.0)"])
    """

    is_game = True

    def __init__(
        self,
        weight: float = 1.0,
        prior: Part | None = None,
        categorical: bool = False,
        factor: str | None = None,
        hidden: tuple[int, ...] = (128, 128),
        updates: str = "simultaneous",
        learning_rate_scale: float = 1.0,
    ):
        super().__init__()
        self.weight = weight
        self.prior = prior
        self.categorical = categorical
        self.factor = factor
        self.hidden = hidden
        self.updates = updates
        self.learning_rate_scale = learning_rate_scale

    def setup(
        self, code: Sequence[int], factors: Mapping[str, Sequence[int]] | None = None, width: int | None = None
    ) -> None:
        """Create the critic."""
        check_weight(self.weight)
        check_rate(self.learning_rate_scale)
        size = piece_width(code, factors or {}, self.factor)
        self.draws = PriorDraws(self.prior, self.categorical, size, code[:-1], width)
        self.game = Game(DenseCritic(size, self.hidden), self.updates)

    def watch(self, bottleneck: Part) -> None:
        """Let a prior look at the bottleneck, where it asks to."""
        self.draws.watch(bottleneck)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z = piece_of(step, self.factor)
        observed = observed_positions(step, z)
        real = self.draws.like(z)

        def critic_cost(judge: Judge, codes: Tensor) -> Tensor:
            nats = F.softplus(-judge(real)) + F.softplus(judge(codes))
            return over_positions(nats.squeeze(-1), observed)

        def model_cost(judge: Judge, codes: Tensor) -> Tensor:
            return over_positions(F.softplus(-judge(codes)).squeeze(-1), observed)

        return self.game(z, self.weight, critic_cost, model_cost)
