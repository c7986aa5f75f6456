"""LSTM, GRU and RNN, back through time: the steps are written out, whatever they share is computed for all at once.

The forward node answers every hidden state, so the gates of all steps follow from one product of matrices; only what a
step hands to the one before stays a chain. The length of the sequence is that of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, Rule, rule

_DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class _Pass(NamedTuple):
    """One direction of a layer, time first: T steps, N samples, F features, H hidden units, G gates.

    ``order`` lists the steps as they were taken. ``dy`` holds for each step the derivative of the target with respect
    to its hidden state, (1, N, H); ``dh`` and ``dc`` are those of the last states.
    """

    g: GradientBuilder
    node: ir.Node
    order: list[int]
    x: ir.Value
    y: ir.Value
    before: ir.Value
    cell: ir.Value | None
    w: ir.Value
    r: ir.Value
    w_bias: ir.Value | None
    r_bias: ir.Value | None
    dy: list[ir.Value] | None
    dh: Gradient
    dc: Gradient

    def from_input(self) -> ir.Value:
        """What the input adds to the gates (T, N, GH)."""
        return _affine(self.g, self.x, self.w, self.w_bias)

    def steps(self, value: ir.Value) -> tuple[ir.Value, ...]:
        return self.g.op("Split", value, axis=0, num_outputs=len(self.order), outputs=len(self.order))

    def parts(self, value: ir.Value, count: int) -> tuple[ir.Value, ...]:
        return self.g.op("Split", value, axis=-1, num_outputs=count, outputs=count)

    def weights(self, count: int) -> tuple[ir.Value, ...]:
        """The recurrent weights (H, H) of each gate."""
        return self.g.op("Split", self.r, axis=0, num_outputs=count, outputs=count)

    def joined(self, values: Sequence[ir.Value]) -> ir.Value:
        return self.g.op("Concat", *values, axis=0)

    def arriving(self, step: int, later: Gradient) -> ir.Value:
        """The derivative with respect to the hidden state of a step."""
        own = None if self.dy is None else self.dy[step]
        return _added(self.g, [own, later]) or _zeros(self.g, self.g.op("Slice", self.y, [0], [1], [0]))


class _Backward(NamedTuple):
    """Derivatives with respect to what the input adds to the gates (T, N, GH), and to the first states (1, N, H)."""

    gates: ir.Value
    hidden: ir.Value
    cell: ir.Value | None


def _lstm(p: _Pass) -> _Backward:
    g = p.g
    i, o, f, c = p.parts(g.op("Add", p.from_input(), _affine(g, p.before, p.r, p.r_bias)), 4)
    i, o, f, c = g.op("Sigmoid", i), g.op("Sigmoid", o), g.op("Sigmoid", f), g.op("Tanh", c)
    forget, new = p.steps(f), p.steps(g.op("Mul", i, c))
    first = p.cell if p.cell is not None else _zeros(g, new[0])
    cells: list[ir.Value] = [first] * len(p.order)
    earlier: list[ir.Value] = [first] * len(p.order)
    state = first
    for step in p.order:
        earlier[step] = state
        state = cells[step] = g.op("Add", g.op("Mul", forget[step], state), new[step])
    squashed = g.op("Tanh", p.joined(cells))
    slopes = g.op(
        "Concat",
        g.op("Mul", c, _sigmoid_slope(g, i)),
        g.op("Mul", squashed, _sigmoid_slope(g, o)),
        g.op("Mul", p.joined(earlier), _sigmoid_slope(g, f)),
        g.op("Mul", i, _tanh_slope(g, c)),
        axis=-1,
    )
    slope, to_cell = p.steps(slopes), p.steps(g.op("Mul", o, _tanh_slope(g, squashed)))
    dh, dc = p.dh, p.dc
    gates: list[ir.Value] = [first] * len(p.order)
    for step in reversed(p.order):
        hidden = p.arriving(step, dh)
        through = g.op("Mul", hidden, to_cell[step])
        through = through if dc is None else g.op("Add", through, dc)
        gates[step] = g.op("Mul", g.op("Concat", through, hidden, through, through, axis=-1), slope[step])
        dh = g.op("MatMul", gates[step], p.r)
        dc = g.op("Mul", through, forget[step])
    assert dh is not None
    return _Backward(p.joined(gates), dh, dc)


def _gru(p: _Pass) -> _Backward:
    g = p.g
    from_z, from_r, from_n = p.parts(p.from_input(), 3)
    r_z, r_r, r_n = p.weights(3)
    b_z, b_r, b_n = (None, None, None) if p.r_bias is None else p.parts(p.r_bias, 3)
    z = g.op("Sigmoid", g.op("Add", from_z, _affine(g, p.before, r_z, b_z)))
    r = g.op("Sigmoid", g.op("Add", from_r, _affine(g, p.before, r_r, b_r)))
    after = bool(p.node.attributes.get_int("linear_before_reset", 0))
    if after:
        linear = _affine(g, p.before, r_n, b_n)
        n = g.op("Tanh", g.op("Add", from_n, g.op("Mul", r, linear)))
        reset_slope = g.op("Mul", linear, _sigmoid_slope(g, r))
    else:
        n = g.op("Tanh", g.op("Add", from_n, _affine(g, g.op("Mul", r, p.before), r_n, b_n)))
        reset_slope = g.op("Mul", p.before, _sigmoid_slope(g, r))
    # h = (1 - z) n + z h'
    z_slope = p.steps(g.op("Mul", g.op("Sub", p.before, n), _sigmoid_slope(g, z)))
    n_slope = p.steps(g.op("Mul", g.op("Sub", 1.0, z), _tanh_slope(g, n)))
    r_slope, keep, reset = p.steps(reset_slope), p.steps(z), p.steps(r)
    dh = p.dh
    gates: list[ir.Value] = list(keep)
    for step in reversed(p.order):
        hidden = p.arriving(step, dh)
        dz, dn = g.op("Mul", hidden, z_slope[step]), g.op("Mul", hidden, n_slope[step])
        if after:
            dr = g.op("Mul", dn, r_slope[step])
            back = g.op("MatMul", g.op("Mul", dn, reset[step]), r_n)
        else:
            product = g.op("MatMul", dn, r_n)
            dr = g.op("Mul", product, r_slope[step])
            back = g.op("Mul", product, reset[step])
        dh = g.op("Sum", g.op("Mul", hidden, keep[step]), g.op("MatMul", dz, r_z), g.op("MatMul", dr, r_r), back)
        gates[step] = g.op("Concat", dz, dr, dn, axis=-1)
    assert dh is not None
    return _Backward(p.joined(gates), dh, None)


def _rnn(p: _Pass) -> _Backward:
    g = p.g
    slope = p.steps(_tanh_slope(g, p.y))
    dh = p.dh
    gates: list[ir.Value] = list(slope)
    for step in reversed(p.order):
        gates[step] = g.op("Mul", p.arriving(step, dh), slope[step])
        dh = g.op("MatMul", gates[step], p.r)
    assert dh is not None
    return _Backward(p.joined(gates), dh, None)


def _rule(back: Callable[[_Pass], _Backward]) -> Rule:
    def whole(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        _check(g, node, needed)
        found = [back(p) for p in _passes(g, node, cotangents)]
        batch_first = node.attributes.get_int("layout", 0)
        gradients: list[Gradient] = [None] * len(node.inputs)
        if needed[0]:
            weights = [_one(g, node.inputs[1], index, squeeze=True) for index in range(len(found))]
            parts = [g.op("MatMul", b.gates, w) for b, w in zip(found, weights, strict=True)]
            gradients[0] = _turned(g, _added(g, parts), batch_first)
        for index, states in ((5, [b.hidden for b in found]), (6, [b.cell for b in found])):
            if index < len(needed) and needed[index]:
                gradients[index] = _turned(g, g.op("Concat", *states, axis=0), batch_first)
        return gradients

    return whole


for _op, _back in (("LSTM", _lstm), ("GRU", _gru), ("RNN", _rnn)):
    rule(_op)(_rule(_back))


def _check(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> None:
    read = node.attributes
    default = _DEFAULTS[node.op_type]
    given = tuple(str(name).lower() for name in read.get_strings("activations") or ())
    if given and given != default * (len(given) // len(default)):
        raise g.refusal(node, f"its activations are {', '.join(given)}")
    if "clip" in read:
        raise g.refusal(node, "it clips its gates")
    if read.get_int("input_forget", 0):
        raise g.refusal(node, "its input and forget gates are coupled")
    if any(needed[1:5]) or any(needed[7:]):
        raise g.refusal(node, "its weights depend on what is explained")
    if len(node.inputs) > 7 and node.inputs[7] is not None and np.any(g.fixed(node, 7)):
        raise g.refusal(node, "it has peepholes")
    lengths = g.fixed(node, 4)
    time = 1 if read.get_int("layout", 0) else 0
    if lengths is not None and np.any(lengths != g.size(_given(g, node, 0), time)):
        raise g.refusal(node, "its sequences have different lengths")


def _given(g: GradientBuilder, node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise g.refusal(node, f"its input number {index} is missing")
    return value


def _passes(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient]) -> list[_Pass]:
    """The directions of a layer, in the order of its weights."""
    batch_first = node.attributes.get_int("layout", 0)
    given: list[ir.Value | None] = [*node.inputs, *[None] * 8][:8]
    source = _given(g, node, 0)
    x, first, cell = (_turned(g, value, batch_first) for value in (source, given[5], given[6]))
    w, r, bias = _given(g, node, 1), _given(g, node, 2), given[3]
    hidden, count = g.size(r, 2), g.size(source, 1 if batch_first else 0)
    answers = [*cotangents, None, None, None][:3]
    y = g.further_output(node, 0, source.dtype or ir.DataType.FLOAT)
    # (N, T, D, H) becomes (T, D, N, H).
    dy = answers[0]
    if batch_first:
        y = g.op("Transpose", y, perm=[1, 2, 0, 3])
        dy = None if dy is None else g.op("Transpose", dy, perm=[1, 2, 0, 3])
    dh, dc = (_turned(g, value, batch_first) for value in answers[1:])
    assert x is not None
    found = []
    for index in range(g.size(w, 0)):
        direction = node.attributes.get_string("direction", "forward")
        backwards = direction == "reverse" or index == 1
        order = list(range(count))[::-1] if backwards else list(range(count))
        own = g.op("Gather", y, np.int64(index), axis=1)
        edge = _one(g, first, index)
        if edge is None:
            edge = _zeros(g, g.op("Slice", own, [0], [1], [0]))
        if backwards:
            before = g.op("Concat", g.op("Slice", own, [1], [count], [0]), edge, axis=0)
        else:
            before = g.op("Concat", edge, g.op("Slice", own, [0], [count - 1], [0]), axis=0)
        width = _GATES[node.op_type] * hidden
        both = _one(g, bias, index, squeeze=True)
        taken = None if dy is None else g.op("Gather", dy, np.int64(index), axis=1)
        found.append(
            _Pass(
                g,
                node,
                order,
                x,
                own,
                before,
                _one(g, cell, index),
                _some(_one(g, w, index, squeeze=True)),
                _some(_one(g, r, index, squeeze=True)),
                None if both is None else g.op("Slice", both, [0], [width], [0]),
                None if both is None else g.op("Slice", both, [width], [2 * width], [0]),
                None if taken is None else list(g.op("Split", taken, axis=0, num_outputs=count, outputs=count)),
                _one(g, dh, index),
                _one(g, dc, index),
            )
        )
    return found


def _some(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


def _one(g: GradientBuilder, value: ir.Value | None, index: int, squeeze: bool = False) -> ir.Value | None:
    """The entry of one direction, with or without that axis."""
    if value is None:
        return None
    if squeeze:
        return g.op("Gather", value, np.int64(index), axis=0)
    return g.op("Slice", value, [index], [index + 1], [0])


def _turned(g: GradientBuilder, value: Gradient, batch_first: int) -> Gradient:
    """The first two axes swapped, where the layer has the batch first."""
    return g.op("Transpose", value, perm=[1, 0, 2]) if batch_first and value is not None else value


def _affine(g: GradientBuilder, value: ir.Value, weights: ir.Value, bias: ir.Value | None) -> ir.Value:
    product = g.op("MatMul", value, g.op("Transpose", weights, perm=[1, 0]))
    return product if bias is None else g.op("Add", product, bias)


def _added(g: GradientBuilder, parts: Iterable[Gradient]) -> Gradient:
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    return g.op("Add", *present)


def _zeros(g: GradientBuilder, like: ir.Value) -> ir.Value:
    return g.op("Expand", g.constant(np.array(0), like.dtype or ir.DataType.FLOAT), g.op("Shape", like))


def _sigmoid_slope(g: GradientBuilder, y: ir.Value) -> ir.Value:
    return g.op("Mul", y, g.op("Sub", 1.0, y))


def _tanh_slope(g: GradientBuilder, y: ir.Value) -> ir.Value:
    return g.op("Sub", 1.0, g.op("Mul", y, y))
