"""A recipe by its name, and what recipes share."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any

from isthmus.estimator import AutoEncoder
from isthmus.part import Part

__all__ = ["Modality", "joined", "make"]

Modality = Part | str | None


def make(text: str, modality: Modality = None) -> AutoEncoder:
    """Return the auto-encoder of a recipe given as text, such as ``"beta_vae(size=5)"``.

    Raises
    ------
    ValueError
        If there is no such recipe, or an argument does not fit.

    Examples
    --------
    >>> make("vq_vae(symbols=64, prior=False)").bottleneck
    VectorQuantizer(symbols=64)
    """
    name, _, rest = text.strip().partition("(")
    recipes = importlib.import_module("isthmus.recipes")
    known = {one: getattr(recipes, one) for one in recipes.__all__}
    key = name.strip().lower().replace("-", "_")
    if key not in known:
        raise ValueError(f"no recipe is called {name!r:.80}. The recipes: {', '.join(known)}.")
    arguments = _arguments(rest, text) if rest else {}
    taken = inspect.signature(known[key]).parameters
    for argument in arguments:
        if argument not in taken or argument in ("modality", "options"):
            own = ", ".join(one for one in taken if one not in ("modality", "options"))
            raise ValueError(f"the recipe {key} has no argument {argument!r:.80}; it has: {own}.")
    return known[key](*([] if modality is None else [modality]), **arguments)


def joined(modality: Modality, parts: dict[str, Any], options: dict[str, Any]) -> AutoEncoder:
    """Return the auto-encoder of a recipe's parts, the caller's options before them."""
    return AutoEncoder(modality, **(parts | options))


def _arguments(rest: str, text: str) -> dict[str, Any]:
    """Return the named literals of a call; nothing is evaluated."""
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if isinstance(call, ast.Call) and not call.args and all(word.arg for word in call.keywords):
            return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"cannot read {text!r:.80}: write a recipe as name(argument=value, ...).") from error
    raise ValueError(f"cannot read {text!r:.80}: write a recipe as name(argument=value, ...).")
