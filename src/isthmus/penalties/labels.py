"""A classifier of labels on the code: to help them in, or to keep them out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.critic import DenseCritic, Game, Judge, check_rate
from isthmus.penalties.pieces import observed_positions, piece_of, piece_width
from isthmus.penalties.sparse import check_weight

__all__ = ["LabelClassifier"]


class LabelClassifier(Part):
    r"""``-log p(label | code)`` by a classifier that learns beside the auto-encoder.

    Parameters
    ----------
    weight : float, default=1.0
        Of the auto-encoder's side: how much the code should tell, or not tell, the label.
    adversarial : bool, default=False
        Keep the label out: the classifier still learns to read it, and the encoder learns
        that it cannot. Otherwise both help to read it, as far as labels are known.
    factor : str, optional
        Act on this named factor of a split code alone.
    hidden : tuple of int, default=(128, 128)
        Layers of the classifier; none for a linear one.
    updates : {'reversal', 'alternating', 'simultaneous'}, default='simultaneous'
        Who learns when, if adversarial: :class:`isthmus.penalties.critic.Game`.
    learning_rate_scale : float, default=1.0
        The classifier's learning rate, as a multiple of the fit's.

    Facts
    -----
    code : list of int
        ``(*p, d)`` of a code.
    labels : int
        Classes.
    factors : dict of str to list of int, optional
        The shapes of the code's factors.

    Raises
    ------
    ValueError
        If a parameter is not one of those above, the code has no such factor, or there are
        fewer than two classes.

    Notes
    -----
    Examples whose label is not known (-1) cost nothing. Of a code with positions the logits
    are averaged over these. With P the classifier's probabilities and K classes,

    .. math:: c = -\log P(y|z), \qquad
              m = -\frac1K \sum_k \log P(k|z) - \log K :

    by reversal the encoder maximises c, in the other ways it minimises m, the divergence of P
    from "any class alike", which is not to be won by a sure and wrong classifier.

    Measured by ``python -m benchmarks.adversaries`` (1,297 8x8 digits to learn from, 500 held out,
    equal steps, means of 3 seeds). Accuracy of a fresh probe of the code, % /
    squared error; without the adversary 95.5 / 0.76:

    ======  =============  =============  =============
    weight  reversal       alternating    simultaneous
    ======  =============  =============  =============
    3       94.9 / 0.77    92.0 / 1.01    83.5 / 1.38
    30      66.9 / 3.66    83.3 / 1.96    82.5 / 2.58
    ======  =============  =============  =============

    Simultaneous updates hide as much at weight 3 as alternating ones at 30, for less error. Only
    reversal went further, at a high price and unevenly (error 1.3 to 6.0, 95 % interval).

    References
    ----------
    Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016,
    https://arxiv.org/abs/1505.07818, equation 9 (reversal); Tzeng et al., 2015,
    https://arxiv.org/abs/1510.02192, equation 3 (m, the domain confusion). Differs: no schedule
    of the weight.

    Examples
    --------
    >>> from isthmus import AutoEncoder
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = AutoEncoder(bottleneck="linear(size=2)", penalties=["label_classifier"], max_epochs=5)
    >>> model.fit(X, y).transform(X).shape
    (150, 2)
    """

    needs_labels = True

    def __init__(
        self,
        weight: float = 1.0,
        adversarial: bool = False,
        factor: str | None = None,
        hidden: tuple[int, ...] = (128, 128),
        updates: str = "simultaneous",
        learning_rate_scale: float = 1.0,
    ):
        super().__init__()
        self.weight = weight
        self.adversarial = adversarial
        self.factor = factor
        self.hidden = hidden
        self.updates = updates
        self.learning_rate_scale = learning_rate_scale

    def setup(self, code: Sequence[int], labels: int = 0, factors: Mapping[str, Sequence[int]] | None = None) -> None:
        """Create the classifier."""
        check_weight(self.weight)
        check_rate(self.learning_rate_scale)
        if labels < 2:
            raise ValueError(f"label_classifier needs labels of at least 2 classes, got {labels}: call fit(X, y).")
        classifier = DenseCritic(piece_width(code, factors or {}, self.factor), self.hidden, labels)
        game = Game(classifier, self.updates)
        # Without an adversary this is no game, and the cost does measure progress.
        self.player = game if self.adversarial else classifier

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        labels = step.target.condition
        if labels is None:
            raise ValueError("label_classifier needs labels, got none: call fit(X, y), -1 where unknown.")
        z = piece_of(step, self.factor)
        observed = observed_positions(step, z)
        known = labels >= 0

        def classified(judge: Judge, codes: Tensor) -> Tensor:
            return F.cross_entropy(_pooled(judge(codes), observed), labels, ignore_index=-1, reduction="none")

        def confused(judge: Judge, codes: Tensor) -> Tensor:
            logits = _pooled(judge(codes), observed).log_softmax(-1)
            return known * (-logits.mean(-1) - math.log(logits.shape[-1]))

        if isinstance(self.player, Game):
            return self.player(z, self.weight, classified, confused)
        return self.weight * classified(self.player, z)


def _pooled(logits: Tensor, observed: Tensor | None) -> Tensor:
    """Return the mean logits over positions, ``(b, labels)``."""
    if logits.ndim == 2:
        return logits
    if observed is None:
        return logits.flatten(1, -2).mean(1)
    seen = observed.unsqueeze(-1).to(logits)
    return (logits * seen).flatten(1, -2).sum(1) / seen.flatten(1, -2).sum(1).clamp_min(1)
