"""Parts by name: ``"gaussian(size=8)"`` to a part and back.

The ``__all__`` of each slot's folder is the registry. A name is looked up there, in the
parts the caller passes, and nowhere else; nothing that a name says is ever executed.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.part import Part

__all__ = [
    "JOBS",
    "SLOTS",
    "construct",
    "describe",
    "find",
    "find_job",
    "from_json",
    "parse",
    "restore",
    "slots",
    "to_json",
]

SLOTS = (
    "modalities",
    "corruptions",
    "networks",
    "bottlenecks",
    "priors",
    "losses",
    "objectives",
    "penalties",
)
JOBS = "jobs"
MAX_DEPTH = 20
MAX_ITEMS = 10_000


def slots() -> dict[str, dict[str, type[Part]]]:
    """Return every public part: slot, then class name, then class."""
    return {slot: _public(slot) for slot in SLOTS}


def find(name: str, slot: str | None = None, parts: Iterable[type[Part]] = ()) -> type[Part]:
    """Return the part class of this name.

    Parameters
    ----------
    name : str
        ``"Gaussian"``, ``"gaussian"`` or ``"gaussian_noise"``: case and underscores do
        not count.
    slot : str, optional
        Look only here, one of ``SLOTS``. By default everywhere.
    parts : iterable of type
        A caller's own parts, which go before ours.

    Raises
    ------
    ValueError
        If there is no such part; names those there are.
    """
    own = {cls.__name__: cls for cls in _classes(parts) if issubclass(cls, Part)}
    table = {cls.__name__: cls for where in ([slot] if slot else SLOTS) for cls in _public(where).values()} | own
    found = _look_up(name, own) or _look_up(name, table)
    if found is not None:
        return found
    if slot:
        there = f"The {slot} here: {', '.join(sorted(table))}."
    else:
        # All of them would fill a page.
        alike = difflib.get_close_matches(_short(name).lower(), [one.lower() for one in table], 3, 0.4)
        nearest = [one for one in table if one.lower() in alike]
        there = f"Alike are: {', '.join(nearest) or 'none'}. isthmus.names.slots() has all."
    raise ValueError(
        f"no part is called {_short(name)!r}. {there} "
        "For a part of your own, pass the instance, and load with load(path, parts=[YourPart])."
    )


def find_job(name: str, parts: Iterable[type] = ()) -> type:
    """Return the job class of this name.

    Parameters
    ----------
    name : str
        As for :func:`find`: ``"AnomalyDetector"`` or ``"anomaly_detector"``.
    parts : iterable of type
        A caller's own jobs, which go before ours; parts among them are passed over.

    Raises
    ------
    ValueError
        If there is no such job; names those there are.
    """
    own = {cls.__name__: cls for cls in _classes(parts) if not issubclass(cls, Part)}
    table = _public(JOBS) | own
    found = _look_up(name, own) or _look_up(name, table)
    if found is not None:
        return found
    raise ValueError(
        f"no job is called {_short(name)!r}. The jobs here: {', '.join(sorted(table)) or 'none'}. "
        "For a job of your own, load with load(path, parts=[YourJob])."
    )


def parse(text: str, slot: str | None = None, parts: Iterable[type[Part]] = ()) -> Part:
    """Make a part from text like ``"gaussian(size=8)"``; nothing is evaluated.

    Parameters
    ----------
    text : str
        A name, or a name and literal arguments: numbers, strings, True, False, None,
        tuples, lists, dicts, and parts within parts.
    slot, parts
        As for :func:`find`.

    Raises
    ------
    ValueError
        If the text is not of this form, or an argument does not fit.

    Examples
    --------
    >>> parse("mlp_encoder(hidden=(64, 32), activation='tanh')", "networks")
    MLPEncoder(activation='tanh', hidden=(64, 32))
    """
    if len(text) > MAX_ITEMS:
        raise ValueError(f"the name of a part is at most {MAX_ITEMS} characters long, got {len(text)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own, about literals such as '\\d'
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, MemoryError, RecursionError, ValueError) as error:
        raise ValueError(f"cannot read {_short(text)!r}: write a part as name(argument=value, ...).") from error
    return _from_syntax(tree, text, slot, tuple(parts))


def describe(part: Part) -> dict[str, Any]:
    """Return a part's name and params as JSON-able values; :func:`restore` reads them.

    Raises
    ------
    TypeError
        If a param is not a number, string, bool, None, sequence, mapping or part.
    """
    params = {
        name: _to_json(value, f"{type(part).__name__}.{name}") for name, value in part.get_params(deep=False).items()
    }
    return {"part": type(part).__name__, "params": params}


def restore(tree: Any, slot: str | None = None, parts: Iterable[type[Part]] = ()) -> Part:
    """Make the prototype that :func:`describe` described; sequences come back as tuples.

    Raises
    ------
    ValueError
        If the tree is not of that form, or names something that is not a part.
    """
    return _restore(tree, slot, tuple(parts), 0)


def from_json(value: Any, parts: Iterable[type[Part]] = ()) -> Any:
    """Return the Python value of a param that was saved as JSON.

    Raises
    ------
    ValueError
        If it is nested deeper than 20 levels, is longer than 10,000 items, or holds a part
        that :func:`restore` refuses.
    """
    return _from_json(value, tuple(parts), 0)


def to_json(value: Any) -> Any:
    """Return a param as JSON-able values; :func:`from_json` reads them.

    Raises
    ------
    TypeError
        If it is not a number, string, bool, None, sequence, mapping or part.
    """
    return _to_json(value, "param")


def construct(cls: type, params: Mapping[str, Any]) -> Any:
    """Make an instance from its parameters by name.

    Raises
    ------
    ValueError
        If a parameter is unknown, or one without a default is not given.
    """
    known = inspect.signature(cls).parameters
    for name in params:
        if name not in known:
            raise ValueError(f"{cls.__name__} has no parameter {_short(name)!r}; it has: {', '.join(known) or 'none'}.")
    missing = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in params]
    if missing:
        raise ValueError(f"{cls.__name__} needs {', '.join(missing)}.")
    return cls(**params)


def _public(slot: str) -> dict[str, Any]:
    if slot not in (*SLOTS, JOBS):
        raise ValueError(f"no slot is called {_short(slot)!r}; the slots are {', '.join(SLOTS)}.")
    # Looked up late: the slots stand on a higher floor, and are imported with torch.
    module = importlib.import_module(f"isthmus.{slot}")
    return {name: getattr(module, name) for name in module.__all__}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _look_up(name: str, table: Mapping[str, type]) -> Any:
    """Return the class of this name, case and underscores apart; None if there is none."""
    return next((cls for known, cls in table.items() if _plain(known) == _plain(name)), None)


def _classes(parts: Iterable[type]) -> tuple[type, ...]:
    classes = tuple(parts)
    for cls in classes:
        if not inspect.isclass(cls):
            raise TypeError(f"parts takes classes, got {_short(cls)}; write parts=[{type(cls).__name__}].")
    return classes


def _restore(tree: Any, slot: str | None, parts: tuple[type[Part], ...], depth: int) -> Part:
    if not (isinstance(tree, Mapping) and set(tree) == {"part", "params"} and isinstance(tree["part"], str)):
        raise ValueError(f"expected a part as {{'part': name, 'params': {{...}}}}, got {_short(tree)}.")
    cls = find(tree["part"], slot, parts)
    if not isinstance(tree["params"], Mapping):
        raise ValueError(f"the params of {cls.__name__} should be an object, got {_short(tree['params'])}.")
    return construct(cls, {name: _from_json(value, parts, depth + 1) for name, value in tree["params"].items()})


def _from_json(value: Any, parts: tuple[type[Part], ...], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"params are nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, list | Mapping) and len(value) > MAX_ITEMS:
        raise ValueError(f"a param has {len(value)} items, more than {MAX_ITEMS}.")
    if isinstance(value, list):
        return tuple(_from_json(item, parts, depth + 1) for item in value)
    if isinstance(value, Mapping):
        if set(value) == {"part", "params"}:
            return _restore(value, None, parts, depth)
        return {str(key): _from_json(item, parts, depth + 1) for key, item in value.items()}
    return value


def _from_syntax(node: ast.expr, text: str, slot: str | None, parts: tuple[type[Part], ...]) -> Part:
    if isinstance(node, ast.Name):
        return construct(find(node.id, slot, parts), {})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(f"cannot read {_short(text)!r}: write a part as name(argument=value, ...).")
    cls = find(node.func.id, slot, parts)
    order = list(inspect.signature(cls).parameters)
    if len(node.args) > len(order) or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise ValueError(f"{cls.__name__} takes at most {len(order)} arguments: {', '.join(order)}.")
    params = {name: _literal(value, text, parts) for name, value in zip(order, node.args, strict=False)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in params:
            raise ValueError(f"cannot read {_short(text)!r}: give each argument of {cls.__name__} once, by its name.")
        params[keyword.arg] = _literal(keyword.value, text, parts)
    return construct(cls, params)


def _literal(node: ast.expr, text: str, parts: tuple[type[Part], ...]) -> Any:
    if isinstance(node, ast.Call | ast.Name):
        return _from_syntax(node, text, None, parts)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(item, text, parts) for item in node.elts)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return {key: _literal(value, text, parts) for key, value in zip(keys, node.values, strict=True)}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"cannot read an argument in {_short(text)!r}: use numbers, strings, tuples, None.") from error


def _to_json(value: Any, where: str) -> Any:
    if isinstance(value, Part):
        return describe(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}, which cannot be saved; use a finite number.")
        return value
    if isinstance(value, Mapping):
        return {str(key): _to_json(item, where) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_to_json(item, where) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a numpy scalar, from a grid search
        return _to_json(value.item(), where)
    raise TypeError(
        f"{where} is a {type(value).__name__}, which cannot be saved. "
        "Use numbers, strings, booleans, None, tuples, dicts and parts."
    )
