"""Base classes of class activation maps."""
