"""The score of a detector as one module of tensors: from raw cells to cost, alert and p-value."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.batch import Batch, Step
from isthmus.exporting.neighbours import Draws, Nearest, Quantiles, Search
from isthmus.exporting.tables import Matrix, Preparation
from isthmus.jobs import AnomalyDetector
from isthmus.jobs.cells import errors_of
from isthmus.jobs.measures import AROUND, NEAR, Measures
from isthmus.module import AutoEncoderModule

__all__ = ["TIE", "Detection"]

# Costs that differ by less are equal: a table of categories has few different rows, whose costs a
# runtime rounds otherwise than torch does, and all rows of a kind would be alerts.
TIE = 1e-5


class Detection(nn.Module):
    """What a detector of rows of tables computes, of raw cells: see :class:`Preparation` for these.

    Parameters
    ----------
    detector : AnomalyDetector
        Fitted on a table.
    """

    def __init__(self, detector: AnomalyDetector):
        super().__init__()
        estimator, score = detector.estimator_, detector.score_
        self.preparation = Preparation(estimator.modality_)
        self.module = copy.deepcopy(estimator.module_).cpu().float().eval()
        self.measures = _Measures(score.measures)
        floor, middle, spread = score.units.T
        self.offset = float(detector.offset_)
        self.constant = float(middle / spread @ score.weights)
        self.register_buffer("floor", torch.from_numpy(floor.copy()))
        self.register_buffer("weights", torch.from_numpy(score.weights / spread))
        held_out, counts = np.unique(detector.held_out_scores_, return_counts=True)
        self.among = Search([held_out], torch.float64)
        # Of the place of a score: the share of held-out ones that are no higher, itself among them.
        shares = (1 + np.concatenate([[0], counts.cumsum()])) / (1 + counts.sum())
        self.register_buffer("shares", torch.from_numpy(np.repeat(shares, 2)[1:]).clone())

    def forward(self, numbers: Tensor | None, symbols: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return costs (float64), alerts (bool) and p-values (float64), each ``(b,)``."""
        batch = self.preparation(numbers, symbols)
        found = self.measures(self.module(batch), batch, self.module)
        cost = (found + self.floor).log() @ self.weights - self.constant
        # A row of which nothing was observed cannot be judged.
        cost = torch.where(batch.mask.any(1), cost, 0.0)
        place = self.among(TIE - cost[:, None])[:, 0]
        return cost, cost > TIE - self.offset, self.shares.index_select(0, place)


class _Measures(nn.Module):
    """The measures of a table's rows: :class:`isthmus.jobs.measures.Measures`."""

    def __init__(self, measures: Measures):
        super().__init__()
        self.names = measures.names
        self.register_buffer("typical", torch.from_numpy(measures.typical.mean))
        if measures.reference is None:
            return
        self.matrix = matrix = Matrix(measures.estimator.modality_)
        if "codes" in self.names:
            self.register_buffer("spread", torch.from_numpy(measures.spread).float())
            self.codes = _searched(measures.codes, measures.few)
        if "ranks" in self.names:
            if matrix.numbers:
                self.quantiles = Quantiles(measures.scale)
            self.ranks = _searched(measures.ranks[:, matrix.order], measures.few)
        if "density" in self.names:
            self.around = Nearest(measures.rows[:, matrix.order], AROUND)
            self.register_buffer("own", torch.from_numpy(measures.own).view(-1, 1))
            self.least = float(measures.own.mean() + 1e-12)
        elif "rows" in self.names:
            self.rows = _searched(measures.rows[:, matrix.order], measures.few)

    def forward(self, step: Step, batch: Batch, module: AutoEncoderModule) -> Tensor:
        """Return them, float64 ``(b, len(names))``."""
        expected, error, observed = errors_of(module, step.output, batch)
        found: dict[str, Tensor] = {}
        if "error" in self.names:
            seen = observed.double().sum(1)
            # Of a row without a cell the error is 0 as well; it is not judged.
            found["error"] = (error / self.typical).sum(1) / seen.clamp(min=1)
        if "codes" in self.names:
            found["codes"] = _mean(self.codes, step.code.z.flatten(1) / self.spread)
        if {"rows", "ranks", "density"} & set(self.names):
            rows = self.matrix(batch, expected.float())
            if "ranks" in self.names:
                found["ranks"] = _mean(self.ranks, self._ranked(rows))
            if "density" in self.names:
                found |= self._among_rows(rows)
            elif "rows" in self.names:
                found["rows"] = _mean(self.rows, rows)
        return torch.stack([found[name] for name in self.names], 1)

    def _ranked(self, rows: Tensor) -> Tensor:
        numbers = self.matrix.numbers
        if not numbers:
            return rows
        scaled = self.quantiles(rows[:, :numbers])
        return scaled if numbers == rows.shape[1] else torch.cat([scaled, rows[:, numbers:]], 1)

    def _among_rows(self, rows: Tensor) -> dict[str, Tensor]:
        distances, where = self.around(rows)
        distances = distances.double()
        around = F.embedding(where, self.own).mean((1, 2)).clamp(min=self.least)
        return {"rows": distances[:, :NEAR].mean(1), "density": distances.mean(1) / around}


def _searched(index: Tensor, few: bool) -> nn.Module:
    return Draws(index) if few else Nearest(index, NEAR)


def _mean(search: nn.Module, points: Tensor) -> Tensor:
    return search(points) if isinstance(search, Draws) else search(points)[0].double().mean(1)
