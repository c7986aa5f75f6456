"""Base classes of gradient methods."""
