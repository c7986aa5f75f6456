"""TreeSHAP of a forest against shap's TreeExplainer and woodelf_explainer: interleaved, processor time of one thread.

Run with: NUMBA_NUM_THREADS=1 python -m tests.bench.trees, in an environment with numba, scikit-learn, pandas, shap 0.51
and woodelf_explainer 0.4.8. The forest has 100 trees of depth 6 over 20 columns. Peer over ours, medians of five rounds
in each of two runs, and of three in a third: interventional, 500 rows and 100 background rows, shap 38, 41 and 38.5;
path dependent, 2,000 rows, shap 17.5, 18 and 16.4; 20,000 rows and as many background rows, woodelf 2.0, 2.5 and 2.9;
path dependent, 20,000 rows, woodelf 2.9 and 3.6; interactions, 200 rows, path dependent, shap 121 and 128;
interactions, 2,000 rows and as many background rows, woodelf 13 and 17.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import shap
import woodelf
from sklearn.ensemble import RandomForestRegressor
from xaionnx_kernels import trees
from xaionnx_kernels.forests import Forest, paths

COLUMNS, ROUNDS = 20, 5
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def forest_of(model: RandomForestRegressor) -> tuple[Forest, Array, Array, Array]:
    """The nodes of a forest, its roots, leaf values and the share of the training rows that goes on to each node."""
    parts, roots = [one.tree_ for one in model.estimators_], []
    lists: list[list[Array]] = [[] for _ in range(6)]
    for tree in parts:
        first = sum(len(array) for array in lists[0])
        roots.append(first)
        leaf = tree.children_left < 0
        row = (
            np.where(leaf, -1, tree.feature), tree.threshold, np.where(leaf, -1, tree.children_left + first),
            np.where(leaf, -1, tree.children_right + first), np.where(leaf, tree.value[:, 0, 0], 0) / len(parts),
            tree.weighted_n_node_samples,
        )  # fmt: skip
        for kept, array in zip(lists, row, strict=True):
            kept.append(array)
    feature, threshold, true, false, value, cover = (np.concatenate(one) for one in lists)
    count = len(feature)
    going, inner = np.ones(count), true >= 0
    for side in (true[inner], false[inner]):
        going[side] = cover[side] / cover[inner]
    forest = Forest(
        feature.astype(np.int32), np.zeros(count, np.int8), threshold, np.zeros(count, bool), true.astype(np.int32),
        false.astype(np.int32), np.zeros(count + 1, np.int32), np.zeros(0),
    )  # fmt: skip
    return forest, np.array(roots, np.int32), value[:, None], going


def main() -> None:
    """Print the ratio of processor times for each task."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(42_000, COLUMNS)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.1 * (x**2).sum(axis=1)
    model = RandomForestRegressor(100, max_depth=6, random_state=0, max_features=0.5).fit(x[:5000], y[:5000])
    forest, roots, values, going = forest_of(model)

    def ours(rows: Array, background: Array | None, *, pairs: bool = False) -> Array:
        found = paths(forest, roots, np.arange(COLUMNS))
        absent = trees.Cover(going) if background is None else trees.Background(background, np.ones(len(background)))
        tables = trees.ShapTables(found, absent, len(rows), interactions=pairs)
        out = np.zeros((len(rows), 1, COLUMNS))
        both = np.zeros((len(rows), 1, COLUMNS, COLUMNS)) if pairs else None
        tables.add(rows, [values], [np.arange(len(rows))], out, both)
        return out

    def woodelfs(background: Array | None) -> woodelf.WoodelfExplainer:
        return woodelf.WoodelfExplainer(model, *([] if background is None else [pd.DataFrame(background)]))

    few, many, others = x[40_000:40_100], x[:20_000], x[20_000:40_000]
    tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "interventional, 500 rows, 100 background rows, shap": (
            lambda: shap.TreeExplainer(model, few).shap_values(x[:500], check_additivity=False),
            lambda: ours(x[:500], few),
        ),
        "path dependent, 2,000 rows, shap": (
            lambda: shap.TreeExplainer(model).shap_values(x[:2000], check_additivity=False),
            lambda: ours(x[:2000], None),
        ),
        "interventional, 20,000 rows and background rows, woodelf": (
            lambda: woodelfs(others).shap_values(pd.DataFrame(many)),
            lambda: ours(many, others),
        ),
        "path dependent, 20,000 rows, woodelf": (
            lambda: woodelfs(None).shap_values(pd.DataFrame(many)),
            lambda: ours(many, None),
        ),
        "interactions, path dependent, 200 rows, shap": (
            lambda: shap.TreeExplainer(model).shap_interaction_values(x[:200]),
            lambda: ours(x[:200], None, pairs=True),
        ),
        "interactions, 2,000 rows and background rows, woodelf": (
            lambda: woodelfs(others[:2000]).shap_interaction_values(pd.DataFrame(many[:2000])),
            lambda: ours(many[:2000], others[:2000], pairs=True),
        ),
    }
    for own in (few, None):
        ours(x[:4], own, pairs=True)  # compiles the loops
    for name, (peer, own_) in tasks.items():
        ratios = [_seconds(peer) / _seconds(own_) for _ in range(ROUNDS)]
        print(f"{name}: {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})", flush=True)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
