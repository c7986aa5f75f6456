"""How an input is divided, a kind a file: a class derived from :class:`xaionnx.perturb.features.Features`."""
