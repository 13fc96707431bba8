"""What each role of the line owes: the shapes and the meaning of its results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from isthmus.batch import Batch, Code, Step
from isthmus.checks.settings import require
from isthmus.part import Part

__all__ = ["check_role"]


def check_role(role: str, part: Part, given: tuple[Any, ...], what: str) -> None:
    """Call a part with what it is given in the line, and check the result."""
    _ROLES[role](part, given, what)


def _encoder(part: Part, given: tuple[Batch], what: str) -> None:
    features = part(*given)
    n = len(given[0])
    require(
        isinstance(features, Tensor) and features.ndim >= 2 and len(features) == n and features.is_floating_point(),
        f"{what}: features should be a float tensor ({n}, *positions, width), got {_shape(features)}.",
    )


def _bottleneck(part: Part, given: tuple[Tensor], what: str) -> None:
    (features,) = given
    _code(part(features), features, what)
    code = part(torch.randn(5, 2, 4, features.shape[-1]).to(features))
    if hasattr(part, "sample"):
        for positions in ((), (2, 4)):
            z = part.sample(3, positions)
            wanted = (3, *positions, code.z.shape[-1])
            require(
                tuple(z.shape) == wanted and z.dtype == code.z.dtype and z.device == code.z.device,
                f"{what}: sample(3, {positions}) should be like its codes and of shape {wanted}, got {_shape(z)}.",
            )


def _code(code: Any, features: Tensor, what: str) -> None:
    require(isinstance(code, Code), f"{what}: it should return a Code, got {type(code).__name__}.")
    z, penalty = code.z, code.penalty
    require(
        z.ndim == features.ndim and z.shape[:-1] == features.shape[:-1],
        f"{what}: for features {_shape(features)} the code should be of shape (b, *positions, d), got {_shape(z)}.",
    )
    _nats(penalty, len(features), what + ": Code.penalty")
    if code.indices is not None:
        require(
            code.indices.dtype == torch.int64 and code.indices.shape[:-1] == features.shape[:-1],
            f"{what}: indices should be int64 of shape (b, *positions, q), got {_shape(code.indices)}.",
        )
    if code.factors is not None:
        require(
            torch.equal(torch.cat(list(code.factors.values()), -1), z),
            f"{what}: factors should be pieces of z: one after the other on the last axis, they are z.",
        )


def _prior(part: Part, given: tuple[Tensor, Tensor], what: str) -> None:
    z, features = given
    _nats(part.log_prob(z), len(z), what + ": log_prob")
    for positions in ((), (2, 4)):
        drawn = part.sample(3, positions)
        wanted = (3, *positions, z.shape[-1])
        require(
            tuple(drawn.shape) == wanted and drawn.dtype == z.dtype and drawn.device == z.device,
            f"{what}: sample(3, {positions}) should be like its codes and of shape {wanted}, got {_shape(drawn)}.",
        )
    part.start(z.detach(), features.detach())
    _nats(part.log_prob(z), len(z), what + ": log_prob after start")


def _objective(part: Part, given: tuple[Tensor, Code], what: str) -> None:
    nats, code = given
    require(
        isinstance(part.draws, int) and part.draws >= 1 and len(nats) % part.draws == 0,
        f"{what}: draws should be a whole number of at least 1, got {part.draws!r}.",
    )
    _nats(part(nats, code), len(nats) // part.draws, what)


def _decoder(part: Part, given: tuple[Tensor, Batch], what: str) -> None:
    z, target = given
    output = part(z, target)
    wanted = (len(z), *target.x.shape[1:-1])
    require(
        tuple(output.shape[:-1]) == wanted,
        f"{what}: the output should be of shape {wanted} and channels, channels last, got {_shape(output)}.",
    )


def _loss(part: Part, given: tuple[Tensor, Batch], what: str) -> None:
    output, target = given
    x, n = target.x, len(target)
    nats, cells, error = part(output, target), part.cells(output, target), part.error(output, target)
    _nats(nats, n, what)
    require(cells.shape == x.shape, f"{what}: cells should be of the data's shape {_shape(x)}, got {_shape(cells)}.")
    require(
        torch.allclose(cells.flatten(1).sum(1), nats, rtol=1e-8, atol=1e-8),
        f"{what}: nats must be the sum of cells over each example, not a mean: "
        f"{float(nats[0].detach()):.6g} against {float(cells[0].detach().sum()):.6g} for the first.",
    )
    _nats(error, n, what + ": error")
    require(bool((error >= 0).all()), f"{what}: error is a sum of squares, got {float(error.min().detach()):.3g}.")
    for name in ("mean", "draw"):
        values = getattr(part, name)(output)
        require(values.shape == x.shape, f"{what}: {name} should be of shape {_shape(x)}, got {_shape(values)}.")
    guess = part.guess(target)
    require(guess.shape == output.shape, f"{what}: guess should be of shape {_shape(output)}, got {_shape(guess)}.")
    others = Batch(x.roll(1, 0), None if target.mask is None else target.mask.roll(1, 0))
    require(
        bool(part(guess, target).mean() < part(part.guess(others), target).mean()),
        f"{what}: guess should fit its own target better than another row's does.",
    )


def _penalty(part: Part, given: tuple[Step], what: str) -> None:
    (step,) = given
    if part.training:
        _nats(part(step), len(step.target), what)


def _corruption(part: Part, given: tuple[Batch], what: str) -> None:
    (target,) = given
    source = part(target)
    x = target.x
    require(isinstance(source, Batch), f"{what}: it should return a Batch, got {type(source).__name__}.")
    require(source.x.shape == x.shape, f"{what}: it gives {_shape(source.x)} for {_shape(x)}.")
    mask = source.mask
    require(
        mask is None or (mask.dtype == torch.bool and mask.shape in (x.shape, x.shape[:-1])),
        f"{what}: the mask should be boolean, per cell or per position, got {_shape(mask)}.",
    )
    require(target.mask is None or mask is not None, f"{what}: it lost the mask.")
    for column, symbols in enumerate((part.facts or {}).get("categories") or []):
        values = source.x[:, column]
        if symbols:
            legal = bool(((values == values.round()) & (values >= 0) & (values < max(symbols, 2))).all())
            require(legal, f"{what}: column {column} holds symbols, and it put something else there.")


_ROLES: dict[str, Callable[[Part, Any, str], None]] = {
    "encoder": _encoder,
    "bottleneck": _bottleneck,
    "prior": _prior,
    "objective": _objective,
    "decoder": _decoder,
    "loss": _loss,
    "penalty": _penalty,
    "corruption": _corruption,
}


def _nats(nats: Any, n: int, what: str) -> None:
    require(
        isinstance(nats, Tensor) and tuple(nats.shape) == (n,),
        f"{what} should be nats per example, of shape ({n},), got {_shape(nats)}.",
    )
    require(bool(nats.isfinite().all()), f"{what} has nats that are not finite.")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
