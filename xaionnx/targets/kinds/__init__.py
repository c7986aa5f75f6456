"""What can be explained, a kind a file: a class derived from :class:`xaionnx.targets.target.Target`."""
