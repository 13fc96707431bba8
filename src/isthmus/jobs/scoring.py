"""The score of a row: several measures of its oddness, weighed by how well each finds anomalies that were made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from isthmus.batch import Batch
from isthmus.estimator import AutoEncoder
from isthmus.jobs.cells import Cells, TypicalErrors, cells_of, cells_of_stored, errors_of, exact
from isthmus.jobs.image_scores import ImageCosts
from isthmus.jobs.job import choose
from isthmus.jobs.made_up import made_up
from isthmus.jobs.measures import DRAWS, FEW, MAPS, MEASURES, Measures, image_of, needs_reference
from isthmus.rows import Rows

__all__ = ["Score", "Told"]

# Reference rows, and their cells: more cost time at every scoring.
MOST_REFERENCES, MOST_CELLS = 20_000, 2**23
# Held-out rows that anomalies are made up from.
MOST_JUDGED = 2_000
# A measure that finds 0.1 more of AUROC among made-up anomalies weighs e^6 times as much.
STEEPNESS = 60.0
# Of so many held-out rows only half as steeply, as a logarithm: what few of them say is chance.
ENOUGH = 100
# Measures that would weigh less are left out, which saves their searches.
LEAST_WEIGHT = 0.02
# Of the spread of a measure's logarithm: rows that are all alike have none.
LEAST_SPREAD = 1e-3


class Told(NamedTuple):
    """Cells of a table, each as the rest of its row sees it.

    Attributes
    ----------
    expected : ndarray of shape (b, c)
        What the auto-encoder expects where the cell is hidden from it.
    error : ndarray of shape (b, c)
        The difference from that, in units of the column's typical error.
    share : ndarray of shape (b, c)
        What the row would cost less without the cell, as a share of these; 0 where missing.
    probabilities : dict of int to Tensor
        Of the symbols of each category, ``(b, k)``.
    """

    expected: np.ndarray
    error: np.ndarray
    share: np.ndarray
    probabilities: dict[int, Tensor]


class Score:
    r"""What a row costs: 0 is a typical held-out row, 1 as odd as one in ten of them.

    Parameters
    ----------
    measures : Measures
        In what ways a row is odd.
    units : ndarray of shape (len(measures.names), 3)
        Of each measure what is added before the logarithm, and the middle and the spread of that.
    weights : ndarray of shape (len(measures.names),)
        What each counts; together one. Where rows are compared with draws of few, all weigh alike.

    Notes
    -----
    .. math:: \text{cost} = \sum_k w_k \frac{\log(m_k + \epsilon_k) - a_k}{b_k}

    where :math:`m_k` are the measures, :math:`a_k` is the median over held-out rows and
    :math:`b_k` the distance from there to the 90 % quantile. The weights are

    .. math:: w_k \propto \exp\left(60 \frac{n}{n + 100} \text{AUROC}_k\right)

    of telling n held-out rows from four kinds of anomalies made up of fitted and held-out ones
    (:func:`isthmus.jobs.made_up.made_up`), on average.

    Tried on 22 of the sets of ``benchmarks/anomalies/one_class.py``, one seed, at most 8,000 rows; mean
    AUROC and average precision in per cent: five nearest neighbours 84.7 and 69.6; ``error`` alone 84.2 and
    64.1, ``codes`` 83.3 and 67.9, ``rows`` 84.7 and 69.2, ``ranks`` 84.6 and 69.8, ``density`` 83.7 and 67.8; all
    with equal weights 84.9 and 69.8; weighed 86.5 and 70.5, with 30 in place of 60 86.1 and 70.4. That was
    with three kinds made up and 60 whatever n was. Where n is below 50, equal weights
    find more on most sets (Hepatitis, Pima, Stamps, WDBC: 0.2 to 5 of AUROC); and where nothing is made up
    that lies outside, the codes of InternetAds, blind to columns that do not vary among normal rows, are
    believed (AUROC 52.8 with one seed, 74.2 now).
    On credit cards (four splits) average precision is 81.4, and 75.6 at best with an auto-encoder that has
    no linear path; on PaySim (one split) 0.81, and 0.65 without it. A sixth measure, the distance to
    principal components, took away 0.4 of AUROC.
    """

    def __init__(self, measures: Measures, units: np.ndarray, weights: np.ndarray):
        self.measures, self.units, self.weights = measures, units, weights

    @property
    def names(self) -> tuple[str, ...]:
        """The measures that are used."""
        return self.measures.names

    @property
    def typical(self) -> TypicalErrors:
        """The unit of each cell's error."""
        return self.measures.typical

    @classmethod
    def fit(
        cls,
        estimator: AutoEncoder,
        fitted: Rows,
        held_out: Rows,
        names: Sequence[str],
        seed: int,
        few: bool = False,
    ) -> tuple[Self, np.ndarray]:
        """Return the score, and the costs of the held-out rows.

        Parameters
        ----------
        estimator : AutoEncoder
            Fitted.
        fitted, held_out : Rows
            Rows it was fitted on, and others.
        names : sequence of str
            Measures to weigh.
        seed : int
            Of the choice of reference rows and of what is made up.
        few : bool, default=False
            Whether rows are compared with draws of few.
        """
        random = np.random.default_rng(seed)
        images = None
        if MAPS in names:
            estimator = exact(estimator)
            # One half says what is usual, the other what costs that gives.
            usual, held_out = _halves(held_out, random)
            images = ImageCosts.measure(*_images(estimator, usual))
        typical = TypicalErrors.measure(estimator, held_out)
        reference = _reference(estimator, fitted, random, few) if needs_reference(names) else None
        measures = Measures(estimator, typical, names, reference, few, images)
        found = np.concatenate([measures.of(cells, leave_out=True) for cells in cells_of(estimator, held_out)])
        units = np.stack([_unit(column) for column in found.T])
        weights = np.ones(len(names))
        if len(names) > 1 and reference is not None and not few:
            some = random.permutation(len(held_out))[:MOST_JUDGED]
            stored = _stored(estimator, choose(held_out, np.sort(some)))
            weights = _weights(measures, found, made_up(estimator, stored, reference, seed))
        kept = [i for i, weight in enumerate(weights / weights.sum()) if weight >= LEAST_WEIGHT]
        measures.keep([names[i] for i in kept])
        score = cls(measures, units[kept], weights[kept] / weights[kept].sum())
        return score, score.weigh(found[:, kept])

    def costs(self, rows: Rows) -> np.ndarray:
        """Return what rows cost, ``(n,)``; a row of which nothing was observed cannot be judged, and costs 0."""
        pieces = [self._parts(cells).sum(1) for cells in self.cells_of(rows)]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def shares(self, cells: Cells) -> list[dict[str, float]]:
        """Return for each row what each measure adds to its cost."""
        return [dict(zip(self.names, row, strict=True)) for row in self._parts(cells).tolist()]

    def cell_by_cell(self, cells: Cells) -> Told:
        """Return each cell of a table as the rest of its row sees it: one pass for each column."""
        estimator = self.measures.estimator
        module, columns = estimator.module_, cells.batch.x.shape[1]
        cost = self._parts(cells).sum(1)
        expected, error, less = (np.zeros(cells.error.shape) for _ in range(3))
        probabilities: dict[int, Tensor] = {}
        blank = estimator.modality_.blank(1).x.to(cells.batch.x)
        for column in range(columns):
            hidden = cells.batch.x.clone()
            hidden[:, column] = blank[:, column]
            mask = torch.from_numpy(cells.observed.copy())
            mask[:, column] = False
            (found,) = cells_of_stored(estimator, Batch(hidden, mask))
            less[:, column] = cost - self._parts(found).sum(1)
            weight = next(module.parameters())
            of_all = errors_of(module, found.output.to(weight.device), cells.batch.to(weight.device))
            expected[:, column], error[:, column] = (part[:, column].cpu().numpy() for part in of_all[:2])
            if hasattr(module.loss, "probabilities"):
                chances = module.loss.probabilities(found.output.to(weight.device))
                probabilities |= {column: chances[column].cpu()} if column in chances else {}
        error = np.where(cells.observed, error / self.typical.mean, 0)
        less = np.maximum(np.where(cells.observed, less, 0), 0)
        # Where no cell alone explains the cost, their errors share it.
        less = np.where(less.any(1, keepdims=True), less, error)
        return Told(expected, error, less / np.maximum(less.sum(1, keepdims=True), 1e-300), probabilities)

    def cells_of(self, rows: Rows) -> Iterator[Cells]:
        """Yield the cells of rows as the score sees them, piece by piece."""
        return cells_of(self.measures.estimator, rows)

    def heat(self, cells: Cells) -> np.ndarray:
        """Return how odd each place of some images or series is, ``(b, *p)``: 1 is typical."""
        if self.measures.images is not None:
            return np.square(self.measures.images.heat(*image_of(self.measures.estimator, cells)))
        return self.typical.scaled(cells).mean(-1)

    def weigh(self, found: np.ndarray) -> np.ndarray:
        """Return the costs that measures ``(n, len(names))`` amount to."""
        return self._scaled(found) @ self.weights

    def state(self) -> dict[str, Any]:
        """Return what a saved detector needs: JSON values and arrays."""
        state: dict[str, Any] = {
            "error_total": self.typical.total,
            "error_count": self.typical.count,
            "measures": list(self.names),
            "units": self.units,
            "weights": self.weights,
            "few": self.measures.few,
        }
        if self.measures.reference is not None:
            state["reference"] = self.measures.reference.x.numpy()
            if self.measures.reference.mask is not None:
                state["reference_mask"] = self.measures.reference.mask.numpy().astype(np.uint8)
        return state | ({} if self.measures.images is None else self.measures.images.state())

    @classmethod
    def restore(cls, estimator: AutoEncoder, state: Mapping[str, Any]) -> Self:
        """Return the score that :meth:`state` described.

        Raises
        ------
        ValueError
            If a value is not there, or is not of the kind that :meth:`state` gives.
        """
        arrays = {name: _finite(state, name) for name in ("error_total", "error_count", "units", "weights")}
        if arrays["error_total"].shape != arrays["error_count"].shape:
            raise ValueError("the detector's error_total and error_count should have one shape.")
        names = state.get("measures")
        if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
            raise ValueError(f"the detector's measures should be a list of names, got {str(names)[:60]}.")
        check_measures([name for name in names if name != MAPS] or MEASURES)
        if arrays["units"].shape != (len(names), 3) or arrays["weights"].shape != (len(names),):
            raise ValueError("the detector's units and weights should be of its measures.")
        if not (arrays["units"][:, [0, 2]] > 0).all():
            raise ValueError("the detector's units should be positive.")
        few = state.get("few")
        if not isinstance(few, bool):
            raise ValueError(f"the detector's few should be true or false, got {str(few)[:60]}.")
        reference = None
        if needs_reference(names):
            reference = _restored(estimator, state)
            if few and len(reference) % min(FEW, len(reference)):
                raise ValueError(f"the detector's reference should be draws of {FEW} rows, got {len(reference)} rows.")
        images = None
        if MAPS in names:
            height, width = estimator.modality_.example()["shape"][:2]
            images, estimator = ImageCosts.restored(state, (height, width)), exact(estimator)
        typical = TypicalErrors(arrays["error_total"], arrays["error_count"])
        measures = Measures(estimator, typical, names, reference, few, images)
        return cls(measures, arrays["units"], arrays["weights"])

    def _parts(self, cells: Cells) -> np.ndarray:
        """Return what each measure adds to the cost of each row, ``(b, len(names))``."""
        parts = self.weights * self._scaled(self.measures.of(cells))
        return np.where(cells.observed.reshape(len(parts), -1).any(1)[:, None], parts, 0.0)

    def _scaled(self, found: np.ndarray) -> np.ndarray:
        floor, middle, spread = self.units.T
        return (np.log(found + floor) - middle) / spread


def check_measures(names: Sequence[str]) -> None:
    """Raise ValueError where a name is not that of a measure."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown or not len(names):
        raise ValueError(f"measures are {', '.join(MEASURES)}; got {list(names)!r}.")


def _weights(measures: Measures, found: np.ndarray, anomalies: Mapping[str, Batch]) -> np.ndarray:
    """Return a weight for each measure: more for those that find the anomalies."""
    found_in_kind = []
    for batch in anomalies.values():
        odd = np.concatenate([measures.of(cells) for cells in cells_of_stored(measures.estimator, batch)])
        is_odd = np.repeat([0, 1], [len(found), len(odd)])
        both = np.concatenate([found, odd])
        found_in_kind.append([roc_auc_score(is_odd, column) for column in both.T])
    mean = np.mean(found_in_kind, axis=0)
    steepness = STEEPNESS * len(found) / (len(found) + ENOUGH)
    return np.exp(steepness * (mean - mean.max()))


def _unit(found: np.ndarray) -> np.ndarray:
    floor = 1e-6 + 1e-3 * found.mean()
    logs = np.log(found + floor)
    middle = np.median(logs)
    spread = max(float(np.quantile(logs, 0.9) - middle), 0.5 * float(logs.std()), LEAST_SPREAD)
    return np.array([floor, middle, spread])


def _reference(estimator: AutoEncoder, fitted: Rows, random: np.random.Generator, few: bool) -> Batch:
    """Return at most so many of the fitted rows, as stored; or draws of few of them, one after the other."""
    if few:
        draws = [random.permutation(len(fitted))[:FEW] for _ in range(DRAWS)]
        return _stored(estimator, choose(fitted, np.concatenate(draws)))
    columns = int(np.prod(estimator.modality_.example()["shape"]))
    most = max(1, min(MOST_REFERENCES, MOST_CELLS // columns, len(fitted)))
    return _stored(estimator, choose(fitted, np.sort(random.permutation(len(fitted))[:most])))


def _halves(rows: Rows, random: np.random.Generator) -> tuple[Rows, Rows]:
    order = random.permutation(len(rows))
    cut = len(rows) // 2
    return choose(rows, np.sort(order[:cut][:MOST_JUDGED])), choose(rows, np.sort(order[cut:]))


def _images(estimator: AutoEncoder, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    pieces = [image_of(estimator, cells) for cells in cells_of(estimator, rows)]
    pixels, errors = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return pixels, errors


def _stored(estimator: AutoEncoder, rows: Rows) -> Batch:
    return estimator.modality_.to_batch(rows, next(estimator.module_.parameters()).dtype)


def _restored(estimator: AutoEncoder, state: Mapping[str, Any]) -> Batch:
    x = _finite(state, "reference")
    columns = list(estimator.modality_.example()["shape"])
    mask = state.get("reference_mask")
    if list(x.shape[1:]) != columns or not 0 < len(x) <= MOST_REFERENCES:
        raise ValueError(f"the detector's reference should be rows of {columns} cells, got shape {x.shape}.")
    if mask is not None and np.shape(mask) != x.shape:
        raise ValueError(f"the detector's reference_mask should be of shape {x.shape}, got {np.shape(mask)}.")
    dtype = next(estimator.module_.parameters()).dtype
    return Batch(torch.as_tensor(x).to(dtype), None if mask is None else torch.as_tensor(np.asarray(mask)).bool())


def _finite(state: Mapping[str, Any], name: str) -> np.ndarray:
    array = np.asarray(state.get(name), dtype=np.float64)
    if array.ndim < 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"the detector's {name} should be finite numbers, got {str(state.get(name))[:60]}.")
    return array
