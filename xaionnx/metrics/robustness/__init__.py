"""Robustness: whether similar inputs get similar explanations."""
