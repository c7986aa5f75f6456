"""Planted detectors: models that return their picture in the layout of a detector, so that a test writes the boxes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from models import planted
from tests import tiny
from tests.tiny import node, tensor
from xaionnx import InputSpec, Model

LABELS = ("cat", "dog", "bird")

# Corners in pixels of a picture that is 80 wide and 60 high, and the probabilities of three classes. The second box
# is a double of the first.
CORNERS = np.float32([[10, 10, 30, 40], [11, 10, 31, 40], [50, 20, 70, 50], [0, 0, 80, 60], [52, 5, 60, 15]])
PROBABILITIES = np.float32([[0.1, 0.8, 0.02], [0.1, 0.7, 0.02], [0.6, 0.2, 0.1], [0.1, 0.1, 0.3], [0.02, 0.02, 0.04]])
OBJECTNESS = np.float32([0.9, 0.9, 0.5, 0.8, 0.3])


def centres(corners: np.ndarray) -> np.ndarray:
    """Centres and sizes of boxes."""
    sizes = corners[:, 2:] - corners[:, :2]
    return np.concatenate([corners[:, :2] + sizes / 2, sizes], axis=1)


def returning(outputs: dict[str, tuple[int, ...]], ops: list[onnx.NodeProto] | None = None, **options) -> Model:
    """A model that divides its picture (N, 1, 1, L) into outputs of the given shapes, and then runs ``ops``.

    The outputs of the model are those of ``ops`` that no other reads, or the parts themselves.
    """
    lengths = {name: int(np.prod(shape)) for name, shape in outputs.items()}
    nodes, weights, start = [], {}, 0
    for name, shape in outputs.items():
        weights |= {
            f"{name}_from": np.array([start]),
            f"{name}_to": np.array([start + lengths[name]]),
            f"{name}_shape": np.array([-1, *shape]),
        }
        nodes.append(node("Slice", ["x", f"{name}_from", f"{name}_to", "three"], [f"{name}_flat"]))
        nodes.append(node("Reshape", [f"{name}_flat", f"{name}_shape"], [name]))
        start += lengths[name]
    weights["three"] = np.array([3])
    nodes += ops or []
    read = {name for each in nodes for name in each.input}
    kinds = options.pop("kinds", {})
    shapes = {**{name: ["N", *shape] for name, shape in outputs.items()}, **options.pop("shapes", {})}
    made = [name for each in nodes for name in each.output if name not in read]
    weights |= options.pop("weights", {})
    proto = tiny.model(
        nodes,
        [tensor("x", ["N", 1, 1, start])],
        [tensor(name, shapes.get(name), kinds.get(name, TensorProto.FLOAT)) for name in made],
        weights,
        options.pop("opset", 17),
    )
    proto.producer_name = options.pop("producer", "")
    spec = options.pop("spec", None)
    assert not options
    path = planted.load(proto, device="cpu").path
    return Model.load(path, "cpu", spec=spec)


def picture(*parts: np.ndarray) -> np.ndarray:
    """The picture (1, 1, 1, L) that makes a model of :func:`returning` return these parts."""
    return np.concatenate([np.asarray(part, dtype=np.float32).ravel() for part in parts])[None, None, None]


def labelled(**fields) -> InputSpec:
    """A spec with the class names."""
    return InputSpec(color="L", labels=LABELS, **fields)
