"""Compilation: a model, a method and a target as one ordinary ONNX file that needs only onnxruntime."""

from xaionnx.compilation.compiled import Compiled, compile, method, methods

__all__ = ["Compiled", "compile", "method", "methods"]
