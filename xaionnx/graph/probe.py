"""Facts about all tensors of a graph from running it: shapes, types, constants, and sizes that follow the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from xaionnx.graph.cut import expose
from xaionnx.graph.view import GraphView
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType, Feeds

# Returns some outputs of a model for some feeds.
Run = Callable[[onnx.ModelProto, Feeds, Sequence[str]], Sequence[object]]

# Larger constants are weights, whose values no rule reads.
_LARGEST_CONSTANT = 1 << 16


@dataclass(frozen=True)
class Probe:
    """Facts about the tensors of one graph, by name; valid only for the sample shapes that were fed.

    Attributes
    ----------
    shapes : mapping of str to tuple
        Sizes, None for those that follow the number of samples.
    sizes : mapping of str to tuple of int
        Sizes in the run with the most samples.
    fewest : mapping of str to tuple of int
        Sizes in the run with the fewest samples. Tensors whose sizes agree in both runs agree in all.
    dtypes : mapping of str to numpy.dtype
    constants : mapping of str to array
        Tensors whose values depend neither on the values of the inputs nor on the number of samples.
    """

    shapes: Mapping[str, tuple[int | None, ...]]
    sizes: Mapping[str, tuple[int, ...]]
    fewest: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, DType]
    constants: Mapping[str, Array]

    __repr__ = short_repr


def probe(model: onnx.ModelProto, feeds: Sequence[Feeds], run: Run) -> Probe:
    """Run a model with all tensors as outputs, and return the facts.

    Parameters
    ----------
    model : onnx.ModelProto
    feeds : sequence of mapping
        Inputs by name, for one or two numbers of samples: two show which sizes follow it.
    run : callable
        Evaluates a model.
    """
    names = [name for node in model.graph.node for name in node.output if name]
    shown = expose(model, names)

    def all_tensors(values: Feeds) -> dict[str, object]:
        # With an empty list of names, onnxruntime would return all outputs.
        return dict(values) | (dict(zip(names, run(shown, values, names), strict=True)) if names else {})

    first = all_tensors(feeds[0])
    known = first if len(feeds) == 1 else all_tensors(feeds[-1])
    varying = GraphView(model).data_descendants(feeds[0])
    shapes: dict[str, tuple[int | None, ...]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    fewest: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, DType] = {}
    constants: dict[str, Array] = {}
    for name, array in known.items():
        if not isinstance(array, np.ndarray | np.generic):
            continue  # a sequence or an optional
        one, many = np.asarray(first[name]), np.asarray(array)
        sizes[name], fewest[name], dtypes[name] = many.shape, one.shape, many.dtype
        if one.ndim != many.ndim:
            shapes[name] = (None,) * many.ndim
        else:
            shapes[name] = tuple(b if a == b else None for a, b in zip(one.shape, many.shape, strict=True))
        if name not in varying and many.size <= _LARGEST_CONSTANT and np.array_equal(one, many):
            constants[name] = many
    return Probe(shapes, sizes, fewest, dtypes, constants)
