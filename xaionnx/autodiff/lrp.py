"""Tables of layer-wise relevance propagation: the walk propagates relevance, starting from the explained value.

Linear layers follow the rules of :mod:`xaionnx.autodiff.relevance`, chosen by a :class:`Composite`. The others:

========================================== ============================================================================
element-wise activations                   relevance passes unchanged (Bach et al. 2015, section "Pixel-wise
                                           decomposition for multilayer networks")
max pooling, Max, ReduceMax                to the selected entry: the winner takes all
Reshape, Concat, Slice, Gather, ...        to the entries that were moved
Add (residual), Sub, Sum, Mean, averages,  in proportion to each operand's contribution, by the epsilon rule; a
Resize                                     constant operand is a bias
BatchNormalization that follows a          merged into that layer's weights and bias, which is model canonisation
convolution or linear layer                (Motzkus et al. 2022, arXiv:2202.06621)
any other BatchNormalization, such as one  a linear layer of its own with one input for each output, by the epsilon
ahead of a rectifier and a convolution     rule: its shift is a bias. An entry ``BatchNormalization`` of the composite
                                           replaces that rule, by :class:`~xaionnx.autodiff.relevance.Pass` for example
x * gate, softmax(...) @ V                 all to the signal, nothing to the gate or to the attention weights (Arras et
                                           al. 2017, arXiv:1706.07206; Ali et al. 2022, arXiv:2202.07304, section 3.2)
layer, instance, group normalisation       1 / deviation counts as constant, and the rest is linear (Ali et al. 2022,
                                           section 3.3)
RMS, Lp, local response normalisation      the norm counts as constant, so relevance passes unchanged
========================================== ============================================================================

LSTM, GRU and RNN are written out step by step (:mod:`xaionnx.autodiff.steps`). The input and the hidden state are
operands of one linear layer, which follows the composite under the name of its op, Gemm, or of the recurrent layer; it
never counts as the first. Of a product of a gate and a signal, the signal takes all relevance and the gate none, and
cell states are sums ("LRP-all", "signal-take-all": Arras et al. 2017, arXiv:1706.07206, section 3.1; Arras et al. 2019,
arXiv:1904.11829 and arXiv:1909.12114). Biases, the stabiliser and first states that are not explained keep their share.

The first layers, which an entry ``first`` of a composite is for, are those that no other layer with weights comes
before: those that read the input, to whose domain the rules of a first layer are adapted (Montavon et al. 2017 and
2019). A net that begins with several branches has several of them, and that of a multilayer perceptron is no
convolution. zennit gives such a rule to the layer that was registered first, and z-box to convolutions only.

A factor is a gate if it is an element-wise function of the other one (x * sigmoid(x), Gelu, HardSwish), or if it comes
from Softmax, Sigmoid or HardSigmoid, or else from Tanh, Erf or a Clip with two bounds, and the other one does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import final

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder, origin_op
from xaionnx.autodiff.relevance import Epsilon, LinearRule, Pass
from xaionnx.autodiff.rule import START, Gradient, Rule, Table
from xaionnx.autodiff.rules.normalisation import narrow, scale_back, standardise, widen
from xaionnx.autodiff.stand_ins import LAYERS
from xaionnx.autodiff.steps import signal_of
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import ParameterError
from xaionnx.graph.op import Kind, find_op

# x times a factor that counts as constant.
_SCALING = ("RMSNormalization", "LpNormalization", "LRN")
_CENTRING = ("LayerNormalization", "InstanceNormalization", "GroupNormalization")
# How recurrent layers follow Arras et al. 2017 and 2019.
GATES = "signals take the relevance of their products, gates none"
_ARITHMETIC = ("Max", "Min", "Add", "Sub", "Mul", "Div", "Neg", "Softmax")


@final
@dataclass(frozen=True, init=False)
class Composite:
    """The rule of each layer with weights: an ordered map whose first matching entry applies.

    Parameters
    ----------
    rules : mapping of str to LinearRule
        Keys are ``first`` for the layers with no other before them, the name of an op, or a pattern for the name of a
        layer's output tensor, such as ``/blocks.0/*``; ``*`` matches all.
    others : Epsilon, optional
        The rule of linear ops without weights: sums, averages, normalisation, attention. An entry of ``rules`` for
        BatchNormalization replaces it there.

    Examples
    --------
    >>> from xaionnx.autodiff.relevance import Flat, Gamma
    >>> Composite({"first": Flat(), "Conv": Gamma(0.25), "*": Epsilon()}).rules[1]
    ('Conv', Gamma(epsilon=1e-06, relative=True, gamma=0.25))
    """

    rules: tuple[tuple[str, LinearRule], ...]
    others: Epsilon

    def __init__(self, rules: Mapping[str, LinearRule], others: Epsilon | None = None) -> None:
        if not rules or not all(isinstance(rule, LinearRule) for rule in rules.values()):
            raise ParameterError(f"The 'rules' parameter of Composite must map names to rules. Got {rules!r} instead.")
        if not isinstance(rules.get("BatchNormalization", Pass()), (Epsilon, Pass)):
            raise ParameterError(
                "The 'rules' parameter of Composite must map BatchNormalization to Epsilon or Pass, if to any rule. "
                f"Got {rules['BatchNormalization']!r} instead."
            )
        object.__setattr__(self, "rules", tuple(rules.items()))
        object.__setattr__(self, "others", Epsilon() if others is None else others)

    def without_first(self) -> Composite:
        """Return the composite without ``first``, for a part of a model after its first layer."""
        return Composite({key: rule for key, rule in self.rules if key != "first"}, self.others)

    def rule(self, node: ir.Node) -> LinearRule | None:
        """Return the rule of a layer; None if no entry matches."""
        name = str(node.outputs[0].name)
        for key, rule in self.rules:
            if key in (node.op_type, origin_op(node)) or (is_first(node) if key == "first" else fnmatchcase(name, key)):
                return rule
        return None


def table(composite: Composite) -> Table:
    """Return the rules of a composite as a table for :func:`xaionnx.autodiff.gradient`."""
    others = composite.others
    by_kind: dict[Kind, Rule] = {
        Kind.ACTIVATION: _pass_relevance,
        Kind.FUNCTION: _LabelledPass("relevance passes a function of one number"),
        Kind.ROUNDS: _LabelledPass("relevance passes the rounding"),
        Kind.NORMALISES: _LabelledPass("its normaliser counts as constant"),
        Kind.ADDS: others,
        Kind.WEIGHS: _LayerRule(composite),
    }
    found: dict[str, Rule] = {START: initial_relevance}
    for name, standard in STANDARD.items():
        entry = find_op(name)
        if entry.lrp is not None:
            found[name] = entry.lrp
        elif entry.kind in by_kind:
            found[name] = by_kind[entry.kind]
        elif entry.kind in (Kind.MOVES, Kind.SELECTS):
            found[name] = standard
    found |= {
        "Mul": _mul,
        "Div": _div,
        "Neg": _pass_relevance,
        "BatchNormalization": dict(composite.rules).get("BatchNormalization", others),
        "Max": _max,
        "Min": _min,
    }
    return found | dict.fromkeys(_SCALING, _pass_relevance) | dict.fromkeys(_CENTRING, _NormalisationRule(others))


def is_first(node: ir.Node) -> bool:
    """Whether there is no layer with weights before this one; a step of a recurrent layer never counts as first."""
    if origin_op(node) is not None:
        return False
    seen: set[ir.Node] = set()
    before = [value.producer() for value in node.inputs if value is not None]
    while before:
        maker = before.pop()
        if maker is None or maker in seen:
            continue
        if maker.op_type in LAYERS:
            return False
        seen.add(maker)
        before += [value.producer() for value in maker.inputs if value is not None]
    return True


def initial_relevance(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """Return the relevance of the explained tensor: its values times the cotangent."""
    return [g.op("Mul", cotangents[0], node.outputs[0])]


def _pass_relevance(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    return [cotangents[0] if needed[0] else None] + [None] * (len(node.inputs) - 1)


@final
@dataclass(frozen=True)
class _LabelledPass:
    """Passes relevance unchanged, with a label in the result."""

    how: str

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        if needed[0]:
            g.approximate(node, self.how)
        return _pass_relevance(g, node, cotangents, needed)


def _extreme_rule(op_type: str) -> Rule:
    """All to the winner; with a constant the op is an activation, such as Relu6, and passes relevance unchanged."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        if sum(needed) == 1:
            return [cotangents[0] if wanted else None for wanted in needed]
        return STANDARD[op_type](g, node, cotangents, needed)

    return rule


_max, _min = _extreme_rule("Max"), _extreme_rule("Min")


def _half_relevance(g: GradientBuilder, node: ir.Node, relevance: Gradient) -> Gradient:
    """Half of the relevance, for each of two factors of which neither is a gate."""
    if node.inputs[0] is not node.inputs[1]:
        g.approximate(node, "relevance of a product is halved")
    return None if relevance is None else g.op("Mul", relevance, 0.5)


def _mul(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    relevance = cotangents[0]
    signal = signal_of(node)
    if signal is not None:
        g.approximate(node, GATES)
    else:
        signal = _signal(g, node, needed)
    if signal is None:
        return [_half_relevance(g, node, relevance)] * 2
    return [relevance if index == signal else None for index in (0, 1)]


def _div(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    """All to the numerator; the denominator counts as constant."""
    if not needed[0]:
        g.approximate(node, "relevance passes a function of one number")
    return [cotangents[0] if needed[0] else None, None if needed[0] else cotangents[0]]


@final
@dataclass(frozen=True)
class _LayerRule:
    """Layers with weights by the composite's rule; products of two tensors to the signal."""

    composite: Composite

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        others = self.composite.others
        if sum(needed[:2]) == 1:
            rule = self.composite.rule(node)
            if rule is None:
                raise g.refusal(node, "no entry of the composite matches it")
            if not isinstance(rule, Epsilon) and min(node.attributes.get_float(n, 1.0) for n in ("alpha", "beta")) < 0:
                raise g.refusal(node, "its factors turn the signs of its weights; let it follow Epsilon")
            return rule(g, node, cotangents, needed)
        if len(node.inputs) != 2 or node.op_type in ("Conv", "ConvTranspose"):
            raise g.refusal(node, "its weights depend on the explained tensor")
        signal = _signal(g, node, needed)
        if signal is not None:
            return others(g, node, cotangents, [index == signal for index in (0, 1)])
        half = _half_relevance(g, node, cotangents[0])
        return [others(g, node, [half], [index == side for index in (0, 1)])[side] for side in (0, 1)]


def _signal(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> int | None:
    """The index of the factor of a product that gets the relevance; None if the two are alike."""
    if sum(needed[:2]) == 1:
        return 0 if needed[0] else 1
    lines = [_upstream_chain(g, value) for value in node.inputs[:2]]
    ranks = [max((_gate_rank(maker) for maker in _producers(line)), default=0) for line in lines]
    for gate in (0, 1):
        # A function of the other factor alone is its gate.
        if len(lines[gate]) > 1 and node.inputs[1 - gate] in lines[gate][1:]:
            return 1 - gate
    return None if ranks[0] == ranks[1] else ranks.index(min(ranks))


def _upstream_chain(g: GradientBuilder, value: ir.Value | None) -> list[ir.Value]:
    """A tensor and those before it, back to a layer or to a node with several operands that vary."""
    line: list[ir.Value] = []
    while value is not None:
        line.append(value)
        node = value.producer()
        if node is None or not _is_elementwise_or_moves(node):
            break
        varying = [v for v in node.inputs if v is not None and not v.is_initializer() and g.constant_of(v) is None]
        # A shape may follow the sizes of the input, and is no operand; nor is the condition of a Where.
        operands = [v for v in varying if v.dtype not in (ir.DataType.INT64, ir.DataType.BOOL)]
        value = operands[0] if len(operands) == 1 else None
    return line


def _is_elementwise_or_moves(node: ir.Node) -> bool:
    """Whether a node is element-wise, or moves elements."""
    kind = find_op(node.op_type).kind
    own = kind.of_one_number and node.op_type != "PRelu"
    return own or kind in (Kind.MOVES, Kind.SELECTS) or node.op_type in _ARITHMETIC


def _producers(line: Sequence[ir.Value]) -> list[ir.Node]:
    return [maker for value in line if (maker := value.producer()) is not None]


def _gate_rank(node: ir.Node) -> int:
    if node.op_type == "Clip" and (len(node.inputs) < 3 or None in node.inputs):
        return 0
    return find_op(node.op_type).gate


@final
@dataclass(frozen=True)
class _NormalisationRule:
    """Normalisation whose deviation counts as constant."""

    others: Epsilon

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        y, x, relevance = node.outputs[0], node.inputs[0], cotangents[0]
        found: list[Gradient] = [None] * len(node.inputs)
        if needed[0] and x is not None and relevance is not None:
            share = g.op("Div", relevance, self.others.stabilise(g, y, y))
            found[0] = g.op("Mul", x, _through_centring(g, node, x, share))
        return found


def _through_centring(g: GradientBuilder, node: ir.Node, x: ir.Value, share: ir.Value) -> ir.Value:
    """(u - mean(u)) / deviation with u = share * scale: the backward of a normalisation with constant deviation."""
    wide, (u, axes, shape) = widen(g, x, x), scale_back(g, node, share)
    if shape is not None:
        wide = g.reshape(wide, shape)
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    _, inverse = standardise(g, wide, axes, epsilon)
    back = g.op("Mul", g.op("Sub", u, g.op("ReduceMean", u, g.ints(*axes), keepdims=1)), inverse)
    return narrow(g, back if shape is None else g.reshape_like(back, x), x)
