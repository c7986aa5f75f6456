"""Files that take a fixed number of rows in each run: what that number is, and whether rows may fill its places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.errors import MemoryLimitError, UnsupportedModelError
from xaionnx.runtime.batcher import same_rows
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import GraphView

Run = Callable[[Feeds], Mapping[str, Array]]

# Numbers of rows that are tried beside those that the graph suggests.
_MOST_ROWS: Final = 8
# Larger leading sizes are those of weights and sequences.
_LARGEST: Final = 1024
# Ops that take the sizes of their result, or of the repeats in it, and the operand that holds them.
_TAKES_SIZES: Final[Mapping[str, int]] = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0}
# Ops whose constant operand may have a row for each sample.
_JOINS_ROWS: Final = frozenset({"Add", "Sub", "Mul", "Div", "Where", "Concat", "LSTM", "GRU", "RNN", "And", "Equal"})


def suggested_batches(view: GraphView) -> list[int]:
    """Return the numbers of rows, above 1, that constants of a graph and its declared outputs suggest, in order.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> suggested_batches(GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]> g (float[N, 6] x) => (float[N, 2, 3] y) <int64[3] s = {4, 2, 3}> {
    ...   y = Reshape(x, s) }''')))
    [4]
    """
    found = {value.type.tensor_type.shape.dim[0].dim_value for value in view.model.graph.output if _has_axes(value)}
    for node in view.nodes:
        if node.op_type in _TAKES_SIZES and len(node.input) > _TAKES_SIZES[node.op_type]:
            sizes = view.small(node.input[_TAKES_SIZES[node.op_type]])
            found |= {int(sizes[0])} if sizes is not None and sizes.ndim == 1 and len(sizes) else set()
        elif node.op_type in _JOINS_ROWS:
            # Recurrent states have their samples second.
            held = [view.constants[name].dims for name in node.input if name in view.constants]
            found |= {dims[axis] for dims in held for axis in (0, 1) if len(dims) > 1 + axis}
    return sorted(int(size) for size in found if 1 < size <= _LARGEST)


def _has_axes(value: onnx.ValueInfoProto) -> bool:
    return len(value.type.tensor_type.shape.dim) > 0


def number_of_rows(run: Run, rows: Feeds, suggested: Sequence[int]) -> list[int]:
    """Return the numbers of rows on which a model runs, of those that are suggested and a few small ones.

    Parameters
    ----------
    run : callable
        Runs the model once on rows by input name.
    rows : mapping of arrays
        The first of them fills all places.
    suggested : sequence of int
        Tried first.
    """
    found = []
    for count in dict.fromkeys([*suggested, *range(2, _MOST_ROWS + 1)]):
        try:
            run(filled(rows, count))
        except (MemoryLimitError, UnsupportedModelError):
            continue
        found.append(count)
    return found


def filled(rows: Feeds, count: int) -> dict[str, Array]:
    """Return the first row in each of ``count`` places."""
    return {name: np.repeat(array[:1], count, axis=0) for name, array in rows.items()}


def why_places_matter(run: Run, rows: Feeds, count: int) -> str:
    """Return why a row may not fill the places of a run beside other rows, as an end of a sentence; empty if it may.

    Three runs compare a row in all places, another row in all places, and one of the first among others.

    Parameters
    ----------
    run : callable
        Runs the model once on rows by input name.
    rows : mapping of arrays
        Batch axis first. Of a single row a second one is made.
    count : int
        The places of a run.

    Examples
    --------
    >>> def centred(rows):
    ...     return {"y": rows["x"] - rows["x"].mean(axis=0)}
    >>> why_places_matter(centred, {"x": np.array([[1.0], [2.0]])}, 4)
    'depends on the other rows'
    >>> def weighed(rows):
    ...     return {"y": rows["x"] * np.arange(4.0)[:, None]}
    >>> why_places_matter(weighed, {"x": np.array([[1.0], [2.0]])}, 4)
    'depends on its place among them'
    """
    other = _other_row(rows)
    mixed = {
        name: np.concatenate([array[:1], np.repeat(other[name], count - 1, axis=0)]) for name, array in rows.items()
    }
    first, second, both = run(filled(rows, count)), run(filled(other, count)), run(mixed)
    for outputs in (first, second, both):
        if any(np.shape(array)[:1] != (count,) for array in outputs.values()):
            return "has no row for each of them"
    if not all(_alike(outputs, outputs, place) for outputs in (first, second) for place in range(1, count)):
        return "depends on its place among them"
    seen = not _alike(first, both, 0) or not all(_alike(second, both, place) for place in range(1, count))
    return "depends on the other rows" if seen else ""


def _alike(outputs: Mapping[str, Array], others: Mapping[str, Array], place: int) -> bool:
    """Whether the first row of some outputs is that at a place of others."""
    one = {name: array[:1] for name, array in outputs.items()}
    return same_rows(one, {name: array[place : place + 1] for name, array in others.items()}, 1, rounding=False)


def _other_row(rows: Feeds) -> dict[str, Array]:
    """Return a row that differs from the first: another of those given, or a changed first one."""
    count = len(next(iter(rows.values())))
    for row in range(1, count):
        if any(not np.array_equal(array[0], array[row]) for array in rows.values()):
            return {name: array[row : row + 1] for name, array in rows.items()}
    # Whole numbers may be looked up in a table, so they are only put in another order.
    return {
        name: array[:1] * array.dtype.type(0.75) if array.dtype.kind == "f" else _turned(array[:1])
        for name, array in rows.items()
    }


def _turned(row: Array) -> Array:
    return np.flip(row, axis=-1) if row.ndim > 1 else row
