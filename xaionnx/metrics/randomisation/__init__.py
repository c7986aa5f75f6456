"""Randomisation: whether the values depend on the weights and on the target."""
