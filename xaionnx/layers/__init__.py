"""Tensors inside a model: where they are, what their axes mean, and the model cut there."""
