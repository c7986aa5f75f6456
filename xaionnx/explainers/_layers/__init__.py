"""Tensors inside a model: which they are, and how they lie over the input."""
