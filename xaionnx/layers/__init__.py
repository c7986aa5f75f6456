"""Tensors inside a model: their position, the meaning of their axes, and the parts of the model around them."""
