"""Benches that need their peers must not be imported when doctests are collected."""

collect_ignore = ["peers.py", "products.py", "scores.py", "trees.py"]
