"""Random tree ensembles of each op: all comparisons, transforms, base values and leaves that lack weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xaionnx import Model
from xaionnx.typing import Array

FEATURES = 4
COMPARISONS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
NUMBERS = np.array([-np.inf, -1.0, -0.5, 0.0, 0.1, 0.5, 1.0, np.inf])
CATEGORIES = np.array([-1.0, 0, 1, 2, 3, 31, 32, 33, 40, 64])


def tensor(values: Any, dtype: Any) -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), "values")


def saved(given: onnx.NodeProto | list[onnx.NodeProto], ml: int, kind: int, scores: int = TensorProto.FLOAT) -> Model:
    """The file of nodes with the input x (N, 4) and the scores y."""
    nodes = given if isinstance(given, list) else [given]
    node = nodes[0]
    outputs = [helper.make_tensor_value_info("y", scores, None)]
    if node.op_type.endswith("Classifier"):
        labels = {a.name for a in node.attribute}
        of = TensorProto.INT64 if "classlabels_int64s" in labels else TensorProto.STRING
        outputs.insert(0, helper.make_tensor_value_info("label", of, ["N"]))
    graph = helper.make_graph(
        nodes, "trees", [helper.make_tensor_value_info("x", kind, ["N", FEATURES])], outputs
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", ml)]
    path = Path(tempfile.mkdtemp()) / "trees.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return Model.load(path)


def by_ids(rng: np.random.Generator, *, classes: bool) -> Model:
    """A classifier or a regressor."""
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[int, int]] = []

    def grow(tree: int, level: int) -> int:
        at, number = len(nodes), sum(node[0] == tree for node in nodes)
        nodes.append((tree, number, 0, 0.0, "LEAF", 0, 0, 0))
        if level < 3 and rng.random() < 0.8:
            split = int(rng.integers(FEATURES)), float(rng.choice(NUMBERS)), str(rng.choice(COMPARISONS))
            below = grow(tree, level + 1), grow(tree, level + 1)
            nodes[at] = (tree, number, *split, *below, int(rng.integers(2)))
        else:
            leaves.append((tree, number))
        return number

    for tree in range(int(rng.integers(1, 5))):
        grow(tree, 0)
    count = int(rng.integers(1, 4))
    ids = [int(rng.integers(count))] if classes and rng.random() < 0.4 else list(range(count))
    weights = [(*leaf, k, rng.normal() * 0.5) for leaf in leaves for k in ids if len(ids) == 1 or rng.random() < 0.95]
    if rng.random() < 0.4:
        weights = [(*one[:3], abs(one[3])) for one in weights]
    kind = "class" if classes else "target"
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    stated: dict[str, Any] = {f"nodes_{n}": list(c) for n, c in zip(names, zip(*nodes, strict=True), strict=False)}
    stated["nodes_missing_value_tracks_true"] = [node[-1] for node in nodes]
    stated |= dict(
        zip([f"{kind}_{n}" for n in ("treeids", "nodeids", "ids", "weights")],
            map(list, zip(*weights, strict=True)) if weights else [[]] * 4, strict=True)
    )  # fmt: skip
    if (base := int(rng.integers(3))) and (base == 1 or count > 1):
        stated["base_values"] = rng.normal(size=1 if base == 1 and (classes or count == 1) else count).tolist()
    transforms = ["NONE", "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]
    stated["post_transform"] = str(rng.choice(transforms))
    double = rng.random() < 0.3
    if double:
        for name in ("nodes_values", f"{kind}_weights", "base_values"):
            if stated.get(name):
                stated[f"{name}_as_tensor"] = tensor(stated.pop(name), np.float64)
    outputs = ["y"]
    if classes:
        words = count > 1 and rng.random() < 0.5
        labels = [f"class {k}" for k in range(count)] if words else list(range(count))
        stated["classlabels_strings" if words else "classlabels_int64s"] = labels
        outputs = ["label", "y"]
    else:
        stated |= {"n_targets": count, "aggregate_function": str(rng.choice(["SUM", "SUM", "AVERAGE", "MIN", "MAX"]))}
    op = "TreeEnsembleClassifier" if classes else "TreeEnsembleRegressor"
    node = helper.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **stated)
    return saved(node, 3, TensorProto.DOUBLE if double else TensorProto.FLOAT)


def newest(rng: np.random.Generator) -> Model:
    """A TreeEnsemble, with sets of numbers."""
    dtype = np.float64 if rng.random() < 0.5 else np.float32
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[int, float]] = []
    sets: dict[int, Array] = {}
    count = int(rng.integers(1, 4))

    def grow(level: int) -> int:
        at = len(nodes)
        nodes.append(())
        mode = int(rng.integers(7))
        if mode == 6:
            sets[at] = rng.choice(CATEGORIES, int(rng.integers(1, 5)), replace=False)
        below: list[int] = []
        for _ in range(2):
            if level < 2 and rng.random() < 0.8:
                below += [grow(level + 1), 0]
            else:
                leaves.append((int(rng.integers(count)), rng.normal()))
                below += [len(leaves) - 1, 1]
        nodes[at] = (int(rng.integers(FEATURES)), mode, rng.choice(NUMBERS), *below, int(rng.integers(2)))
        return at

    roots = [grow(0) for _ in range(int(rng.integers(1, 4)))]
    feature, mode, split, true, true_leaf, false, false_leaf, missing = map(list, zip(*nodes, strict=True))
    stated: dict[str, Any] = {
        "n_targets": count, "tree_roots": roots, "nodes_featureids": feature, "nodes_modes": tensor(mode, np.uint8),
        "nodes_splits": tensor(split, dtype), "nodes_truenodeids": true, "nodes_trueleafs": true_leaf,
        "nodes_falsenodeids": false, "nodes_falseleafs": false_leaf, "nodes_missing_value_tracks_true": missing,
        "leaf_targetids": [k for k, _ in leaves], "leaf_weights": tensor([w for _, w in leaves], dtype),
        "aggregate_function": int(rng.choice([0, 1, 1, 2, 3])), "post_transform": int(rng.choice([0, 0, 1, 2, 3, 4])),
    }  # fmt: skip
    if sets:
        members = [[*sets[at], np.nan] for at in sorted(sets)]
        stated["membership_values"] = tensor(np.concatenate(members), dtype)
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **stated)
    kind = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    return saved(node, 5, kind, kind)


def rows(rng: np.random.Generator, count: int, *, categories: bool, dtype: Any) -> Array:
    """Rows whose values are at thresholds, between them, missing or infinite."""
    values = [*CATEGORIES, np.nan, np.inf] if categories else [*NUMBERS, 0.3, -0.7, np.nan]
    return np.asarray(rng.choice(values, size=(count, FEATURES)).astype(dtype))
