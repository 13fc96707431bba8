"""Parts by name: ``"gaussian(size=8)"`` to a part and back, and a schema of its parameters.

The ``__all__`` of each slot's folder is the registry. A name is looked up there, in the
parts the caller passes, and nowhere else; nothing that a name says is ever executed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from isthmus.part import Part

__all__ = ["JOBS", "SLOTS", "describe", "find", "parse", "restore", "schema", "slots"]

SLOTS = (
    "modalities",
    "corruptions",
    "networks",
    "bottlenecks",
    "losses",
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
    table = {cls.__name__: cls for where in ([slot] if slot else SLOTS) for cls in _public(where).values()}
    table |= {cls.__name__: cls for cls in parts}
    for known, cls in table.items():
        if _plain(known) == _plain(name):
            return cls
    place = f"{slot} " if slot else "parts "
    raise ValueError(
        f"no part is called {_short(name)!r}. The {place}here: {', '.join(sorted(table))}. "
        "For a part of your own, pass the instance, and load with load(path, parts=[YourPart])."
    )


def parse(text: str, slot: str | None = None, parts: Iterable[type[Part]] = ()) -> Part:
    """Make a part from text like ``"gaussian(size=8)"``; nothing is evaluated.

    Parameters
    ----------
    text : str
        A name, or a name and literal arguments: numbers, strings, True, False, None,
        tuples, lists, and parts within parts.
    slot, parts
        As for :func:`find`.

    Raises
    ------
    ValueError
        If the text is not of this form, or an argument does not fit.

    Examples
    --------
    >>> parse("mlp_encoder(hidden=(64, 32), activation='tanh')", "networks")
    MLPEncoder(hidden=(64, 32), activation='tanh')
    """
    if len(text) > MAX_ITEMS:
        raise ValueError(f"the name of a part is at most {MAX_ITEMS} characters long, got {len(text)}.")
    try:
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
    if not (isinstance(tree, Mapping) and set(tree) == {"part", "params"} and isinstance(tree["part"], str)):
        raise ValueError(f"expected a part as {{'part': name, 'params': {{...}}}}, got {_short(tree)}.")
    parts = tuple(parts)
    cls = find(tree["part"], slot, parts)
    if not isinstance(tree["params"], Mapping):
        raise ValueError(f"the params of {cls.__name__} should be an object, got {_short(tree['params'])}.")
    return _construct(cls, {name: from_json(value, parts) for name, value in tree["params"].items()})


def from_json(value: Any, parts: Iterable[type[Part]] = (), depth: int = 0) -> Any:
    """Return the Python value of a param that was saved as JSON."""
    if depth > MAX_DEPTH:
        raise ValueError(f"params are nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, list):
        if len(value) > MAX_ITEMS:
            raise ValueError(f"a param has {len(value)} items, more than {MAX_ITEMS}.")
        return tuple(from_json(item, parts, depth + 1) for item in value)
    if isinstance(value, Mapping):
        if set(value) == {"part", "params"}:
            return restore(value, None, parts)
        return {str(key): from_json(item, parts, depth + 1) for key, item in value.items()}
    return value


def to_json(value: Any) -> Any:
    """Return a param as JSON-able values."""
    return _to_json(value, "param")


def schema(cls: type) -> dict[str, Any]:
    """Return a JSON schema of the parameters of a part, a job or an estimator.

    Types come from the signature's annotations, descriptions from the numpydoc
    "Parameters" section, defaults from the signature.

    Examples
    --------
    >>> from isthmus.bottlenecks import Gaussian
    >>> schema(Gaussian)["properties"]["beta"]["type"]
    'number'
    """
    hints = typing.get_type_hints(cls.__init__)
    texts = _parameter_texts(inspect.getdoc(cls) or "")
    properties = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        entry: dict[str, Any] = _type_schema(hints.get(name, Any))
        if parameter.default is not inspect.Parameter.empty:
            entry["default"] = _to_json(parameter.default, name)
        if name in texts:
            entry["description"] = texts[name]
        properties[name] = entry
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    required = [name for name, p in inspect.signature(cls).parameters.items() if p.default is inspect.Parameter.empty]
    return {
        "title": cls.__name__,
        "description": summary,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _public(slot: str) -> dict[str, type[Part]]:
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


def _construct(cls: type[Part], params: Mapping[str, Any]) -> Part:
    known = inspect.signature(cls).parameters
    for name in params:
        if name not in known:
            raise ValueError(f"{cls.__name__} has no parameter {_short(name)!r}; it has: {', '.join(known) or 'none'}.")
    missing = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in params]
    if missing:
        raise ValueError(f"{cls.__name__} needs {', '.join(missing)}.")
    return cls(**params)


def _from_syntax(node: ast.expr, text: str, slot: str | None, parts: tuple[type[Part], ...]) -> Part:
    if isinstance(node, ast.Name):
        return _construct(find(node.id, slot, parts), {})
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
    return _construct(cls, params)


def _literal(node: ast.expr, text: str, parts: tuple[type[Part], ...]) -> Any:
    if isinstance(node, ast.Call | ast.Name):
        return _from_syntax(node, text, None, parts)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(item, text, parts) for item in node.elts)
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


_SIMPLE = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def _type_schema(hint: Any) -> dict[str, Any]:
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type_schema(argument) for argument in arguments]}
    if origin in (tuple, list) or hint in (tuple, list):
        inner = [argument for argument in arguments if argument is not Ellipsis]
        return {"type": "array"} | ({"items": _type_schema(inner[0])} if len(set(inner)) == 1 else {})
    if origin in (dict, Mapping) or (inspect.isclass(origin) and issubclass(origin, Mapping)):
        return {"type": "object"}
    if inspect.isclass(hint) and issubclass(hint, Part):
        return {"type": ["object", "string"], "description": "a part"}
    return {}


def _parameter_texts(doc: str) -> dict[str, str]:
    """Return the description of each parameter in a numpydoc "Parameters" section."""
    lines = doc.splitlines()
    if "Parameters" not in lines:
        return {}
    texts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines[lines.index("Parameters") + 2 :]:
        if line and set(line) == {"-"}:
            break
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(":")[0].split(",")]
            current = []
            texts |= dict.fromkeys(names, current)
        elif line.strip():
            current.append(line.strip())
    return {name: " ".join(text) for name, text in texts.items() if text}
