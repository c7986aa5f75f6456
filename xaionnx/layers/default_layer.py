"""The default layer of methods that explain a layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.axes import Axes, known_shape
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


def default_layer(model: Model, start: Sequence[str], tensors: Sequence[str], sample: Sample) -> str:
    """Return the default layer between ``start`` and ``tensors``.

    This is the last map over the picture or the series with more than one channel, before pooling. If attention
    follows that map, or there is no map, it is the tokens that enter the last attention: the last sum of two branches
    before it, which no skip connection bypasses. Otherwise it is the last tensor before the target.

    Raises
    ------
    UnsupportedModelError
        There is no tensor between the two.
    """
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    key = ("default layer", tuple(start), tuple(tensors), tuple(sizes.items()), sample.main, sample.picture_axes)

    def letters(name: str, shape: Sequence[int]) -> str:
        return Axes.at(model, name, shape, sample).letters

    def filled(name: str, shape: Sequence[int]) -> Sequence[int]:
        return known_shape(model, name, shape, sample) if 0 in shape else shape

    chosen = graph_fact(model, key, lambda view: _choose_layer(view, start, tensors, sizes, letters, filled))
    if not chosen:
        raise UnsupportedModelError(
            f"Nothing lies between the input of {model.name} and '{tensors[0]}'. Explain the input itself: "
            "saliency, integrated_gradients."
        )
    return chosen


def _choose_layer(
    view: GraphView,
    start: Sequence[str],
    tensors: Sequence[str],
    sizes: Mapping[str, tuple[int, ...]],
    letters_of: Callable[[str, Sequence[int]], str],
    filled_of: Callable[[str, Sequence[int]], Sequence[int]],
) -> str:
    between = view.descendants(start) & view.ancestors(tensors) - set(tensors)
    known = view.shapes(sizes)
    last = last_map = tokens = attended = ""
    for node in view.nodes:
        moved = between.intersection(node.input) | set(start).intersection(node.input)
        for name in (made for made in node.output if made in between):
            last, shape = name, filled_of(name, [size or 0 for size in known.get(name, ())])
            letters = letters_of(name, shape[1:])
            # A map of one channel is the output of a segmentation before its last step, or a gate: not features.
            if "C" in letters and (shape[1 + letters.index("C")] > 1 or not last_map):
                last_map, attended = name, ""
            if node.op_type in ("Softmax", "Attention"):
                attended = tokens
            if node.op_type == "Add" and len(moved) == 2 and len(shape) == 3:
                tokens = name
    return attended or last_map or tokens or last


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
