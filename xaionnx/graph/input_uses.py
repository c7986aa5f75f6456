"""What the graph uses an input for, found by following it forwards.

An input is followed through casts, rearrangements and arithmetic with constants to the ops that combine it with other
inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

import numpy as np
from onnx import TensorProto

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import DEFAULT_DOMAINS, reads

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.declared_tensor import DeclaredTensor, Purpose
    from xaionnx.graph.view import GraphView

# Numbers of this size, added ahead of a softmax, rule an element out.
_LARGE: Final = 1e3

_COMPARES: Final = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
_COMBINES_TRUTHS: Final = frozenset({"And", "Or", "Xor", "Not"})
_ARITHMETIC: Final = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mod", "Pow", "BitwiseAnd"})
_SUMS: Final = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "CumSum"})
_MOVES: Final = frozenset({"Cast", "CastLike", "Identity", "Neg", "Abs", "Clip", "Relu", "Floor", "Ceil", "Round"})
_PICKS: Final = frozenset({"Gather", "GatherND", "GatherElements"})
_SPREADS: Final = frozenset({"Unsqueeze", "Expand", "Reshape", "Tile"})
# From the scores of an attention layer to its weights, and to the product with what they weigh.
_TO_WEIGHTS: Final = _MOVES | _SPREADS | {"Softmax", "Transpose", "Squeeze", "Add", "Dropout"}

# What an operand is for, by op and index, where the op defines it. Standard ops and those of onnxruntime.
_OPERANDS: Final[Mapping[str, Mapping[int, Purpose]]] = {
    "LSTM": {4: "length", 5: "state", 6: "state"},
    "GRU": {4: "length", 5: "state"},
    "RNN": {4: "length", 5: "state"},
    "ReverseSequence": {1: "length"},
    "Range": {1: "length"},
    "Slice": {1: "length", 2: "length"},
    "If": {0: "setting"},
    "Loop": {0: "setting", 1: "setting"},
    "Dropout": {1: "setting", 2: "setting"},
    "NonMaxSuppression": {2: "setting", 3: "setting", 4: "setting"},
    "TopK": {1: "setting"},
    "Resize": {2: "setting", 3: "setting"},
    "Expand": {1: "setting"},
    "Reshape": {1: "setting"},
    "ConstantOfShape": {0: "setting"},
    "Tile": {1: "setting"},
    "Pad": {1: "setting"},
    "EmbedLayerNormalization": {1: "token types", 7: "mask", 8: "positions"},
    "MultiHeadAttention": {4: "mask", 5: "mask", 6: "state", 7: "state"},
    "GroupQueryAttention": {3: "state", 4: "state", 5: "length", 6: "length"},
    "QAttention": {5: "mask"},
    "LongformerAttention": {3: "mask"},
}
# Two ops have the same name.
_STANDARD_ATTENTION: Final[Mapping[int, Purpose]] = {3: "mask", 4: "state", 5: "state", 6: "length"}
_FUSED_ATTENTION: Final[Mapping[int, Purpose]] = {3: "mask", 4: "state", 5: "mask"}


@final
@dataclass(frozen=True)
class _Form:
    """A tensor that holds nothing but the numbers of one input, changed with constants at most.

    ``truth``: results of comparisons. ``large``: zero, or a number that rules out what it is added to. ``spread``: axes
    were added, along which it is broadcast. ``counted``: summed along its positions. ``by_position``: compared with
    the numbers of positions.
    """

    truth: bool = False
    large: bool = False
    spread: bool = False
    counted: bool = False
    by_position: bool = False


@final
class InputUses:
    """The uses of each input, found by following it forwards."""

    def __init__(self, view: GraphView, inputs: list[DeclaredTensor]) -> None:
        self._view = view
        self._bits = {one.name: 1 << index for index, one in enumerate(inputs)}
        self._integers = sum(bit for bit, one in zip(self._bits.values(), inputs, strict=True) if one.is_integer)
        self._rules: dict[str, Callable[[onnx.NodeProto], None]] = {
            **dict.fromkeys(_COMPARES, self._compare),
            **dict.fromkeys(_COMBINES_TRUTHS, self._combine),
            **dict.fromkeys(_ARITHMETIC, self._calculate),
            **dict.fromkeys(_SUMS, self._sum),
            **dict.fromkeys(_MOVES, self._move),
            **dict.fromkeys(_SPREADS, self._spread),
            **dict.fromkeys(_PICKS, self._gather),
            "Where": self._where,
            "Log": self._log,
            "MatMul": self._multiply,
            "Range": self._count_to,
        }
        self._forms: dict[str, _Form] = {}
        self._found: set[str] = set()
        self._bit = 0

    def of(self, one: DeclaredTensor) -> frozenset[str]:
        """Return the uses of an input: purposes, ``factor`` and ``divisor`` of data, and ``factor of tokens``."""
        self._forms = {one.name: _Form(truth=one.kind == TensorProto.BOOL)}
        self._found, self._bit = set(), self._bits[one.name]
        for node, names in zip(self._view.nodes, self._reads, strict=True):
            if not self._forms.keys().isdisjoint(names):
                self._follow(node, names)
        return frozenset(self._found)

    @cached_property
    def _reads(self) -> list[list[str]]:
        return [reads(node) for node in self._view.nodes]

    @cached_property
    def _sources(self) -> Mapping[str, int]:
        """For each tensor, the inputs on whose values it depends, as bits."""
        return self._carried(self._bits, lambda node: False)

    @cached_property
    def _tokens(self) -> Mapping[str, int]:
        """For each tensor with a row for each token, the inputs of whole numbers on which it depends, as bits.

        Rows that other inputs pick from computed ones belong to no token, such as those at the ends of the edges of a
        graph.
        """
        tokens = {name: bit for name, bit in self._bits.items() if bit & self._integers}
        return self._carried(
            tokens,
            lambda node: node.op_type in _PICKS and all(self._sources.get(name, 0) for name in node.input[:2]),
        )

    def _carried(self, starts: Mapping[str, int], ends: Callable[[onnx.NodeProto], bool]) -> Mapping[str, int]:
        """The tensors that depend on some others, with their bits; nothing passes a node that ``ends``."""
        carried = dict(starts)
        for node, names in zip(self._view.nodes, self._reads, strict=True):
            if find_op(node.op_type).kind is Kind.READS_SHAPE or ends(node):
                continue
            bits = 0
            for name in names:
                bits |= carried.get(name, 0)
            if bits:
                carried.update((name, bits) for name in node.output if name)
        return carried

    def _follow(self, node: onnx.NodeProto, names: list[str]) -> None:
        """Add the uses of an op that reads forms, or the forms that it returns."""
        op = node.op_type
        if op in ("Shape", "Size"):
            return
        defined = self._operand_purposes(node)
        stated = [defined.get(index) for index, name in enumerate(node.input) if name in self._forms]
        if any(stated):
            self._found.update(purpose or "data" for purpose in stated)
            if op == "Range":
                self._rules[op](node)
            return
        in_bodies = len(names) > sum(bool(name) for name in node.input)
        rule = self._rules.get(op) if node.domain in DEFAULT_DOMAINS and not in_bodies else None
        if rule is None and find_op(op).kind is Kind.MOVES and self._alone(node):
            rule = self._move
        if rule is None:
            self._found.add("data")
        else:
            rule(node)

    def _operand_purposes(self, node: onnx.NodeProto) -> Mapping[int, Purpose]:
        if node.op_type == "Attention":
            return _STANDARD_ATTENTION if node.domain in DEFAULT_DOMAINS else _FUSED_ATTENTION
        return _OPERANDS.get(node.op_type, {})

    def _alone(self, node: onnx.NodeProto) -> bool:
        """Whether the op reads the values of no other input."""
        return not any(self._others(name) for name in node.input)

    def _others(self, name: str) -> bool:
        """Whether a tensor depends on the values of other inputs."""
        return bool(self._sources.get(name, 0) & ~self._bit)

    def _forms_of(self, node: onnx.NodeProto) -> list[_Form]:
        return [self._forms[name] for name in node.input if name in self._forms]

    def _keep(self, node: onnx.NodeProto, form: _Form) -> None:
        self._forms.update((name, form) for name in node.output if name)

    def _move(self, node: onnx.NodeProto) -> None:
        self._keep(node, self._forms_of(node)[0])

    def _spread(self, node: onnx.NodeProto) -> None:
        self._keep(node, replace(self._forms_of(node)[0], spread=True))

    def _sum(self, node: onnx.NodeProto) -> None:
        self._keep(node, replace(self._forms_of(node)[0], counted=True))

    def _log(self, node: onnx.NodeProto) -> None:
        # The logarithm of zero rules out what it is added to.
        self._keep(node, replace(self._forms_of(node)[0], large=True))

    def _compare(self, node: onnx.NodeProto) -> None:
        form = self._forms_of(node)[0]
        other = [name for name in node.input if name not in self._forms]
        if any(self._others(name) for name in other):
            self._found.add("data")
            return
        by_position = any(self._numbers_positions(name) for name in other)
        self._keep(node, replace(form, truth=True, by_position=form.by_position or by_position))

    def _numbers_positions(self, name: str) -> bool:
        """Whether a tensor without data holds several numbers: the positions along an axis."""
        constant = self._view.constants.get(name)
        if constant is not None:
            return int(np.prod(constant.dims, dtype=np.int64)) > 1
        node = self._view.producers.get(name)
        while node is not None and node.op_type in (*_MOVES, *_SPREADS, "Add", "Sub", "Mul"):
            node = self._view.producers.get(node.input[0])
        return node is not None and node.op_type in ("Range", "CumSum", "NonZero")

    def _combine(self, node: onnx.NodeProto) -> None:
        by_position = any(form.by_position for form in self._forms_of(node))
        self._keep(node, replace(self._forms_of(node)[0], truth=True, by_position=by_position))

    def _calculate(self, node: onnx.NodeProto) -> None:
        forms, op = self._forms_of(node), node.op_type
        form = next((one for one in forms if one.large), forms[0])
        if self._alone(node):
            large = form.large or (op == "Mul" and any(self._is_large(name) for name in node.input))
            spread = any(one.spread for one in forms)
            self._keep(node, replace(form, large=large, spread=spread))
        elif form.large and op in ("Add", "Sub", "Sum", "Min", "Max"):
            self._gate(form)
        elif op == "Mul":
            self._multiply(node)
        elif op in ("Add", "Sum") and not form.counted and self._shifts_weights(node.output[0]):
            # Added to the scores of positions ahead of the softmax that weighs them: zero, or a number that rules out.
            self._found.add("mask")
        elif op == "Div" and form.counted and node.input[0] not in self._forms:
            self._found.add("divisor")
        else:
            self._found.add("data")

    def _shifts_weights(self, scores: str) -> bool:
        """Whether a softmax of scores follows whose result weighs other data."""
        return scores in self._weighing[0]

    @cached_property
    def _weighing(self) -> tuple[set[str], set[str]]:
        """The tensors that a softmax turns into weights of other data, and those that are such weights."""
        scores, weights = set[str](), set[str]()
        for node, names in zip(reversed(self._view.nodes), reversed(self._reads), strict=True):
            if node.op_type in _TO_WEIGHTS and node.output[0] in (weights if node.op_type == "Softmax" else scores):
                scores.update(names)
            if node.op_type in ("MatMul", "Mul", "Einsum"):
                weighs = all(self._sources.get(name, 0) for name in node.input)
            else:
                weighs = node.op_type in _TO_WEIGHTS and node.output[0] in weights
            if weighs:
                weights.update(names)
        return scores, weights

    def _multiply(self, node: onnx.NodeProto) -> None:
        """Multiply by data that depend on other inputs, element by element or as a matrix."""
        form = self._forms_of(node)[0]
        if self._alone(node):
            # Weights of a layer.
            self._found.add("data")
        elif form.truth and not form.large:
            self._gate(form)
        elif (form.spread or node.op_type == "MatMul") and not form.large:
            self._found.add("factor")
            if any(self._tokens.get(name, 0) for name in node.input if name not in self._forms):
                self._found.add("factor of tokens")
        else:
            self._found.add("data")

    def _is_large(self, name: str) -> bool:
        value = self._view.small(name)
        return value is not None and value.dtype.kind in "fiu" and bool(np.any(np.abs(value) >= _LARGE))

    def _where(self, node: onnx.NodeProto) -> None:
        forms = self._forms_of(node)
        chosen = [name for name in node.input[1:] if name not in self._forms]
        by_form = node.input[0] in self._forms
        if by_form and any(self._others(name) for name in chosen):
            self._gate(self._forms[node.input[0]])
            if any(name in self._forms for name in node.input[1:]):
                self._found.add("data")
        elif by_form or self._alone(node) or all(form.truth or form.large for form in forms):
            large = any(self._is_large(name) for name in chosen) or any(form.large for form in forms)
            self._keep(node, replace(forms[0], large=large))
        else:
            self._found.add("data")

    def _gather(self, node: onnx.NodeProto) -> None:
        data, index = node.input[:2]
        if data in self._forms and index not in self._forms and not self._others(index):
            self._move(node)
        elif data not in self._forms and self._others(data):
            # Positions of what other inputs hold, such as the last one of each sample.
            self._found.add("length")
        else:
            self._found.add("data")

    def _count_to(self, node: onnx.NodeProto) -> None:
        self._keep(node, _Form(by_position=True))

    def _gate(self, form: _Form) -> None:
        """Keep or rule out what depends on other inputs."""
        self._found.add("length" if form.by_position else "mask")
