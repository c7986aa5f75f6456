"""The metrics, one per file, in folders by what they judge; see :func:`xaionnx.evaluate`."""
