"""A detector as an ONNX graph: its score, with the raw columns in front and what a server must know beside it."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus import __version__
from isthmus.exporting.scoring import Detection
from isthmus.exporting.tables import MISSING
from isthmus.jobs import AnomalyDetector
from isthmus.modalities import Tables

__all__ = ["OUTPUTS", "to_onnx"]

OUTPUTS = ("cost", "alert", "p_value")
NEEDED = ("onnx", "onnxscript")
OPSET, ML_OPSET = 20, 3
# Before the names inside the graph, so that a column may have any.
INSIDE = "isthmus/"
FORMAT = 1
# Modules that torch misses and we do not need.
CHATTY = "torch.onnx._internal.exporter._registration"


def to_onnx(detector: AnomalyDetector) -> Any:
    """Return a detector of rows of tables as an ONNX model: raw cells in, cost, alert and p-value out.

    Parameters
    ----------
    detector : AnomalyDetector
        Fitted on a table; of any measures, contaminated or not.

    Returns
    -------
    onnx.ModelProto
        Needs opset 20 and that of ``ai.onnx.ml`` for categories; standard operators alone. Its
        first dimension is the number of rows, 1 or more.

        Inputs: of a detector fitted on an array of numbers ``rows``, float64 ``(n, columns)``. Otherwise
        each column by its name, ``(n, 1)``: categories as strings, all others float64: booleans 0
        or 1, dates and times as seconds since 1970 (UTC). Missing is NaN, or the empty string (unless rows
        fitted on had it as a value of that column).

        Outputs, each ``(n,)``: ``cost``, float64, minus ``score_samples``; ``alert``, bool, whether it is above the
        threshold, by more than 1e-5; ``p_value``, float64, as of ``p_values``, where what differs by less is equal.

        ``metadata_props``, JSON each: ``isthmus.columns`` (for each ``name``, ``kind``, and ``input``, which is the
        name but where that is empty or an output's), ``isthmus.threshold`` (of the cost), ``isthmus.false_alarm_rate``,
        ``isthmus.model``, ``isthmus.version``, ``isthmus.format``.

    Raises
    ------
    ValueError
        If onnx is not installed, the detector is none of rows of tables, or a part of its auto-encoder
        has no counterpart in ONNX.

    Notes
    -----
    All is there that the score has: preparation in float64, the network, distances to the reference rows. What
    Python refuses with an error a graph cannot: infinity is read as a million standard deviations, a boolean that is
    neither 0 nor 1 as one that was never seen. Memory grows with rows times reference rows: 80 KB a row at most,
    so a batch of millions is to be cut into some of a thousand.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from isthmus import AutoEncoder
    >>> detector = AnomalyDetector(AutoEncoder(max_epochs=2), random_state=0).fit(load_iris().data)
    >>> model = to_onnx(detector)  # doctest: +SKIP
    >>> Path("detector.onnx").write_bytes(model.SerializeToString())  # doctest: +SKIP
    """
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise ValueError(f"ONNX export needs {' and '.join(absent)}: pip install 'isthmus[onnx]'.")
    import onnx

    modality = _modality_of(detector)
    model = _exported(Detection(detector), modality)
    model = onnx.compose.add_prefix(model, INSIDE, rename_nodes=True, rename_outputs=False)
    inputs = _put_in_front(model, modality)
    _tell(model, detector, modality, inputs)
    onnx.checker.check_model(model, full_check=True)
    return model


def _modality_of(detector: Any) -> Tables:
    modality = getattr(getattr(detector, "estimator_", None), "modality_", None)
    if not isinstance(detector, AnomalyDetector) or not isinstance(modality, Tables):
        of = "" if modality is None else f" of {type(modality).__name__.lower()}"
        raise ValueError(f"ONNX export is for a fitted AnomalyDetector of a table, got {type(detector).__name__}{of}.")
    return modality


def _exported(detection: Detection, modality: Tables) -> Any:
    """Return the graph from numbers and symbols to the outputs."""
    preparation, dynamic = detection.preparation, {0: torch.export.Dim("n", min=1)}
    given = {
        "numbers": torch.zeros(2, preparation.n_numbers, dtype=torch.float64) if preparation.n_numbers else None,
        "symbols": torch.zeros(2, preparation.n_symbols, dtype=torch.int64) if preparation.n_symbols else None,
    }
    names = [name for name, tensor in given.items() if tensor is not None]
    with _hushed():
        try:
            shapes = {name: dynamic if name in names else None for name in given}
            # Strict: the lengths of tensors, which parts ask for, stay symbols.
            program = torch.export.export(detection, (), given, dynamic_shapes=shapes, strict=True)
            exported = torch.onnx.export(
                program.run_decompositions(OURS),
                input_names=names,
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"a part of this auto-encoder has no counterpart in ONNX: {said}") from error
    assert exported is not None
    return exported.model_proto


def _binary_cross_entropy(logits: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Return minus the log-probability of each boolean: torch 2.13 takes logarithms of rounded probabilities."""
    return logits.clamp(min=0) - logits * x + F.softplus(-logits.abs())


def _cross_entropy(logits: Tensor, symbols: Tensor, *options: Any) -> Tensor:
    """Return minus the log-probability of each row's symbol: torch 2.13 has it lose the rows' dimension."""
    return -logits.log_softmax(1).gather(1, symbols[:, None])[:, 0]


# Operators that torch does not translate well, in those that it does.
OURS = {
    torch.ops.aten.binary_cross_entropy_with_logits.default: _binary_cross_entropy,
    torch.ops.aten.cross_entropy_loss.default: _cross_entropy,
}


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep to itself what torch says of its own insides."""
    logger = logging.getLogger(CHATTY)
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _put_in_front(model: Any, modality: Tables) -> list[str]:
    """Let the graph begin at raw columns; return the name of each column's input."""
    from onnx import TensorProto, helper

    graph, columns = model.graph, modality.columns
    del graph.input[:], graph.value_info[:]
    numeric = [column["kind"] != "category" for column in columns]
    if modality.container == "numpy" and all(numeric) and not modality.ignored:
        graph.input.append(helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["n", len(columns)]))
        nodes, inputs = [helper.make_node("Identity", ["rows"], [f"{INSIDE}numbers"])], ["rows"] * len(columns)
    else:
        nodes, inputs = [], _input_names(modality.names)
        kinds = {True: TensorProto.DOUBLE, False: TensorProto.STRING}
        for name, is_number in zip(inputs, numeric, strict=True):
            graph.input.append(helper.make_tensor_value_info(name, kinds[is_number], ["n", 1]))
        numbers = [name for name, is_number in zip(inputs, numeric, strict=True) if is_number]
        if numbers:
            nodes.append(helper.make_node("Concat", numbers, [f"{INSIDE}numbers"], axis=1))
        if len(numbers) < len(columns):
            nodes += _symbols(inputs, columns)
            model.opset_import.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    after = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *after])
    for output in graph.output:
        kind = TensorProto.BOOL if output.name == "alert" else TensorProto.DOUBLE
        output.CopyFrom(helper.make_tensor_value_info(output.name, kind, ["n"]))
    return inputs


def _symbols(inputs: list[str], columns: list[dict[str, Any]]) -> list[Any]:
    """Return nodes from the text of categories to their ranks."""
    from onnx import helper

    nodes, made = [], []
    for i, (name, column) in enumerate(zip(inputs, columns, strict=True)):
        if column["kind"] == "category":
            ranks = {"": MISSING} | {value: rank for rank, value in enumerate(column["values"], 1)}
            made.append(f"{INSIDE}symbol_{i}")
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    made[-1:],
                    domain="ai.onnx.ml",
                    keys_strings=list(ranks),
                    values_int64s=list(ranks.values()),
                    default_int64=0,
                )
            )
    return [*nodes, helper.make_node("Concat", made, [f"{INSIDE}symbols"], axis=1)]


def _input_names(names: list[str]) -> list[str]:
    """Return a name for each column's input: its own, unless that is empty or taken."""
    found: list[str] = []
    for i, name in enumerate(names):
        wanted = name or f"column {i}"
        while wanted in (*OUTPUTS, *found) or (wanted != name and wanted in names):
            wanted += "_"
        found.append(wanted)
    return found


def _tell(model: Any, detector: AnomalyDetector, modality: Tables, inputs: list[str]) -> None:
    """Write down what a server must know."""
    from onnx import helper

    columns = [
        {"name": column["name"], "kind": column["kind"], "input": name}
        for column, name in zip(modality.columns, inputs, strict=True)
    ]
    told = {
        "columns": columns,
        "threshold": -float(detector.offset_),
        "false_alarm_rate": detector.false_alarm_rate,
        "model": detector.model_id_,
        "version": __version__,
        "format": FORMAT,
    }
    helper.set_model_props(model, {f"isthmus.{name}": json.dumps(value) for name, value in told.items()})
    model.producer_name, model.producer_version = "isthmus", __version__
    model.doc_string = "Costs, alerts and p-values of the rows of a table."
