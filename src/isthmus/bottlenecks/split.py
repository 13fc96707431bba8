"""A code of named factors, each with a bottleneck of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from torch import Tensor, nn

from isthmus.batch import Code
from isthmus.bottlenecks.gaussian import Gaussian
from isthmus.part import Part

__all__ = ["Split"]

MOST_FACTORS = 100
INNER = "factors__"
# How names.restore knows a saved part: factors called so would be taken for one.
RESERVED = frozenset({"part", "params"})
# Of the variance of a channel: features are about one in size.
EPSILON = 1e-5


def _every(*abilities: str) -> Callable[[Split], bool]:
    return lambda split: all(hasattr(part, ability) for part in split.parts for ability in abilities)


class Split(Part):
    r"""Named factors side by side: ``z`` is the codes of several bottlenecks, one after the other.

    Parameters
    ----------
    factors : mapping of str to Part, optional
        A name and a bottleneck for each of up to 100 factors. By default ``content`` and
        ``style``, both :class:`Gaussian`.
    pooled : tuple of str, default=()
        Factors that an example has once: they are given the mean of the features over
        positions, and their code is repeated at every position.
    normalized : tuple of str, default=()
        Factors that are given features with mean zero and variance one over the positions of
        the example, channel by channel: what is the same everywhere in it, such as who
        speaks, is hard to find in them.

    Facts
    -----
    width : int
        Channels of the features.
    positions : list of int, default=()
        Shape of the positions; none for pooled factors.
    rank, labels : int, optional
        For those inner parts that ask.

    Attributes
    ----------
    parts : list of Part
        The inner bottlenecks: built, or as they were given.
    mixes_positions : bool
        Whether the code of a position depends on other positions.

    Raises
    ------
    TypeError
        If a factor is not a part.
    ValueError
        If there is no factor or more than 100; a name is not an identifier, has ``__`` in it,
        or is ``part`` or ``params``; ``pooled`` or ``normalized`` name what is not a factor, or one
        factor both.

    Notes
    -----
    The inner bottlenecks' penalties add. ``Code.factors`` has the pieces of z, in order;
    ``Code.indices`` those of the factors that have symbols.

    A code without positions (a table's, a dense network's) has nothing to pool or to
    normalise over: both leave its features as they are. A position whose features are all
    exactly zero is padding, as the encoders of series leave it beyond the end of an example,
    and is not counted.

    Split can do what its factors can. ``sample`` (pooled factors once an example),
    ``posterior``, ``quantize`` and ``dequantize`` are there if every factor has them, and
    ``hasattr`` says so. ``draw`` is there if any factor can draw; its ``log_ratio`` is None
    unless all of them can, as a code that is not drawn has no density.

    ``factors__content__size`` is the path to a param of a factor, in ``set_params``, in a
    grid search and for ``--set``.

    References
    ----------
    Chou, Yeh & Lee, "One-shot voice conversion by separately representing speaker and content
    representations with instance normalization", Interspeech 2019,
    https://arxiv.org/abs/1904.05742 (pooled and normalised). Differs: one encoder, whose
    features both factors read.

    Examples
    --------
    >>> from isthmus.bottlenecks import Linear
    >>> split = Split({"content": Linear(8), "style": Gaussian(4)}, pooled=("style",))
    >>> code = split.build(width=16)(torch.randn(2, 5, 16))
    >>> code.z.shape, {name: tuple(piece.shape) for name, piece in code.factors.items()}
    (torch.Size([2, 5, 12]), {'content': (2, 5, 8), 'style': (2, 5, 4)})
    >>> bool((code.factors["style"][:, 0] == code.factors["style"][:, 4]).all())
    True
    >>> hasattr(split, "sample")
    False
    """

    def __init__(
        self,
        factors: Mapping[str, Part] | None = None,
        pooled: tuple[str, ...] = (),
        normalized: tuple[str, ...] = (),
    ):
        super().__init__()
        self.factors = factors
        self.pooled = pooled
        self.normalized = normalized

    def setup(self, width: int, positions: Sequence[int] = (), rank: int | None = None, labels: int = 0) -> None:
        """Build a copy of each factor's bottleneck."""
        prototypes = self._prototypes()
        _check_names(prototypes, self.pooled, self.normalized)
        facts = {"width": width, "rank": rank, "labels": labels}
        self.names = tuple(prototypes)
        # Copies: the params stay prototypes, which is what a clone takes.
        self.inner = nn.ModuleList(clone(part) for part in prototypes.values())
        self.sizes: list[int] = []
        self.symbols: list[int] = []
        for name, part in zip(self.names, self.inner, strict=True):
            places = [] if name in self.pooled else list(positions)
            part.build_with(facts | {"positions": places})
            with torch.no_grad():
                code = part.eval()(torch.zeros(2, *places, width))
            part.train(self.training)
            self.sizes.append(code.z.shape[-1])
            self.symbols.append(0 if code.indices is None else code.indices.shape[-1])

    def forward(self, features: Tensor) -> Code:
        """Return the code of features ``(b, *p, width)``."""
        codes = [part(given) for part, given in zip(self.inner, self._given(features), strict=True)]
        return self._joined(codes, features)

    def start(self, features: Tensor) -> None:
        """Let each factor's bottleneck begin where it does, on the features that it is given."""
        for part, given in zip(self.inner, self._given(features), strict=True):
            part.start(given)

    @available_if(lambda self: any(hasattr(part, "draw") for part in self.parts))
    def draw(self, features: Tensor) -> Code:
        """Return the code with every factor drawn that can be; ``log_ratio`` if all can."""
        codes = [
            part.draw(given) if hasattr(part, "draw") else part(given)
            for part, given in zip(self.inner, self._given(features), strict=True)
        ]
        ratios = [code.log_ratio for code in codes]
        joined = self._joined(codes, features)
        return joined if any(one is None for one in ratios) else joined._replace(log_ratio=torch.stack(ratios).sum(0))

    @available_if(_every("sample"))
    def sample(self, n: int, positions: tuple[int, ...] = ()) -> Tensor:
        """Draw codes ``(n, *positions, d)``, each factor from its own prior."""
        drawn = [
            part.sample(n, () if name in self.pooled else positions)
            for name, part in zip(self.names, self.inner, strict=True)
        ]
        return torch.cat([_over(piece, positions) for piece in drawn], -1)

    @available_if(_every("posterior"))
    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x), each ``(b, *p, d)``."""
        places = features.shape[1:-1]
        found = [part.posterior(given) for part, given in zip(self.inner, self._given(features), strict=True)]
        mean = torch.cat([_over(one, places) for one, _ in found], -1)
        return mean, torch.cat([_over(other, places) for _, other in found], -1)

    @available_if(_every("quantize", "dequantize"))
    def quantize(self, z: Tensor) -> Tensor:
        """Return the symbols ``(b, *p, q)`` of codes ``(b, *p, d)``."""
        pieces = z.split(self.sizes, -1)
        return torch.cat([part.quantize(piece) for part, piece in zip(self.inner, pieces, strict=True)], -1)

    @available_if(_every("quantize", "dequantize"))
    def dequantize(self, indices: Tensor) -> Tensor:
        """Return the codes ``(b, *p, d)`` of symbols ``(b, *p, q)``."""
        pieces = indices.split(self.symbols, -1)
        return torch.cat([part.dequantize(piece) for part, piece in zip(self.inner, pieces, strict=True)], -1)

    @property
    def parts(self) -> list[Any]:
        """The inner bottlenecks: built, or as they were given."""
        return list(self.inner) if self.facts is not None else list(self._prototypes().values())

    @property
    def mixes_positions(self) -> bool:
        """Whether the code of a position depends on other positions."""
        return bool(self.pooled or self.normalized)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the params; with ``deep`` those of the factors too, as ``factors__content__size``."""
        params = super().get_params(deep=False)
        if deep and isinstance(self.factors, Mapping):
            for name, part in self.factors.items():
                params[f"{INNER}{name}"] = part
                within = part.get_params(deep=True) if isinstance(part, Part) else {}
                params |= {f"{INNER}{name}__{path}": value for path, value in within.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set params; ``factors__content__size=8`` reaches into a factor."""
        inner = {path: params.pop(path) for path in list(params) if path.startswith(INNER)}
        super().set_params(**params)
        for path, value in inner.items():
            name, _, param = path.removeprefix(INNER).partition("__")
            known = self.factors if isinstance(self.factors, Mapping) else {}
            if name not in known:
                has = f"there are: {', '.join(known)}" if known else "give factors={'content': ..., 'style': ...} first"
                raise ValueError(f"Split has no factor {name!r}; {has}.")
            if param:
                known[name].set_params(**{param: value})
            else:
                self.factors = {**known, name: value}
        return self

    def _prototypes(self) -> Mapping[str, Any]:
        return {"content": Gaussian(), "style": Gaussian()} if self.factors is None else self.factors

    def _given(self, features: Tensor) -> list[Tensor]:
        """Return the features as each factor's bottleneck reads them."""
        places = tuple(range(1, features.ndim - 1))
        if not places:
            return [features] * len(self.names)
        if not self.mixes_positions:
            return [features] * len(self.names)
        real = (features != 0).any(-1, keepdim=True)
        count = real.sum(places, keepdim=True).clamp_min(1).to(features)
        mean = features.sum(places, keepdim=True) / count
        off = (features - mean) * real
        normal = off * (off.square().sum(places, keepdim=True) / count + EPSILON).rsqrt()
        once = mean.flatten(1)
        given = [once if name in self.pooled else features for name in self.names]
        return [normal if name in self.normalized else x for name, x in zip(self.names, given, strict=True)]

    def _joined(self, codes: Sequence[Code], features: Tensor) -> Code:
        places = features.shape[1:-1]
        pieces = {name: _over(code.z, places) for name, code in zip(self.names, codes, strict=True)}
        symbols = [_over(code.indices, places) for code in codes if code.indices is not None]
        return Code(
            torch.cat(list(pieces.values()), -1),
            torch.stack([code.penalty for code in codes]).sum(0),
            torch.cat(symbols, -1) if symbols else None,
            pieces,
        )


def _over(piece: Tensor, positions: Sequence[int]) -> Tensor:
    """Return a piece ``(b, *p, d)`` as it is, and ``(b, d)`` repeated at every position."""
    if piece.ndim > 2 or not positions:
        return piece
    return piece.reshape(len(piece), *[1] * len(positions), -1).expand(len(piece), *positions, -1)


def _check_names(factors: Mapping[str, Any], pooled: Sequence[str], normalized: Sequence[str]) -> None:
    if not 1 <= len(factors) <= MOST_FACTORS:
        raise ValueError(f"factors must be 1 to {MOST_FACTORS}, got {len(factors)}.")
    for name, part in factors.items():
        if not isinstance(name, str) or not name.isidentifier() or "__" in name or name in RESERVED:
            raise ValueError(
                f"factors are named as Python names are, without '__', and not part or params; got {name!r:.80}."
            )
        if not isinstance(part, Part):
            raise TypeError(f"factors[{name!r}] must be a bottleneck, such as Linear(8), got {part!r:.80}.")
    for param, chosen in (("pooled", pooled), ("normalized", normalized)):
        for name in chosen:
            if name not in factors:
                raise ValueError(f"{param} names {name!r}, which is no factor; there are: {', '.join(factors)}.")
    for name in set(pooled) & set(normalized):
        raise ValueError(
            f"{name!r} cannot be in both pooled and normalized: the mean of normalised features is zero everywhere."
        )
