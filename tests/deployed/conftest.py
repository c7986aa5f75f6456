"""What needs PyTorch must not be imported when doctests are collected."""

collect_ignore = ["own_weights.py"]
