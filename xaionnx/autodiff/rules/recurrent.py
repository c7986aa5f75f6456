"""Rules of LSTM, GRU and RNN by backpropagation through time, with the steps unrolled.

The forward node returns every hidden state, so the gates of all steps are computed by one product of matrices; only the
propagation from step to step is sequential. The length of the sequence is fixed in the graph. After the end of a
shorter sample, steps pass its states unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff._gate_activations import DEFAULTS, GateActivation, activations_of, choose, unknown_activations
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, Rule, rule

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class _Direction(NamedTuple):
    """One direction of a layer, time first: T steps, N samples, F features, H hidden units, G gates.

    ``order`` lists the steps in the order of the forward pass, and ``valid`` (T, N, 1) marks the samples that take
    them. ``dy`` has for each step the derivative of the target with respect to its hidden state, (1, N, H); ``dh`` and
    ``dc`` are those of the last states.
    """

    g: GradientBuilder
    node: ir.Node
    order: list[int]
    activations: Sequence[GateActivation]
    x: ir.Value
    before: ir.Value
    cell: ir.Value | None
    w: ir.Value
    r: ir.Value
    w_bias: ir.Value | None
    r_bias: ir.Value | None
    peepholes: ir.Value | None
    valid: ir.Value | None
    dy: list[ir.Value] | None
    dh: Gradient
    dc: Gradient

    def from_input(self) -> ir.Value:
        """The contribution of the input to the gates (T, N, GH)."""
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

    def where_valid(self, value: ir.Value, otherwise: float = 0.0) -> ir.Value:
        return value if self.valid is None else self.g.op("Where", self.valid, value, otherwise)

    def passed_on(self) -> Sequence[ir.Value | None]:
        """For each step 1 for samples that keep their state, 0 for those that take the step; None if all take it."""
        if self.valid is None:
            return [None] * len(self.order)
        return self.steps(choose(self.g, self.valid, self.x, 0.0, 1.0))

    def arriving(self, step: int, later: Gradient) -> ir.Value:
        """The derivative with respect to the hidden state of a step."""
        own = None if self.dy is None else self.dy[step]
        return _sum_of(self.g, [own, later]) or _zeros(self.g, self.g.op("Slice", self.before, [0], [1], [0]))

    def earlier(self, back: ir.Value, hidden: ir.Value, passed: ir.Value | None) -> ir.Value:
        """The derivative with respect to the hidden state before a step."""
        return back if passed is None else self.g.op("Add", back, self.g.op("Mul", hidden, passed))


class _Backward(NamedTuple):
    """Derivatives by the input's contribution to the gates (T, N, GH), and by the first states (1, N, H)."""

    gates: ir.Value
    hidden: ir.Value
    cell: ir.Value | None


def _lstm(p: _Direction) -> _Backward:
    g = p.g
    squash, squash_new, squash_cell = p.activations
    zi, zo, zf, zc = p.parts(g.op("Add", p.from_input(), _affine(g, p.before, p.r, p.r_bias)), 4)
    coupled = bool(p.node.attributes.get_int("input_forget", 0))
    c, c_slope = squash_new(g, zc)
    first = p.cell if p.cell is not None else _zeros(g, g.op("Slice", p.before, [0], [1], [0]))
    peepholes = None if p.peepholes is None else p.parts(p.peepholes, 3)
    if peepholes is None:
        cells, earlier = _cells(p, first, c, squash(g, zi)[0], squash(g, zf)[0], coupled)
    else:
        cells, earlier = _peephole_cells(p, first, c, zi, zf, peepholes, coupled)
        zi = g.op("Add", zi, g.op("Mul", earlier, peepholes[0]))
        zo = g.op("Add", zo, g.op("Mul", cells, peepholes[1]))
        zf = g.op("Add", zf, g.op("Mul", earlier, peepholes[2]))
    (i, i_slope), (o, o_slope) = squash(g, zi), squash(g, zo)
    cell, cell_slope = squash_cell(g, cells)
    o_slope, to_cell = g.op("Mul", cell, o_slope), g.op("Mul", o, cell_slope)
    if coupled:
        f, f_slope = g.op("Sub", 1.0, i), _zeros(g, i)
        i_slope = g.op("Mul", g.op("Sub", c, earlier), i_slope)
    else:
        f, f_slope = squash(g, zf)
        i_slope, f_slope = g.op("Mul", c, i_slope), g.op("Mul", earlier, f_slope)
    kept = f
    if peepholes is not None:
        to_cell = g.op("Add", to_cell, g.op("Mul", o_slope, peepholes[1]))
        kept = g.op("Sum", f, g.op("Mul", i_slope, peepholes[0]), g.op("Mul", f_slope, peepholes[2]))
    slope = p.steps(p.where_valid(g.op("Concat", i_slope, o_slope, f_slope, g.op("Mul", i, c_slope), axis=-1)))
    to_cells, forget, passed = p.steps(p.where_valid(to_cell)), p.steps(p.where_valid(kept, 1.0)), p.passed_on()
    dh, dc = p.dh, p.dc
    gates: list[ir.Value] = [first] * len(p.order)
    for step in reversed(p.order):
        hidden = p.arriving(step, dh)
        through = g.op("Mul", hidden, to_cells[step])
        through = through if dc is None else g.op("Add", through, dc)
        gates[step] = g.op("Mul", g.op("Concat", through, hidden, through, through, axis=-1), slope[step])
        dh = p.earlier(g.op("MatMul", gates[step], p.r), hidden, passed[step])
        dc = g.op("Mul", through, forget[step])
    assert dh is not None
    return _Backward(p.joined(gates), dh, dc)


def _cells(
    p: _Direction, first: ir.Value, c: ir.Value, i: ir.Value, f: ir.Value, coupled: bool
) -> tuple[ir.Value, ir.Value]:
    """The cells after and before all steps (T, N, H)."""
    g = p.g
    forget = p.steps(p.where_valid(g.op("Sub", 1.0, i) if coupled else f, 1.0))
    new = p.steps(p.where_valid(g.op("Mul", i, c)))
    return _chain(p, first, lambda step, state: g.op("Add", g.op("Mul", forget[step], state), new[step]))


def _peephole_cells(
    p: _Direction,
    first: ir.Value,
    c: ir.Value,
    zi: ir.Value,
    zf: ir.Value,
    peepholes: Sequence[ir.Value],
    coupled: bool,
) -> tuple[ir.Value, ir.Value]:
    """The same as :func:`_cells`, for gates with peepholes."""
    g, squash = p.g, p.activations[0]
    new, to_i, to_f, passed = p.steps(c), p.steps(zi), p.steps(zf), p.passed_on()

    def advance(step: int, state: ir.Value) -> ir.Value:
        i = squash(g, g.op("Add", to_i[step], g.op("Mul", state, peepholes[0])))[0]
        f = g.op("Sub", 1.0, i) if coupled else squash(g, g.op("Add", to_f[step], g.op("Mul", state, peepholes[2])))[0]
        after = g.op("Add", g.op("Mul", f, state), g.op("Mul", i, new[step]))
        hold = passed[step]
        return after if hold is None else g.op("Where", g.op("Greater", hold, 0.5), state, after)

    return _chain(p, first, advance)


def _chain(p: _Direction, first: ir.Value, advance: Callable[[int, ir.Value], ir.Value]) -> tuple[ir.Value, ir.Value]:
    after, before, state = [first] * len(p.order), [first] * len(p.order), first
    for step in p.order:
        before[step] = state
        state = after[step] = advance(step, state)
    return p.joined(after), p.joined(before)


def _gru(p: _Direction) -> _Backward:
    g = p.g
    squash, squash_new = p.activations
    from_z, from_r, from_n = p.parts(p.from_input(), 3)
    r_z, r_r, r_n = p.weights(3)
    b_z, b_r, b_n = (None, None, None) if p.r_bias is None else p.parts(p.r_bias, 3)
    z, z_slope = squash(g, g.op("Add", from_z, _affine(g, p.before, r_z, b_z)))
    r, r_slope = squash(g, g.op("Add", from_r, _affine(g, p.before, r_r, b_r)))
    after = bool(p.node.attributes.get_int("linear_before_reset", 0))
    if after:
        linear = _affine(g, p.before, r_n, b_n)
        n, n_slope = squash_new(g, g.op("Add", from_n, g.op("Mul", r, linear)))
        reset_slope = g.op("Mul", linear, r_slope)
    else:
        n, n_slope = squash_new(g, g.op("Add", from_n, _affine(g, g.op("Mul", r, p.before), r_n, b_n)))
        reset_slope = g.op("Mul", p.before, r_slope)
    # h = (1 - z) n + z h'
    z_slopes = p.steps(p.where_valid(g.op("Mul", g.op("Sub", p.before, n), z_slope)))
    n_slopes = p.steps(p.where_valid(g.op("Mul", g.op("Sub", 1.0, z), n_slope)))
    r_slopes, keep, reset = p.steps(reset_slope), p.steps(p.where_valid(z, 1.0)), p.steps(r)
    dh = p.dh
    gates: list[ir.Value] = list(keep)
    for step in reversed(p.order):
        hidden = p.arriving(step, dh)
        dz, dn = g.op("Mul", hidden, z_slopes[step]), g.op("Mul", hidden, n_slopes[step])
        if after:
            dr = g.op("Mul", dn, r_slopes[step])
            back = g.op("MatMul", g.op("Mul", dn, reset[step]), r_n)
        else:
            product = g.op("MatMul", dn, r_n)
            dr = g.op("Mul", product, r_slopes[step])
            back = g.op("Mul", product, reset[step])
        dh = g.op("Sum", g.op("Mul", hidden, keep[step]), g.op("MatMul", dz, r_z), g.op("MatMul", dr, r_r), back)
        gates[step] = g.op("Concat", dz, dr, dn, axis=-1)
    assert dh is not None
    return _Backward(p.joined(gates), dh, None)


def _rnn(p: _Direction) -> _Backward:
    g = p.g
    _, slope = p.activations[0](g, g.op("Add", p.from_input(), _affine(g, p.before, p.r, p.r_bias)))
    slopes, passed = p.steps(p.where_valid(slope)), p.passed_on()
    dh = p.dh
    gates: list[ir.Value] = list(slopes)
    for step in reversed(p.order):
        hidden = p.arriving(step, dh)
        gates[step] = g.op("Mul", hidden, slopes[step])
        dh = p.earlier(g.op("MatMul", gates[step], p.r), hidden, passed[step])
    assert dh is not None
    return _Backward(p.joined(gates), dh, None)


def _rule(back: Callable[[_Direction], _Backward]) -> Rule:
    def whole(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        _check(g, node, needed)
        found = [back(p) for p in _directions(g, node, cotangents)]
        batch_first = node.attributes.get_int("layout", 0)
        gradients: list[Gradient] = [None] * len(node.inputs)
        if needed[0]:
            weights = [_direction_entry(g, node.inputs[1], index, squeeze=True) for index in range(len(found))]
            parts = [g.op("MatMul", b.gates, w) for b, w in zip(found, weights, strict=True)]
            gradients[0] = _time_first(g, _sum_of(g, parts), batch_first)
        for index, states in ((5, [b.hidden for b in found]), (6, [b.cell for b in found])):
            if index < len(needed) and needed[index]:
                gradients[index] = _time_first(g, g.op("Concat", *states, axis=0), batch_first)
        return gradients

    return whole


for _op, _back in (("LSTM", _lstm), ("GRU", _gru), ("RNN", _rnn)):
    rule(_op)(_rule(_back))


def _check(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> None:
    unknown = unknown_activations(node)
    if unknown:
        raise g.refusal(node, f"its activations are {', '.join(unknown)}")
    if any(needed[1:5]) or any(needed[7:]):
        raise g.refusal(node, "its weights depend on the explained tensor")


def _valid_steps(g: GradientBuilder, node: ir.Node, count: int) -> ir.Value | None:
    """The steps of each sample, as a mask (T, N, 1); None if all samples have all steps."""
    lengths = node.inputs[4] if len(node.inputs) > 4 else None
    known = g.constant_of(lengths)
    if lengths is None or (known is not None and np.all(known == count)):
        return None
    steps = g.constant(np.arange(count, dtype=np.int32).reshape(-1, 1, 1))
    return g.op("Less", steps, g.reshape(lengths, g.ints(1, -1, 1)))


def _required_input(g: GradientBuilder, node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise g.refusal(node, f"its input number {index} is missing")
    return value


def _directions(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient]) -> list[_Direction]:
    """The directions of a layer, in the order of its weights."""
    batch_first = node.attributes.get_int("layout", 0)
    given: list[ir.Value | None] = [*node.inputs, *[None] * 8][:8]
    source = _required_input(g, node, 0)
    x, first, cell = (_time_first(g, value, batch_first) for value in (source, given[5], given[6]))
    w, r, bias = _required_input(g, node, 1), _required_input(g, node, 2), given[3]
    hidden, count = g.size(r, 2), g.size(source, 1 if batch_first else 0)
    output_cotangents = [*cotangents, None, None, None][:3]
    y = g.optional_output(node, 0, source.dtype or ir.DataType.FLOAT)
    # (N, T, D, H) becomes (T, D, N, H).
    dy = output_cotangents[0]
    if batch_first:
        y = g.op("Transpose", y, perm=[1, 2, 0, 3])
        dy = None if dy is None else g.op("Transpose", dy, perm=[1, 2, 0, 3])
    dh, dc = (_time_first(g, value, batch_first) for value in output_cotangents[1:])
    assert x is not None
    directions = g.size(w, 0)
    activations = activations_of(node, DEFAULTS[node.op_type])
    each = len(DEFAULTS[node.op_type])
    valid = _valid_steps(g, node, count)
    if dy is not None and valid is not None:
        dy = g.op("Where", g.op("Unsqueeze", valid, [1]), dy, 0.0)
    found = []
    for index in range(directions):
        direction = node.attributes.get_string("direction", "forward")
        backwards = direction == "reverse" or index == 1
        order = list(range(count))[::-1] if backwards else list(range(count))
        own = g.op("Gather", y, np.int64(index), axis=1)
        edge = _direction_entry(g, first, index)
        if edge is None:
            edge = _zeros(g, g.op("Slice", own, [0], [1], [0]))
        if backwards:
            before = g.op("Slice", own, [1], [count], [0])
            if valid is not None:  # states after the end of a sample are zeros
                before = g.op("Where", g.op("Slice", valid, [1], [count], [0]), before, edge)
            before = g.op("Concat", before, edge, axis=0)
        else:
            before = g.op("Concat", edge, g.op("Slice", own, [0], [count - 1], [0]), axis=0)
        width = _GATES[node.op_type] * hidden
        both = _direction_entry(g, bias, index, squeeze=True)
        taken = None if dy is None else g.op("Gather", dy, np.int64(index), axis=1)
        found.append(
            _Direction(
                g,
                node,
                order,
                activations[index * each : (index + 1) * each],
                x,
                before,
                _direction_entry(g, cell, index),
                _present(_direction_entry(g, w, index, squeeze=True)),
                _present(_direction_entry(g, r, index, squeeze=True)),
                None if both is None else g.op("Slice", both, [0], [width], [0]),
                None if both is None else g.op("Slice", both, [width], [2 * width], [0]),
                _direction_entry(g, given[7], index, squeeze=True),
                valid,
                None if taken is None else list(g.op("Split", taken, axis=0, num_outputs=count, outputs=count)),
                _direction_entry(g, dh, index),
                _direction_entry(g, dc, index),
            )
        )
    return found


def _present(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


def _direction_entry(g: GradientBuilder, value: ir.Value | None, index: int, squeeze: bool = False) -> ir.Value | None:
    """The entry of one direction, with or without that axis."""
    if value is None:
        return None
    if squeeze:
        return g.op("Gather", value, np.int64(index), axis=0)
    return g.op("Slice", value, [index], [index + 1], [0])


def _time_first(g: GradientBuilder, value: Gradient, batch_first: int) -> Gradient:
    """Swap the first two axes if the layer has the batch first."""
    return g.op("Transpose", value, perm=[1, 0, 2]) if batch_first and value is not None else value


def _affine(g: GradientBuilder, value: ir.Value, weights: ir.Value, bias: ir.Value | None) -> ir.Value:
    product = g.op("MatMul", value, g.op("Transpose", weights, perm=[1, 0]))
    return product if bias is None else g.op("Add", product, bias)


def _sum_of(g: GradientBuilder, parts: Iterable[Gradient]) -> Gradient:
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    return g.op("Add", *present)


def _zeros(g: GradientBuilder, like: ir.Value) -> ir.Value:
    return g.op("Expand", g.constant(np.array(0), like.dtype or ir.DataType.FLOAT), g.op("Shape", like))
