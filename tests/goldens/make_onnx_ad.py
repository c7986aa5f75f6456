"""Write onnx_ad.npz: products with Jacobians and Hessians of models of this repository, by another implementation.

Run with: python tests/goldens/make_onnx_ad.py, in an environment with onnx-ad 0.3.0 and onnxruntime. For
efficientnet_lite0 its forward and reverse mode disagree, so that model is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx_ad import forward, reverse

HERE = Path(__file__).parent
MODELS = ("german_credit_mlp", "mnist_cnn", "mnist_vit", "mnist_vae_decoder", "digits_cnn")
SAMPLES = 2


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def products(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The inputs and directions, the derivative along ``v``, the gradient, and the Hessian of ``u' f`` times ``v``."""
    given, out = model.graph.input[0], model.graph.output[0].name
    # It needs the shapes of all tensors.
    given.type.tensor_type.shape.dim[0].dim_value = SAMPLES
    del model.graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    rng = np.random.default_rng(0)
    shape = [size.dim_value for size in given.type.tensor_type.shape.dim]
    x, v = rng.uniform(0.1, 0.9, shape).astype(np.float32), rng.standard_normal(shape).astype(np.float32)
    y = session(model).run(None, {given.name: x})[0]
    u = rng.standard_normal(y.shape).astype(np.float32)
    at = {given.name: x, f"fwd_{given.name}": v[..., None]}
    along = session(forward(model, layout="onnx")).run([f"fwd_{out}"], at)[0][..., 0]
    adjoint = reverse(model, layout="onnx")
    weighted = {given.name: x, f"adj_{out}": u[..., None]}
    gradient = session(adjoint).run([f"adj_{given.name}"], weighted)[0][..., 0]
    still = {f"fwd_adj_{out}": np.zeros((*u.shape, 1, 1), np.float32)}
    hessian = session(forward(adjoint, layout="onnx")).run([f"fwd_adj_{given.name}"], at | weighted | still)[0][
        ..., 0, 0
    ]
    return {"x": x, "v": v, "u": u, "along": along, "gradient": gradient, "hessian": hessian}


def main() -> None:
    found = {}
    for name in MODELS:
        model = onnx.load(HERE.parents[1] / "models" / f"{name}.onnx")
        found |= {f"{name}/{key}": array for key, array in products(model).items()}
    np.savez_compressed(HERE / "onnx_ad.npz", **found)


if __name__ == "__main__":
    main()
