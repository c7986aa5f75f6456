"""Gradients of targets: from a graph that is built, from finite differences, or from a gradient model of the user's."""
