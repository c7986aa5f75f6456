"""What each input of a model is for: data, or a mask, a length, a setting, a state, token types or positions.

The graph decides first: what an input is used for, followed through casts, rearrangements and arithmetic with constants
to the ops that combine it with other inputs. Usual names decide second, and the shape last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import numpy as np
from onnx import TensorProto, helper

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import DEFAULT_DOMAINS, reads
from xaionnx.loading import declared_inputs

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import GraphView

Purpose: TypeAlias = Literal["data", "mask", "length", "setting", "state", "token types", "positions"]
Source: TypeAlias = Literal["graph", "name", "shape"]

# Numbers of this size, added ahead of a softmax, rule an element out.
_LARGE: Final = 1e3
_INTEGERS: Final = frozenset(
    kind
    for kind in TensorProto.DataType.values()
    if kind not in (TensorProto.UNDEFINED, TensorProto.STRING)
    if np.dtype(helper.tensor_dtype_to_np_dtype(kind)).kind in "iub"
)

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
class InputPurpose:
    """What an input is for, and how that is known.

    Attributes
    ----------
    purpose : str
        ``data``, ``mask``, ``length``, ``setting``, ``state``, ``token types`` or ``positions``.
    source : str
        ``graph``, ``name`` or ``shape``.
    is_free : bool
        Whether the size of a sample may vary, as the length of a sound does and the number of columns does not.
    """

    purpose: Purpose
    source: Source
    is_free: bool = False

    @property
    def is_data(self) -> bool:
        """Whether the input is explained by default."""
        return self.purpose == "data"

    def __str__(self) -> str:
        """The purpose with its article, such as ``a mask``."""
        return self.purpose if self.purpose in ("data", "token types", "positions") else f"a {self.purpose}"


def input_purposes(view: GraphView, shared: Collection[str] = ()) -> dict[str, InputPurpose]:
    """Return the purpose of each input of a graph.

    At least one input is data: the first for which the graph or its name do not say otherwise, or else the first.

    Parameters
    ----------
    view : GraphView
    shared : collection of str
        Inputs without a batch axis, the same for every sample.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, T] x, bool[N, T] valid, int64 rate) => (float[N, T] y) <float zero = {0}> {
    ...   f = Cast <to = 1> (rate)  s = Mul(x, f)  y = Where(valid, s, zero) }'''))
    >>> {name: str(found) for name, found in input_purposes(view, ["rate"]).items()}
    {'x': 'data', 'valid': 'a mask', 'rate': 'a setting'}
    """
    inputs = [_Input.of(value) for value in declared_inputs(view.model)]
    if len(inputs) < 2:
        return {one.name: InputPurpose("data", "shape", one.is_free) for one in inputs}
    uses = _Uses(view, inputs)
    outputs = [_Input.of(value) for value in view.model.graph.output]
    found = {one.name: _purpose(one, uses.of(one), one.name in shared, outputs) for one in inputs}
    if not any(each.is_data for each in found.values()):
        first = next((one for one in inputs if one.name not in shared and one.shape), inputs[0])
        found[first.name] = InputPurpose("data", "shape", first.is_free)
    return found


def is_data(purposes: Mapping[str, InputPurpose], name: str) -> bool:
    """Whether an input is data; inputs of unknown purpose are."""
    return name not in purposes or purposes[name].is_data


@final
@dataclass(frozen=True)
class _Input:
    """An input or output as declared; free sizes are names or None."""

    name: str
    kind: int
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> _Input:
        tensor = value.type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
        return cls(value.name, tensor.elem_type, tuple(sizes))

    @property
    def is_integer(self) -> bool:
        return self.kind in _INTEGERS

    @property
    def is_free(self) -> bool:
        """Whether the size of a sample is not fixed."""
        return any(not isinstance(size, int) for size in self.shape[1:])

    @property
    def has_positions(self) -> bool:
        """Whether a sample may have more than one element."""
        return any(size != 1 for size in self.shape[1:])


def _purpose(one: _Input, uses: frozenset[str], shared: bool, outputs: list[_Input]) -> InputPurpose:
    if not one.shape:
        return InputPurpose("setting", "shape")
    by_graph = _by_uses(one, uses)
    if by_graph is not None:
        return InputPurpose(by_graph, "graph", one.is_free)
    by_name = _by_name(one, shared, outputs)
    if by_name is not None:
        return InputPurpose(by_name, "name", one.is_free)
    return InputPurpose("setting" if shared else "data", "shape", one.is_free)


def _by_uses(one: _Input, uses: frozenset[str]) -> Purpose | None:
    """Return the purpose if all uses agree on one that is not data; None if they do not."""
    if not uses or "data" in uses:
        return None
    # A factor may be anything, unless it also counts what it keeps, is a whole number, or weighs whole numbers: tokens.
    kept = uses - {"factor", "divisor", "factor of tokens"}
    if "factor" in uses and not kept and not (one.is_integer or uses & {"divisor", "factor of tokens"}):
        return None
    for purpose in ("state", "token types", "positions"):
        if purpose in kept:
            return purpose
    if "length" in kept:
        return "length"
    if kept <= {"mask"} and (kept or "factor" in uses):
        # One truth a sample, such as whether someone is a member, is data.
        return "mask" if one.has_positions else None
    return "setting" if kept == {"setting"} else None


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


class _Uses:
    """The uses of each input, found by following it forwards."""

    def __init__(self, view: GraphView, inputs: list[_Input]) -> None:
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

    def of(self, one: _Input) -> frozenset[str]:
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
        sources = dict(self._bits)
        for node, names in zip(self._view.nodes, self._reads, strict=True):
            if find_op(node.op_type).kind is Kind.READS_SHAPE:
                continue
            bits = 0
            for name in names:
                bits |= sources.get(name, 0)
            if bits:
                sources.update((name, bits) for name in node.output if name)
        return sources

    @cached_property
    def _tokens(self) -> Mapping[str, int]:
        """For each tensor with a row for each token, the inputs of whole numbers on which it depends, as bits.

        Rows that other inputs pick from computed ones belong to no token, such as those at the ends of the edges of a
        graph.
        """
        tokens = {name: bit for name, bit in self._bits.items() if bit & self._integers}
        for node, names in zip(self._view.nodes, self._reads, strict=True):
            picks = node.op_type in _PICKS and all(self._sources.get(name, 0) for name in node.input[:2])
            if picks or find_op(node.op_type).kind is Kind.READS_SHAPE:
                continue
            bits = 0
            for name in names:
                bits |= tokens.get(name, 0)
            if bits:
                tokens.update((name, bits) for name in node.output if name)
        return tokens

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
        waiting, seen = [(scores, False)], {scores}
        while waiting:
            name, is_weight = waiting.pop()
            for node in self._view.consumers.get(name, ()):
                if node.op_type in ("MatMul", "Mul", "Einsum") and is_weight:
                    if all(self._sources.get(read, 0) for read in node.input):
                        return True
                    continue
                if node.op_type in _TO_WEIGHTS and node.output[0] not in seen:
                    seen.add(node.output[0])
                    waiting.append((node.output[0], is_weight or node.op_type == "Softmax"))
        return False

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


_MASK: Final = re.compile(r"(^|_)(masks?|mask_index|padding|key_padding)$")
_SEQUENCE: Final = "seq|sequence|input|audio|wav|waveform|speech|text|feats?|features?|tokens?|src|source|mel|frames?|x"
_LENGTH: Final = re.compile(rf"^(({_SEQUENCE}|encoder|decoder|signal|target|tgt|y)s?_?)?(lens?|lengths?)$")
_TOKEN_TYPES: Final = frozenset({"token_type_ids", "segment_ids", "input_type_ids", "type_ids", "token_types"})
_POSITIONS: Final = frozenset({"position_ids", "pos_ids", "positions", "cache_position"})
_SETTINGS: Final = frozenset(
    {
        "sr", "sample_rate", "sampling_rate", "samplerate", "scales", "noise_scale", "length_scale",
        "orig_target_sizes", "original_sizes", "target_sizes", "orig_size", "orig_im_size", "im_shape", "image_shape",
        "scale_factor", "is_training", "training", "keep_prob", "dropout_rate", "learning_phase", "use_cache_branch",
        "score_threshold", "conf_threshold", "confidence_threshold", "iou_threshold", "nms_threshold",
        "max_output_boxes_per_class", "num_beams", "max_length", "min_length", "repetition_penalty", "length_penalty",
    }
)  # fmt: skip
# These names occur for other things, so a state needs an output of its shape too.
_STATE: Final = re.compile(
    r"(^|_)(h|c|h0|c0|hx|cx|hn|cn|h_\d+|c_\d+|hidden|cell|states?|caches?|memory|buffers?|initial_[hc])(_|\d|$)"
    r"|^past|(^|_)past_"
)
_TIMES: Final = frozenset(
    {"in", "out", "input", "output", "new", "next", "prev", "previous", "past", "present", "n", "init", "initial"}
    | {"final", "last", "updated"}
)


def _by_name(one: _Input, shared: bool, outputs: list[_Input]) -> Purpose | None:
    """Return the purpose that a usual name tells; None if there is none."""
    name = _plain_name(one.name)
    if name in _TOKEN_TYPES:
        return "token types"
    if name in _POSITIONS and one.is_integer:
        return "positions"
    if name in _SETTINGS:
        return "setting"
    if _LENGTH.search(name) and (one.is_integer or len(one.shape) == 1):
        return "length"
    if _MASK.search(name) and (one.has_positions or shared):
        return "mask"
    return "state" if _is_state(one, name, outputs) else None


def _plain_name(name: str) -> str:
    """Return a name in lower case without scopes, numbers of outputs and other decoration: ``attention_mask``."""
    last = re.split(r"[/]", re.sub(r":\d+$", "", name))[-1].removeprefix("serving_default_")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def _is_state(one: _Input, name: str, outputs: list[_Input]) -> bool:
    """Whether an output of the same type and shape returns the input's next value.

    A single output is the result, whatever its shape.
    """
    if len(outputs) < 2 or len(one.shape) < 2:
        return False
    alike = [out for out in outputs if out.kind == one.kind and _same_shape(out.shape, one.shape)]
    if _STATE.search(name):
        return bool(alike)
    stem = _stem(name)
    return bool(stem) and any(_stem(_plain_name(out.name)) == stem and out.name != one.name for out in alike)


def _stem(name: str) -> str:
    """Return a name without the words that tell the next value from the last: ``state_in`` and ``stateN`` are alike."""
    return "_".join(word for word in name.split("_") if word not in _TIMES)


def _same_shape(one: tuple[int | str | None, ...], other: tuple[int | str | None, ...]) -> bool:
    """Whether two shapes may be equal, and are where both are fixed. A free size may be another's name."""
    return len(one) == len(other) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in zip(one, other, strict=True)
    )
