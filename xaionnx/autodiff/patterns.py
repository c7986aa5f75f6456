"""Tables of PatternNet and PatternAttribution, and the one that collects what patterns are estimated from.

A layer ``y = w.x + b`` filters from x what it needs to know of a signal; the signal itself has another direction, the
pattern a. Going back, a takes the place of w (PatternNet), or w * a does (PatternAttribution). All else keeps its
derivative, so rectifiers and max pooling go back the way they went. By patterns numbers grow at every layer: where they
would leave the range of floats, each tensor's are held in a unit of their own, a power of two.

Statistics are sums over samples and places for each entry of the weights, of which one has x_i, and y_j in their
broadcast shapes. A product of x and a number at y is the derivative of the layer by its weights, whatever the layer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.lrp import begin
from xaionnx.autodiff.rule import START, Gradient, Rule, Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import find_op
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Layers that have patterns.
LAYERS = ("Conv", "Gemm", "MatMul")
# What is collected of each: sums of x y, x, w.x y, w.x, ones and y in the regime, and of y and ones everywhere.
SUMS = ("xy", "x", "wxy", "wx", "inside", "above", "y", "count")
# The mean sizes of what comes to a layer in a walk and of what leaves it.
GROWTH = ("before", "after")
_MARK = "::pattern_"
# The entry of a walk's notes that holds the units of tensors, as exponents of two; none where all are one.
_UNITS = "units of a walk by patterns"
# How a label of a walk begins that tells the unit of its values: the exponent of two follows.
_SCALED = "the walk from it is scaled, values are the published ones times 2**"


def sum_name(layer: str, which: str) -> str:
    """The name of the output that holds a sum of a layer."""
    return f"{layer}{_MARK}{which}"


def layers_of(outputs: Sequence[str]) -> list[str]:
    """The layers of which there are sums among outputs, in the order of the graph."""
    ending = _MARK + SUMS[0]
    return [name.removesuffix(ending) for name in outputs if name.endswith(ending)][::-1]


@final
@dataclass(frozen=True)
class _Collected:
    """A layer's derivative; its sums become outputs."""

    regimes: bool

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        if sum(needed[:2]) == 1:
            self._collect(g, node, 1 if needed[0] else 0)
        return STANDARD[node.op_type](g, node, cotangents, needed)

    def _collect(self, g: GradientBuilder, node: ir.Node, weights: int) -> None:
        if node.attributes.get_float("alpha", 1.0) != 1:
            raise g.refusal(node, "patterns are not defined for its factor alpha")
        w, y = node.inputs[weights], _answer(g, node)
        assert w is not None
        # An activation that is shut below zero: what its layer answers there is no signal.
        rectified = self.regimes and any(find_op(reader.op_type).rectifies for reader in _readers(g, y))
        kind = g.kind(y)
        ones = g.expand_like(g.constant(np.ones((), dtype=kind.numpy()), kind), y)
        inside = g.op("Cast", g.op("Greater", y, 0.0), to=kind) if rectified else ones
        above = g.op("Mul", inside, y)
        x_y, x = (_by_weights(g, node, weights, value) for value in (above, inside))
        axes = _inputs_of(g, node, weights)
        summed = [g.op("ReduceSum", g.op("Mul", w, part), axes, keepdims=1) for part in (x_y, x)]
        totals = [_by_outputs(g, node, weights, value) for value in (inside, above, y, ones)]
        for which, value in zip(SUMS, (x_y, x, *summed, *totals), strict=True):
            g.output(value, sum_name(str(node.outputs[0].name), which))


def _answer(g: GradientBuilder, node: ir.Node) -> ir.Value:
    """The layer's output, behind a bias that is added by a node of its own."""
    y = node.outputs[0]
    readers = _readers(g, y)
    if len(readers) == 1 and readers[0].op_type == "Add":
        rest = [value for value in readers[0].inputs if value is not y]
        if all(g.constant_of(value) is not None for value in rest):
            return readers[0].outputs[0]
    return y


def _readers(g: GradientBuilder, value: ir.Value) -> list[ir.Node]:
    """The nodes of the model that read a tensor."""
    return [use.node for use in value.uses() if not g.has_emitted(use.node.outputs[0])]


def _by_weights(g: GradientBuilder, node: ir.Node, weights: int, signal: ir.Value) -> ir.Value:
    """The sum of x times a number at y, in the shape of the weights."""
    needed = [index == weights for index in range(len(node.inputs))]
    found = STANDARD[node.op_type](g, node, [signal], needed)[weights]
    w = node.inputs[weights]
    assert found is not None
    assert w is not None
    leading = len(g.sizes(node.outputs[0])) - g.rank(w)
    if node.op_type == "MatMul" and leading > 0:
        found = g.op("ReduceSum", found, g.ints(*range(leading)), keepdims=0)
    return found


def _inputs_of(g: GradientBuilder, node: ir.Node, weights: int) -> ir.Value:
    """The axes of the weights that are summed over in ``w.x``."""
    w = node.inputs[weights]
    assert w is not None
    rank = g.rank(w)
    if node.op_type == "Conv":
        return g.ints(*range(1, rank))
    if rank != 2:
        raise g.refusal(node, "patterns are defined for a matrix of weights")
    return g.ints(0 if _outputs_last(node, weights) else 1)


def _outputs_last(node: ir.Node, weights: int) -> bool:
    """Whether the last axis of a matrix of weights is that of the layer's units."""
    turned = node.op_type == "Gemm" and bool(node.attributes.get_int("transB" if weights else "transA", 0))
    return (weights == 1) != turned


def _by_outputs(g: GradientBuilder, node: ir.Node, weights: int, value: ir.Value) -> ir.Value:
    """The sum over samples and places of a number at y, in a shape that broadcasts to the weights."""
    w = node.inputs[weights]
    assert w is not None
    rank, wide = g.rank(node.outputs[0]), g.rank(w)
    if node.op_type == "Conv":
        total = g.op("ReduceSum", value, g.ints(0, *range(2, rank)), keepdims=0)
        return g.reshape(total, g.ints(-1, *[1] * (wide - 1)))
    own = rank - 1 if weights == 1 else rank - 2
    total = g.op("ReduceSum", value, g.ints(*(axis for axis in range(rank) if axis != own)), keepdims=0)
    return g.reshape(total, g.ints(1, -1) if _outputs_last(node, weights) else g.ints(-1, 1))


def statistics(regimes: bool) -> Table:
    """The standard table, whose layers answer their sums; ``regimes`` restricts those before a rectifier to y > 0."""
    return dict(STANDARD) | dict.fromkeys(LAYERS, _Collected(regimes))


@final
@dataclass(frozen=True)
class _Swapped:
    """A layer's derivative with its pattern in place of its weights, or with the product of both.

    Two are the same where ``digest`` is, which tells the patterns.
    """

    digest: str
    weighted: bool
    layers: Mapping[str, Array] = field(compare=False, repr=False)

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        if sum(needed[:2]) != 1:
            return STANDARD[node.op_type](g, node, cotangents, needed)
        weights, name = 1 if needed[0] else 0, str(node.outputs[0].name)
        w, pattern = node.inputs[weights], self.layers.get(name)
        assert w is not None
        if pattern is None or pattern.shape != g.sizes(w):
            raise g.refusal(node, f"there is no pattern for it among those of {len(self.layers)} layers")
        kind = w.dtype or ir.DataType.FLOAT
        taken: ir.Value = g.constant(pattern.astype(kind.numpy()), kind)
        if self.weighted:
            taken = g.op("Mul", taken, w)
        operands: list[ir.Value | None] = list(node.inputs)
        operands[weights] = taken
        return STANDARD[node.op_type](g, g.again(node, *operands), cotangents, needed)


@final
@dataclass(frozen=True)
class _Measured:
    """A layer whose walk also answers the mean size of what comes in and of what goes out."""

    rule: Rule

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        found = self.rule(g, node, cotangents, needed)
        passed = (cotangents[0], *found[:2])
        if sum(needed[:2]) == 1:
            sizes = [g.op("ReduceMean", g.op("Abs", value), keepdims=0) for value in passed if value is not None]
            for value, which in zip(sizes, GROWTH, strict=True):
                g.output(value, sum_name(str(node.outputs[0].name), which))
        return found


@final
@dataclass(frozen=True)
class _Ranged:
    """A rule, in a walk that holds the numbers of each tensor in units of a power of two.

    Units differ from tensor to tensor and not from sample to sample, and a power of two changes no digit: the walk is
    linear, so what comes out is what went in times one power of two, wherever connections part and meet.
    """

    rule: Rule

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        units: Mapping[ir.Value, int] = g.notes.get(_UNITS, {})
        if not units:
            return self.rule(g, node, cotangents, needed)
        held = max(units[value] for value in node.outputs if value in units)
        given = [
            _times(g, cotangent, units.get(value, held) - held)
            for value, cotangent in zip(node.outputs, cotangents, strict=True)
        ]
        found = self.rule(g, node, given, needed)
        return [
            gradient if value is None else _times(g, gradient, held - units.get(value, held))
            for value, gradient in zip(node.inputs, found, strict=True)
        ]


def _times(g: GradientBuilder, value: Gradient, exponent: int) -> Gradient:
    return value if value is None or exponent == 0 else g.op("Mul", value, 2.0**exponent)


@final
@dataclass(frozen=True)
class _Start:
    """Begins with the target's value, and sets the units in which a walk stays in range.

    They are one unless numbers grow, or shrink, by more than half of the exponents that a float has.
    """

    digest: str
    gains: Mapping[str, float] = field(compare=False, repr=False)

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        target = node.inputs[0]
        assert target is not None
        grown = _grown(g, target, self.gains)
        if max(map(abs, grown.values())) > np.finfo(g.kind(target).numpy()).maxexp // 2:
            units = {value: round(exponent) for value, exponent in grown.items()}
            end = max(units[value] for value in g.sources if value in units)
            g.notes[_UNITS] = units | dict.fromkeys(g.sources, end)
            g.approximate(target.producer() or node, f"{_SCALED}{-end}")
        return begin(g, node, cotangents, needed)


def _grown(g: GradientBuilder, target: ir.Value, gains: Mapping[str, float]) -> dict[ir.Value, float]:
    """By how many powers of two a walk from the target grows up to each tensor on its way, by the gains of layers.

    What comes from several readers adds up; anything but a layer counts as one.
    """
    grown = {target: 0.0}
    for node in reversed(g.graph):
        reached = [grown[value] for value in node.outputs if value in grown]
        if reached:
            exponent = max(reached) + gains.get(str(node.outputs[0].name), 0.0)
            for value in dict.fromkeys(node.inputs):
                if value is not None:
                    grown[value] = float(np.logaddexp2(grown.get(value, -np.inf), exponent))
    return grown


def table(
    digest: str,
    layers: Mapping[str, Array],
    gains: Mapping[str, float],
    *,
    weighted: bool = False,
    measured: bool = False,
) -> Table:
    """The rules of PatternNet, or where ``weighted`` of PatternAttribution; both start from the target's value.

    ``gains`` tell by how many powers of two a walk by patterns grows at a layer. Weights times patterns sum to one for
    each unit, and need none. Where ``measured`` the walk answers its growth at each layer too.
    """
    swapped: Rule = _Swapped(digest, weighted, layers)
    if weighted:
        return dict(STANDARD) | dict.fromkeys(LAYERS, swapped) | {START: begin}
    rules = dict(STANDARD) | dict.fromkeys(LAYERS, _Measured(swapped) if measured else swapped)
    return {op: _Ranged(rule) for op, rule in rules.items()} | {START: _Start(digest, gains)}


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """The pattern of a layer, and of how many of its units what holds.

    Attributes
    ----------
    pattern : array
        In the shape of the weights.
    units : int
    zero : int
        Units without a pattern, since their answer does not vary in the regime.
    within : int
        Units whose pattern is the covariance within the regime, where equation 8 says something else.
    """

    pattern: Array
    units: int
    zero: int
    within: int

    __repr__ = short_repr


def pattern(sums: Mapping[str, Array]) -> Estimate:
    """The pattern of a layer from its sums: a covariance with y over w times that covariance.

    For y > 0 the covariance is ``E+[x y] - E+[x] E[y]`` (Kindermans et al. 2018, eq. 8); where all is in the regime
    this is ``cov(x, y)``, and the whole ``cov(x, y) / var(y)`` (eq. 5). Over w.x it reads ``var+ + E+[w.x] (E+[y] -
    E[y])``, a mean of two directions by these weights: that in which x varies within the regime, and E+[x]. Without a
    bias, as the paper has it, y > 0 is w.x > 0, and no weight is negative. A bias above zero lets in what is below:
    where ``E+[w.x] < 0`` the second weight is negative, and the whole may be near zero or below. There the pattern is
    the covariance within the regime, ``E+[x y] - E+[x] E+[y]``, the first direction alone.

    Zero where the answer of a unit does not vary in the regime.
    """
    inside = np.maximum(sums["inside"], 1)
    within = sums["wx"] < 0
    average = np.where(within, sums["above"] / inside, sums["y"] / sums["count"])
    change = (sums["wxy"] - sums["wx"] * average) / inside
    size = np.abs(sums["wxy"]) + np.abs(sums["wx"] * average)
    varies = change * inside > 1e-6 * size
    found = (sums["xy"] - sums["x"] * average) / inside
    return Estimate(
        np.asarray(np.where(varies, found / np.where(varies, change, 1), 0)),
        varies.size,
        int(np.sum(~varies)),
        int(np.sum(varies & within & (sums["inside"] < sums["count"]))),
    )
