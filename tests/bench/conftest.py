"""Benches that need their peers must not be imported when doctests are collected."""

collect_ignore = ["lucent.py", "peers.py", "products.py", "scores.py", "trees.py"]
