"""The contract of modalities: rows in, the same rows out."""

from __future__ import annotations

import json
from typing import Any

import torch
from sklearn.base import clone

from isthmus.checks.settings import Case, require
from isthmus.guards import seeded
from isthmus.part import Part
from isthmus.rows import as_rows

__all__ = ["MODALITY"]


def check_fit(case: Case) -> None:
    """Check that fitting finds plain facts, from which the modality can be built again."""
    rows = as_rows(case.setting.X)
    modality = clone(case.prototype)
    require(modality.fit(rows) is modality, f"{case.what}: fit must return the modality itself.")
    require(modality.facts is not None, f"{case.what}: fit must end in self.build(**facts).")
    try:
        facts = json.loads(json.dumps(modality.facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{case.what}: the facts cannot be saved as JSON: {error}.") from error
    again = clone(case.prototype).build(**facts)
    one, other = modality.to_batch(rows), again.to_batch(rows)
    require(
        torch.equal(one.x, other.x), f"{case.what}: built from its saved facts, it makes another batch of the rows."
    )
    require(again.example() == modality.example(), f"{case.what}: built from its saved facts, example() differs.")


def check_batches(case: Case) -> None:
    """Check that batches are of one shape, whatever rows they are made from."""
    rows = as_rows(case.setting.X)
    modality = clone(case.prototype).fit(rows)
    shape = modality.example()["shape"]
    for dtype in (torch.float32, torch.float64):
        stored = modality.to_batch(rows, dtype)
        batch = modality.to(dtype).expand(stored)
        require(
            len(stored) == len(rows) and list(batch.x.shape[1:]) == shape and batch.x.dtype == dtype,
            f"{case.what}: {len(rows)} rows should expand to a {dtype} batch ({len(rows)}, {shape}), "
            f"got {tuple(batch.x.shape)} of {batch.x.dtype}.",
        )
    require(bool(batch.x.isfinite().all()), f"{case.what}: the batch has values that are not finite.")
    blank = modality.expand(modality.blank(3))
    require(list(blank.x.shape) == [3, *shape], f"{case.what}: blank(3) should expand to (3, {shape}).")
    for piece in (slice(3, 8), slice(0, 1)):
        part = modality.to_batch(as_rows(rows.take(piece)), dtype)
        require(torch.equal(part.x, stored.x[piece]), f"{case.what}: a row's values depend on the rows beside it.")


def check_round_trip(case: Case) -> None:
    """Check that rows that went in as a batch come out as they were."""
    X = case.setting.X
    rows = as_rows(X)
    modality = clone(case.prototype).fit(rows).double()
    batch = modality.expand(modality.to_batch(rows, torch.float64))
    back: Any = modality.to_rows(batch.x)
    require(
        type(back) is type(X) and len(back) == len(X),
        f"{case.what}: to_rows gives {type(back).__name__}, and the rows were {type(X).__name__}.",
    )
    again = modality.expand(modality.to_batch(as_rows(back), torch.float64))
    mask = torch.ones_like(batch.x, dtype=torch.bool) if batch.mask is None else batch.mask
    mask = mask if mask.shape == batch.x.shape else mask.unsqueeze(-1).expand_as(batch.x)
    require(
        torch.allclose(again.x[mask], batch.x[mask], atol=1e-6),
        f"{case.what}: rows that went through to_batch and to_rows are not what they were.",
    )


def check_defaults(case: Case) -> None:
    """Check that its default encoder, decoder and loss make an auto-encoder."""
    modality = clone(case.prototype).fit(as_rows(case.setting.X))
    for name in ("encoder", "decoder", "loss"):
        part = getattr(modality, name)()
        require(isinstance(part, Part) and part.facts is None, f"{case.what}: {name}() should be a prototype.")
    module, batch, _ = case.line()
    with seeded(0, case.device):
        cost = module.cost(case.setting.step(module, batch, training=True))
    require(bool(cost.isfinite().all()), f"{case.what}: the cost of its own rows is not finite.")


MODALITY = (check_fit, check_batches, check_round_trip, check_defaults)
