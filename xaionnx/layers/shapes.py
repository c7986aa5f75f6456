"""The shapes of all tensors for one sample: inferred, or measured where sizes are computed inside the model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnx

from xaionnx.errors import ModelError
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Shapes

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample
    from xaionnx.graph.view import GraphView

_ENDING = "/shape"


def tensor_shapes(model: Model, one: Mapping[str, Array]) -> Shapes:
    """Return the shapes of the tensors of a model for one sample, None for an unknown size.

    Where inference leaves sizes open, as where a model computes the amount of padding, the model runs once; that run is
    not an evaluation.

    Parameters
    ----------
    model : Model
    one : mapping of arrays by input name
        One sample as it is fed, (1, ...).
    """
    sizes = {name: array.shape for name, array in one.items() if name not in model.shared}
    key = ("tensor shapes", tuple(sizes.items()))

    def find(view: GraphView) -> Shapes:
        known = view.shapes(sizes)
        computed = view.data_descendants(sizes)
        open_ones = [name for name in view.tensor_names if name in computed and None in known.get(name, (None,))]
        open_ones = [name for name in open_ones if name in view.producers]
        return MappingProxyType({**known, **_measured(model, one, open_ones)}) if open_ones else known

    return graph_fact(model, key, find)


def shapes_of(model: Model, sample: Sample) -> Shapes:
    """Return :func:`tensor_shapes` for a sample."""
    return tensor_shapes(model, {name: x if name in sample.shared else x[None] for name, x in sample.x.items()})


def _measured(model: Model, one: Mapping[str, Array], names: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of some tensors in a run; none if the model fails, as it does if one of them is a sequence."""
    measuring = model.derived(("shapes", tuple(names)), lambda proto: _with_shapes(proto, names))
    try:
        found = measuring.run(dict(one), [name + _ENDING for name in names])
    except ModelError:
        return {}
    return {name: tuple(int(size) for size in found[name + _ENDING]) for name in names}


def _with_shapes(proto: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    measuring = onnx.ModelProto()
    measuring.CopyFrom(proto)
    for name in names:
        measuring.graph.node.append(onnx.helper.make_node("Shape", [name], [name + _ENDING], name=name + _ENDING))
    del measuring.graph.output[:]
    measuring.graph.output.extend(
        onnx.helper.make_tensor_value_info(name + _ENDING, onnx.TensorProto.INT64, [None]) for name in names
    )
    return measuring
