"""Axiomatic: whether the values satisfy an axiom."""
