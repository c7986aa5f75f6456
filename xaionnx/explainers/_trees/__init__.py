"""Shapley values of tree ensembles from the arrays of their nodes."""
