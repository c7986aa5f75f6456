"""Faithfulness: whether the values follow what the model does when features are removed."""
