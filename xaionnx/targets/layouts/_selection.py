"""Which tensors of a detector hold candidates in fixed places, and which only those that it selects from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from xaionnx.graph.ending import maker
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import GraphView
from xaionnx.runtime.model import Model

# The places of what these ops return depend on the values of their input.
_SELECTING: Final = frozenset({"NonMaxSuppression", "TopK", "NonZero", "Compress", "Unique", "Loop", "SequenceAt"})
# These ops take the highest score of each candidate, or its class.
_HIGHEST: Final = frozenset({"ReduceMax", "ArgMax"})


def selecting_nodes_of(view: GraphView, tensors: Collection[str]) -> set[str]:
    """Return the names of the tensors in which the place of a candidate depends on the input."""
    before = view.ancestors(tensors)
    sources = {
        name for node in view.nodes if node.op_type in _SELECTING for name in node.output if name and name in before
    }
    return view.data_descendants(sources) if sources else set()


def candidates(model: Model, tensors: Collection[str]) -> tuple[str, ...]:
    """Return the tensors from which the candidates of ``tensors`` are selected, the most suitable first.

    If these are the highest scores of the candidates, the tensor with all of their scores comes before them; behind
    each are those that hold the same numbers, perhaps with the batch axis that it has lost.
    """
    view = model.view
    selected = selecting_nodes_of(view, tensors)
    before = view.ancestors(tensors)
    dependent = view.data_descendants([info.name for info in model.inputs])
    read: dict[str, None] = {}
    for node in view.nodes:
        if not selected.isdisjoint(node.output) and not before.isdisjoint(node.output):
            read.update(dict.fromkeys(name for name in node.input if name in dependent and name not in selected))
    found: dict[str, None] = {}
    for name in read:
        highest = maker(view, name)
        sources = [highest.input[0]] if highest is not None and highest.op_type in _HIGHEST else []
        for source in (*sources, name):
            found.update(dict.fromkeys(_moved(view, source)))
    return tuple(name for name in found if name in dependent)


def _moved(view: GraphView, tensor: str) -> Iterator[str]:
    """The tensor, and those before it that hold all of its numbers."""
    yield tensor
    while (node := view.producers.get(tensor)) is not None and find_op(node.op_type).kind is Kind.MOVES and node.input:
        tensor = node.input[0]
        yield tensor
