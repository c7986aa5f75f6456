"""The bench of trees needs its peers, and must not be imported when doctests are collected."""

collect_ignore = ["trees.py"]
