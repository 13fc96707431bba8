"""The verb `export`: a detector as one ONNX file."""

from __future__ import annotations

from pathlib import Path

from isthmus.cli.inputs import open_model
from isthmus.cli.outputs import check_not_input, not_for
from isthmus.cli.talk import count, figures, say
from isthmus.exporting import to_onnx
from isthmus.files import atomic
from isthmus.jobs import AnomalyDetector

__all__ = ["export"]


def export(model: Path, out: Path, as_json: bool) -> None:
    """Write a detector as an ONNX file."""
    check_not_input(out, model)
    fitted, _ = open_model(model)
    if not isinstance(fitted, AnomalyDetector):
        raise not_for(model, "detect", "only a detector of rows can be exported")
    content = to_onnx(fitted).SerializeToString()
    with atomic(out) as part:
        part.write_bytes(content)
    columns = len(fitted.estimator_.modality_.columns)
    say(f"{count(columns, 'column')} in; cost, alert and p_value out; {len(content) / 1e6:.1f} MB written to {out}")
    if as_json:
        figures({"out": str(out), "bytes": len(content), "columns": columns, "model": fitted.model_id_}, True)
