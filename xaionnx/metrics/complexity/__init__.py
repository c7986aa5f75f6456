"""Complexity: whether a few features carry most of the sum."""
