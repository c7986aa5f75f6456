"""A decision tree as a surrogate of a game: what each player adds along the path of the sample."""

from __future__ import annotations

import numpy as np

from xaionnx.explainers._games.local_surrogate import Fit
from xaionnx.typing import Array


def fit_tree(rows: Array, weights: Array, outputs: Array, depth: int, seed: int) -> Fit:
    """A tree on coalitions (M, P) for each of the outputs (M, T).

    The value of a player is the sum, over the splits on the path of the full coalition that ask for it, of the mean
    output after the split minus that before. The values and the mean of all add up to the leaf.
    """
    from sklearn.tree import DecisionTreeRegressor

    players, targets = rows.shape[1], outputs.shape[1]
    values, intercept, r2 = np.zeros((targets, players)), np.empty(targets), np.zeros(targets)
    for t in range(targets):
        tree = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=5, random_state=seed % 2**32)
        tree.fit(rows.astype(np.float32), outputs[:, t], sample_weight=weights)
        graph = tree.tree_
        means = graph.value[:, 0, 0]
        intercept[t], node = means[0], 0
        while graph.children_left[node] >= 0:
            # All players are present.
            after = int(graph.children_right[node])
            values[t, graph.feature[node]] += means[after] - means[node]
            node = after
        if outputs[:, t].std() > 0:
            r2[t] = tree.score(rows.astype(np.float32), outputs[:, t], weights)
    return Fit(values, None, intercept, r2)
