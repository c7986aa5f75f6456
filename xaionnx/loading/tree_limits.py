"""Refuses trees on which onnxruntime would end the process: so deep, as it reads them by recursion, or so wide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import onnx

from xaionnx.loading.refusal import refusal
from xaionnx.typing import Array

# onnxruntime reads 10,000 levels with the usual stack of 8 MB, and 20,000 end the process.
_MOST_LEVELS: Final = 8_000
_MOST_TARGETS: Final = 2**20
_BY_IDS: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_NUMBERS: Final = ("treeids", "nodeids", "truenodeids", "falsenodeids")


def check_trees(shown: str, nodes: Iterable[onnx.NodeProto]) -> None:
    """Check that no tree ensemble is too deep or has too many targets; all else is checked where it is explained.

    Raises
    ------
    ModelFileError
        A tree has more than 8,000 levels or a cycle, or an ensemble more than a million targets.
    """
    for node in nodes:
        if node.domain != "ai.onnx.ml" or node.op_type not in _BY_IDS:
            continue
        given = {each.name.removeprefix("nodes_"): each for each in node.attribute}
        if "n_targets" in given and given["n_targets"].i > _MOST_TARGETS:
            raise refusal(
                f"{shown}: {node.op_type} '{node.name or node.output[0]}' declares {given['n_targets'].i:,} targets, "
                f"and at most {_MOST_TARGETS:,} are read. The file is damaged; export the model again."
            )
        modes = given["modes"].strings if "modes" in given else ()
        # A deeper tree has at least as many nodes.
        if len(modes) <= _MOST_LEVELS:
            continue
        numbers = [np.array(given[name].ints if name in given else (), np.int64) for name in _NUMBERS]
        leaf = np.array([mode == b"LEAF" for mode in modes])
        if all(len(array) == len(modes) for array in numbers) and _is_deep(leaf, *numbers):
            raise refusal(
                f"{shown}: a tree of {node.op_type} '{node.name or node.output[0]}' has more than {_MOST_LEVELS:,} "
                "levels or a cycle, on which onnxruntime would end the process. Train it with a limit of its depth "
                "(max_depth), and export it again."
            )


def _is_deep(leaf: Array, trees: Array, ids: Array, true: Array, false: Array) -> bool:
    """Whether a walk from the first node of each tree goes on after the most levels."""
    place = _places(trees, ids)
    true, false = place(true), place(false)
    frontier = np.unique(trees, return_index=True)[1]
    for _ in range(_MOST_LEVELS):
        inner = frontier[~leaf[frontier]]
        below = np.unique(np.concatenate([true[inner], false[inner]]))
        frontier = below[below >= 0]
        if not len(frontier):
            return False
    return True


def _places(trees: Array, ids: Array) -> Callable[[Array], Array]:
    """A function that finds the nodes with numbers in the trees of all nodes, -1 for none; the last of equal ones."""
    _, tree = np.unique(trees, return_inverse=True)
    named = np.unique(ids)
    # Ranks, since the numbers in a file may be too large to be joined.
    keys = tree * len(named) + np.searchsorted(named, ids)
    order = np.argsort(keys, kind="stable")
    known = keys[order]

    def place(wanted: Array) -> Array:
        rank = np.minimum(np.searchsorted(named, wanted), len(named) - 1)
        key = tree * len(named) + rank
        found = np.searchsorted(known, key, side="right") - 1
        is_there = (named[rank] == wanted) & (found >= 0) & (known[found] == key)
        return np.where(is_there, order[found], -1)

    return place
