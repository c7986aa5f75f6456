"""Kinds of features, one per file: a class derived from :class:`xaionnx.perturb.features.Features`."""
