"""The model folder: ``model.json``, ``weights.safetensors`` and a card for people."""

from __future__ import annotations

import os
import platform
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sklearn
import torch

import isthmus
from isthmus.files import atomic_folder, check_regular, digest, read_json, read_tensors, write_json, write_tensors
from isthmus.guards import seeded
from isthmus.saving.budget import Budget
from isthmus.saving.card import card
from isthmus.saving.rebuilding import describe, rebuild
from isthmus.saving.trees import checksum, pack

__all__ = ["FORMAT", "check_place", "inspect", "load", "save"]

FORMAT = 1
MODEL, WEIGHTS, CARD = "model.json", "weights.safetensors", "README.md"
# From a format's number to a function that makes the next format's tree of it.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
MEMORY = 320 * 2**20
COPIES = 4
AGAIN = "Save the model again, or copy the folder whole from where it came."
# All that parts, torch, numpy and polars raise for values that no fit could have left behind.
REFUSED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    pl.exceptions.PolarsError,
)


def save(model: Any, path: str | Path, *, about: Mapping[str, Any] | None = None) -> None:
    """Write a fitted model as a folder, whole or not at all.

    Parameters
    ----------
    model : AutoEncoder or Job
        Fitted.
    path : str or Path
        The folder. A model that is there is replaced once the new one is complete; files
        beside it in the folder stay.
    about : mapping of str, optional
        What the model was fitted on and how it did, for the card and for ``isthmus info``:
        numbers, text, lists and mappings of them; a list of mappings becomes a table.
        Figures of baselines belong under ``"baselines"``.

    Raises
    ------
    ValueError
        If the model is not fitted, its weights are not finite, or another thing is at ``path``.
    TypeError
        If it is no model, or a param cannot be saved.

    Examples
    --------
    >>> save(model, "flowers", about={"data": "iris.csv", "rows": 150})  # doctest: +SKIP
    >>> load("flowers").transform(X)  # doctest: +SKIP
    """
    path = Path(path)
    check_place(path)
    described, tensors = describe(model)
    tree = {"format": FORMAT} | described
    tree["about"] = pack(dict(about or {}), {}, "about")
    tree["versions"] = {
        "python": platform.python_version(),
        "isthmus": isthmus.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    with atomic_folder(path) as folder:
        write_tensors(folder / WEIGHTS, tensors)
        tree["weights"] = {"bytes": (folder / WEIGHTS).stat().st_size, "sha256": digest(folder / WEIGHTS)}
        tree["checksum"] = checksum(tree)
        write_json(folder / MODEL, tree)
        (folder / CARD).write_text(card(tree), encoding="utf-8", errors="replace")


def load(path: str | Path, *, parts: Iterable[type] = (), device: str = "auto", memory: int = MEMORY) -> Any:
    """Return the fitted model of a folder; nothing in the folder is executed.

    Parameters
    ----------
    path : str or Path
        The folder that :func:`save` wrote.
    parts : iterable of type
        Classes of your own parts and jobs that the model is made of.
    device : str, default='auto'
        Where it will run: 'auto' (a GPU if there is one), 'cpu', 'cuda', 'cuda:1', ...
    memory : int, default=335544320
        Bytes that building may take besides four times the size of the weights file. More is
        needed for images of more than about 1,000 x 1,000 pixels in a network of few weights,
        and by a damaged or malicious file.

    Returns
    -------
    AutoEncoder or Job
        Its outputs equal those of the model that was saved.

    Raises
    ------
    FileNotFoundError
        If there is no model.
    ValueError
        If the folder is damaged, from a newer Isthmus, or made of parts that are not known
        here; if there is no such device.
    """
    path, parts = Path(path), tuple(parts)
    _check_device(device)
    tree = inspect(path)
    weights = path / WEIGHTS
    size = _check_weights(weights, tree)
    with _explained(path), Budget(memory + COPIES * size), seeded(0), torch.no_grad():
        tensors, _ = read_tensors(weights)
        return rebuild(tree, tensors, parts, device)


def inspect(path: str | Path) -> dict[str, Any]:
    """Return what ``model.json`` says of a model, in the newest format, without building it.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    dict
        format, kind, params, module (parts and facts), fitted (options, history), job, about,
        versions, weights, checksum.

    Raises
    ------
    FileNotFoundError
        If there is no model.
    ValueError
        If ``model.json`` is damaged or from a newer Isthmus.
    """
    path = Path(path)
    for needed in (path, path / MODEL, path / WEIGHTS):
        if not os.path.lexists(needed):
            raise FileNotFoundError(f"{path} is no model: there is no {needed}. A model is a folder that fit wrote.")
    tree = read_json(path / MODEL)
    number = tree.get("format") if isinstance(tree, dict) else None
    if type(number) is not int or (number != FORMAT and number not in UPGRADES and number < FORMAT):
        raise ValueError(f"{path / MODEL} is not of a model: format should be {FORMAT}, got {number!r:.80}. {AGAIN}")
    if number > FORMAT:
        raise ValueError(
            f"{path} was saved by a newer Isthmus (format {number}; this one reads up to {FORMAT}): "
            "pip install --upgrade isthmus."
        )
    if tree.get("checksum") != checksum(tree):
        raise ValueError(f"{path / MODEL} is damaged: its checksum does not match. {AGAIN}")
    while tree["format"] != FORMAT:
        with _explained(path):
            tree = UPGRADES[tree["format"]](tree)
    return tree


def check_place(path: str | Path) -> None:
    """Refuse a place that a model cannot be saved to; worth asking before a long fit.

    Raises
    ------
    ValueError
        If there is a file, or a folder with other things than a model in it.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise ValueError(f"{path} is a file; a model is a folder. Give another name.")
    if any(path.iterdir()) and not _holds_model(path):
        raise ValueError(f"{path} is a folder with other things than a model in it; give another name, or empty it.")


def _holds_model(path: Path) -> bool:
    # By its first bytes: a damaged model may be replaced as well.
    model = path / MODEL
    if not os.path.lexists(model) or not stat.S_ISREG(model.lstat().st_mode):
        return False
    with model.open("rb") as opened:
        return re.match(rb'\s*\{\s*"format"\s*:', opened.read(100)) is not None


def _check_weights(weights: Path, tree: Mapping[str, Any]) -> int:
    """Raise ValueError unless the file is the one that ``model.json`` is about; return its size."""
    check_regular(weights)
    said, size = tree.get("weights"), weights.stat().st_size
    # The size first: it costs nothing, and bounds what the digest reads.
    if not isinstance(said, dict) or said.get("bytes") != size or said.get("sha256") != digest(weights):
        raise ValueError(f"{weights} is damaged, or belongs to another model: its checksum does not match. {AGAIN}")
    return size


def _check_device(device: str) -> None:
    kind, _, index = str(device).partition(":")
    if kind == "cuda" and not (torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count()):
        raise ValueError(f"device={device!r}: torch sees no such GPU here; use device='auto' or 'cpu'.")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or not (index.isdigit() or not index):
        raise ValueError(f"device should be 'auto', 'cpu', 'cuda' or 'cuda:1', got {device!r}.")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what a wrong value raises deep inside into one line about the folder."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # torch's and numpy's, about values that are refused below
            yield
    except REFUSED as error:
        said = " ".join(str(error).split())[:400]
        what = said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}"
        raise ValueError(f"the model in {path} cannot be loaded: {what}") from error
