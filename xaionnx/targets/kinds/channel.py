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
from xaionnx.targets.scores import default_output, is_int, shape_words
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
    """The mean of channel ``k`` (axis 1), or its maximum (``peak``); each sample's strongest channel if None."""

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
        tensor, shape = self.tensor(model), output.shape
        if len(shape) < 2 or not (self.k is None or (is_int(self.k) and 0 <= self.k < shape[1])):
            what = "channels" if self.k is None else f"channel {self.k}"
            raise ParameterError(f"Tensor '{tensor}' of shape {shape_words(output)} has no {what}.")
        each = int(np.prod(shape[2:], dtype=np.int64))
        lines = output.reshape(*shape[:2], -1)
        strengths = lines.max(axis=2) if self.peak else lines.mean(axis=2, dtype=np.float64)
        chosen = strengths.argmax(axis=1) if self.k is None else np.full(shape[0], self.k)
        inside = lines[np.arange(shape[0]), chosen].argmax(axis=1)[:, None] if self.peak else np.arange(each)
        indices = chosen[:, None] * each + inside
        words = tuple(f"{'peak' if self.peak else 'mean'} of {tensor}, channel {k}" for k in chosen)
        return [TargetTerm(tensor, "identity", indices, np.full(indices.shape, 1 / indices.shape[1]), words)]

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.k is not None and not self.peak:
            return super().in_graph(model, output)
        [term] = self.terms(output, model)  # raises for an invalid channel
        count, each = output.shape[1], int(np.prod(output.shape[2:], dtype=np.int64))
        follow = self._follow_peak(count, each) if self.peak else _follow_strongest(count, each)
        which = "the strongest channel" if self.k is None else f"channel {self.k}"
        return Aim(term.tensor, "identity", f"{'peak' if self.peak else 'mean'} of {which} of {term.tensor}", follow)

    def _follow_peak(self, count: int, each: int) -> Callable[..., ElementWeights]:
        """Return a function that follows the maximum of the channel, or of all channels if ``k`` is None."""

        def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
            if self.k is None:
                return ElementWeights(one_hot(g, g.op("ArgMax", scores, axis=1, keepdims=0), count * each))
            mine = g.op("Gather", scores, np.arange(self.k * each, (self.k + 1) * each, dtype=np.int64), axis=1)
            index = g.op("Add", g.op("ArgMax", mine, axis=1, keepdims=0), np.array(self.k * each, dtype=np.int64))
            return ElementWeights(one_hot(g, index, count * each))

        return follow


def _follow_strongest(count: int, each: int) -> Callable[..., ElementWeights]:
    """Return a function that follows the channel with the highest mean."""

    def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
        shaped = g.reshape(scores, np.array([-1, count, each], dtype=np.int64))
        means = g.op("ReduceMean", shaped, np.array([2], dtype=np.int64), keepdims=0)
        channels = one_hot(g, g.op("ArgMax", means, axis=1, keepdims=0), count)
        one = g.op("Gather", channels, np.arange(count * each, dtype=np.int64) // each, axis=1)
        return ElementWeights(g.op("Mul", one, 1 / each))

    return follow
