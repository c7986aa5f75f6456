"""What one run tells about every tensor of a graph: shapes, types, constants, and which sizes follow the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference

from xaionnx.graph.cut import expose, ordered, reads

Array = npt.NDArray[Any]
# Answers some outputs of a model for some feeds.
Run = Callable[[onnx.ModelProto, Mapping[str, Array], Sequence[str]], Sequence[Any]]

# These read the shape of their operand and not its numbers.
_SHAPE_READERS = frozenset({"Shape", "Size"})
# Types of which no runtime hands out numpy arrays, and the ending of names of their copies in float32.
_UNREADABLE = frozenset({onnx.TensorProto.BFLOAT16})
_READABLE = "/readable"
# Larger constants are weights; no rule reads their numbers.
_LARGEST_CONSTANT = 1 << 16


@dataclass(frozen=True)
class Probe:
    """Facts about the tensors of one graph, by name; right for the sample shapes that were fed, and no others.

    Attributes
    ----------
    shapes : mapping of str to tuple
        A size, or None where it follows the number of samples.
    sizes : mapping of str to tuple of int
        As met in the run with most samples.
    dtypes : mapping of str to numpy.dtype
    constants : mapping of str to array
        Tensors whose numbers do not depend on the inputs' numbers nor on how many samples there are.
    """

    shapes: Mapping[str, tuple[int | None, ...]]
    sizes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, np.dtype[Any]]
    constants: Mapping[str, Array]


def probe(model: onnx.ModelProto, feeds: Sequence[Mapping[str, Array]], run: Run) -> Probe:
    """Run a model with every tensor an output.

    Parameters
    ----------
    model : onnx.ModelProto
    feeds : sequence of mapping
        Inputs by name, once for each number of samples: two different ones tell which sizes follow it.
    run : callable
        Evaluates a model.
    """
    known = dict(feeds[-1])
    names = [name for node in model.graph.node for name in node.output if name]
    strange = _without_numpy(model)
    shown = expose(_readable(model, strange) if strange else model, [name for name in names if name not in strange])
    fetched = [f"{name}{_READABLE}" if name in strange else name for name in names]
    first = dict(zip(names, run(shown, feeds[0], fetched), strict=True)) | dict(feeds[0])
    known |= first if len(feeds) == 1 else dict(zip(names, run(shown, feeds[-1], fetched), strict=True))
    varying = _reads_data(model, set(feeds[0]))
    shapes: dict[str, tuple[int | None, ...]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, np.dtype[Any]] = {}
    constants: dict[str, Array] = {}
    for name, array in known.items():
        if not isinstance(array, np.ndarray | np.generic):
            continue  # a sequence or an optional
        one, many = np.asarray(first[name]), np.asarray(array)
        sizes[name], dtypes[name] = many.shape, strange.get(name, many.dtype)
        if one.ndim != many.ndim:
            shapes[name] = (None,) * many.ndim
        else:
            shapes[name] = tuple(b if a == b else None for a, b in zip(one.shape, many.shape, strict=True))
        if name not in varying and many.size <= _LARGEST_CONSTANT and np.array_equal(one, many):
            constants[name] = many
    return Probe(shapes, sizes, dtypes, constants)


def _without_numpy(model: onnx.ModelProto) -> dict[str, np.dtype[Any]]:
    """Tensors of types that no runtime hands out as a numpy array, and the types."""
    casts = {a.i for node in model.graph.node for a in node.attribute if a.name in ("to", "dtype")}
    declared = {v.type.tensor_type.elem_type for v in model.graph.input}
    stored = {tensor.data_type for tensor in model.graph.initializer}
    if _UNREADABLE.isdisjoint(casts | declared | stored):
        return {}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in (*inferred.value_info, *inferred.output)
        if value.type.tensor_type.elem_type in _UNREADABLE
    }


def _readable(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """The model with such tensors in float32 as further outputs."""
    form = onnx.ModelProto()
    form.CopyFrom(model)
    kept = [value for value in form.graph.output if value.name not in set(names)]
    del form.graph.output[:]
    form.graph.output.extend(kept)
    for name in names:
        seen = f"{name}{_READABLE}"
        form.graph.node.append(onnx.helper.make_node("Cast", [name], [seen], name=seen, to=onnx.TensorProto.FLOAT))
        form.graph.output.append(onnx.helper.make_tensor_value_info(seen, onnx.TensorProto.FLOAT, None))
    return form


def _reads_data(model: onnx.ModelProto, inputs: set[str]) -> set[str]:
    """Tensors whose numbers depend on those of the inputs."""
    dependent = set(inputs)
    for node in ordered(model.graph):
        if node.op_type not in _SHAPE_READERS and not dependent.isdisjoint(reads(node)):
            dependent.update(node.output)
    return dependent
