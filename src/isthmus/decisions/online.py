"""The share of false alerts among those of a stream, row after row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from isthmus.decisions.thresholds import ROUNDING, check_share

__all__ = ["OnlineFDR"]


class OnlineFDR:
    r"""Decide on rows as they come, so that in each window at most a share of the alerts is false.

    Parameters
    ----------
    fdr : float
        The rate of false discoveries q, above 0 and below 1.
    window : int
        Rows W after which the count begins anew. See :meth:`for_held_out`.
    seen, found : int, default=0
        Rows and alerts of the window so far: where :meth:`state` left off.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    The rule is LOND (levels based on the number of discoveries) with equal shares for all
    rows of a window: the t-th row is an alert if

    .. math:: p_t \le \frac{q}{W} (D_{t-1} + 1),

    :math:`D_{t-1}` being the alerts of the window so far. It controls the rate of false
    discoveries at the end of every window (and at any row of it) at q if the p-values are
    independent, and also if they are positively dependent as conformal p-values of one
    held-out set are: the level never rises with any earlier p-value, so that for a normal row
    :math:`E[1\{p_t \le (q/W) f\} / f] \le q / W` with :math:`f = D_{t-1} + 1` (Blanchard &
    Roquain's lemma), and a false alert at row t has a share of at most :math:`1 / f` in what
    the window finds.

    **Why windows, and not LORD++, SAFFRON or ADDIS**, whose guarantee is for the whole stream:
    m held-out rows give no p-value below ``1 / (m + 1)``, while the levels of these rules fall
    for as long as nothing is found. With m = 10,000 and q = 0.1 the level of LORD++ (first
    wealth q / 2, its authors' sequence) is below every p-value that there can be from the 21st
    row on: a stream that begins with 20 normal rows never gives an alert. No rule escapes this.
    In a stream of normal rows alone, every alert is false, so that the chance of one must stay
    below q; it is reached after ``q (m + 1)`` rows. Their guarantees also ask for p-values that
    are independent given the past, which those of one held-out set are not.

    **What it does not say.** The rate is that of each window, with windows without an alert
    counted as without error. If most windows have no anomaly in them, then of the windows with
    an alert many are false ones, and the share of false alerts of the whole stream is above q.
    On normal rows alone, a window has an alert with probability at most q.

    References
    ----------
    Javanmard & Montanari, "On online control of false discovery rate", 2015,
    https://arxiv.org/abs/1502.06197 (LOND); Zrnic, Ramdas & Jordan, "Asynchronous online
    testing of multiple hypotheses", JMLR 22, 2021, https://arxiv.org/abs/1812.05068 (positive
    dependence); Blanchard & Roquain, "Two simple sufficient conditions for FDR control",
    Electronic Journal of Statistics 2, 2008; Kronert, Celisse & Hattab, "FDR control for online
    anomaly detection", 2023, https://arxiv.org/abs/2312.01969 (windows, and the number of held-out
    rows). Differs from LOND: equal shares, and a new count after each window.

    Examples
    --------
    >>> rule = OnlineFDR.for_held_out(0.1, held_out=999)
    >>> rule.window
    100
    >>> rule.decide([0.5, 0.001, 0.002, 0.9])
    array([False,  True,  True, False])
    >>> again = OnlineFDR(**rule.state())
    >>> round(again.level, 4)
    0.003
    """

    def __init__(self, fdr: float, window: int, seen: int = 0, found: int = 0):
        check_share("fdr", fdr)
        for name, value in {"window": window, "seen": seen, "found": found}.items():
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{name} must be a whole number, got {value!r}.")
        if not (window >= 1 and 0 <= found <= seen < window):
            raise ValueError(
                f"of a window of at least 1 row some were seen, and some of these found; got window={window}, "
                f"seen={seen}, found={found}."
            )
        self.fdr = float(fdr)
        self.window, self.seen, self.found = int(window), int(seen), int(found)

    @classmethod
    def for_held_out(cls, fdr: float, held_out: int) -> Self:
        """Return the rule with the longest window in which a single odd row can be an alert: ``q (m + 1)`` rows.

        Raises
        ------
        ValueError
            If so few rows were held out that no row could ever be one.
        """
        check_share("fdr", fdr)
        window = math.floor(fdr * (held_out + 1) + ROUNDING)
        if window < 1:
            raise ValueError(
                f"{held_out} held-out rows cannot vouch for a false discovery rate of {fdr:g}; that takes "
                f"{math.ceil(1 / fdr - ROUNDING) - 1} at least. Hold out more rows, or take a higher rate."
            )
        return cls(fdr, window)

    @property
    def level(self) -> float:
        """The p-value at or below which the next row is an alert."""
        return self.fdr * (self.found + 1) / self.window

    def decide(self, p: Any) -> np.ndarray:
        """Return which of the next rows are alerts, ``(n,)``, and move on.

        Parameters
        ----------
        p : array-like of shape (n,)
            Their p-values, in order; in pieces or all at once is the same.
        """
        return self.levels(p)[0]

    def levels(self, p: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`decide` returns, and the level that each row was held to."""
        p = np.asarray(p, np.float64)
        if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
            raise ValueError(f"p-values must be numbers (n,) from 0 to 1, got shape {p.shape}.")
        alert, levels = np.zeros(len(p), bool), np.empty(len(p))
        begin = 0
        while begin < len(p):
            # Up to the next alert, or the end of the window, the level stays what it is.
            piece = slice(begin, begin + self.window - self.seen)
            below = np.flatnonzero(p[piece] <= self.level * (1 + ROUNDING))
            end = begin + int(below[0]) + 1 if len(below) else min(piece.stop, len(p))
            levels[begin:end] = self.level
            alert[end - 1] = bool(len(below))
            self.found += bool(len(below))
            self.seen += end - begin
            if self.seen == self.window:
                self.seen = self.found = 0
            begin = end
        return alert, levels

    def state(self) -> dict[str, Any]:
        """Return the arguments of a rule that goes on where this one is: JSON values."""
        return {"fdr": self.fdr, "window": self.window, "seen": self.seen, "found": self.found}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the rule that a state is of.

        Raises
        ------
        ValueError
            If it is not one.
        """
        names = ("fdr", "window", "seen", "found")
        if set(state) != set(names) or not isinstance(state["fdr"], float):
            raise ValueError(f"the state of a stream has {', '.join(names)}, got {str(dict(state))[:120]}.")
        return cls(**state)
