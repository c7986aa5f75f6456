"""A tensor inside a model, its values, and the two parts into which it cuts the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.graph.cut import batch_first, cut
from xaionnx.layers.axes import BatchAxes
from xaionnx.layers.shapes import tensor_shapes
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType

if TYPE_CHECKING:
    import onnx


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """A float tensor with the batch axis first, inside a model.

    Attributes
    ----------
    name : str
    model : Model
        The model that contains it.
    x : array (N, ...)
        Its values at the samples.
    """

    name: str
    model: Model
    x: Array

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, name: str, feeds: Mapping[str, Array], values: Array | None = None) -> Layer:
        """Return the tensor ``name`` at N samples; it is run unless its ``values`` are given.

        If its batch axis is not the first, as in recurrent nets, or a model of one sample has none there, the layer is
        that of a model in which it is.

        Raises
        ------
        UnknownNameError
            There is no such tensor.
        UnsupportedModelError
            The tensor is not of floats, has no leading batch axis, or does not depend on the input.
        """
        check_layer(model, name)
        axis, rank = _batch_axis(model, name, feeds)
        if axis != 0:
            form = model.derived(("batch first", name), lambda graph: batch_first(graph, name, axis, rank))
            return cls.of(form, name, feeds)
        layer = cls(name, model, np.empty(0))
        count = next(len(array) for name, array in feeds.items() if name not in model.shared)
        x = layer.values_at(feeds) if values is None else layer._checked(values, count)
        if x.dtype.kind != "f":
            raise UnsupportedModelError(
                f"Layer '{name}' of {model.name} holds {x.dtype}, not floats. Name a layer of floats."
            )
        return cls(name, model, x)

    def values_at(self, feeds: Mapping[str, Array]) -> Array:
        """Return the layer's values (N, ...) at other inputs of the model."""
        upstream = _part(self.model, ("upstream", self.name), lambda graph: cut(graph, [], [self.name]))
        taken = {info.name for info in upstream.inputs}
        own = {name: array for name, array in feeds.items() if name in taken}
        count = next(len(array) for name, array in own.items() if name not in upstream.shared)
        return self._checked(upstream.run(own, [self.name])[self.name], count)

    def _checked(self, x: Array, count: int) -> Array:
        if x.ndim == 0 or len(x) != count:
            raise UnsupportedModelError(
                f"Layer '{self.name}' of {self.model.name} has no leading batch axis: its shape is {x.shape} for "
                f"{count} sample{'s' if count > 1 else ''}. Name another."
            )
        return x

    def downstream(self, tensors: Iterable[str]) -> Model:
        """Return the part of the model from the layer to ``tensors``; its inputs are the layer and what bypasses it.

        Raises
        ------
        UnsupportedModelError
            One of ``tensors`` does not depend on the layer.
        """
        outputs = tuple(dict.fromkeys(tensors))
        reached = graph_fact(self.model, ("reached", self.name), lambda view: view.descendants([self.name]))
        for tensor in outputs:
            if tensor not in reached:
                how = "is that layer" if tensor == self.name else f"does not depend on layer '{self.name}'"
                raise UnsupportedModelError(
                    f"The target is read from '{tensor}' of {self.model.name}, which {how}. "
                    f"Name a layer between the input and '{tensor}'."
                )
        lead = self.model.input().shape[0]
        kind = _type(self.x.dtype, (lead if isinstance(lead, int) else "N", *self.x.shape[1:]))
        return _part(
            self.model,
            ("downstream", self.name, outputs, str(kind)),
            lambda graph: cut(graph, [self.name], outputs, {self.name: kind}),
        )


def layer_name(model: Model, name: str, tensor: str | None = None) -> str:
    """Return the name of a layer: ``input`` and ``output`` stand for the explained tensors if none is called so.

    ``tensor`` is the one from which the target is read, by default the output.
    """
    if name in ("input", "output") and name not in model.view.tensor_names:
        return model.input().name if name == "input" else tensor or model.output().name
    return name


def check_layer(model: Model, name: str) -> None:
    """Check that ``name`` is a tensor that depends on the input.

    Raises
    ------
    UnknownNameError
        There is no such tensor.
    UnsupportedModelError
        It does not depend on the input.
    """
    known = model.view.tensor_names
    if name not in known:
        raise UnknownNameError.among("layer", name, known)
    inputs = {info.name for info in model.inputs if info.name not in model.shared}
    if not graph_fact(model, ("above", name), lambda view: view.ancestors([name])) & inputs:
        raise UnsupportedModelError(f"Layer '{name}' of {model.name} does not depend on the input. Name another.")


def _batch_axis(model: Model, name: str, feeds: Mapping[str, Array]) -> tuple[int | None, int]:
    """The batch axis of a tensor, None if it has none, and its rank; 0 if it is the first axis, or unknown."""
    one = {key: array if key in model.shared else array[:1] for key, array in feeds.items()}
    shape = tensor_shapes(model, one).get(name)
    if shape is None:
        return 0, 0
    sizes = {key: array.shape[1:] for key, array in one.items() if key not in model.shared}
    return BatchAxes.of(model, sizes).at(name, [size or 0 for size in shape]), len(shape)


def _part(model: Model, key: Hashable, rewrite: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Model:
    # The spec describes the input of the whole model, not that of a part.
    return dataclasses.replace(model.derived(key, rewrite), spec=None)


def _type(dtype: DType, shape: Sequence[int | str]) -> onnx.TypeProto:
    from onnx import helper

    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), shape)
