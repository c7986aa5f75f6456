"""Kinds of targets, one per file: a class derived from :class:`xaionnx.targets.target.Target`."""
