"""Objective: a number that a search makes large, as nodes of a graph."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.data.inputs import Given
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.hooks import hook
from xaionnx.layers.layer import check_layer, layer_name
from xaionnx.layers.shapes import tensor_shapes
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.part import Part
from xaionnx.record import recorded_value
from xaionnx.registry import Registry
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
class ObjectiveGraph:
    """The graph of a model to which an objective adds its nodes.

    Parameters
    ----------
    model : Model
    sample : Sample
        Any sample, for sizes.
    g : Builder
        Of the model's graph.
    count : int
        B pictures, which are searched for together.
    """

    def __init__(self, model: Model, sample: Sample, g: Builder, count: int = 1) -> None:
        self.model, self.sample, self.g, self.count = model, sample, g, count

    def tensor(self, name: str) -> ir.Value:
        """Return a tensor of the graph.

        Raises
        ------
        UnknownNameError, UnsupportedModelError
            There is no such tensor, or it does not depend on the input.
        """
        check_layer(self.model, name)
        graph = self.g.graph
        values = {str(value.name): value for value in graph.inputs}
        values |= {str(value.name): value for node in graph for value in node.outputs}
        return values[name]

    def planes(self, name: str | None) -> tuple[ir.Value, tuple[int, int, int]]:
        """Return a layer as maps of its channels, (N, C, h, w), and (C, h, w); units without a place have 1 x 1.

        Raises
        ------
        ParameterError
            No layer is named.
        UnknownNameError, UnsupportedModelError
            There is no such layer, or its axes are unknown.
        """
        name = self._named(name)
        x = self.tensor(name)
        shape = self.shape(name)
        try:
            found = SpatialMap.of(self.model, name, shape, self.sample)
        except UnsupportedModelError:
            if len(shape) != 1:
                raise
            return self.g.reshape(x, np.array([0, *shape, 1, 1], dtype=np.int64)), (shape[0], 1, 1)
        channels = int(np.prod(shape)) // (found.grid[0] * found.grid[1]) if found.axes.positions else shape[1]
        return found.emit_planes(self.g, x), (channels, *found.grid)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes of a tensor without the batch."""
        one = {key: x if key in self.sample.shared else x[None] for key, x in self.sample.x.items()}
        shape = tensor_shapes(self.model, one).get(name)
        if shape is None or any(size is None for size in shape[1:]):
            self.model.run(one)  # a model that does not take this size says so
            raise UnsupportedModelError(f"The sizes of layer '{name}' of {self.model.name} are not known.")
        return tuple(int(size or 0) for size in shape[1:])

    def flat(self, name: str | None) -> tuple[ir.Value, int]:
        """Return a layer as one row of numbers for each sample, (N, K), and K.

        Raises
        ------
        ParameterError, UnknownNameError, UnsupportedModelError
            As for :meth:`planes`.
        """
        name = self._named(name)
        count = int(np.prod(self.shape(name)))
        return self.g.reshape(self.tensor(name), np.array([0, count], dtype=np.int64)), count

    def activations(self, name: str | None, picture: Given | None) -> Array:
        """Return a layer of a given picture as one row of numbers, (K,).

        Raises
        ------
        ParameterError
            There is no picture.
        DataError, InputMismatchError
            It cannot be read, or does not fit the model.
        """
        if picture is None:
            raise ParameterError("The objective needs a picture, whose activations are searched for. Give 'picture'.")
        name, info = self._named(name), self.model.input()
        feeds = self.model.check(self.model.read(picture).arrays)
        one = {key: x[:1] if key == info.name else x for key, x in feeds.items()}
        if name in {output.name for output in self.model.outputs}:
            return self.model.run(one, [name])[name].reshape(-1)
        return self.model.with_outputs([name]).run(one, [name])[name].reshape(-1)

    def pictures(self) -> tuple[ir.Value, tuple[int, int, int]]:
        """Return what the model reads as pictures from 0 to 1, (N, C, h, w), and (C, h, w)."""
        spec, info = self.model.input_spec, self.model.input()
        shape = self.sample.x[info.name].shape
        mean, scale = (np.asarray(each, np.float32).reshape(-1) for each in (spec.mean, spec.scale))
        x = self.tensor(info.name)
        if spec.channel_axis != 1:
            x, shape = self.g.op("Transpose", x, perm=[0, 3, 1, 2]), (shape[2], *shape[:2])
        channels, height, width = shape
        factor, offset = (np.broadcast_to(each / 255, channels).reshape(-1, 1, 1) for each in (scale, mean))
        scaled = self.g.op("Add", self.g.op("Mul", x, factor.copy()), offset.copy())
        return scaled, (channels, height, width)

    def mean(self, value: ir.Value, count: int) -> ir.Value:
        """Return the mean over the ``count`` numbers of each sample, (N, 1)."""
        # A product, which every op set has alike.
        flat = self.g.reshape(value, np.array([0, count], dtype=np.int64))
        return self.g.op("MatMul", flat, np.full((count, 1), 1 / count, dtype=np.float32))

    def _named(self, name: str | None) -> str:
        if name is None:
            raise ParameterError("The objective needs a layer. Name a tensor; 'xaionnx inspect MODEL' lists them.")
        return layer_name(self.model, name)


class Objective(Part, ABC):
    """A number for each picture, larger where it has more of what is searched for.

    A frozen dataclass whose fields are its parameters. Objectives add and scale::

        Channel(layer="relu3", channel=5) - 0.5 * Channel(layer="relu3", channel=7)

    Attributes
    ----------
    reference : str
        The publication that it follows.
    joint : bool
        Whether it compares the pictures of a search with each other, so that they run together.
    same_start : bool
        Whether all pictures of a search start from the same one, so that they differ by the objective alone.
    """

    reference: ClassVar[str] = ""
    joint: ClassVar[bool] = False
    same_start: ClassVar[bool] = False

    @abstractmethod
    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        """Add the nodes to a graph and return the terms (N, T); one unless ``term_weights`` says otherwise."""

    @hook
    def term_weights(self, count: int) -> Array:
        """The weights (B, T) of the terms for each of B pictures."""
        return np.ones((count, 1), dtype=np.float32)

    @hook
    def parts(self) -> tuple[Objective, ...]:
        """The objectives that it is made of; itself alone."""
        return (self,)

    @hook
    def given_pictures(self) -> tuple[Given, ...]:
        """The pictures whose activations it reads; none by default."""
        return ()

    @final
    def fingerprint(self, model: Model) -> str:
        """Return a hash of all its numbers, those of the pictures that it reads included; a repr shortens arrays.

        Raises
        ------
        DataError, InputMismatchError
            A picture cannot be read, or does not fit the model.
        """
        pictures = [model.read(picture).arrays for part in self.parts() for picture in part.given_pictures()]
        numbers = json.dumps([recorded_value(self), recorded_value(pictures)], sort_keys=True)
        return hashlib.sha256(numbers.encode()).hexdigest()

    @final
    def __add__(self, other: Objective) -> Objective:
        return Weighted(terms=((1.0, self), (1.0, other)))

    @final
    def __sub__(self, other: Objective) -> Objective:
        return Weighted(terms=((1.0, self), (-1.0, other)))

    @final
    def __mul__(self, weight: float) -> Objective:
        return Weighted(terms=((float(weight), self),))

    __rmul__ = __mul__

    @final
    def __neg__(self) -> Objective:
        return Weighted(terms=((-1.0, self),))


@final
@dataclass(frozen=True, kw_only=True)
class Weighted(Objective):
    """A weighted sum of objectives."""

    terms: tuple[tuple[float, Objective], ...] = parameters.free((), "pairs", "weights and objectives", optional=False)

    def __repr__(self) -> str:
        words = [f"{'-' if weight < 0 else '+'} {_factor(weight)}{_within(each)}" for weight, each in self.terms]
        return " ".join(words).removeprefix("+ ")

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        return graph.g.op("Concat", *(objective.emit(graph) for _, objective in self.terms), axis=1)

    def term_weights(self, count: int) -> Array:
        return np.concatenate([np.float32(weight) * each.term_weights(count) for weight, each in self.terms], axis=1)

    def parts(self) -> tuple[Objective, ...]:
        return tuple(part for _, each in self.terms for part in each.parts())


def _factor(weight: float) -> str:
    return "" if abs(weight) == 1 else f"{abs(weight):g} * "


def _within(term: Objective) -> str:
    return f"({term!r})" if isinstance(term, Weighted) else repr(term)


def one_channel(graph: ObjectiveGraph, layer: str | None, channel: int) -> tuple[ir.Value, tuple[int, int]]:
    """Return the map (N, 1, h, w) of a channel of a layer, and (h, w).

    Raises
    ------
    UnknownNameError
        The layer has no such channel.
    """
    planes, (channels, height, width) = graph.planes(layer)
    if channel >= channels:
        raise UnknownNameError(f"Layer '{layer}' has {channels} channels, from 0. Got {channel}.")
    return graph.g.op("Gather", planes, np.array([channel], dtype=np.int64), axis=1), (height, width)


def at_place(
    graph: ObjectiveGraph, planes: ir.Value, size: tuple[int, int], place: tuple[int | None, int | None]
) -> ir.Value:
    """Return maps (N, C, h, w) at one place (row, column), by default the one in the middle, (N, C, 1, 1).

    Raises
    ------
    UnknownNameError
        There is no such place.
    """
    height, width = size
    row, column = (extent // 2 if at is None else at for at, extent in zip(place, size, strict=True))
    if row >= height or column >= width:
        raise UnknownNameError(f"The layer has {height} x {width} places, from 0. Got {row} x {column}.")
    rows = graph.g.op("Gather", planes, np.array([row], dtype=np.int64), axis=2)
    return graph.g.op("Gather", rows, np.array([column], dtype=np.int64), axis=3)


def normalised(direction: Array) -> Array:
    """Return a vector of length 1.

    Raises
    ------
    ParameterError
        All its numbers are 0, or some are not finite.
    """
    vector = np.asarray(direction, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise ParameterError("A direction must have finite numbers, not all of them 0.")
    return vector / length


OBJECTIVES: Final[Registry[Objective]] = Registry("objective", "xaionnx.optimization.objectives", Objective)
