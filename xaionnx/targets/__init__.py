"""Targets: the scalar to explain, resolved against a model, and evaluated in numpy or in the graph."""
