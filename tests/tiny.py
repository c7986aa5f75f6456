"""Build tiny ONNX files for tests, and inputs for them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, parser

from models import planted
from xaionnx import Model

Shape = Sequence[int | str | None]


@functools.cache
def trained(name: str) -> Model:
    """A model of this repository on the CPU, opened once: tests share its sessions and gradient graphs."""
    return Model.load(f"models/{name}.onnx", "cpu")


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    """One node."""
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def tensor(name: str, shape: Shape | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, None if shape is None else list(shape))


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: dict[str, Any] | None = None,
    opset: int = 17,
    domains: dict[str, int] | None = None,
) -> onnx.ModelProto:
    """A model with weights by name."""
    initializers = [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "tiny", list(inputs), list(outputs), initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def run(proto: onnx.ModelProto, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """All outputs of a model by name, from bare onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def saved(path: Path, *args: Any, **options: Any) -> Path:
    """Save a model to a file, and return the path."""
    path.write_bytes(model(*args, **options).SerializeToString())
    return path


def linear(path: Path, weights: Any, batch: int | str = "N") -> Path:
    """y = x @ weights, for weights (F, K)."""
    w = np.asarray(weights, dtype=np.float32)
    return saved(
        path,
        [node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", [batch, w.shape[0]])],
        [tensor("y", [batch, w.shape[1]])],
        {"w": w},
    )


def words(path: Path, op: str, width: int, **codes: float) -> Path:
    """A saved model of strings: a node of ``op`` over the numbers of ``word`` (N, width) and over ``x``."""
    keys = {"keys_strings": list(codes), "values_floats": [float(code) for code in codes.values()]}
    encoder = node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", **keys)
    inputs = [tensor("word", ["N", width], TensorProto.STRING), tensor("x", ["N", width])]
    outputs = [tensor("y", ["N", width])]
    return saved(path, [encoder, node(op, ["code", "x"], ["y"])], inputs, outputs, domains={"ai.onnx.ml": 2})


def tree(tracks: Sequence[int] | None, source: str = "x") -> onnx.NodeProto:
    """A tree with one branch: y is 10 where the first column is below 0.5 or, by ``tracks``, missing; else 20."""
    attributes: dict[str, Any] = {"nodes_missing_value_tracks_true": tracks} if tracks else {}
    return node(
        "TreeEnsembleRegressor", [source], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LT", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0], nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[10.0, 20.0], **attributes,
    )  # fmt: skip


def parsed(text: str, *, opset: int = 17, ir: int = 8, **weights: Any) -> onnx.ModelProto:
    """A model from the text form of its graph, such as "g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"."""
    proto = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]> {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(single(w), name) for name, w in weights.items())
    return proto


def loaded(text: str, *, opset: int = 17, ir: int = 8, **weights: Any) -> Model:
    """Parse and load a model."""
    return planted.load(parsed(text, opset=opset, ir=ir, **weights), device="cpu")


def opened(
    nodes: Sequence[onnx.NodeProto], shape: Shape, out: Shape, weights: dict[str, Any] | None = None, opset: int = 20
) -> Model:
    """A model from "x" (N, *shape) to "y" (N, *out), with weights by name."""
    inputs, outputs = [tensor("x", ["N", *shape])], [tensor("y", ["N", *out])]
    held = {name: single(w) for name, w in (weights or {}).items()}
    return planted.load(model(nodes, inputs, outputs, held, opset), device="cpu")


def single(numbers: Any) -> npt.NDArray[Any]:
    """The array with float64, the type of Python's floats, converted to float32."""
    array = np.asarray(numbers)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def row(*numbers: float) -> npt.NDArray[np.float32]:
    """One sample (1, F)."""
    return np.array([numbers], dtype=np.float32)


def normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Normal random numbers that depend only on the shape and the seed."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def endless(folder: Path) -> Path:
    """A loop that never ends: its condition stays true and it has no trip count."""
    body = helper.make_graph(
        [node("Identity", ["keep_in"], ["keep_out"]), node("Sin", ["v_in"], ["v_out"])],
        "body",
        [
            tensor("i", [], TensorProto.INT64),
            tensor("keep_in", [], TensorProto.BOOL),
            tensor("v_in", None),
        ],
        [tensor("keep_out", [], TensorProto.BOOL), tensor("v_out", None)],
    )
    return saved(
        folder / "endless.onnx",
        [helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)],
        [tensor("x", ["N", 2])],
        [tensor("y", ["N", 2])],
        {"true": np.array(True)},
    )
