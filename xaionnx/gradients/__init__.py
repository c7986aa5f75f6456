"""Gradients of targets: from a gradient graph, from finite differences, or from the user's gradient model."""
