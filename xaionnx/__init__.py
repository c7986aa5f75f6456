"""Explain exported ONNX models: what a .onnx file bases its decisions on."""

__version__ = "0.1.0"
