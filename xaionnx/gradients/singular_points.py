"""Which op of a model has no slope, or no value, at a point: messages name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.errors import ModelError

if TYPE_CHECKING:
    import onnx

    from xaionnx.runtime.model import Model
    from xaionnx.typing import Array, Feeds

# Ops with singular points, and the operand that decides, with what it is there.
_SINGULAR: Final = {
    "Div": (1, "divides by 0"),
    "Reciprocal": (0, "divides by 0"),
    "Log": (0, "is the logarithm of 0"),
    "Sqrt": (0, "is a root at 0"),
    "Pow": (0, "is a power at 0"),
}


def singular_op(model: Model, feeds: Feeds) -> str | None:
    """Return the first op that is singular at a point, and how, in words; None if it is none of those looked for.

    Parameters
    ----------
    model : Model
    feeds : mapping
        One sample, as returned by :meth:`xaionnx.runtime.model.Model.check`.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from models import planted
    >>> model = planted.load(onnx.parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { m = ReduceMax<axes = [1]>(x)  y = Div(x, m) }'''))
    >>> singular_op(model, {"x": np.float32([[0, 0]])})
    "output 'y' of a Div divides by 0"
    """
    reached = model.view.data_descendants([info.name for info in model.inputs if info.name in feeds])
    nodes = [node for node in model.view.nodes if node.op_type in _SINGULAR and node.output[0] in reached]
    computed = {name for node in model.view.nodes for name in node.output}
    names = list(
        dict.fromkeys(name for node in nodes for name in (_deciding(node), node.output[0]) if name in computed)
    )
    if not names:
        return None
    try:
        values = {**feeds, **model.with_outputs(names).run(feeds, names)}
    except ModelError:
        return None
    # An op without a value comes before one that has only no slope.
    for broken in (True, False):
        for node in nodes:
            operand, result = values.get(_deciding(node)), values[node.output[0]]
            if operand is not None and _is_singular(node, operand, result, broken):
                return f"output '{node.output[0]}' of a {node.op_type} {_SINGULAR[node.op_type][1]}"
    return None


def _deciding(node: onnx.NodeProto) -> str:
    return str(node.input[_SINGULAR[node.op_type][0]])


def _is_singular(node: onnx.NodeProto, operand: Array, result: Array, broken: bool) -> bool:
    at_zero = bool(np.isfinite(operand).all() and (operand == 0).any())
    return at_zero and (not np.isfinite(result).all() if broken else node.op_type in ("Sqrt", "Pow"))
