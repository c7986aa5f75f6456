"""Gradient rules, a file for each family of ops. New files are found automatically."""
