"""The parameters of a part, a job or an estimator as a JSON schema: types, texts, defaults."""

from __future__ import annotations

import inspect
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from isthmus.names import to_json
from isthmus.part import Part

__all__ = ["schema"]

_SIMPLE = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string", type(None): "null"}


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
    doc = inspect.getdoc(cls) or ""
    texts = _parameter_texts(doc)
    types_of = _parameter_types(cls)
    properties = {}
    required = []
    for name, parameter in inspect.signature(cls).parameters.items():
        entry = dict(types_of[name])
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
        else:
            entry["default"] = to_json(parameter.default)
        if name in texts:
            entry["description"] = texts[name]
        properties[name] = entry
    return {
        "title": cls.__name__,
        "description": doc.partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _parameter_types(cls: type) -> dict[str, dict[str, Any]]:
    """Return the JSON type of each parameter; nothing where the annotation says nothing."""
    try:
        hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    except NameError:  # a stranger's annotation that only a type checker can resolve
        hints = {}
    return {name: _type_schema(hints.get(name, Any)) for name in inspect.signature(cls).parameters}


def _type_schema(hint: Any) -> dict[str, Any]:
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type_schema(argument) for argument in arguments]}
    kind = origin if inspect.isclass(origin) else hint
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return {"type": "object"}
    if inspect.isclass(kind) and issubclass(kind, Sequence):
        inner = {repr(argument): argument for argument in arguments if argument is not Ellipsis}
        return {"type": "array"} | ({"items": _type_schema(*inner.values())} if len(inner) == 1 else {})
    if inspect.isclass(kind) and issubclass(kind, Part):
        return {"type": ["object", "string"]}
    return {}


def _parameter_texts(doc: str) -> dict[str, str]:
    """Return the description of each parameter in a numpydoc "Parameters" section."""
    lines = doc.splitlines()
    if "Parameters" not in lines:
        return {}
    texts: dict[str, list[str]] = {}
    current: list[str] = []
    for line, after in itertools.pairwise([*lines[lines.index("Parameters") + 2 :], ""]):
        if after and set(after) == {"-"}:
            break  # this line is the heading of the next section
        if line and not line.startswith(" "):
            current = []
            texts |= dict.fromkeys((name.strip() for name in line.partition(":")[0].split(",")), current)
        elif line.strip():
            current.append(line.strip())
    return {name: " ".join(text) for name, text in texts.items() if text}
