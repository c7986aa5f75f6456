"""Gradients of exported models, as ordinary ONNX graphs."""

from xaionnx.autodiff.gradient import Gradient, gradient

__all__ = ["Gradient", "gradient"]
