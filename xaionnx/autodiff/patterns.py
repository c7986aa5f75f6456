"""Tables of PatternNet and PatternAttribution, and the table that collects the statistics for patterns.

A layer ``y = w.x + b`` filters a signal from x; the signal itself has another direction, the pattern a. In the backward
walk a replaces w (PatternNet), or w * a does (PatternAttribution). All other ops keep their derivative, rectifiers and
max pooling included. Values grow at every layer with patterns: if they would leave the range of floats, each tensor's
values are stored in a unit of their own, a power of two.

Statistics are sums over samples and spatial positions for each entry of the weights, x_i or y_j in shapes that
broadcast to them. The sum of x times a number at y is the derivative of the layer by its weights, whatever the layer
is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.lrp import initial_relevance
from xaionnx.autodiff.rule import START, Gradient, Rule, Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import find_op
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Layers that have patterns.
LAYERS = ("Conv", "Gemm", "MatMul")
# Sums of each layer: of x y, x, w.x y, w.x, ones and y in the regime, and of y and ones everywhere.
SUMS = ("xy", "x", "wxy", "wx", "inside", "above", "y", "count")
# Mean absolute values before and after a layer of a backward walk.
GROWTH = ("before", "after")
_MARK = "::pattern_"
# Key of the notes for the units of tensors, as exponents of two; missing if all are one.
_UNITS = "units of a walk by patterns"
# Beginning of the label with the unit of the values; the exponent of two follows.
_SCALED = "the walk from it is scaled, values are the published ones times 2**"


def sum_name(layer: str, which: str) -> str:
    """Return the name of the output with a sum of a layer."""
    return f"{layer}{_MARK}{which}"


def layers_of(outputs: Sequence[str]) -> list[str]:
    """Return the layers whose sums are among the outputs, in the order of the graph."""
    ending = _MARK + SUMS[0]
    return [name.removesuffix(ending) for name in outputs if name.endswith(ending)][::-1]


@final
@dataclass(frozen=True)
class _CollectSums:
    """The derivative of a layer, with the layer's sums as additional outputs."""

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
        w, y = node.inputs[weights], _biased_output(g, node)
        assert w is not None
        # The activation blocks values below zero: there the layer's output is not a signal.
        rectified = self.regimes and any(find_op(reader.op_type).rectifies for reader in _readers(g, y))
        kind = g.gradient_dtype(y)
        ones = g.expand_like(g.constant(np.ones((), dtype=kind.numpy()), kind), y)
        inside = g.op("Cast", g.op("Greater", y, 0.0), to=kind) if rectified else ones
        above = g.op("Mul", inside, y)
        x_y, x = (_weight_sums(g, node, weights, value) for value in (above, inside))
        axes = _input_axes(g, node, weights)
        summed = [g.op("ReduceSum", g.op("Mul", w, part), axes, keepdims=1) for part in (x_y, x)]
        totals = [_unit_sums(g, node, weights, value) for value in (inside, above, y, ones)]
        for which, value in zip(SUMS, (x_y, x, *summed, *totals), strict=True):
            g.output(value, sum_name(str(node.outputs[0].name), which))


def _biased_output(g: GradientBuilder, node: ir.Node) -> ir.Value:
    """The layer's output, after a bias that a node of its own adds."""
    y = node.outputs[0]
    readers = _readers(g, y)
    if len(readers) == 1 and readers[0].op_type == "Add":
        rest = [value for value in readers[0].inputs if value is not y]
        if all(g.constant_of(value) is not None for value in rest):
            return readers[0].outputs[0]
    return y


def _readers(g: GradientBuilder, value: ir.Value) -> list[ir.Node]:
    """The forward nodes that read a tensor."""
    return [use.node for use in value.uses() if not g.has_emitted(use.node.outputs[0])]


def _weight_sums(g: GradientBuilder, node: ir.Node, weights: int, signal: ir.Value) -> ir.Value:
    """The sum of x times ``signal`` at y, in the shape of the weights."""
    needed = [index == weights for index in range(len(node.inputs))]
    found = STANDARD[node.op_type](g, node, [signal], needed)[weights]
    w = node.inputs[weights]
    assert found is not None
    assert w is not None
    leading = len(g.sizes(node.outputs[0])) - g.rank(w)
    if node.op_type == "MatMul" and leading > 0:
        found = g.op("ReduceSum", found, g.ints(*range(leading)), keepdims=0)
    return found


def _input_axes(g: GradientBuilder, node: ir.Node, weights: int) -> ir.Value:
    """The axes of the weights over which ``w.x`` sums."""
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


def _unit_sums(g: GradientBuilder, node: ir.Node, weights: int, value: ir.Value) -> ir.Value:
    """The sum of ``value`` at y over samples and spatial positions, in a shape that broadcasts to the weights."""
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
    """Return the standard table with sums of the layers as outputs, of y > 0 before rectifiers if ``regimes``."""
    return dict(STANDARD) | dict.fromkeys(LAYERS, _CollectSums(regimes))


@final
@dataclass(frozen=True)
class _PatternRule:
    """The derivative of a layer with its pattern in place of its weights, or with the product of both.

    Two rules are equal if their ``digest``, the hash of all patterns, is.
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
        return STANDARD[node.op_type](g, g.emit_again(node, *operands), cotangents, needed)


@final
@dataclass(frozen=True)
class _MeasuringRule:
    """A layer's rule, with the mean absolute values before and after the layer as additional outputs."""

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
class _ScaledRule:
    """A rule in a walk that stores the values of each tensor in units of a power of two.

    Units differ between tensors, not between samples, and powers of two do not round. The walk is linear, so the result
    is scaled by one power of two, also where connections branch and join.
    """

    rule: Rule

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        units: Mapping[ir.Value, int] = g.notes.get(_UNITS, {})
        if not units:
            return self.rule(g, node, cotangents, needed)
        unit = max(units[value] for value in node.outputs if value in units)
        given = [
            _times_power_of_two(g, cotangent, units.get(value, unit) - unit)
            for value, cotangent in zip(node.outputs, cotangents, strict=True)
        ]
        found = self.rule(g, node, given, needed)
        return [
            gradient if value is None else _times_power_of_two(g, gradient, unit - units.get(value, unit))
            for value, gradient in zip(node.inputs, found, strict=True)
        ]


def _times_power_of_two(g: GradientBuilder, value: Gradient, exponent: int) -> Gradient:
    return value if value is None or exponent == 0 else g.op("Mul", value, 2.0**exponent)


@final
@dataclass(frozen=True)
class _Start:
    """Starts from the target's value, and chooses units that keep the walk in the range of floats.

    Units are one unless values grow or shrink by more than half of the exponents of a float.
    """

    digest: str
    gains: Mapping[str, float] = field(compare=False, repr=False)

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        target = node.inputs[0]
        assert target is not None
        grown = _growth_exponents(g, target, self.gains)
        if max(map(abs, grown.values())) > np.finfo(g.gradient_dtype(target).numpy()).maxexp // 2:
            units = {value: round(exponent) for value, exponent in grown.items()}
            end = max(units[value] for value in g.sources if value in units)
            g.notes[_UNITS] = units | dict.fromkeys(g.sources, end)
            g.approximate(target.producer() or node, f"{_SCALED}{-end}")
        return initial_relevance(g, node, cotangents, needed)


def _growth_exponents(g: GradientBuilder, target: ir.Value, gains: Mapping[str, float]) -> dict[ir.Value, float]:
    """The growth of a walk from the target to each tensor, as exponents of two, from the gains of the layers.

    Contributions of several readers add up; all other ops count as one.
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
    """Return the rules of PatternNet, or of PatternAttribution if ``weighted``; both start from the target's value.

    ``gains`` are the growth of a walk with patterns at each layer, as exponents of two. Weights times patterns sum to
    one for each unit, so PatternAttribution needs none. If ``measured``, the growth at each layer is also an output.
    """
    by_pattern: Rule = _PatternRule(digest, weighted, layers)
    if weighted:
        return dict(STANDARD) | dict.fromkeys(LAYERS, by_pattern) | {START: initial_relevance}
    rules = dict(STANDARD) | dict.fromkeys(LAYERS, _MeasuringRule(by_pattern) if measured else by_pattern)
    return {op: _ScaledRule(rule) for op, rule in rules.items()} | {START: _Start(digest, gains)}


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """The pattern of a layer, with counts of its units.

    Attributes
    ----------
    pattern : array
        In the shape of the weights.
    units : int
    zero : int
        Units without a pattern, since their output does not vary in the regime.
    within : int
        Units whose pattern is the covariance within the regime, in place of equation 8.
    """

    pattern: Array
    units: int
    zero: int
    within: int

    __repr__ = short_repr


def pattern(sums: Mapping[str, Array]) -> Estimate:
    """Return the pattern of a layer from its sums: the covariance of x and y, divided by w times that covariance.

    For y > 0 the covariance is ``E+[x y] - E+[x] E[y]`` (Kindermans et al. 2018, eq. 8); if all samples are in the
    regime it is ``cov(x, y)``, and the pattern ``cov(x, y) / var(y)`` (eq. 5). The denominator is ``var+ + E+[w.x]
    (E+[y] - E[y])``, which weighs two directions: that in which x varies within the regime, and E+[x]. Without a bias,
    as in the paper, y > 0 means w.x > 0, and no weight is negative. A positive bias also admits w.x below zero: if
    ``E+[w.x] < 0`` the second weight is negative, and the denominator may be near zero or below. The pattern of such
    units is the covariance within the regime, ``E+[x y] - E+[x] E+[y]``, the first direction alone.

    The pattern is zero for units whose output does not vary in the regime.
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
