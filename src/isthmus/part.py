"""The one base class: parameters from the user, facts from the data, weights from training."""

from __future__ import annotations

import inspect
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from sklearn.base import BaseEstimator
from torch import nn

__all__ = ["Part"]


class Part(nn.Module):
    """A piece of an auto-encoder.

    Three things make a part, each with its own owner and its own place in a saved model:

    - **params**: the arguments of ``__init__``, stored untouched under their own names.
      The user decides them; they are saved as JSON.
    - **facts**: the arguments of :meth:`setup`: widths, vocabularies, means. The data
      decides them; they are saved as JSON, so they must be made of plain Python values.
    - **weights**: what ``state_dict`` holds. Training decides them.

    A part is a prototype until :meth:`build` gives it facts. It is cloned with
    :func:`sklearn.base.clone`, which copies the params and neither facts nor weights.

    Attributes
    ----------
    facts : dict or None
        What :meth:`build` was called with; None for a prototype.

    Examples
    --------
    >>> from isthmus.bottlenecks import Linear
    >>> prototype = Linear(size=3)
    >>> prototype.facts is None
    True
    >>> prototype.build(width=16).facts
    {'width': 16}
    """

    facts: dict[str, Any] | None = None

    # Borrowed from scikit-learn one by one: the whole of BaseEstimator would bring its
    # own __getstate__, __repr__ and metadata routing into every layer of a network.
    _get_param_names: ClassVar[Any] = classmethod(BaseEstimator._get_param_names.__func__)
    get_params = BaseEstimator.get_params
    set_params = BaseEstimator.set_params

    def __init__(self) -> None:
        # Named for a part that has no params: that of nn.Module takes anything.
        super().__init__()

    def build(self, **facts: Any) -> Self:
        """Check the params' types, create the weights for data with these facts, remember the facts.

        Parameters
        ----------
        **facts
            Plain values (numbers, strings, lists, dicts) that :meth:`setup` takes.

        Returns
        -------
        Self

        Raises
        ------
        TypeError
            If a param is not of the type that ``__init__`` declares for it.
        ValueError
            If a param or a fact is one that :meth:`setup` refuses.
        """
        self._check_types()
        self.setup(**facts)
        self.facts = facts
        return self

    def build_with(self, offered: Mapping[str, Any]) -> Self:
        """Build with those of the offered facts that :meth:`setup` names; the others are not needed."""
        named = inspect.signature(self.setup).parameters
        return self.build(**{name: value for name, value in offered.items() if name in named})

    def setup(self, *args: Any, **facts: Any) -> None:
        """Create weights; override in a part that has some."""

    def start(self, *inputs: Any, **more: Any) -> None:
        """Set the weights from a sample of what ``forward`` will be given; optional.

        Called once, after :meth:`build` and before the first step, in the order of the
        line: the encoder sees the source, the bottleneck what the started encoder makes
        of it, the decoder the started bottleneck's code. A closed form found here
        (principal components, k-means) is where training begins.

        Parameters
        ----------
        *inputs
            The arguments of ``forward``.
        """

    # Some hooks are optional, and looked up by name so that a part without them costs nothing:
    #   after_step(progress)  the loop calls it after each step of the optimizer, with the share
    #                         of all steps that is done: codebooks move, temperatures fall. What
    #                         it changes must be a buffer, for a resumed fit to go on from there.
    #   arrange(data, training, batch_size, modality)  of a penalty: return the data with those rows
    #                         side by side that it wants to see together; called before the loop.
    #   is_game = True        the cost is no measure of progress (an adversary learns as well):
    #                         training runs to its end and keeps the last weights.

    def _check_types(self) -> None:
        try:
            hints = typing.get_type_hints(type(self).__init__)
        except NameError:  # an annotation that only a type checker can resolve
            return
        for name, value in self.get_params(deep=False).items():
            if not _fits(value, hints.get(name, Any)):
                wanted = inspect.formatannotation(hints[name])
                raise TypeError(f"{name} of {type(self).__name__} must be {wanted}, got {_plain(value)!r:.80}.")

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        # Each once: parts within parts would else be written twice as often at every level.
        texts = {name: repr(_plain(value)) for name, value in self.get_params(deep=False).items()}
        # Compared as text: arrays and parts have no plain ==, and 1, 1.0 and True are all equal.
        said = [f"{n}={text}" for n, text in texts.items() if text != repr(_plain(parameters[n].default))]
        return f"{type(self).__name__}({', '.join(said)})"


def _plain(value: Any) -> Any:
    """Return the Python value of a numpy scalar, also within sequences; others pass."""
    if isinstance(value, tuple | list):
        return type(value)(_plain(item) for item in value) if type(value) in (tuple, list) else value
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type; a type that is not plain counts as fitting."""
    value, origin, inner = _plain(value), typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin in (tuple, list):
        # A tuple that went through JSON or a command line may be a list.
        items = tuple(value) if isinstance(value, tuple | list) else None
        if items is None or not inner:
            return items is not None
        if origin is list or inner[-1] is Ellipsis:
            return all(_fits(item, inner[0]) for item in items)
        return len(items) == len(inner) and all(map(_fits, items, inner))
    if hint is bool:
        return isinstance(value, bool)
    if hint in (int, float):
        wanted = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value)
    known = origin if inspect.isclass(origin) else hint
    if known in (str, type(None)) or (inspect.isclass(known) and issubclass(known, Mapping | Part)):
        return isinstance(value, known)
    return True
