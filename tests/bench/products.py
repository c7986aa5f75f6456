"""Derivatives along directions, gradients and Hessian products beside those of onnx-ad 0.3.0, as a table.

    python -m tests.bench.products --make FOLDER      in an environment with onnx-ad and onnx: writes its graphs
    python -m tests.bench.products FOLDER             in this one: both through the same onnxruntime, on one thread

The inputs and directions are those of tests/goldens/onnx_ad.npz, at which both give the same numbers. Its reverse mode
is wrong for efficientnet_lite0, which is left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

MODELS = ("german_credit_mlp", "mnist_cnn", "mnist_vit", "digits_cnn")
ROOT = Path(__file__).resolve().parents[2]
RUNS = 30


def make(folder: Path) -> None:
    """Write the graphs of onnx-ad for two samples."""
    from onnx_ad import forward, reverse

    for name in MODELS:
        model = onnx.load(ROOT / f"models/{name}.onnx")
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        del model.graph.value_info[:]
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        back = reverse(model, layout="onnx")
        graphs = {"forward": forward(model, layout="onnx"), "reverse": back, "hessian": forward(back, layout="onnx")}
        for kind, graph in graphs.items():
            onnx.save(graph, folder / f"{name}_{kind}.onnx")


def milliseconds(run: Callable[[], object]) -> float:
    """The median processor time of a run."""
    run()
    spent = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return 1e3 * statistics.median(spent)


def measure(folder: Path) -> None:
    """Print a row a model: the run itself, then ours and theirs."""
    import onnxruntime as ort

    import xaionnx
    from xaionnx.autodiff import gradient, hessian_product, jacobian_product

    golden = np.load(ROOT / "tests/goldens/onnx_ad.npz")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 4

    def session(path: Path) -> ort.InferenceSession:
        return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

    print("| model | run | forward | reverse | Hessian product |\n| --- | --- | --- | --- | --- |")
    for name in MODELS:
        model = xaionnx.Model.load(ROOT / f"models/{name}.onnx", threads=1, batch_size=2)
        x, out = model.input().name, model.output().name
        at, v, u = (golden[f"{name}/{key}"] for key in "xvu")
        feeds = {x: at}
        along, back, twice = (session(folder / f"{name}_{kind}.onnx") for kind in ("forward", "reverse", "hessian"))
        directed, weighted = {x: at, f"fwd_{x}": v[..., None]}, {x: at, f"adj_{out}": u[..., None]}
        still = {f"fwd_adj_{out}": np.zeros((*u.shape, 1, 1), np.float32)}
        product = jacobian_product(model, out, [x], feeds)
        slope, curvature = gradient(model, out, [x], sample=feeds), hessian_product(model, out, [x], feeds)
        bare = session(ROOT / f"models/{name}.onnx")
        ours = (
            lambda p=product, f=feeds, d={x: v}: p.run(f, d),
            lambda g=slope, f=feeds, w=u: g.run(f, w),
            lambda h=curvature, f=feeds, w=u, d={x: v}: h.run(f, w, d),
        )
        theirs = (
            lambda s=along, o=[f"fwd_{out}"], f=directed: s.run(o, f),
            lambda s=back, o=[f"adj_{x}"], f=weighted: s.run(o, f),
            lambda s=twice, o=[f"fwd_adj_{x}"], f=directed | weighted | still: s.run(o, f),
        )
        cells = [f"{milliseconds(a):.3f}, {milliseconds(b):.3f}" for a, b in zip(ours, theirs, strict=True)]
        print(f"| `{name}` | {milliseconds(lambda s=bare, f=feeds: s.run(None, f)):.3f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure products with Jacobians and Hessians.")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    (make if given.make else measure)(given.folder)
