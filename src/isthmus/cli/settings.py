"""``--set path=value``: the ``set_params`` paths of the Python API, checked before the fit.

A path begins at what is fitted: the auto-encoder, or with ``--for`` the job, whose
auto-encoder is ``estimator__...``. There is one name for each thing: what has an option of
its own (``--modality``, ``--seed``, ``--resume``) cannot be set here.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

import click
from sklearn.base import BaseEstimator

from isthmus import names
from isthmus.cli.running import wrong_call
from isthmus.estimator import AutoEncoder

__all__ = ["apply", "read"]

INNER = "estimator__"
SLOTS = {
    "encoder": "networks",
    "decoder": "networks",
    "bottleneck": "bottlenecks",
    "corruption": "corruptions",
    "loss": "losses",
}
ELSEWHERE = {
    "modality": "use --modality",
    "random_state": "use --seed",
    "resume": "use --resume",
    "checkpoint": "it is kept beside the model",
    "callback": "progress is shown anyway",
}


def read(settings: tuple[str, ...]) -> dict[str, Any]:
    """Return ``PATH=VALUE`` texts as paths and values: Python literals, else strings.

    Raises
    ------
    click.UsageError
        If a text has no path or no value, or a path is given twice.

    Examples
    --------
    >>> read(("bottleneck__size=8", "encoder=mlp_encoder(hidden=(64, 32))"))
    {'bottleneck__size': 8, 'encoder': 'mlp_encoder(hidden=(64, 32))'}
    """
    values: dict[str, Any] = {}
    for text in settings:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not path or not equals:
            raise _wrong(f"--set takes PATH=VALUE, such as bottleneck__size=8; got {text!r}.")
        if path in values:
            raise _wrong(f"--set {path} is given twice; give it once.")
        values[path] = _literal(value.strip())
    return values


def apply(model: BaseEstimator, values: dict[str, Any]) -> None:
    """Set parameters of an auto-encoder, or of a job that holds one.

    Raises
    ------
    click.UsageError
        If there is no such parameter (the line names those there are), or no such part.
    """
    # Whole parts first: the paths into them are looked up in what was just set.
    for path in sorted(values, key=lambda path: path.removeprefix(INNER).count("__")):
        _set(model, path, values[path])


def _set(model: BaseEstimator, path: str, value: Any) -> None:
    owner: Any = model
    *way, last = path.split("__")
    gone = ""
    for name in way:
        _check_name(owner, name, gone, path)
        gone += f"{name}__"
        owner = _enter(owner, name, gone)
    _check_name(owner, last, gone, path)
    if (
        last in ELSEWHERE
        and isinstance(owner, AutoEncoder)
        or (owner is model and last in ("random_state", "estimator"))
    ):
        hint = ELSEWHERE.get(last, f"set its parameters: --set {INNER}max_epochs=50")
        raise _wrong(f"--set {path} has no effect here: {hint}.")
    with wrong_call():
        if isinstance(owner, dict):
            owner[last] = names.parse(str(value))
            return
        value = _as_parts(last, value) if isinstance(owner, AutoEncoder) else value
    owner.set_params(**{last: value})


def _enter(owner: Any, name: str, gone: str) -> Any:
    # A mapping of parts, such as the factors of a split code.
    inner = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    if isinstance(inner, str) and name in SLOTS:
        inner = names.parse(inner, SLOTS[name])
        owner.set_params(**{name: inner})
    if not hasattr(inner, "set_params") and not isinstance(inner, dict):
        able = ", ".join(sorted(names.slots()[SLOTS[name]])) if name in SLOTS else "a part"
        raise _wrong(
            f"{gone[:-2]} is not chosen yet, so it has no parameters. Name it first: --set {gone[:-2]}=... ({able})."
        )
    return inner


def _check_name(owner: Any, name: str, gone: str, path: str) -> None:
    if isinstance(owner, dict):
        known = list(owner)
    else:
        known = [name for name in inspect.signature(type(owner)).parameters if name in owner.get_params(deep=False)]
    if name in known:
        return
    if isinstance(owner, AutoEncoder):
        known = [one for one in known if one not in ELSEWHERE]
    hint = ""
    if not gone and "estimator" in known and name in AutoEncoder().get_params(deep=False):
        hint = f" For the job's auto-encoder write --set {INNER}{path}=..."
    said = ", ".join(gone + one for one in known) or "no parameters"
    what = gone[:-2] if isinstance(owner, dict) else type(owner).__name__
    raise _wrong(f"no parameter {path!r}; {what} has: {said}.{hint}")


def _as_parts(name: str, value: Any) -> Any:
    if name in SLOTS and isinstance(value, str):
        return names.parse(value, SLOTS[name])
    if name == "penalties":
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple):
            raise ValueError(f"penalties takes a part or a tuple of parts, got {value!r}.")
        return tuple(names.parse(str(one), "penalties") for one in listed)
    return value


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _wrong(message: str) -> click.UsageError:
    return click.UsageError(message, click.get_current_context(silent=True))
