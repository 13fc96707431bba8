"""The contract of parts: one call that checks any part of any slot."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

import torch

from isthmus import names
from isthmus.checks.behaviour import BEHAVIOUR, check_saving
from isthmus.checks.modalities import MODALITY
from isthmus.checks.prototypes import check_prototype, check_refusals, check_signature
from isthmus.checks.settings import Case, Setting, map_settings, require, settings, wider_settings
from isthmus.part import Part

__all__ = ["check_part"]

ROLES = {
    "modalities": "modality",
    "corruptions": "corruption",
    "bottlenecks": "bottleneck",
    "priors": "prior",
    "losses": "loss",
    "objectives": "objective",
    "penalties": "penalty",
}


def check_part(
    part: Part | type[Part],
    slot: str | None = None,
    *,
    X: Any = None,
    modality: Part | None = None,
    device: str = "cpu",
    **beside: Part,
) -> None:
    """Check that a part keeps the contract, so that it works wherever ours do.

    What is checked: ``__init__`` only stores its arguments; clone, get_params, set_params,
    the saved form and the text of the part; a JSON schema with a line for each parameter;
    wrong params are refused by name; the facts are JSON and enough to rebuild the part;
    shapes; nats are finite, per example, and the sum of those of the cells; gradients reach
    every weight; inputs are not modified; evaluation draws nothing, and examples do not
    influence each other there; training draws from torch's generator alone; the dtype that
    goes in comes out; what is masked is not looked at; a batch of one; a fitted model that
    was saved and loaded gives equal results.

    Parameters
    ----------
    part : Part or type
        A prototype, or a class whose parameters all have defaults.
    slot : str, optional
        One of ``isthmus.names.SLOTS``; needed for a part that is not ours.
    X : array-like, data frame or Rows, optional
        Data to try it on, at least 16 rows. By default a table of numbers, one with gaps,
        one of mixed columns, colour images and series: the part must take at least one of them,
        and refuse the others with a ValueError or TypeError.
    modality : Part, optional
        What takes ``X``; by default tables, or images.
    device : str, default='cpu'
        Where to run.
    **beside : Part
        What stands beside the part where the defaults do not fit it: ``encoder``,
        ``bottleneck``, ``decoder``, ``loss``, ``corruption``.

    Raises
    ------
    AssertionError
        At the first check that fails: what was expected, what was found, what to do.
    ValueError
        If ``slot`` is not a slot, or is needed and not given.

    Examples
    --------
    >>> from isthmus.networks import MLPDecoder, MLPEncoder
    >>> plain = MLPEncoder((6,), shortcut=False)
    >>> check_part(MLPDecoder(tied=True, shortcut=False), encoder=plain)
    """
    cls = part if isinstance(part, type) else type(part)
    check_signature(cls)
    prototype = _prototype(part)
    role = _role(prototype, slot)
    check_prototype(prototype)
    tried = list(settings(X, modality, beside))
    fitting, refused = _fitting(prototype, role, tried, device)
    if not fitting and role == "penalty":
        fitting, refused = _fitting(prototype, role, list(wider_settings(tried)), device)
    if not fitting and role in ("decoder", "bottleneck"):
        fitting, refused = _fitting(prototype, role, list(map_settings(tried)), device)
    require(bool(fitting), f"{prototype!r} fits none of the data it was tried on: {'; '.join(refused)}")
    check_refusals(prototype, lambda one: fitting[0].assemble(role, one, torch.float64, device))
    for setting in fitting:
        case = Case(setting, role, prototype, device)
        for check in MODALITY if role == "modality" else BEHAVIOUR:
            _run(check, case)
    _run(check_saving, Case(fitting[0], role, prototype, device))


def _prototype(part: Part | type[Part]) -> Part:
    if not isinstance(part, type):
        return part
    required = [p.name for p in inspect.signature(part).parameters.values() if p.default is p.empty]
    require(
        not required,
        f"{part.__name__} has no default for {', '.join(required)}: give defaults, or pass check_part an instance.",
    )
    return part()


def _role(part: Part, slot: str | None) -> str:
    if slot is None:
        slot = next((name for name, parts in names.slots().items() if type(part) in parts.values()), None)
    if slot not in names.SLOTS:
        raise ValueError(
            f"{type(part).__name__} is none of our parts; say which slot it is for: "
            f"check_part(part, slot) with one of {', '.join(names.SLOTS)}, got {slot!r}."
        )
    if slot == "networks":
        return "decoder" if "code" in inspect.signature(part.setup).parameters else "encoder"
    return ROLES[slot]


def _run(check: Callable[[Case], None], case: Case) -> None:
    """Run a check; what it meets besides a failed requirement is the part's failure as well."""
    try:
        check(case)
    except AssertionError:
        raise
    except Exception as error:
        aim = (check.__doc__ or "").partition("\n")[0]
        raise AssertionError(f"{case.what}: {type(error).__name__}: {error} (the aim: {aim})") from error


def _fitting(part: Part, role: str, tried: list[Setting], device: str) -> tuple[list[Setting], list[str]]:
    """Return the settings that the part can be built in, and why it refused the others."""
    fitting, refused = [], []
    for setting in tried:
        try:
            setting.assemble(role, part, torch.float64, device)
        except Exception as error:
            if not _is_refusal(error):
                raise AssertionError(
                    f"{part!r} as {role} on {setting.name} fails: {type(error).__name__}: {error} "
                    "A part that does not take some data should say so by a ValueError or TypeError in setup."
                ) from error
            refused.append(f"{setting.name} ({type(error).__name__}: {error})")
        else:
            fitting.append(setting)
    return fitting, refused


def _is_refusal(error: Exception) -> bool:
    """Whether a part itself says that it does not fit, while it meets the data or its neighbours."""
    where = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    return isinstance(error, TypeError | ValueError) and not where.isdisjoint({"build", "fit", "tie", "watch"})
