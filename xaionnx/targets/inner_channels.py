"""The axis of the channels of a tensor inside a model, by the way of the input's positions through the graph."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from xaionnx.graph.axis_factors import AxisFactor, Layout
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.view import GraphView
from xaionnx.runtime.model import Model

# Following axes through a graph takes longer than a small model runs.
_known: WeakKeyDictionary[GraphView, dict[tuple[object, ...], Mapping[str, Layout]]] = WeakKeyDictionary()


def inner_channel_axis(model: Model, tensor: str, rank: int, of_input: int) -> int | None:
    """Return the only axis of a tensor, after the batch, that holds no positions of the explained input.

    None if there is none, or it is not known, as where the sizes of the input are free.

    Parameters
    ----------
    model : Model
    tensor : str
    rank : int
        Number of its axes.
    of_input : int
        The axis of the input's channels; all others after the batch are positions.
    """
    main = model.input()
    sizes = tuple(size for size in main.shape[1:] if isinstance(size, int))
    if len(sizes) != len(main.shape) - 1:
        return None
    known, key = _known.setdefault(model.view, {}), (main.name, sizes, of_input)
    if key not in known:
        start = [(AxisFactor("N", 1),)]
        for axis, size in enumerate(sizes, start=1):
            start.append((AxisFactor("C", size) if axis == of_input else AxisFactor.spatial(str(axis), size, size),))
        shapes = model.view.shapes({main.name: (1, *sizes)})
        known[key] = propagate_axes(model.view, {main.name: tuple(start)}, shapes).layouts
    layout = known[key].get(tensor, ())
    others = [n for n, axis in enumerate(layout) if n and not any(one.is_spatial or one.kind == "?" for one in axis)]
    return others[0] if len(layout) == rank and len(others) == 1 else None
