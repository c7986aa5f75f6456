"""The mean or the maximum of a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.targets.in_graph import Aim, ElementWeights, one_hot
from xaionnx.targets.scores import axis_of_channels, default_output, is_int, shape_words
from xaionnx.targets.selection import TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


def _read_channel(k: str | None, output: str | None, model: Model, peak: bool) -> Target:
    tensor = output if output is not None else default_output(model)
    return Target.channel(tensor, None if k is None else int(k), peak=peak)


@final
@dataclass(frozen=True)
class Channel(Target):
    """The mean of channel ``k``, or its maximum (``peak``); each sample's strongest channel if None."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("channel", lambda k, output, model: _read_channel(k, output, model, peak=False), "[:K]", "channel:5"),
        Form("peak", lambda k, output, model: _read_channel(k, output, model, peak=True), "[:K]", "peak:5"),
    )

    k: int | None
    output: str | None
    peak: bool = False

    @property
    def follows(self) -> bool:
        return self.k is None or self.peak

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor, shape, axis = self._placed(output, model)
        places = elements_of_channels(shape, axis)
        lines = np.moveaxis(output, axis, 1).reshape(shape[0], *places.shape)
        strengths = lines.max(axis=2) if self.peak else lines.mean(axis=2, dtype=np.float64)
        chosen = strengths.argmax(axis=1) if self.k is None else np.full(shape[0], self.k)
        indices = places[chosen]
        if self.peak:
            highest = lines[np.arange(shape[0]), chosen].argmax(axis=1)
            indices = np.take_along_axis(indices, highest[:, None], axis=1)
        words = tuple(f"{'peak' if self.peak else 'mean'} of {tensor}, channel {k}" for k in chosen)
        return [TargetTerm(tensor, "identity", indices, np.full(indices.shape, 1 / indices.shape[1]), words)]

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.k is not None and not self.peak:
            return super().in_graph(model, output)
        tensor, shape, axis = self._placed(output, model)
        follow = self._follow_peak(shape, axis) if self.peak else _follow_strongest(shape, axis)
        which = "the strongest channel" if self.k is None else f"channel {self.k}"
        return Aim(tensor, "identity", f"{'peak' if self.peak else 'mean'} of {which} of {tensor}", follow)

    def _placed(self, output: Array, model: Model) -> tuple[str, tuple[int, ...], int]:
        """The tensor, its shape, and the axis of its channels, of which ``k`` is one."""
        tensor, shape = self.tensor(model), output.shape
        axis = axis_of_channels(output, tensor, model)
        if len(shape) < 2 or not (self.k is None or (is_int(self.k) and 0 <= self.k < shape[axis])):
            what = "channels" if self.k is None else f"channel {self.k}"
            raise ParameterError(f"Tensor '{tensor}' of shape {shape_words(output)} has no {what}.")
        return tensor, shape, axis

    def _follow_peak(self, shape: tuple[int, ...], axis: int) -> Callable[..., ElementWeights]:
        """Return a function that follows the maximum of the channel, or of all channels if ``k`` is None."""
        places = elements_of_channels(shape, axis)
        mine = np.arange(places.size) if self.k is None else places[self.k]

        def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
            index = g.op("ArgMax", g.op("Gather", scores, mine, axis=1), axis=1, keepdims=0)
            return ElementWeights(one_hot(g, g.op("Gather", mine, index, axis=0), places.size))

        return follow


def elements_of_channels(shape: tuple[int, ...], axis: int) -> Array:
    """Return the elements (C, S) of each channel of a tensor, counted in the order of a flattened sample.

    Examples
    --------
    >>> elements_of_channels((1, 2, 3), axis=1).tolist(), elements_of_channels((1, 2, 3), axis=2).tolist()
    ([[0, 1, 2], [3, 4, 5]], [[0, 3], [1, 4], [2, 5]])
    """
    numbers = np.arange(int(np.prod(shape[1:], dtype=np.int64))).reshape(shape[1:])
    return np.moveaxis(numbers, axis - 1, 0).reshape(shape[axis], -1)


def _follow_strongest(shape: tuple[int, ...], axis: int) -> Callable[..., ElementWeights]:
    """Return a function that follows the channel with the highest mean."""
    places = elements_of_channels(shape, axis)
    count, each = places.shape
    channel_of = np.empty(places.size, dtype=np.int64)
    channel_of[places] = np.arange(count)[:, None]
    positions = np.array([number for number in range(1, len(shape)) if number != axis], dtype=np.int64)

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        shaped = g.reshape(scores, np.array([-1, *shape[1:]], dtype=np.int64))
        means = g.op("ReduceMean", shaped, positions, keepdims=0, noop_with_empty_axes=1)
        channels = one_hot(g, g.op("ArgMax", means, axis=1, keepdims=0), count)
        return ElementWeights(g.op("Mul", g.op("Gather", channels, channel_of, axis=1), 1 / each))

    return follow
