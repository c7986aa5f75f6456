"""Broken tree ensembles: cycles, children and features out of range, attributes missing or of other lengths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.case import REFUSED, Build, Case

# x0 <= 0.5: 3, else 4.
_STUMP: Final[dict[str, Any]] = {
    "n_targets": 1,
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_hitrates": [4.0, 1.0, 3.0],
    "nodes_missing_value_tracks_true": [0, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [3.0, 4.0],
}


def cases() -> Iterator[Case]:
    for name, changes in _changes().items():
        for option, more in (
            ("", ()),
            ("path-", ("--perturbation", "path_dependent")),
            ("pairs-", ("--interactions",)),
        ):
            words = ("explain", "tree_shap", "bad.onnx", "rows.npy", *more, "--json")
            yield Case(f"trees/{option}{name}", words, {0, *REFUSED}, saves(**changes))
        yield Case(f"trees/inspect-{name}", ("inspect", "bad.onnx", "--json"), {0, *REFUSED}, saves(**changes))


def saves(**changes: Any) -> Build:
    """Make a builder of a file whose node has other attributes; those that are None are left out."""

    def build(folder: Path) -> None:
        # An attribute of nothing has no type, as if it were not there.
        stated = {key: value for key, value in {**_STUMP, **changes}.items() if value not in (None, [])}
        node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **stated)
        ends = [
            helper.make_tensor_value_info(end, TensorProto.FLOAT, ["N", size]) for end, size in (("x", 2), ("y", 1))
        ]
        graph = helper.make_graph([node], "trees", ends[:1], ends[1:])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "bad.onnx")
        np.save(folder / "rows.npy", np.random.default_rng(0).uniform(size=(4, 2)).astype(np.float32))

    return build


def _changes() -> dict[str, dict[str, Any]]:
    lists = [name for name, value in _STUMP.items() if isinstance(value, list)]
    found: dict[str, dict[str, Any]] = {}
    for name in lists:
        found[f"no {name}"] = {name: None}
        found[f"short {name}"] = {name: _STUMP[name][:1]}
        found[f"long {name}"] = {name: [*_STUMP[name], *_STUMP[name]]}
    return {
        **found,
        "good": {},
        "root is its own child": {"nodes_truenodeids": [0, 0, 0]},
        "children in a cycle": {
            "nodes_modes": ["BRANCH_LEQ"] * 3,
            "nodes_truenodeids": [1, 2, 0],
            "nodes_falsenodeids": [2, 0, 1],
        },
        "both children alike": {"nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [1, 0, 0]},
        "child out of range": {"nodes_truenodeids": [99, 0, 0]},
        "child below 0": {"nodes_falsenodeids": [-1, 0, 0]},
        "child beyond 32 bits": {"nodes_truenodeids": [2**40, 0, 0]},
        "feature out of range": {"nodes_featureids": [99, 0, 0]},
        "feature below 0": {"nodes_featureids": [-1, 0, 0]},
        "feature beyond 32 bits": {"nodes_featureids": [2**40, 0, 0]},
        "unknown mode": {"nodes_modes": ["BRANCH_MAYBE", "LEAF", "LEAF"]},
        "hostile mode": {"nodes_modes": ["\x1b[2J", "LEAF", "LEAF"]},
        "mode of bytes": {"nodes_modes": [b"\xff\xfe", b"LEAF", b"LEAF"]},
        "empty mode": {"nodes_modes": ["", "LEAF", "LEAF"]},
        "all leaves": {"nodes_modes": ["LEAF"] * 3},
        "no leaves": {"nodes_modes": ["BRANCH_LEQ"] * 3},
        "threshold nan": {"nodes_values": [float("nan"), 0.0, 0.0]},
        "threshold infinite": {"nodes_values": [float("inf"), 0.0, 0.0]},
        "weights nan": {"target_weights": [float("nan"), 4.0]},
        "weights infinite": {"target_weights": [float("inf"), 4.0]},
        "weights largest": {"target_weights": [3e38, -3e38]},
        "covers nan": {"nodes_hitrates": [float("nan")] * 3},
        "covers below 0": {"nodes_hitrates": [4.0, -1.0, 5.0]},
        "covers of nothing": {"nodes_hitrates": [0.0] * 3},
        "covers that do not add up": {"nodes_hitrates": [4.0, 3.0, 3.0]},
        "same node twice": {"nodes_nodeids": [0, 1, 1]},
        "node numbers below 0": {"nodes_nodeids": [-3, -2, -1]},
        "node numbers beyond 32 bits": {"nodes_nodeids": [0, 2**40, 2]},
        "trees beyond 32 bits": {"nodes_treeids": [2**40] * 3, "target_treeids": [2**40] * 2},
        "leaf of no tree": {"target_treeids": [7, 7]},
        "leaf of no node": {"target_nodeids": [7, 8]},
        "weight on a branch": {"target_nodeids": [0, 2]},
        "target out of range": {"target_ids": [0, 9]},
        "target below 0": {"target_ids": [0, -1]},
        "no targets": {"n_targets": 0},
        "targets below 0": {"n_targets": -1},
        "10^9 targets": {"n_targets": 10**9},
        "targets beyond 64 bits": {"n_targets": 2**62},
        "unknown aggregation": {"aggregate_function": "MODE"},
        "minimum": {"aggregate_function": "MIN"},
        "unknown link": {"post_transform": "NOTHING"},
        "base values of another length": {"base_values": [1.0, 2.0, 3.0]},
        "base value nan": {"base_values": [float("nan")]},
        "nothing": {name: [] for name in lists},
        "deep": _chain(2_000),
        "very deep": _chain(60_000),
    }


def _chain(depth: int) -> dict[str, Any]:
    """A tree that goes on to one side alone, with a leaf at each level."""
    count, inner = 2 * depth + 1, 2 * np.arange(depth)
    right, left = np.zeros(count, np.int64), np.zeros(count, np.int64)
    left[inner], right[inner] = inner + 1, inner + 2
    leaves = np.setdiff1d(np.arange(count), inner)
    modes = ["LEAF"] * count
    for node in inner:
        modes[node] = "BRANCH_LEQ"
    zeros = [0] * count
    return {
        "nodes_treeids": zeros,
        "nodes_nodeids": list(range(count)),
        "nodes_featureids": [node // 2 % 2 for node in range(count)],
        "nodes_values": np.linspace(0, 1, count).tolist(),
        "nodes_modes": modes,
        "nodes_truenodeids": left.tolist(),
        "nodes_falsenodeids": right.tolist(),
        "nodes_hitrates": None,
        "nodes_missing_value_tracks_true": zeros,
        "target_treeids": [0] * len(leaves),
        "target_nodeids": leaves.tolist(),
        "target_ids": [0] * len(leaves),
        "target_weights": np.linspace(0, 1, len(leaves)).tolist(),
    }
