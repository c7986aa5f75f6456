"""Removal of parts of an input: players, baselines, and the game that evaluates coalitions."""
