"""Derivatives along directions, gradients and Hessian products beside those of onnx-ad 0.3.0.

Run with: python -m tests.bench.products [--keep], in an environment with onnx-ad 0.3.0; --keep puts the rows into
results.json. Both run through the same onnxruntime on one thread, in turns, and processor time counts.

The inputs and directions are those of tests/goldens/onnx_ad.npz, at which both give the same numbers. Its reverse mode
is wrong for efficientnet_lite0, which is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx_ad import forward, reverse

from tests.bench import table
from tests.bench.tasks import MODELS
from tests.bench.turns import Step, runner, turns
from xaionnx import Model
from xaionnx.autodiff import gradient, hessian_product, jacobian_product
from xaionnx.typing import Array

NAMES = ("german_credit_mlp", "mnist_cnn", "mnist_vit", "digits_cnn")
GOLDEN = MODELS.parent / "tests" / "goldens" / "onnx_ad.npz"
ROUNDS = 5


def graphs(path: Path, folder: Path) -> dict[str, Path]:
    """Write the graphs of onnx-ad for two samples."""
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    back = reverse(model, layout="onnx")
    made = {"forward": forward(model, layout="onnx"), "reverse": back, "hessian": forward(back, layout="onnx")}
    paths = {kind: folder / f"{kind}.onnx" for kind in made}
    for kind, graph in made.items():
        onnx.save(graph, paths[kind])
    return paths


def steps(path: Path, at: Array, v: Array, u: Array, made: dict[str, Path]) -> dict[str, Step]:
    """Each product, ours and theirs, and the run of the model itself."""
    model = Model.load(path, threads=1, batch_size=2)
    x, out = model.input().name, model.output().name
    feeds = {x: at}
    product, slope = jacobian_product(model, out, [x], feeds), gradient(model, out, [x], sample=feeds)
    curvature = hessian_product(model, out, [x], feeds)
    directed, weighted = {x: at, f"fwd_{x}": v[..., None]}, {x: at, f"adj_{out}": u[..., None]}
    still = {f"fwd_adj_{out}": np.zeros((*u.shape, 1, 1), np.float32)}
    return {
        "run": runner(path, None, feeds),
        "ours forward": lambda: product.run(feeds, {x: v}),
        "theirs forward": runner(made["forward"], [f"fwd_{out}"], directed),
        "ours reverse": lambda: slope.run(feeds, u),
        "theirs reverse": runner(made["reverse"], [f"adj_{x}"], weighted),
        "ours hessian": lambda: curvature.run(feeds, u, {x: v}),
        "theirs hessian": runner(made["hessian"], [f"fwd_adj_{x}"], directed | weighted | still),
    }


def rows() -> Iterator[dict[str, Any]]:
    """A row for each model."""
    golden = np.load(GOLDEN)
    for name in NAMES:
        path = MODELS / f"{name}.onnx"
        with tempfile.TemporaryDirectory() as scratch:
            at, v, u = (golden[f"{name}/{key}"] for key in "xvu")
            times = turns(steps(path, at, v, u, graphs(path, Path(scratch))), ROUNDS)
        yield {
            "kind": "products",
            "name": f"products, {name}, over onnx-ad {version('onnx-ad')}",
            "model": name,
            "ms": {kind: round(1000 * statistics.median(seconds), 4) for kind, seconds in times.items()},
            "rounds": {
                kind: [round(a / b, 3) for a, b in zip(times[f"ours {kind}"], times[f"theirs {kind}"], strict=True)]
                for kind in ("forward", "reverse", "hessian")
            },
        }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description="Products with Jacobians and Hessians against onnx-ad.")
    parser.add_argument("--keep", action="store_true", help="put the rows into results.json")
    keep, found = parser.parse_args().keep, []
    for row in rows():
        found.append(row)
        print(row, flush=True)
    if keep:
        table.RESULTS.write_text(json.dumps(table.replaced({"rows": found, "left_out": []}), indent=1) + "\n")


if __name__ == "__main__":
    main()
