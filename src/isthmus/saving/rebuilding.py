"""From a fitted model to a tree of JSON values and tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus import names
from isthmus.building import SLOT_OF, device_of, dtype_of
from isthmus.estimator import AutoEncoder
from isthmus.module import AutoEncoderModule
from isthmus.options import Options
from isthmus.saving.trees import pack, unpack

__all__ = ["KIND", "describe", "estimator_of", "rebuild"]

KIND = "AutoEncoder"
# What belongs to one run on one machine rather than to the model.
LEFT_OUT = ("callback", "checkpoint", "checkpoint_seconds", "resume", "device")
ALWAYS = ("encoder", "bottleneck", "decoder", "loss")
WEIGHTS = "module."
FAR = 1e6
MAX_PENALTIES = 1_000
MAX_LABELS = 1_000_000


def estimator_of(model: Any) -> AutoEncoder:
    """Return the fitted auto-encoder of a model: itself, or the job's.

    Raises
    ------
    TypeError
        If it is neither an AutoEncoder nor a job.
    ValueError
        If it was not fitted, or its weights are not finite.
    """
    if not isinstance(model, AutoEncoder) and not (hasattr(model, "state") and hasattr(model, "restore")):
        raise TypeError(f"a model is an AutoEncoder or a job, got {type(model).__name__}.")
    estimator = model if isinstance(model, AutoEncoder) else getattr(model, "estimator_", None)
    if not isinstance(estimator, AutoEncoder) or not hasattr(estimator, "module_"):
        raise ValueError(f"this {type(model).__name__} was not fitted yet; call fit before saving it.")
    _check_finite(estimator.module_.state_dict())
    return estimator


def describe(model: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a fitted model as JSON-able values, and its tensors by name.

    Raises
    ------
    TypeError
        If a param, a fact or the job's state holds what cannot be saved.
    """
    estimator = estimator_of(model)
    arrays: dict[str, Tensor] = {}
    module = estimator.module_
    tree: dict[str, Any] = {
        "kind": KIND if model is estimator else type(model).__name__,
        "params": _params(estimator),
        "module": _describe_module(module),
        "fitted": {
            "n_features_in": int(estimator.n_features_in_),
            "feature_names_in": [str(name) for name in getattr(estimator, "feature_names_in_", ())] or None,
            "classes": np.asarray(getattr(estimator, "classes_", ())).tolist() or None,
            "options": pack(asdict(estimator.options_), arrays, "options_"),
            "history": pack(estimator.history_, arrays, "history_"),
        },
        "job": None,
    }
    if model is not estimator:
        state = pack(dict(model.state()), arrays, f"the state of {type(model).__name__}")
        tree["job"] = {"params": _params(model), "state": state}
    return tree, {f"{WEIGHTS}{name}": value for name, value in module.state_dict().items()} | arrays


def rebuild(tree: Mapping[str, Any], tensors: dict[str, Tensor], parts: tuple[type, ...], device: str) -> Any:
    """Return the model that :func:`describe` described, with its weights on a device.

    Raises
    ------
    ValueError, TypeError, and what parts raise for params and facts that do not fit
        If it was not :func:`describe` that wrote these.
    """
    fitted, weights = _entry(tree, "fitted", dict), _under(WEIGHTS, tensors)
    model = _estimator(_entry(tree, "params", dict), parts, device)
    model.module_ = _module(_entry(tree, "module", dict), weights, parts, device_of(device))
    model.modality_ = model.module_.modality
    model.n_features_in_ = _entry(fitted, "n_features_in", int)
    columns: list[Any] | None = _entry(fitted, "feature_names_in", list | None)
    if columns is not None:
        if not all(isinstance(name, str) for name in columns) or len(columns) != model.n_features_in_:
            raise ValueError("feature_names_in is not one name for each feature.")
        model.feature_names_in_ = np.array(columns, dtype=object)
    classes = fitted.get("classes")  # not in the files of version 0.1
    if classes is not None:
        model.classes_ = _classes(classes, model.module_.labels)
    model.options_ = Options(**unpack(_entry(fitted, "options", dict), tensors))
    model.history_ = unpack(_entry(fitted, "history", list), tensors)
    if not all(isinstance(row, dict) for row in model.history_):
        raise ValueError("history is not a list of objects.")
    model.code_shape_ = _tried_out(model.module_)
    kind, job = _entry(tree, "kind", str), _entry(tree, "job", dict | None)
    if job is None:
        if kind != KIND:
            raise ValueError(f"it is of the kind {kind[:80]!r}, but has no job's state.")
        return model
    return _job(kind, job, model, tensors, parts)


def _params(model: Any) -> dict[str, Any]:
    """Return the params of an estimator or a job as JSON-able values."""
    params: dict[str, Any] = {}
    for name, value in model.get_params(deep=False).items():
        if isinstance(value, AutoEncoder):
            params[name] = {KIND: _params(value)}
        elif name == "random_state" and isinstance(value, np.random.RandomState):
            params[name] = None  # a state that moves on with every use is no setting to repeat
        elif not (isinstance(model, AutoEncoder) and name in LEFT_OUT):
            params[name] = names.to_json(value)
    return params


def _estimator(params: Mapping[str, Any], parts: tuple[type, ...], device: str) -> AutoEncoder:
    known = {name: names.from_json(value, parts) for name, value in params.items() if name not in LEFT_OUT}
    model = names.construct(AutoEncoder, known | {"device": device})
    dtype_of(model.dtype, "cpu")
    return model


def _describe_module(module: AutoEncoderModule) -> dict[str, Any]:
    floats = {str(value.dtype).removeprefix("torch.") for value in module.parameters()}
    if len(floats) != 1:
        raise TypeError(f"all weights of a model must be of one type, got {', '.join(sorted(floats)) or 'none'}.")
    parts: dict[str, Any] = {name: names.describe(getattr(module, name)) for name in ALWAYS}
    return parts | {
        "modality": names.describe(module.modality),
        "facts": names.to_json(module.modality.facts),
        "corruption": None if module.corruption is None else names.describe(module.corruption),
        "penalties": [names.describe(penalty) for penalty in module.penalties],
        "objective": None if module.objective is None else names.describe(module.objective),
        "labels": module.labels,
        "game": module.is_game,
        "dtype": floats.pop(),
    }


def _module(
    tree: Mapping[str, Any], weights: dict[str, Tensor], parts: tuple[type, ...], device: str
) -> AutoEncoderModule:
    dtype = _entry(tree, "dtype", str)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"the weights' dtype must be float32 or float64, got {dtype[:80]!r}.")
    corruption, penalties = _entry(tree, "corruption", dict | None), _entry(tree, "penalties", list)
    if len(penalties) > MAX_PENALTIES:
        raise ValueError(f"it has {len(penalties)} penalties, more than {MAX_PENALTIES}.")
    tree = {"objective": None, "labels": 0} | dict(tree)  # not in the files of version 0.1
    objective, labels = _entry(tree, "objective", dict | None), _entry(tree, "labels", int)
    if not 0 <= labels <= MAX_LABELS:
        raise ValueError(f"it has {labels} classes of labels; from 0 to {MAX_LABELS:,} can be.")
    module = AutoEncoderModule(
        names.restore(_entry(tree, "modality", dict), "modalities", parts).build(**_entry(tree, "facts", dict)),
        **{name: names.restore(_entry(tree, name, dict), SLOT_OF[name], parts) for name in ALWAYS},
        corruption=None if corruption is None else names.restore(corruption, "corruptions", parts),
        penalties=[names.restore(penalty, "penalties", parts) for penalty in penalties],
        objective=None if objective is None else names.restore(objective, "objectives", parts),
        labels=labels,
    ).to(getattr(torch, dtype))
    wanted = module.state_dict()
    for name in sorted(set(wanted) ^ set(weights)):
        raise ValueError(f"the weights {name[:200]!r} are in {'model.json' if name in wanted else 'the file'} only.")
    for name, value in wanted.items():
        if value.shape != weights[name].shape or value.dtype != weights[name].dtype:
            wanted_form, form = _form(value), _form(weights[name])
            raise ValueError(f"the weights {name!r} should be {wanted_form}, by params and facts, and are {form}.")
    _check_finite(weights)
    module.load_state_dict(weights)
    return module.to(device).eval()


def _classes(classes: Any, labels: int) -> np.ndarray:
    plain = isinstance(classes, list) and all(isinstance(one, str | int | float) for one in classes)
    if not plain or len({type(one) for one in classes}) != 1 or len(classes) != labels:
        raise ValueError(f"classes should be {labels} texts or numbers, got {classes!r:.80}.")
    return np.array(classes)


def _tried_out(module: AutoEncoderModule) -> tuple[int, ...]:
    """Run one blank row through both doors; return the shape of its code."""
    like = next(module.parameters())
    blank = module.modality.blank(1).to(like.device)
    step = module(blank.with_x(blank.x.to(like.dtype)))
    nats = module.loss(step.output, step.target)
    if not all(bool(seen.isfinite().all()) for seen in (step.code.z, step.code.penalty, step.output, nats)):
        raise ValueError("what the network makes of a blank row is not finite.")
    with suppress(ImportError):  # rows of a library's type, where that library is not installed
        mean = module.loss.mean(step.output)
        # Whatever a decoder says must have a row, also where it is far off.
        for away in (0, FAR, -FAR):
            module.modality.to_rows(mean + away)
    return tuple(step.code.z.shape[1:])


def _job(
    kind: str, tree: Mapping[str, Any], estimator: AutoEncoder, tensors: dict[str, Tensor], parts: tuple[type, ...]
) -> Any:
    params = dict(_entry(tree, "params", dict))
    for name, value in params.items():
        if isinstance(value, dict) and set(value) == {KIND}:
            params[name] = _estimator(_entry(value, KIND, dict), parts, "auto")
        else:
            params[name] = names.from_json(value, parts)
    job = names.construct(names.find_job(kind, parts), params)
    job.estimator_ = estimator
    return job.restore(unpack(_entry(tree, "state", dict), tensors))


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"the weights {name!r} are not all finite; fit the model again.")


def _entry(tree: Mapping[str, Any], name: str, kind: Any) -> Any:
    if name not in tree:
        raise ValueError(f"it has no entry {name!r}.")
    # For JSON true is no number, for Python it is.
    if not isinstance(tree[name], kind) or (isinstance(tree[name], bool) and kind is int):
        raise ValueError(f"its entry {name!r} is of the wrong type, got {tree[name]!r:.80}.")
    return tree[name]


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
