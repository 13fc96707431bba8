"""How much of a discrete code is in use: counts while training, perplexity, share used, collapse."""

from __future__ import annotations

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

__all__ = ["Usage", "collapse_text", "perplexity", "share_used", "shares"]

# A symbol counts as used from this share of what it would have if all were equally frequent.
USED = 0.01
# Below this share of the symbols in use a code is called collapsed.
COLLAPSED = 0.1


def perplexity(counts: Tensor) -> float:
    r"""Return how many equally frequent symbols would carry as much information.

    Parameters
    ----------
    counts : Tensor
        Counts or frequencies, ``(..., symbols)``, each at least 0; leading axes are codes of
        their own (groups, stages), over whose perplexities the mean is taken.

    Notes
    -----
    .. math:: \exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad p_k = n_k / \sum_j n_j

    From 1, where one symbol is all that occurs, to the number of symbols. Where nothing was
    counted it is that number, as nothing is known to be out of use.

    Examples
    --------
    >>> round(perplexity(torch.tensor([5.0, 5.0, 0.0, 0.0])), 6)
    2.0
    """
    return float(torch.special.entr(shares(counts)).sum(-1).exp().mean())


def share_used(counts: Tensor) -> float:
    """Return the share of symbols in use: those with a hundredth of an equal share, or more.

    Parameters
    ----------
    counts : Tensor
        As for :func:`perplexity`.

    Examples
    --------
    >>> share_used(torch.tensor([5.0, 5.0, 0.0, 0.0]))
    0.5
    """
    return float((shares(counts) >= USED / counts.shape[-1]).double().mean())


def collapse_text(counts: Tensor, cure: str) -> str:
    """Return the warning that a collapsed code deserves, or an empty text for one that is well.

    Parameters
    ----------
    counts : Tensor
        As for :func:`perplexity`.
    cure : str
        What to do about it: the end of the sentence 'To use more of them, ...'.

    Examples
    --------
    >>> collapse_text(torch.tensor([9.0] + 49 * [0.0]), "restart dead codes.")[:60]
    'the code has collapsed: 2 % of its 50 symbols are in use, wi'
    >>> collapse_text(torch.ones(50), "restart dead codes.")
    ''
    """
    symbols, share = counts.shape[-1], share_used(counts)
    # One of two symbols is above any share of collapse, and yet says nothing.
    if share >= COLLAPSED and perplexity(counts) > 1.05:
        return ""
    return (
        f"the code has collapsed: {100 * share:.0f} % of its {symbols} symbols are in use, "
        f"with a perplexity of {perplexity(counts):.1f}. To use more of them, {cure}"
    )


class Usage(nn.Module):
    """Counts of a discrete code's symbols, a moving average over the last steps of training.

    A bottleneck calls :meth:`see` with its indices in ``forward`` while training, :meth:`move`
    in ``after_step``, and :meth:`begin` in ``start``.

    Parameters
    ----------
    groups : int
        Symbols per position, each of an alphabet of its own.
    symbols : int
        Size of the alphabet.
    cure : str
        For :func:`collapse_text`.
    decay : float, default=0.99
        What remains of the average after a step.

    Examples
    --------
    >>> usage = Usage(1, 4, "raise beta.")
    >>> usage.begin(torch.tensor([[0], [1], [1], [1]]))
    >>> usage.frequencies().tolist()
    [[0.25, 0.75, 0.0, 0.0]]
    """

    counts: Tensor

    def __init__(self, groups: int, symbols: int, cure: str, decay: float = 0.99):
        super().__init__()
        self.cure, self.decay = cure, decay
        self.register_buffer("counts", torch.zeros(groups, symbols))
        self._seen: Tensor | None = None
        self._warned = False

    @torch.no_grad()
    def begin(self, indices: Tensor) -> None:
        """Start from the symbols ``(..., groups)`` of a sample of rows."""
        self.counts.copy_(self._shares(indices))
        self._warned = False

    def see(self, indices: Tensor) -> None:
        """Remember the symbols ``(..., groups)`` of this step's batch; they are counted after the step."""
        self._seen = indices

    @torch.no_grad()
    def move(self, progress: float) -> None:
        """Count the batch; warn once, in the second half of training, of a code that has collapsed."""
        if self._seen is not None:
            self.counts.lerp_(self._shares(self._seen), 1 - self.decay)
            self._seen = None
        # Early on, codes move about; at the end it would be too late to stop and save the time.
        if progress >= 0.5 and not self._warned:
            self._warned = True
            if text := collapse_text(self.counts, self.cure):
                warnings.warn(text, ConvergenceWarning, stacklevel=2)

    def frequencies(self) -> Tensor:
        """Return the share of each symbol, ``(groups, symbols)``; equal ones before anything was seen."""
        return shares(self.counts)

    def _shares(self, indices: Tensor) -> Tensor:
        groups, symbols = self.counts.shape
        flat = indices.reshape(-1, groups)
        # One count for all groups: the symbols of group g are shifted by g alphabets.
        shift = torch.arange(groups, device=flat.device) * symbols
        counts = torch.bincount((flat + shift).flatten(), minlength=groups * symbols)
        return (counts.view(groups, symbols) / max(1, len(flat))).to(self.counts)


def shares(counts: Tensor) -> Tensor:
    """Return counts divided by their sum over the last axis; equal shares where it is zero."""
    total = counts.sum(-1, keepdim=True)
    equal = torch.full_like(counts, 1 / counts.shape[-1])
    return torch.where(total > 0, counts / total.where(total > 0, 1.0), equal)
