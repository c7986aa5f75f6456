"""Localisation: whether the values lie inside the ground-truth mask."""
