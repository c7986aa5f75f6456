"""What removal puts in, a kind a file: a class derived from :class:`xaionnx.perturb.baseline.Baseline`."""
