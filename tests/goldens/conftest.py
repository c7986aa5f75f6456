"""Scripts that make goldens need PyTorch, and must not be imported when doctests are collected."""

collect_ignore_glob = ["make_*.py"]
