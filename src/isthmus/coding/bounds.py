"""How far a restored array may be from its original: as a user says it, and as the coder needs it."""

from __future__ import annotations

import math
import re
from typing import NamedTuple, Self

__all__ = ["LOSSLESS", "MODES", "Bound"]

MODES = ("lossless", "abs", "rel", "psnr")
LOSSLESS = "lossless"
WRITTEN = re.compile(r"(abs|rel|psnr):(\S+)")


class Bound(NamedTuple):
    """What is promised of each value.

    Attributes
    ----------
    mode : {'lossless', 'abs', 'rel', 'psnr'}
        Bit by bit; largest error; the same as a share of the range (largest less least finite
        value); least peak signal-to-noise ratio in dB, ``20 log10(range / rmse)``.
    value : float
        0 for 'lossless'.
    """

    mode: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the bound that is written as ``abs:1e-3``, ``rel:1e-4``, ``psnr:60`` or ``lossless``.

        Raises
        ------
        ValueError
            If it is written otherwise, or out of range.

        Examples
        --------
        >>> Bound.parse("rel:1e-4")
        Bound(mode='rel', value=0.0001)
        """
        if text == LOSSLESS:
            return cls(LOSSLESS, 0.0)
        found = WRITTEN.fullmatch(text) if isinstance(text, str) else None
        try:
            value = float(found[2]) if found else math.nan
        except ValueError:
            value = math.nan
        if not found or not math.isfinite(value):
            raise ValueError(f"error must be abs:1e-3, rel:1e-4, psnr:60 or lossless, with your number; got {text!r}.")
        if not value > 0 or (found[1] == "rel" and value > 0.5):
            limit = "above 0 and at most 0.5" if found[1] == "rel" else "above 0; for no error at all: lossless"
            raise ValueError(f"the number of {found[1]!r} must be {limit}; got {text!r}.")
        return cls(found[1], value)

    def absolute(self, least: float, greatest: float) -> float:
        """Return the largest error that surely keeps this promise for values of this range; 0: only bit by bit.

        A root mean square is at most the largest error, so that of 'psnr' is too careful: errors
        spread evenly have a root mean square of ``1 / sqrt(3)`` of the largest.
        """
        if self.mode == "abs":
            return self.value
        share = {LOSSLESS: 0.0, "rel": self.value, "psnr": 10 ** (-self.value / 20)}[self.mode]
        # Not of the difference, which may be beyond the largest double.
        bound = share * greatest - share * least
        return bound if math.isfinite(bound) else 0.0

    def __str__(self) -> str:
        return self.mode if self.mode == LOSSLESS else f"{self.mode}:{self.value:g}"
