"""The default layer of methods that explain a layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.op import Broadcast, Kind, find_op
from xaionnx.layers.axes import Axes, known_shape
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.layers.target_elements import TargetElements, dependence, shared_dependence
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

# Ops after which a score is still one of a position or a choice among them.
_SCORING = frozenset({"Softmax", "LogSoftmax", "TopK", "Resize", "Upsample", "ScatterND", "ScatterElements"})


def default_layer(
    model: Model,
    start: Sequence[str],
    tensors: Sequence[str],
    sample: Sample,
    read: Sequence[TargetElements] = (),
    without: frozenset[str] = frozenset(),
) -> str:
    """Return the default layer between ``start`` and ``tensors``.

    This is the last map over the picture or the series with more than one channel, before pooling. If attention
    follows that map, or there is no map, it is the tokens that enter the last attention: the last sum of two branches
    before it, which no skip connection bypasses. Otherwise it is the last tensor before the target.

    Only tensors count on which all elements depend that the target reads: an element ``read`` of an output that joins
    several heads depends on the layers of its own head, and a sum over heads on the layers ahead of them. Maps that
    hold the scores of positions, as in detectors and segmentations, are no features, as neither weights nor pooling
    follow.

    Layers ``without`` are known to have no influence, and neither are those that act through them alone.

    Raises
    ------
    UnsupportedModelError
        There is no tensor between the two.
    """
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    read = read or [TargetElements(tensor) for tensor in tensors]
    scope = (tuple(start), tuple(sizes.items()), sample.main, sample.positions())
    key = ("default layer", *scope, without, *(one.key for one in read))
    chosen = graph_fact(model, key, lambda _: _choose_layer(model, scope, start, sample, read, without))
    if not chosen:
        raise UnsupportedModelError(
            f"Nothing lies between the input of {model.name} and '{read[0].tensor}'. Explain the input itself: "
            "saliency, integrated_gradients."
        )
    return chosen


def structure_decides(model: Model, sample: Sample, read: Sequence[TargetElements]) -> bool:
    """Whether the graph alone tells on which layers some elements depend.

    Otherwise values choose among them, as where the best boxes are selected, and a gradient may be zero.
    """
    return dependence(model, {name: (1, *x.shape) for name, x in sample.own.items()}, read).certain


@final
@dataclass(frozen=True)
class _Candidate:
    """A tensor computed from the start, by weights if it ``is_weighed``; ``letters`` of its axes if it is a map."""

    name: str
    letters: str
    shape: tuple[int, ...]
    is_attention: bool
    is_sum: bool
    is_weighed: bool

    @property
    def channels(self) -> int:
        return self.shape[1 + self.letters.index("C")]


def _choose_layer(
    model: Model,
    scope: tuple[object, ...],
    start: Sequence[str],
    sample: Sample,
    read: Sequence[TargetElements],
    without: frozenset[str],
) -> str:
    candidates = graph_fact(model, ("candidates", *scope), lambda view: _candidates(view, model, start, sample))
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    outputs = {element.tensor for element in read}
    reach = shared_dependence(model, sizes, read)
    scored = graph_fact(model, ("scores", *sorted(outputs)), lambda view: _score_maps(view, outputs, start))
    acting = model.view.needed(without, outputs)[1] - without if without else None
    last = last_map = scores = tokens = attended = ""
    # A map of one channel is the output of a segmentation before its last step, or a gate, and no features; unless the
    # layers have one channel each.
    narrow = not any(c.letters and c.is_weighed and c.channels > 1 for c in candidates if c.name in reach)
    for candidate in candidates:
        name = candidate.name
        if name not in reach or name in outputs or (acting is not None and name not in acting):
            continue
        last = name
        is_map = bool(candidate.letters) and (candidate.channels > 1 or not last_map or narrow)
        if is_map and name in scored:
            scores = name
        elif is_map:
            last_map, attended = name, ""
        if candidate.is_attention:
            attended = tokens
        if candidate.is_sum:
            tokens = name
    # A layer in place of one without influence must be as good.
    return attended or last_map or tokens or scores or ("" if without else last)


def _integers(view: GraphView) -> set[str]:
    """The tensors of integers that stand for floats, of which explanations read the floats."""
    found: set[str] = set()
    for node in view.nodes:
        moves = node.op_type not in ("Cast", "DequantizeLinear") and not found.isdisjoint(node.input)
        if moves or node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            found.update(node.output[:1])
    return found


def _candidates(view: GraphView, model: Model, start: Sequence[str], sample: Sample) -> list[_Candidate]:
    """The tensors computed from ``start``, in topological order."""
    known = view.shapes({name: (1, *x.shape) for name, x in sample.own.items()})
    computed, found = view.data_descendants(start) - _integers(view), list[_Candidate]()
    weighed = set[str]()
    for node in view.nodes:
        moved = computed.intersection(node.input)
        if find_op(node.op_type).kind is Kind.WEIGHS or not weighed.isdisjoint(node.input):
            weighed.update(node.output)
        for name in (made for made in node.output if made in computed and made not in start):
            shape: Sequence[int] = [size or 0 for size in known.get(name, ())]
            shape = tuple(known_shape(model, name, shape, sample) if 0 in shape else shape)
            letters = Axes.at(model, name, shape[1:], sample).letters
            found.append(
                _Candidate(
                    name,
                    letters if "C" in letters else "",
                    shape,
                    node.op_type in ("Softmax", "Attention"),
                    node.op_type == "Add" and len(moved) == 2 and len(shape) == 3,
                    name in weighed,
                )
            )
    return found


def _score_maps(view: GraphView, outputs: Collection[str], start: Sequence[str]) -> set[str]:
    """The tensors whose numbers reach the outputs one by one: a map of these holds a score of each position.

    Their numbers are moved, selected, resized or transformed on their own, but neither weighted nor pooled.
    """
    computed, found = view.data_descendants(start), set(outputs)
    for node in reversed(view.nodes):
        if found.isdisjoint(node.output):
            continue
        entry = find_op(node.op_type)
        operands = [name for name in node.input if name in computed]
        moves = entry.kind in (Kind.MOVES, Kind.ROUNDS) or node.op_type in _SCORING
        if moves or (len(operands) == 1 and (entry.kind.of_one_number or entry.broadcasts == Broadcast())):
            found.update(operands)
    return found


def normalised_tokens(model: Model, tokens: str, tensors: Sequence[str]) -> str:
    """Return the tensor in which attention reads ``tokens`` (N, T, D): after their normalisation, if there is one.

    Normalisation drops the length of a token, so the gradient before it is orthogonal to the token, and products of
    gradient and token cancel.
    """
    return graph_fact(
        model, ("normalised_tokens", tokens, *tensors), lambda view: _find_normalised(view, tokens, tensors)
    )


def _find_normalised(view: GraphView, tokens: str, tensors: Sequence[str]) -> str:
    moving = view.descendants([tokens]) & view.ancestors(tensors)
    nodes = [node for node in view.nodes if not moving.isdisjoint(node.output)]
    softmax = next((node for node in nodes if node.op_type == "Softmax"), None)
    if softmax is None:
        return tokens
    within = view.ancestors(softmax.output) & moving | {tokens}
    readers = Counter(name for node in nodes if not within.isdisjoint(node.output) for name in node.input)
    still = {tokens: readers[tokens]}
    for node in nodes:
        if within.isdisjoint(node.output) or node.op_type == "MatMul":
            break
        for name in node.input:
            if name in still:
                still[name] -= 1
        still |= {name: readers[name] for name in node.output}
        alone = [name for name, count in still.items() if count] == [node.output[0]]
        ends = node.op_type == "LayerNormalization" or (node.op_type == "Add" and len(within & {*node.input}) == 1)
        # Attention reads the tokens through this tensor alone.
        if alone and ends:
            return str(node.output[0])
    return tokens
