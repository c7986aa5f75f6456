"""Kinds of baselines, one per file: a class derived from :class:`xaionnx.perturb.baseline.Baseline`."""
