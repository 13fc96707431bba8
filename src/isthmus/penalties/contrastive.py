"""InfoNCE within a sequence: the codes ahead (CPC), and the neighbouring item (quick-thought)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Step
from isthmus.part import Part
from isthmus.penalties.pieces import observed_positions
from isthmus.penalties.sparse import check_weight

__all__ = ["ContrastivePrediction", "NextItem"]

# The score of what is no candidate. Not minus infinity: where nothing at all is one, a gradient
# of zero would become not a number on its way back.
NEVER = -1e30
IGNORED = -100


class ContrastivePrediction(Part):
    r"""The codes so far tell the codes ahead from those of other examples.

    Parameters
    ----------
    weight : float, default=1.0
        Of the nats below.
    ahead : int, default=3
        Steps to look ahead, each by a linear map of its own; fewer where the code is shorter.
    context : int, default=64
        Units of the recurrent network that reads the codes so far.

    Facts
    -----
    code : list of int
        ``(*p, d)`` of a code, with at least two positions.

    Raises
    ------
    ValueError
        If a parameter is out of range or the code has fewer than two positions.

    Notes
    -----
    With :math:`c_t` the state of a gated recurrent network over :math:`z_1 \dots z_t`, and the
    codes of all examples i' of the batch at the same place as candidates,

    .. math:: \sum_t \frac1K \sum_{k=1}^K - \log
              \frac{\exp z_{i,t+k}^T W_k c_{i,t}}{\sum_{i'} \exp z_{i',t+k}^T W_k c_{i,t}},

    a lower bound of whose mutual information is the logarithm of the batch size less a term's
    mean. Maps are read row by row. Where the target's mask marks padding, positions that hold
    nothing are neither predicted from, nor predicted, nor candidates.

    References
    ----------
    van den Oord et al., "Representation learning with contrastive predictive coding", 2018,
    https://arxiv.org/abs/1807.03748, equations 3 and 4. Differs: the codes of one place in
    other examples are the only candidates; an image's patches are one sequence, not columns.

    Examples
    --------
    >>> penalty = ContrastivePrediction(ahead=2).build(code=[5, 3])
    >>> len(penalty.steps)
    2
    """

    def __init__(self, weight: float = 1.0, ahead: int = 3, context: int = 64):
        super().__init__()
        self.weight = weight
        self.ahead = ahead
        self.context = context

    def setup(self, code: Sequence[int]) -> None:
        """Create the context network and the maps."""
        check_weight(self.weight)
        positions = _count_positions(code, "contrastive_prediction")
        if self.ahead < 1 or self.context < 1:
            raise ValueError(f"ahead and context must be at least 1, got {self.ahead} and {self.context}.")
        self.recurrent = nn.GRU(code[-1], self.context, batch_first=True)
        ahead = min(self.ahead, positions - 1)
        self.steps = nn.ModuleList(nn.Linear(self.context, code[-1], bias=False) for _ in range(ahead))

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z, observed = _in_a_row(step)
        contexts, _ = self.recurrent(z)
        total = z.new_zeros(len(z))
        for k, predict in enumerate(self.steps, 1):
            if k >= z.shape[1]:
                break  # this batch's sequences are shorter
            logits = torch.einsum("itd, jtd -> tij", predict(contexts[:, :-k]), z[:, k:])
            total = total + _identified(logits, None if observed is None else (observed[:, :-k], observed[:, k:]))
        return self.weight * total / len(self.steps)


class NextItem(Part):
    r"""The code of an item tells its neighbour from the other items.

    Parameters
    ----------
    weight : float, default=1.0
        Of the nats below.
    backward : bool, default=True
        Tell the item before as well as the item after.
    size : int, default=64
        Dimensions in which items are compared.

    Facts
    -----
    code : list of int
        ``(*p, d)`` of a code, with at least two positions: the items, in order.

    Raises
    ------
    ValueError
        If a parameter is out of range or the code has fewer than two positions.

    Notes
    -----
    With two linear maps f and g, :math:`s(a, b) = f(a)^T g(b)`, and as candidates B the other
    items of the same example and the items at the neighbour's place in the other examples,

    .. math:: \sum_t - \log \frac{\exp s(z_t, z_{t+1})}{\sum_{b \in B_t} \exp s(z_t, z_b)},

    and, if backward, the same for :math:`z_{t-1}`. Padding, where the target's mask marks it,
    is neither item nor candidate.

    References
    ----------
    Logeswaran & Lee, "An efficient framework for learning sentence representations", ICLR
    2018, https://arxiv.org/abs/1803.02893, equation 2. Differs: f and g are linear maps of one
    code, which is kept, where the paper has two encoders and joins their codes.

    Examples
    --------
    >>> NextItem(size=8).build(code=[5, 3]).reader.weight.shape
    torch.Size([8, 3])
    """

    def __init__(self, weight: float = 1.0, backward: bool = True, size: int = 64):
        super().__init__()
        self.weight = weight
        self.backward = backward
        self.size = size

    def setup(self, code: Sequence[int]) -> None:
        """Create the two maps."""
        check_weight(self.weight)
        _count_positions(code, "next_item")
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}.")
        self.reader = nn.Linear(code[-1], self.size, bias=False)
        self.candidate = nn.Linear(code[-1], self.size, bias=False)

    def forward(self, step: Step) -> Tensor:
        """Return nats, ``(b,)``."""
        z, observed = _in_a_row(step)
        read, offered = self.reader(z), self.candidate(z)
        total = self._neighbour(read, offered, observed, 1)
        if self.backward:
            total = total + self._neighbour(read, offered, observed, -1)
        return self.weight * total

    @staticmethod
    def _neighbour(read: Tensor, offered: Tensor, observed: Tensor | None, offset: int) -> Tensor:
        """Return the nats of telling the item at ``offset``, ``(b,)``."""
        b, t = read.shape[:2]
        here, there = (slice(None, -1), slice(1, None)) if offset > 0 else (slice(1, None), slice(None, -1))
        within = torch.einsum("itd, isd -> its", read[:, here], offered)
        across = torch.einsum("itd, jtd -> itj", read[:, here], offered[:, there])
        places = torch.arange(t, device=read.device)
        # An item is no candidate for itself, and the neighbour stands among its own already.
        never = (places == places[here, None]).expand(b, -1, -1)
        same = torch.eye(b, dtype=torch.bool, device=read.device).unsqueeze(1).expand(-1, t - 1, -1)
        if observed is not None:
            never = never | ~observed.unsqueeze(1)
            same = same | ~observed[:, there].T.unsqueeze(0)
        logits = torch.cat([within.masked_fill(never, NEVER), across.masked_fill(same, NEVER)], 2)
        wanted = places[there].expand(b, -1)
        if observed is None:
            return F.cross_entropy(logits.mT, wanted, reduction="none").sum(1)
        both = observed[:, here] & observed[:, there]
        return F.cross_entropy(
            logits.mT, wanted.masked_fill(~both, IGNORED), ignore_index=IGNORED, reduction="none"
        ).sum(1)


def _count_positions(code: Sequence[int], name: str) -> int:
    count = int(torch.tensor([1, *code[:-1]]).prod())
    if count < 2:
        raise ValueError(
            f"{name} needs codes with at least 2 positions, got a code of shape {list(code)}. "
            "Use an encoder that keeps positions, such as conv_encoder(flatten=False)."
        )
    return count


def _in_a_row(step: Step) -> tuple[Tensor, Tensor | None]:
    """Return codes ``(b, t, d)``, positions row by row, and which of them hold data."""
    z = step.code.z
    observed = observed_positions(step, z)
    return z.flatten(1, -2), None if observed is None else observed.flatten(1)


def _identified(logits: Tensor, observed: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return ``(b,)``: nats of finding i among j at each t of ``(t, i, j)``, summed over t."""
    t, b = logits.shape[:2]
    wanted = torch.arange(b, device=logits.device).expand(t, -1)
    if observed is not None:
        here, there = (one.T for one in observed)
        logits = logits.masked_fill(~there.unsqueeze(1), NEVER)
        wanted = wanted.masked_fill(~(here & there), IGNORED)
    return F.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none").sum(0)
