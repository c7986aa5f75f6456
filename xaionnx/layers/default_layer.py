"""The default layer of methods that explain a layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

import onnx

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.batch_first import AS_IN_FILE
from xaionnx.graph.landmarks import attentions
from xaionnx.graph.op import Broadcast, Kind, find_op
from xaionnx.layers.axes import AxesOverInput, BatchAxes, input_positions, inputs_with_maps, layouts
from xaionnx.layers.shapes import shapes_of
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.layers.target_elements import TargetElements, dependence, shared_dependence
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

# Types of tensors that have a gradient, and that of a tensor of unknown type.
_FLOATS: Final = (0, *(getattr(onnx.TensorProto, name) for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")))
# Positions along each axis of a map for a box that a detector reads from a single position.
_BOX_POSITIONS: Final = 3
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
    before it, which no skip connection bypasses. Without attention it is the last tensor of tokens. Otherwise it is
    the last tensor before the target.

    Only tensors count on which all elements depend that the target reads: an element ``read`` of an output that joins
    several heads depends on the layers of its own head, and a sum over heads on the layers ahead of them. Maps that
    hold the scores of positions, as in detectors and segmentations, are not features, as neither weights nor pooling
    follow. A box that a detector reads from a single position has the last map of at least three along each axis, if
    there is one. No features are an input that is cast, transposed or reshaped, unless nothing else is left, and whole
    numbers.

    Layers ``without`` are known to have no influence, and neither are those that act through them alone.

    Raises
    ------
    UnsupportedModelError
        There is no tensor between the two.
    """
    read = read or [TargetElements(tensor) for tensor in tensors]
    found = _choice(model, start, sample, read, without)
    # A layer in place of one without influence must be as good.
    chosen = found.mapped or ("" if without else found.last)
    if not chosen:
        raise UnsupportedModelError(
            f"Nothing lies between the input of {model.name} and '{read[0].tensor}'. Explain the input itself: "
            "saliency, integrated_gradients."
        )
    return chosen


def default_map(
    model: Model, sample: Sample, read: Sequence[TargetElements], without: frozenset[str] = frozenset()
) -> str:
    """Return the default layer of a map over the input: as :func:`default_layer`, but always with positions.

    If no tensor has positions of the explained input, one with positions of another input is returned.

    Raises
    ------
    UnsupportedModelError
        No tensor between the inputs and the target has positions.
    """
    for one in inputs_with_maps(model, sample):
        found = _choice(model, (one.main,), one, read, without)
        if found.mapped:
            return found.mapped
    raise UnsupportedModelError(
        f"No tensor between the input of {model.name} and '{read[0].tensor}' has positions over the input: "
        f"{why_no_map(model, sample)}"
    )


def why_no_map(model: Model, sample: Sample) -> str:
    """Return why no tensor has positions over the input, and what to do."""
    name, shape = sample.main, ("N", *sample.array.shape)
    if not input_positions(sample):
        return (
            f"class activation maps need a picture, a series or tokens, and '{name}', {shape}, is none of these. "
            "Use integrated_gradients."
        )
    ends = graph_fact(model, ("positions end", name), lambda view: _first_without_positions(view, model, sample))
    where = f" end at {ends}" if ends else " are in no tensor of more than one position"
    return f"the positions of '{name}', {shape},{where}. Use integrated_gradients or occlusion, which need no layer."


def _first_without_positions(view: GraphView, model: Model, sample: Sample) -> str:
    """The first node after which no tensor has positions; empty if there is none."""
    known = layouts(model, sample)
    for node in view.nodes:
        output = next(filter(None, node.output), "")
        held = any(part.is_spatial for name in node.input for axis in known.get(name, ()) for part in axis)
        kept = any(part.is_spatial for axis in known.get(output, ()) for part in axis)
        if held and not kept and find_op(node.op_type).kind is not Kind.READS_SHAPE:
            return f"{node.op_type} '{output}'"
    return ""


def _choice(
    model: Model, start: Sequence[str], sample: Sample, read: Sequence[TargetElements], without: frozenset[str]
) -> _Choice:
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    scope = (tuple(start), tuple(sizes.items()), sample.main, tuple(input_positions(sample).items()))
    key = ("default layer", *scope, without, *(one.key for one in read))
    return graph_fact(model, key, lambda _: _choose_layer(model, scope, start, sample, read, without))


def structure_decides(model: Model, sample: Sample, read: Sequence[TargetElements]) -> bool:
    """Whether the graph alone tells on which layers some elements depend.

    Otherwise values choose among them, as where the best boxes are selected, and a gradient may be zero.
    """
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    key = ("structure decides", tuple(sizes.items()), *(one.key for one in read))
    return graph_fact(model, key, lambda _: dependence(model, sizes, read).certain)


class _Choice(NamedTuple):
    """The layer with positions, and the last tensor of any kind; empty if there is none."""

    mapped: str
    last: str


@final
@dataclass(frozen=True)
class _Candidate:
    """A tensor computed from the start, by weights if it ``is_weighed``, with the map that it is, if it is one.

    One that ``is_input`` is the input in another order, shape or type. One that ``is_moved`` holds
    the numbers of the map before it, or a part of them, in another order, shape or type. One that ``is_single`` is a
    map of one position.
    """

    name: str
    field: SpatialMap | None
    is_attention: bool
    is_sum: bool
    is_weighed: bool
    is_moved: bool
    is_input: bool
    is_single: bool

    @property
    def channels(self) -> int:
        """Number of channels of a map; 0 for tokens, and for what is not a map."""
        positions = self.field is not None and self.field.axes.positions
        return math.prod(self.field.shape[axis] for axis in self.field.axes.values) if self.field and positions else 0

    @property
    def is_grouped(self) -> bool:
        """Whether the channels of a map have several axes."""
        field = self.field
        return field is not None and sum(field.shape[axis] > 1 for axis in field.axes.values) > 1

    @property
    def fewest(self) -> int:
        """The number of positions of a map along the axis that has fewest."""
        field = self.field
        return min((field.shape[axis] for axis in field.axes.positions), default=0) if field else 0

    @property
    def is_whole(self) -> bool:
        """Whether there are positions along all axes of the input that have several."""
        field = self.field
        if field is None or field.over is None:
            return False
        held = {over: field.shape[axis] for over, axis in zip(field.over, field.axes.positions, strict=False)}
        given = input_positions(field.sample).values()
        return all(held.get(axis, 1) > 1 or field.sample.array.shape[axis] == 1 for axis in given)


def _choose_layer(
    model: Model,
    scope: tuple[object, ...],
    start: Sequence[str],
    sample: Sample,
    read: Sequence[TargetElements],
    without: frozenset[str],
) -> _Choice:
    candidates = graph_fact(model, ("candidates", *scope), lambda view: _candidates(view, model, start, sample))
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    outputs = {element.tensor for element in read}
    reach = shared_dependence(model, sizes, read)
    of_box = any(one.of_box for one in read)
    scored = graph_fact(
        model, ("scores", of_box, *sorted(outputs)), lambda view: _score_maps(view, outputs, start, of_box)
    )
    acting = model.view.needed(without, outputs)[1] - without if without else None
    usable = [
        one
        for one in candidates
        if one.name in reach and one.name not in outputs and (acting is None or one.name in acting)
    ]
    # The input itself, in another shape, is the last choice.
    made = [one for one in usable if not one.is_input]
    last = (made or usable)[-1].name if usable else ""
    # A map of one channel is the output of a segmentation before its last step, or a gate, and no features; unless the
    # layers have one channel each.
    narrow = not any(
        one.channels > 1 and one.is_weighed and one.name in reach for one in candidates if not one.is_input
    )
    attends = any(one.is_attention for one in made)
    places = {one.name: place for place, one in enumerate(made)}
    last_map = fine_map = part = scores = tokens = attended = rows = ""
    single = False
    for one in made:
        single = one.is_single or (single and not one.is_whole)
        # Attention regroups the numbers of a token by head.
        is_map = one.channels > 0 and (one.channels > 1 or not last_map or narrow) and not (attends and one.is_grouped)
        if one.is_moved and one.name not in scored:
            continue
        if is_map and one.name in scored:
            scores = one.name
        elif is_map and one.is_whole:
            last_map, attended = one.name, ""
            fine_map = one.name if one.fewest >= _BOX_POSITIONS else fine_map
        elif is_map:
            part = one.name
        elif one.field is not None and one.name not in scored:
            rows = one.name
        if one.is_attention:
            attended = tokens
        if one.is_sum and one.field is not None:
            tokens = one.name
    if single and fine_map and of_box:
        last_map = fine_map
    if rows and not attends:
        # Convolutions and recurrent layers along tokens: their last layer, in either order of its axes.
        last_map = max(last_map, rows, key=lambda name: places.get(name, -1))
    return _Choice(attended or last_map or tokens or rows or part or scores, last)


def _moved(view: GraphView, start: Sequence[str]) -> set[str]:
    """The numbers of the input in another order, shape or type."""
    found = set(start)
    for node in view.nodes:
        op = find_op(node.op_type)
        read = [name for name in node.input if name and name not in view.constants]
        moves = op.kind is Kind.MOVES and bool(node.input) and node.input[0] in found
        # A shape may be computed too.
        if moves and (op.carries or found.issuperset(read)):
            found.update(node.output)
    return found


def _integers(view: GraphView) -> set[str]:
    """The tensors of integers that stand for floats, of which explanations read the floats."""
    found: set[str] = set()
    for node in view.nodes:
        moves = node.op_type not in ("Cast", "DequantizeLinear") and not found.isdisjoint(node.input)
        if moves or node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
            found.update(node.output[:1])
    return found


def _candidates(view: GraphView, model: Model, start: Sequence[str], sample: Sample) -> list[_Candidate]:
    """The tensors of floats computed from ``start``, in topological order."""
    sizes = {name: x.shape for name, x in sample.own.items()}
    known, types = shapes_of(model, sample), view.types
    weights = {one.weights for one in attentions(view)}
    reached, axes, batch = view.data_descendants(start), AxesOverInput.of(model, sample), BatchAxes.of(model, sizes)
    computed, inputs = reached - _integers(view), _moved(view, start)
    computed = {name for name in computed if types.get(name, 0) in _FLOATS and not name.endswith(AS_IN_FILE)}
    found, weighed, maps = list[_Candidate](), set[str](), set[str]()
    for node in view.nodes:
        moved = reached.intersection(node.input)
        if find_op(node.op_type).kind is Kind.WEIGHS or not weighed.isdisjoint(node.input):
            weighed.update(node.output)
        for name in (made for made in node.output if made in computed and made not in start):
            shape = tuple(size or 0 for size in known.get(name, ()))
            lead = batch.at(name, shape)
            rest = shape if lead is None else (*shape[:lead], *shape[lead + 1 :])
            found.append(
                _Candidate(
                    name,
                    SpatialMap.at(axes.at(name, rest), rest, sample) if rest else None,
                    node.op_type == "Attention" or name in weights,
                    node.op_type == "Add" and len(moved) == 2 and len(shape) == 3,
                    name in weighed,
                    (find_op(node.op_type).carries or node.op_type == "Split") and node.input[0] in maps,
                    name in inputs,
                    len(rest) == sample.array.ndim > 2 and sum(size != 1 for size in rest) <= 1,
                )
            )
            if (found[-1].field is not None or found[-1].is_moved) and not found[-1].is_input:
                maps.add(name)
    return found


def _score_maps(view: GraphView, outputs: Collection[str], start: Sequence[str], of_box: bool) -> set[str]:
    """The tensors whose numbers reach the outputs one by one: a map of these holds a score of each position.

    Their numbers are moved, selected, resized or transformed on their own, but neither weighted nor pooled. The score
    of a box may be the product of two, such as its objectness and the probability of its class.
    """
    computed, found = view.data_descendants(start), set(outputs)
    for node in reversed(view.nodes):
        if found.isdisjoint(node.output):
            continue
        entry = find_op(node.op_type)
        operands = [name for name in node.input if name in computed]
        moves = entry.kind in (Kind.MOVES, Kind.ROUNDS) or node.op_type in _SCORING
        product = of_box and node.op_type == "Mul"
        if moves or product or (len(operands) == 1 and (entry.kind.of_one_number or entry.broadcasts == Broadcast())):
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
    weights = {one.weights for one in attentions(view, tensors)}
    softmax = next((node for node in nodes if not weights.isdisjoint(node.output)), None)
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
