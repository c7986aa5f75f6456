"""The search for the nodes below a node of a tree equals a dict of all nodes, whatever numbers a file has."""

import numpy as np
import pytest

from xaionnx.loading.tree_limits import _places


@pytest.mark.parametrize("scale", [1, 2**60])
def test_places_are_those_of_a_dict(scale):
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = rng.integers(1, 30)
        trees, ids, wanted = (rng.integers(low, high, count) * scale for low, high in ((-2, 4), (-3, 6), (-4, 8)))
        known = {pair: number for number, pair in enumerate(zip(trees.tolist(), ids.tolist(), strict=True))}
        expected = [known.get(pair, -1) for pair in zip(trees.tolist(), wanted.tolist(), strict=True)]
        np.testing.assert_array_equal(_places(trees, ids)(wanted), expected)
