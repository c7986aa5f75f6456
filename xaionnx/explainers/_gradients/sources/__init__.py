"""Where gradients come from: one file a source, and :mod:`choice` between them."""
