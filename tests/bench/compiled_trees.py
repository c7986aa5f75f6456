"""Size and time of compiled tree_shap, beside the plain prediction and xaionnx explain.

Run with: NUMBA_NUM_THREADS=1 python -m tests.bench.compiled_trees [TREES:DEPTH ...]. Forests of scikit-learn over 20
columns, 100 background rows, 1,000 rows in one batch; processor time of one thread, medians of five interleaved rounds.
Prints the rows of the table in docs/tables/bench.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestRegressor

import xaionnx
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError

COLUMNS, ROWS, BACKGROUND, ROUNDS = 20, 1000, 100, 5
SIZES = [(trees, depth) for depth in (3, 6, 10) for trees in (10, 100, 1000)]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def forest(trees: int, depth: int) -> tuple[Path, Array]:
    """A forest as a file, and rows that it was not trained on."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, COLUMNS)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.1 * (x**2).sum(axis=1)
    model = RandomForestRegressor(trees, max_depth=depth, random_state=0, max_features=0.5).fit(x[:4000], y[:4000])
    parts: dict[str, list[Array]] = {}
    for number, one in enumerate(model.estimators_):
        tree = one.tree_
        leaf = tree.children_left < 0
        ids = np.arange(len(leaf))
        columns = {
            "nodes_treeids": np.full(len(leaf), number), "nodes_nodeids": ids,
            "nodes_featureids": np.where(leaf, 0, tree.feature), "nodes_values": np.where(leaf, 0, tree.threshold),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
            "nodes_truenodeids": np.where(leaf, 0, tree.children_left),
            "nodes_falsenodeids": np.where(leaf, 0, tree.children_right), "target_treeids": np.full(leaf.sum(), number),
            "target_nodeids": ids[leaf], "target_ids": np.zeros(leaf.sum(), int),
            "target_weights": tree.value[leaf, 0, 0] / trees,
        }  # fmt: skip
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
    stated = {name: np.concatenate(columns).tolist() for name, columns in parts.items()}
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **stated)
    sides = (("x", COLUMNS), ("y", 1))
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])] for name, size in sides]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = Path(tempfile.mkdtemp()) / "forest.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", *values), opset_imports=opsets, ir_version=8), path)
    return path, x[4000:]


def session(path: Path) -> onnxruntime.InferenceSession:
    """A session with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measured(trees: int, depth: int) -> str:
    """One row of the table."""
    path, x = forest(trees, depth)
    background, rows = x[:BACKGROUND], x[BACKGROUND : BACKGROUND + ROWS]
    model, out = Model.load(path), path.with_name("shap.onnx")
    plain_size = path.stat().st_size / 1e6
    try:
        began = time.process_time()
        xaionnx.compile(model, "tree_shap", background=background).save(out)
        seconds = time.process_time() - began
    except UnsupportedModelError as error:
        size = str(error).split("would take about ")[1].split(" MB")[0]
        return (
            f"| {trees:,} | {depth} | {plain_size:.2g} | {size}: refused | {time.process_time() - began:.1f} | | | | |"
        )
    compiled, plain = session(out), session(path)
    tasks: dict[str, Callable[[], object]] = {
        "compiled": lambda: compiled.run(None, {"x": rows}),
        "one": lambda: compiled.run(None, {"x": rows[:1]}),
        "plain": lambda: plain.run(None, {"x": rows}),
        "explain": lambda: xaionnx.explain(model, rows, "tree_shap", background=background),
    }
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            task()
            began = time.process_time()
            task()
            taken[name].append(time.process_time() - began)
    micro = {name: float(np.median(times)) * 1e6 / (1 if name == "one" else ROWS) for name, times in taken.items()}
    size = out.stat().st_size / 1e6
    return (
        f"| {trees:,} | {depth} | {plain_size:.2g} | {size:.2g} | {seconds:.1f} | {micro['plain']:.2g} | "
        f"{micro['compiled']:,.0f} | {micro['one']:,.0f} | {micro['explain']:,.0f} |"
    )


def main() -> None:
    """Print the table."""
    sizes = [(int(a), int(b)) for a, b in (text.split(":") for text in sys.argv[1:])] or SIZES
    columns = ("trees", "depth", "model, MB", "with values, MB", "compiled in, s")
    columns = (*columns, "prediction", "with values", "one row alone", "explain")
    print(f"| {' | '.join(columns)} |")
    print(f"|{' --: |' * len(columns)}")
    for trees, depth in sizes:
        print(measured(trees, depth), flush=True)


if __name__ == "__main__":
    main()
