"""Smooth rectifiers: a graph with softplus in the place of ReLU, so that it has second derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView
from xaionnx.typing import DType

_STEM: Final = "xaionnx_softplus"
_RECTIFIERS: Final = ("Relu", "Abs", "LeakyRelu", "Clip")
_FLOATS: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


@final
@dataclass(frozen=True)
class _Kinks:
    """A function of one number, ``constant + slope x + sum of weight relu(sign x + shift)``.

    ``kinks`` are its (weight, sign, shift).
    """

    kinks: tuple[tuple[float, float, float], ...]
    slope: float = 0.0
    constant: float = 0.0


def count_rectifiers(proto: onnx.ModelProto, types: Mapping[str, int]) -> int:
    """Return the number of nodes that :func:`with_softplus` replaces."""
    view = GraphView(proto)
    return sum(_kinks(view, node, types) is not None for node in proto.graph.node)


def with_softplus(proto: onnx.ModelProto, types: Mapping[str, int], sharpness: float) -> onnx.ModelProto:
    """Return the graph with ``log(1 + exp(sharpness x)) / sharpness`` in the place of each ReLU of floats.

    This is at most ``log(2) / sharpness`` above ReLU, at 0. Abs, LeakyRelu and Clip with constant bounds, such as
    ReLU6, are sums of ReLU, and become such sums of softplus. Tensors keep their names.

    Parameters
    ----------
    proto : ModelProto
    types : mapping of str to int
        The element type of each tensor, by name.
    sharpness : float

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N] x) => (float[N] y) <float lo = {0}, float hi = {6}> { y = Clip(x, lo, hi) }''')
    >>> smooth = with_softplus(model, {}, 10)
    >>> count_rectifiers(model, {}), [node.op_type for node in smooth.graph.node].count("Softplus")
    (1, 2)
    """
    view = GraphView(proto)
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.node[:]
    for number, node in enumerate(proto.graph.node):
        kinks = _kinks(view, node, types)
        if kinks is None:
            made.graph.node.append(node)
            continue
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(_kind(node, types)))
        made.graph.node.extend(_smooth(node, kinks, f"{_STEM}_{number}", dtype, sharpness))
    return made


def _kind(node: onnx.NodeProto, types: Mapping[str, int]) -> int:
    return types.get(node.input[0], onnx.TensorProto.FLOAT)


def _kinks(view: GraphView, node: onnx.NodeProto, types: Mapping[str, int]) -> _Kinks | None:
    """A node as a sum of ReLU; None if it is none, of whole numbers, or has bounds that the graph computes."""
    if node.op_type not in _RECTIFIERS or node.domain not in DEFAULT_DOMAINS or _kind(node, types) not in _FLOATS:
        return None
    if node.op_type == "Relu":
        return _Kinks(((1, 1, 0),))
    if node.op_type == "Abs":
        return _Kinks(((1, 1, 0), (1, -1, 0)))
    if node.op_type == "LeakyRelu":
        alpha = float(np.asarray(view.attributes(node).get("alpha", 0.01)))
        return _Kinks(((1 - alpha, 1, 0),), slope=alpha)
    bounds = _bounds(view, node)
    if bounds is None:
        return None
    low, high = bounds
    upper = () if high is None else ((-1.0, 1.0, -high),)
    return _Kinks(upper, slope=1.0) if low is None else _Kinks(((1, 1, -low), *upper), constant=low)


def _bounds(view: GraphView, node: onnx.NodeProto) -> tuple[float | None, float | None] | None:
    """The lower and the upper bound of a Clip, None where it has none; None if the graph computes one."""
    found: list[float | None] = []
    for place, name in ((1, "min"), (2, "max")):
        given = node.input[place] if len(node.input) > place else ""
        stated = view.attributes(node).get(name)
        value = view.small(given) if given else stated
        if given and value is None:
            return None
        number = None if value is None else float(np.asarray(value).reshape(-1)[0])
        # Exporters write the largest float where there is no bound.
        found.append(None if number is None or abs(number) > np.finfo(np.float32).max / 2 else number)
    return found[0], found[1]


def _smooth(
    node: onnx.NodeProto, function: _Kinks, stem: str, dtype: DType, sharpness: float
) -> Iterator[onnx.NodeProto]:
    terms: list[str] = []

    def product(x: str, factor: float, name: str) -> Iterator[onnx.NodeProto]:
        yield _constant(f"{name}_factor", factor, dtype)
        yield helper.make_node("Mul", [x, f"{name}_factor"], [name], name=name)

    for number, (weight, sign, shift) in enumerate(function.kinks):
        own = f"{stem}_{number}"
        yield from product(node.input[0], sign * sharpness, f"{own}_scaled")
        yield _constant(f"{own}_shift", shift * sharpness, dtype)
        yield helper.make_node("Add", [f"{own}_scaled", f"{own}_shift"], [f"{own}_moved"], name=f"{own}_moved")
        yield helper.make_node("Softplus", [f"{own}_moved"], [f"{own}_smooth"], name=f"{own}_smooth")
        yield from product(f"{own}_smooth", weight / sharpness, own)
        terms.append(own)
    if function.slope:
        yield from product(node.input[0], function.slope, f"{stem}_slope")
        terms.append(f"{stem}_slope")
    yield _constant(f"{stem}_constant", function.constant, dtype)
    for number, term in enumerate(terms[:-1]):
        total = f"{stem}_sum_{number}"
        yield helper.make_node("Add", [term, terms[number + 1]], [total], name=total)
        terms[number + 1] = total
    yield helper.make_node("Add", [terms[-1], f"{stem}_constant"], list(node.output), name=node.name)


def _constant(name: str, value: float, dtype: DType) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(np.asarray(value, dtype)))
