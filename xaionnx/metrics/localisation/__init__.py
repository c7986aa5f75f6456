"""Localisation: whether the values lie at the true places."""
