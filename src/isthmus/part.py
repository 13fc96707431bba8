"""The one base class: parameters from the user, facts from the data, weights from training."""

from __future__ import annotations

import inspect
from typing import Any, Self

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
    _get_param_names = classmethod(BaseEstimator._get_param_names.__func__)  # type: ignore[attr-defined]
    get_params = BaseEstimator.get_params
    set_params = BaseEstimator.set_params

    def build(self, **facts: Any) -> Self:
        """Create the weights for data with these facts, and remember the facts.

        Parameters
        ----------
        **facts
            Plain values (numbers, strings, lists, dicts) that :meth:`setup` takes.

        Returns
        -------
        Self
        """
        self.setup(**facts)
        self.facts = facts
        return self

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

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        said = [
            f"{name}={value!r}"
            for name, value in self.get_params(deep=False).items()
            if not _same(value, parameters[name].default)
        ]
        return f"{type(self).__name__}({', '.join(said)})"


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)
