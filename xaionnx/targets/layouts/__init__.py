"""Layouts of boxes, one per file: a class derived from :class:`xaionnx.targets.layout.BoxLayout`."""
