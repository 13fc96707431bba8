"""The contract of params: stored, copied, described, read back, and refused when wrong."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from sklearn.base import clone

from isthmus import names
from isthmus.checks.settings import require
from isthmus.part import Part
from isthmus.schemas import schema

__all__ = ["check_prototype", "check_refusals", "check_signature"]


class _Nonsense:
    """No parameter can be this."""

    def __repr__(self) -> str:
        return "nonsense"


def check_signature(cls: type) -> None:
    """Check that ``__init__`` only stores its arguments, and that they are documented."""
    name = cls.__name__
    parameters = inspect.signature(cls).parameters
    for parameter in parameters.values():
        require(
            parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY),
            f"{name}.__init__ takes {parameter}: name each parameter, so that it can be saved and searched.",
        )
    given = {parameter: _Nonsense() for parameter in parameters}
    try:
        made = cls(**given)
    except Exception as error:
        raise AssertionError(
            f"{name}.__init__ must only store its arguments and not look at them; given nonsense it raised "
            f"{type(error).__name__}: {error}. Check params in setup."
        ) from error
    for param, value in given.items():
        require(
            getattr(made, param, None) is value,
            f"{name}.__init__ must store {param} untouched as self.{param}; convert it in setup.",
        )
    require(bool(inspect.getdoc(cls)), f"{name} needs a docstring.")
    described = schema(cls)
    require(_json(described) == described, f"the schema of {name} does not survive JSON.")
    for param, entry in described["properties"].items():
        require(
            "description" in entry,
            f"{param} of {name} needs a line in the docstring's Parameters section (numpydoc).",
        )


def check_prototype(part: Part) -> None:
    """Check clone, get_params and set_params, describe and restore, and the text of a part."""
    name = type(part).__name__
    copy = _attempt(lambda: clone(part), f"sklearn.base.clone({name}) failed")
    require(copy is not part and repr(copy) == repr(part), f"the clone of {part!r} is {copy!r}.")
    require(copy.facts is None, f"a clone of {name} must be a prototype, but it has facts.")
    require(not copy.state_dict(), f"{name} has weights before build: create them in setup.")
    params = part.get_params(deep=False)
    again = copy.set_params(**params)
    require(again is copy, f"set_params of {name} must return the part itself.")
    for param, value in params.items():
        require(getattr(copy, param) is value, f"set_params of {name} does not set {param}.")
    described = names.describe(part)
    back = names.restore(_json(described), parts=[type(part)])
    require(
        names.describe(back) == described,
        f"{name} does not survive being saved: {described} came back as {names.describe(back)}.",
    )
    parsed = _attempt(lambda: names.parse(repr(part), parts=[type(part)]), f"{part!r} cannot be read back")
    require(repr(parsed) == repr(part), f"{part!r} reads back as {parsed!r}.")


def check_refusals(part: Part, build: Callable[[Part], Any]) -> None:
    """Check that each param, given nonsense, is refused by name; ``build`` builds a prototype."""
    for param, value in part.get_params(deep=False).items():
        wrongs: list[Any] = [_Nonsense()]
        if isinstance(value, float):
            wrongs.append(float("nan"))
        for wrong in wrongs:
            try:
                build(clone(part).set_params(**{param: wrong}))
            except (TypeError, ValueError) as error:
                require(
                    param in str(error),
                    f"given {param}={wrong!r}, {type(part).__name__} says {str(error)!r}, which does not name {param}.",
                )
            except Exception as error:
                raise AssertionError(
                    f"given {param}={wrong!r}, {type(part).__name__} raised {type(error).__name__}: {error}. "
                    "Raise a ValueError or TypeError that names the parameter."
                ) from error
            else:
                raise AssertionError(
                    f"{type(part).__name__} was built with {param}={wrong!r}. Annotate the parameter's type, "
                    "which Part.build checks, or check it in setup."
                )


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


def _attempt(function: Callable[[], Any], what: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
