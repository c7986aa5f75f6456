"""Searches for counterfactuals of rows, one a file."""
