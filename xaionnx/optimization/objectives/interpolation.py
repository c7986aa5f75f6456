"""Interpolation: from one channel to another over a row of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.optimization.objective import Objective, ObjectiveGraph, one_channel
from xaionnx.parameters import integer, name
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Interpolation(Objective):
    """What lies between two channels, over B pictures from the same start::

        (1 - t) mean(first) + t mean(second),        t from 0 for the first picture to 1 for the last

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007, on interaction.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"
    same_start: ClassVar[bool] = True

    layer: str | None = name("tensor inside the model")
    channel: int = integer(0, "number of the first channel, from 0", low=0)
    second_layer: str | None = name("tensor with the second channel; the same if not given")
    second: int = integer(1, "number of the second channel, from 0", low=0)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        means = []
        for layer, channel in ((self.layer, self.channel), (self.second_layer or self.layer, self.second)):
            found, (height, width) = one_channel(graph, layer, channel)
            means.append(graph.mean(found, height * width))
        return graph.g.op("Concat", *means, axis=1)

    def term_weights(self, count: int) -> Array:
        t = np.linspace(0, 1, count, dtype=np.float32) if count > 1 else np.full(1, 0.5, np.float32)
        return np.stack([1 - t, t], axis=1)
