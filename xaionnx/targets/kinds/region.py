"""The sum over a part of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.in_graph import Aim, ElementWeights
from xaionnx.targets.scores import axis_of_channels, channel_axis, flat, is_int, shape_words
from xaionnx.targets.selection import TargetTerm, padded_elements
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


def _read_region(threshold: str | None, output: str | None, model: Model) -> Target:
    return (
        Target.region(output=output) if threshold is None else Target.region(threshold=float(threshold), output=output)
    )


@final
@dataclass(frozen=True, eq=False)
class Region(Target):
    """The sum over a part of a tensor; over all of it if ``mask`` and ``threshold`` are None."""

    forms: ClassVar[tuple[Form[Target], ...]] = (
        Form("region", _read_region, "[:THRESHOLD]", "region:0.5"),
        Form("sum", lambda _, output, model: Target.sum(output=output)),
    )

    mask: Array | None
    at_channel: int | None
    threshold: float | None
    output: str | None = None

    __repr__ = short_repr

    @property
    def follows(self) -> bool:
        return self.mask is None and self.threshold is not None

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        tensor = self.tensor(model)
        channels = channel_axis(output, tensor, model)
        if channels is None and output.ndim == 3 and self.at_channel is not None:
            channels = axis_of_channels(output, tensor, model)
        inside = np.ones(output.shape, dtype=bool)
        words = f"sum of {tensor}"
        if self.mask is not None:
            inside = self._broadcast_mask(np.asarray(self.mask), output.shape, channels)
            words += " over a region"
        elif self.threshold is not None:
            inside = output > self.threshold
            words += f" where it exceeds {self.threshold:g}"
        if self.at_channel is not None:
            if channels is None or not (is_int(self.at_channel) and 0 <= self.at_channel < output.shape[channels]):
                raise ParameterError(
                    f"Tensor '{tensor}' of shape {shape_words(output)} has no channel {self.at_channel}."
                )
            one = np.arange(output.shape[channels]) == self.at_channel
            inside = inside & one.reshape([-1 if axis == channels else 1 for axis in range(output.ndim)])
            words += f", channel {self.at_channel}"
        chosen = flat(inside)
        if not chosen.any(axis=1).all():
            number = int(np.argmin(chosen.any(axis=1)))
            raise AbsentTargetError(f"The region of '{tensor}' is empty for sample {number}.")
        indices, weights = padded_elements(chosen)
        return [TargetTerm(tensor, "identity", indices, weights, (words,) * len(output), quantity="sum")]

    @staticmethod
    def _broadcast_mask(mask: Array, shape: tuple[int, ...], channels: int | None) -> Array:
        spatial = tuple(n for axis, n in enumerate(shape) if axis not in (0, channels))
        if mask.dtype.kind in "biu":
            if mask.shape == spatial:
                mask = mask[None]
            if mask.shape[1:] == spatial and len(mask) in (1, shape[0]):
                placed = mask if channels is None else np.expand_dims(mask, channels)
                return np.broadcast_to(placed != 0, shape)
            if mask.shape == shape:
                return np.not_equal(mask, 0)
        raise ParameterError(
            f"The 'mask' parameter of Target.region must be a bool array of shape {spatial}, or one per sample. "
            f"Got {mask.shape} {mask.dtype} instead."
        )

    def in_graph(self, model: Model, output: Array) -> Aim:
        if self.mask is not None or self.threshold is None:
            return super().in_graph(model, output)
        whole = Region(None, self.at_channel, None, self.output).terms(output, model)[0]
        allowed = np.zeros((1, flat(output).shape[1]), dtype=np.float32)
        allowed[0, whole.indices[0]] = 1
        threshold = np.float32(self.threshold)

        def follow(g: Builder, scores: ir.Value, named: ir.Value | None) -> ElementWeights:
            return ElementWeights(g.op("Mul", g.op("Cast", g.op("Greater", scores, threshold), to=1), allowed))

        channel = "" if self.at_channel is None else f", channel {self.at_channel}"
        words = f"sum of {whole.tensor} where it exceeds {self.threshold:g}{channel}"
        return Aim(whole.tensor, "identity", words, follow)
