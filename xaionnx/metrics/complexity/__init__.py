"""Complexity: whether few features hold most of the values."""
