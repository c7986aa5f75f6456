"""Nothing here is a test."""

# It needs PyTorch, and is imported where doctests are looked for.
collect_ignore = ["make_architectures.py"]
