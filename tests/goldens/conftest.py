"""Scripts that make goldens need PyTorch, and would be imported where doctests are looked for."""

collect_ignore_glob = ["make_*.py"]
