"""What one run tells about every tensor of a graph: shapes, types, constants, and which sizes follow the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from xaionnx.graph.cut import expose
from xaionnx.graph.view import GraphView
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType, Feeds

# Answers some outputs of a model for some feeds.
Run = Callable[[onnx.ModelProto, Feeds, Sequence[str]], Sequence[object]]

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
    dtypes: Mapping[str, DType]
    constants: Mapping[str, Array]

    __repr__ = short_repr


def probe(model: onnx.ModelProto, feeds: Sequence[Feeds], run: Run) -> Probe:
    """Run a model with every tensor an output.

    Parameters
    ----------
    model : onnx.ModelProto
    feeds : sequence of mapping
        Inputs by name, once for each number of samples: two different ones tell which sizes follow it.
    run : callable
        Evaluates a model.
    """
    names = [name for node in model.graph.node for name in node.output if name]
    shown = expose(model, names)

    def answers(values: Feeds) -> dict[str, object]:
        # Asked for no output, onnxruntime would answer with all of them.
        return dict(values) | (dict(zip(names, run(shown, values, names), strict=True)) if names else {})

    first = answers(feeds[0])
    known = first if len(feeds) == 1 else answers(feeds[-1])
    varying = GraphView(model).data_descendants(feeds[0])
    shapes: dict[str, tuple[int | None, ...]] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, DType] = {}
    constants: dict[str, Array] = {}
    for name, array in known.items():
        if not isinstance(array, np.ndarray | np.generic):
            continue  # a sequence or an optional
        one, many = np.asarray(first[name]), np.asarray(array)
        sizes[name], dtypes[name] = many.shape, many.dtype
        if one.ndim != many.ndim:
            shapes[name] = (None,) * many.ndim
        else:
            shapes[name] = tuple(b if a == b else None for a, b in zip(one.shape, many.shape, strict=True))
        if name not in varying and many.size <= _LARGEST_CONSTANT and np.array_equal(one, many):
            constants[name] = many
    return Probe(shapes, sizes, dtypes, constants)
