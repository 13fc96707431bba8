"""The contract of parts at work: shapes, nats, gradients, masks, dtypes, saving."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from isthmus import saving
from isthmus.batch import Batch
from isthmus.checks.roles import check_role
from isthmus.checks.settings import Case, require
from isthmus.estimator import AutoEncoder
from isthmus.guards import seeded
from isthmus.part import Part

__all__ = ["BEHAVIOUR", "check_saving"]


def check_facts(case: Case) -> None:
    """Check that the facts are plain values, and enough to build the part again."""
    _, _, part = case.line()
    require(part.facts is not None, f"{case.what}: build must leave the facts in part.facts; do not override it.")
    try:
        facts = json.loads(json.dumps(part.facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{case.what}: the facts {part.facts} cannot be saved as JSON: {error}.") from error
    require(facts == part.facts, f"{case.what}: the facts {part.facts} come back from JSON as {facts}.")
    if getattr(part, "tied", False):
        return  # its weights are its encoder's, which it meets later
    again = {name: value.shape for name, value in clone(case.prototype).build(**facts).state_dict().items()}
    found = {name: value.shape for name, value in part.state_dict().items()}
    require(again == found, f"{case.what}: built from its facts it has weights {again}, before it had {found}.")


def check_in_line(case: Case) -> None:
    """Check shapes, types and nats, as the role asks."""
    module, batch, part = case.line()
    for training in (True, False):
        step = case.setting.step(module, batch, training)
        for tensor in _tensors(step):
            require(
                not tensor.is_floating_point() or bool(tensor.isfinite().all()),
                f"{case.what}: values are not finite, {'while training' if training else 'in evaluation'}.",
            )
        with seeded(0, case.device):
            check_role(case.role, part, case.inputs(step, module), case.what)


def check_gradients(case: Case) -> None:
    """Check that every weight of the line learns from the cost."""
    module, batch, _ = case.line()
    cost = module.cost(case.setting.step(module, batch, training=True))
    require(
        cost.shape == (len(batch),) and bool(cost.isfinite().all()),
        f"{case.what}: the cost should be finite nats of shape ({len(batch)},), got {tuple(cost.shape)}.",
    )
    cost.mean().backward()
    for name, parameter in module.named_parameters():
        gradient = parameter.grad
        require(
            not parameter.requires_grad or (gradient is not None and bool((gradient != 0).any())),
            f"{case.what}: no gradient reaches {name}. Is a result detached, or a weight not used?",
        )


def check_inputs_stay(case: Case) -> None:
    """Check that the part leaves what it was given as it was."""
    module, batch, part = case.line()
    stored = [tensor.clone() for tensor in _tensors(batch)]
    step = case.setting.step(module, batch, training=True)
    given = case.inputs(step, module)
    before = [tensor.detach().clone() for tensor in _tensors(given)]
    case.call(part, given)
    for old, new in zip([*before, *stored], [*_tensors(given), *_tensors(batch)], strict=True):
        require(
            torch.equal(old, new.detach()),
            f"{case.what}: it changed its input. Make a new tensor, or copy before an operation in place.",
        )


def check_randomness(case: Case) -> None:
    """Check that evaluation draws nothing, and training from torch's generator alone."""
    module, batch, part = case.line()
    for training, seeds in ((False, (1, 2)), (True, (1, 1))):
        step = case.setting.step(module, batch, training)
        if case.role == "penalty" and not training:
            continue
        results = []
        for seed in seeds if case.role != "corruption" else (1, 1):
            with seeded(seed, case.device):
                results.append(case.call(part, case.inputs(step, module)))
        require(
            _equal(*results),
            f"{case.what}: with one seed, two calls differ; draw from torch's global generator only."
            if training or case.role == "corruption"
            else f"{case.what}: two calls in evaluation mode differ; draw only where self.training.",
        )


def check_independence(case: Case) -> None:
    """Check that in evaluation an example's results are its own."""
    if case.role in ("corruption", "penalty"):
        return  # at work while training only, where they may look at the batch
    module, batch, part = case.line()
    given = case.inputs(case.setting.step(module, batch, training=False), module)
    # An objective makes one of an example's draws, which are beside each other.
    per = module.objective.draws if case.role == "objective" else 1
    alone = case.call(part, _map(given, lambda tensor: tensor[4 * per : 8 * per]))
    among = _map(case.call(part, given), lambda tensor: tensor[4:8])
    require(
        _equal(alone, among, 1e-8),
        f"{case.what}: in evaluation mode the results of 4 examples depend on the others in the batch.",
    )


def check_positions(case: Case) -> None:
    """Check that a bottleneck keeps positions, and unless it says otherwise codes each position by itself."""
    if case.role != "bottleneck":
        return
    module, _, part = case.line()
    module.eval()
    with seeded(0, case.device):
        grid = torch.randn(5, 2, 4, part.facts["width"]).to(next(module.parameters()))
    z = part(grid).z
    require(
        z.shape[:-1] == grid.shape[:-1],
        f"{case.what}: for features {tuple(grid.shape)} the code should keep the positions, got {tuple(z.shape)}.",
    )
    if getattr(part, "mixes_positions", False):
        return
    require(
        _equal(z.flatten(0, 2), part(grid.flatten(0, 2)).z, 1e-8),
        f"{case.what}: the code of a position depends on other positions; a bottleneck acts on the last axis only, "
        "or has mixes_positions = True.",
    )


def check_dtypes(case: Case) -> None:
    """Check that float32 gives float32, and float64 float64."""
    for dtype in (torch.float32, torch.float64):
        module, batch, part = case.line(dtype)
        step = case.setting.step(module, batch, training=True)
        for tensor in _tensors(case.call(part, case.inputs(step, module))):
            require(
                not tensor.is_floating_point() or tensor.dtype == dtype,
                f"{case.what}: in a {dtype} model it gives {tensor.dtype}; make tensors like the input "
                "(x.new_zeros, torch.rand_like), and keep constants as buffers.",
            )


def check_masks(case: Case) -> None:
    """Check that what was not observed is not looked at."""
    if case.role not in ("encoder", "loss"):
        return
    module, batch, part = case.line()
    step = case.setting.step(module, batch, training=False)
    x = step.target.x
    if case.role == "encoder":
        with seeded(0, case.device):
            part = clone(case.prototype).build(**module.modality.example(), missing=True).to(x).eval()
    # A table has a mask of cells, an image one of positions, a series may have either.
    for shape in {2: [x.shape], 3: [x.shape, x.shape[:-1]]}.get(x.ndim, [x.shape[:-1]]):
        with seeded(1, case.device):
            mask = torch.rand(shape, device=x.device) < 0.7
        hidden = ~mask if mask.ndim == x.ndim else ~mask.unsqueeze(-1)
        # Another row's values: they are legal, whatever the column holds.
        seen = [Batch(values, mask) for values in (x, torch.where(hidden, x.roll(1, 0), x))]
        results = [part(one) if case.role == "encoder" else _all_of_loss(part, step.output, one) for one in seen]
        same = _equal(*results)
        require(same, f"{case.what}: values whose mask is False change its result; the mask must hide them.")


def check_one_example(case: Case) -> None:
    """Check a batch of one example: the last of a pass may be one, and so may the data."""
    module, batch, _ = case.line()
    try:
        cost = module.cost(case.setting.step(module, batch[:1], training=True))
    except Exception as error:
        raise AssertionError(f"{case.what}: a batch of one fails: {type(error).__name__}: {error}") from error
    require(cost.shape == (1,) and bool(cost.isfinite()), f"{case.what}: a batch of one costs {cost.tolist()}.")


def check_start(case: Case) -> None:
    """Check that ``start`` leaves weights with which the line gives finite costs."""
    module, batch, _ = case.line()
    with seeded(0, case.device):
        module.start(batch)
    cost = module.cost(case.setting.step(module, batch, training=True))
    require(bool(cost.isfinite().all()), f"{case.what}: after start, the cost is not finite.")


def check_saving(case: Case) -> None:
    """Check that a fitted model that was saved and loaded gives equal results."""
    roles: dict[str, Any] = {"modality": case.setting.modality} | case.setting.beside
    roles |= case.setting.in_role(case.role, case.prototype)
    roles.setdefault("bottleneck", "linear(size=3, activation='sigmoid')")
    model = AutoEncoder(**roles, max_epochs=2, threads=1, device=case.device, random_state=0)
    X = case.setting.X
    own = [type(one) for one in (case.prototype, case.setting.modality, *case.setting.beside.values())]
    model.fit(X, case.setting.labels())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        saving.save(model, path)
        again = saving.load(path, parts=own, device=case.device)
    for method in ("transform", "score_samples"):
        before, after = getattr(model, method)(X), getattr(again, method)(X)
        require(
            np.array_equal(before, after),
            f"{case.what}: {method} differs after save and load. Every tensor that matters must be a parameter or "
            "a buffer, or follow from params and facts alone.",
        )


BEHAVIOUR = (
    check_facts,
    check_in_line,
    check_gradients,
    check_inputs_stay,
    check_randomness,
    check_independence,
    check_positions,
    check_dtypes,
    check_masks,
    check_one_example,
    check_start,
)


def _all_of_loss(loss: Part, output: Tensor, target: Batch) -> tuple[Tensor, ...]:
    return loss(output, target), loss.cells(output, target), loss.error(output, target)


def _map(value: Any, function: Any) -> Any:
    """Apply a function to each tensor in batches, codes, steps and tuples."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Batch):
        return Batch(*(_map(one, function) for one in (value.x, value.mask, value.condition)))
    if isinstance(value, dict):
        return {name: _map(one, function) for name, one in value.items()}
    if isinstance(value, tuple):
        mapped = [_map(one, function) for one in value]
        return type(value)(*mapped) if hasattr(value, "_fields") else tuple(mapped)
    return value


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(value, found.append)
    return found


def _equal(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    pairs = list(zip(_tensors(one), _tensors(other), strict=True))
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)
