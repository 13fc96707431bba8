"""Fitted detectors for servers that have an ONNX runtime alone."""

from isthmus.exporting.graph import to_onnx

__all__ = ["to_onnx"]
