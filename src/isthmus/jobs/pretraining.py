"""What it takes to predict labels that few rows have: a code learned from all rows, and a head on it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from isthmus.batch import Batch, Step
from isthmus.building import asked_options, check_number
from isthmus.data import Resident, blocks, load
from isthmus.estimator import AutoEncoder
from isthmus.guards import seeded, threads_set
from isthmus.jobs.baselines import Matrix
from isthmus.jobs.job import Job, choose, is_table
from isthmus.jobs.layerwise import check_layers, fit_layers
from isthmus.jobs.supervised import Blended, Classes, Numbers, Supervised
from isthmus.layers import check_choice
from isthmus.options import choose_options
from isthmus.rows import Rows, as_rows, check_width
from isthmus.training import train

__all__ = ["Pretrained"]

logger = logging.getLogger(__name__)

STRATEGIES = ("end_to_end", "layerwise", "fitted", "none")
LAYERS = ("features", "code")
HEADS = ("fine_tune", "linear")
# Below so many labelled rows a tenth of them says too little to be held out.
ENOUGH = 1_000
PIECE = 4_096
NETWORK = "network."


class Pretrained(Job):
    """What both jobs of this verb do: pre-train, put a head on the code, fit it on the rows that have a label."""

    strategy: str
    head: str
    layer: str
    consistency: float
    dropout: float
    corrupt: bool
    max_epochs: int | None
    learning_rate: float

    network_: Supervised
    head_history_: list[dict[str, float]]

    @abstractmethod
    def _targets(self, y: np.ndarray) -> np.ndarray:
        """Learn what labels there are; return them as the loss reads them, with its sign for unknown ones."""

    @abstractmethod
    def _loss(self) -> Classes | Numbers:
        """Return the loss of the head."""

    @abstractmethod
    def _n_outputs(self) -> int:
        """Return how many numbers the head gives."""

    @abstractmethod
    def _probe(self, codes: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and biases of the best linear head on codes of mean 0 and variance 1."""

    def default_estimator(self, X: Any) -> AutoEncoder:
        """Return the auto-encoder pre-trained where none is given: one that sees through corruption.

        Cells of a table are swapped with another row's; images lose a quarter of their pixels, series of their steps.
        """
        if is_table(X):
            return AutoEncoder(corruption="swap_rows")
        return AutoEncoder(bottleneck="linear(size=64)", corruption="mask")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the code from all rows, and the label from those that have one.

        Parameters
        ----------
        X : array-like, data frame or Rows of n rows
            A table or images, as :class:`AutoEncoder` takes them.
        y : array-like of n labels
            With a sign for 'not known' where there is none: see the class.

        Returns
        -------
        Self
        """
        self._check_params()
        rows = as_rows(X)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        y = column_or_1d(np.asarray(y), warn=True)
        if len(y) != len(rows):
            raise ValueError(f"y must be one label for each of {len(rows)} rows, got {len(y)}.")
        targets = self._targets(y)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.estimator_ = self._code_learned(rows, targets)
        with seeded(seed, self._device):
            self.network_ = self._new_network()
        labelled = Resident(self._stored(rows, targets, self._known(targets)))
        codes = torch.cat([step.code.z.cpu() for step in self._steps(labelled.batch)])
        self.network_.measure(codes.to(self._device))
        if self.head == "linear":
            self._fit_probe(codes, labelled)
        else:
            self._fine_tune(labelled, rows, targets, seed)
        self.network_.eval()
        return self

    def compare(self, train: Any, test: Any, y: Any = None, *, y_train: Any = None) -> list[dict[str, Any]]:
        """Return how well each method predicts the labels of rows that none has seen.

        Parameters
        ----------
        train, test : array-like, data frame or Rows
            Rows to fit on, and others.
        y : array-like of labels
            Of the test rows.
        y_train : array-like of labels
            Of the rows to fit on; some may be unknown. The baselines are fitted on the others.

        Returns
        -------
        list of dict
            ``method`` and its ``score`` (accuracy, or R squared) for the job, the same network
            without pre-training, and each baseline on the rows as one matrix.
        """
        if y is None or y_train is None:
            raise ValueError(f"{type(self).__name__}.compare needs the labels of both: y of test, y_train of train.")
        y, y_train = _plain(column_or_1d(np.asarray(y))), column_or_1d(np.asarray(y_train))
        job = self if hasattr(self, "estimator_") else clone(self).fit(train, y_train)
        alone = clone(self).set_params(strategy="none", consistency=0.0).fit(train, y_train)
        table = [
            {"method": "auto-encoder", "score": float(job.score(test, y))},
            {"method": "same network, labelled rows alone", "score": float(alone.score(test, y))},
        ]
        known = np.flatnonzero(self._known(clone(self)._targets(y_train)))
        given = _plain(y_train[known])
        matrix = Matrix(job.estimator_.modality_).fit(train)
        before, after = matrix.transform(choose(as_rows(train), known)), matrix.transform(test)
        for name, baseline in self.baselines().items():
            baseline.fit(before, given)
            table.append({"method": name, "score": float(baseline.score(after, y))})
        return table

    def state(self) -> dict[str, Any]:
        """Return the weights of encoder, bottleneck and head, which labels have changed."""
        check_is_fitted(self, "network_")
        weights = {f"{NETWORK}{name}": value.cpu().numpy() for name, value in self._weights().items()}
        return weights | {"head_history": self.head_history_}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Take back what :meth:`state` returned."""
        network = self._new_network()
        wanted = {name: value for name, value in network.state_dict().items() if _is_own(name)}
        for name, value in wanted.items():
            given = state.get(f"{NETWORK}{name}")
            if not isinstance(given, np.ndarray) or given.shape != value.shape or not np.isfinite(given).all():
                raise ValueError(
                    f"the weights {name!r} of the head's network should be finite, of {tuple(value.shape)}."
                )
            value.copy_(torch.from_numpy(given))
        self.network_ = network.eval()
        history = state.get("head_history")
        if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
            raise ValueError("head_history is not a list of objects.")
        self.head_history_ = history
        return self

    def _check_params(self) -> None:
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("head", self.head, HEADS)
        check_choice("layer", self.layer, LAYERS)
        check_number(self, "consistency", "a number of at least 0", lambda v: v >= 0)
        check_number(self, "dropout", "a number of at least 0 and below 1", lambda v: 0 <= v < 1)
        check_number(self, "learning_rate", "a number above 0", lambda v: v > 0)
        if self.max_epochs is not None:
            check_number(self, "max_epochs", "a whole number of at least 1, or None", lambda v: v >= 1 and v == int(v))

    def _code_learned(self, rows: Rows, targets: np.ndarray) -> AutoEncoder:
        """Return the auto-encoder, trained as the strategy says."""
        if self.strategy == "fitted":
            given = self.estimator
            if not isinstance(given, AutoEncoder):
                raise TypeError(f"strategy='fitted' takes an AutoEncoder that is, got {type(given).__name__}.")
            check_is_fitted(given, "module_")
            check_width(rows, given.n_features_in_, type(self).__name__)
            return given
        estimator = self._prepared(rows)
        labels = self._labels_for_parts(targets)
        if self.strategy == "end_to_end":
            return estimator.fit(rows, labels)
        estimator.build(rows, labels)
        if self.strategy == "layerwise":
            check_layers(estimator.module_.encoder, estimator.module_.bottleneck)
            weight = next(estimator.module_.parameters())
            data = load(rows, estimator.modality_, weight.dtype, weight.device.type)
            estimator.history_ = fit_layers(estimator, data, estimator.options_)
        return estimator

    def _labels_for_parts(self, targets: np.ndarray) -> np.ndarray | None:
        """Return labels for parts of the auto-encoder that ask for some."""
        return targets if targets.dtype == np.int64 else None

    def _new_network(self) -> Supervised:
        module = self.estimator_.module_
        options = (self.layer, self.dropout, self.corrupt, self.consistency)
        return Supervised(module, self._n_outputs(), self._loss(), *options)

    def _known(self, targets: np.ndarray) -> np.ndarray:
        return targets >= 0 if targets.dtype == np.int64 else np.isfinite(targets)

    def _stored(self, rows: Rows, targets: np.ndarray, chosen: np.ndarray) -> Batch:
        """Return the chosen rows as stored examples with their targets."""
        index = np.flatnonzero(chosen)
        stored = self.estimator_.modality_.to_batch(choose(rows, index), self._dtype)
        return replace(stored, condition=torch.from_numpy(targets[index]))

    def _fit_probe(self, codes: torch.Tensor, labelled: Resident) -> None:
        """Set the head to the best linear one, the encoder as it is."""
        self.head_history_ = []
        network = self.network_
        standard = ((codes - network.center.cpu()) / network.spread.cpu()).double().numpy()
        weights, biases = self._probe(standard, labelled.batch.condition.numpy())
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(weights))
            network.head.bias.copy_(torch.from_numpy(biases))

    def _fine_tune(self, labelled: Resident, rows: Rows, targets: np.ndarray, seed: int) -> None:
        """Train head and encoder on the labels."""
        data: Any = labelled
        if self.consistency and not self._known(targets).all():
            data = Blended(labelled, Resident(self._stored(rows, targets, ~self._known(targets))))
        held_out = 0.1 if len(data) >= ENOUGH and data is labelled else 0.0
        asked = asked_options(self.estimator_, seed) | {
            "max_epochs": self.max_epochs,
            "learning_rate": self.learning_rate,
            "validation_fraction": held_out,
            "batch_size": None,
            "patience": None,
        }
        options = choose_options(len(data), self.network_, asked)
        logger.info("fine-tune on %d rows: %s", len(data), options)
        with threads_set(options.threads):
            self.head_history_, _ = train(self.network_, data, options, callback=self.estimator_.callback)

    def _steps(self, stored: Batch) -> Iterator[Step]:
        with torch.inference_mode():
            for begin in range(0, len(stored), PIECE):
                yield self.network_.eval()(stored[begin : begin + PIECE].to(self._device))

    def _outputs(self, X: Any) -> np.ndarray:
        """Return what the head says of rows, ``(n, outputs)``."""
        rows = self._rows(X)
        stored = blocks(rows, self.estimator_.modality_, self._dtype)
        return torch.cat([step.output.cpu() for block in stored for step in self._steps(block)]).double().numpy()

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in self.network_.state_dict().items() if _is_own(name)}


def _plain(labels: np.ndarray) -> np.ndarray:
    """Return labels as an array of one type: scikit-learn takes no numbers in an array of objects."""
    return np.array(labels.tolist())


def _is_own(name: str) -> bool:
    """Whether a tensor of the network is its own, and not the modality's or the corruption's."""
    return not name.startswith(("modality.", "corruption."))
