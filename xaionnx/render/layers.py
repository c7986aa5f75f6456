"""The values of a layer in a form that can be drawn: a map over the picture, or one number per part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render.colours import number_words
from xaionnx.typing import Array, Floats


@final
@dataclass(frozen=True)
class Layer:
    """The explained layer, as recorded in the provenance; see `xaionnx.layers.axes.Axes`."""

    name: str
    axes: str
    grid: tuple[int, int] | None
    before: int
    after: int = 0
    unit: str = "unit"

    @property
    def is_map(self) -> bool:
        """Whether the layer is a map over the picture."""
        return "H" in self.axes or self.grid is not None


def layer_of(explanation: Explanation) -> Layer | None:
    """The layer whose shape the values have; None if they have the shape of the input, or of several tensors."""
    facts = explanation.provenance.get("layer")
    if facts is None or isinstance(explanation.values, dict):
        return None
    grid = None if facts["grid"] is None else tuple(facts["grid"])
    return Layer(facts["name"], facts["axes"], grid, facts["before"], facts.get("after", 0), facts.get("unit", "unit"))


def covers_picture(explanation: Explanation) -> bool:
    """Whether the values are a map over the picture; values of a layer may not be."""
    layer = layer_of(explanation)
    return layer is None or layer.is_map


def over_picture(values: Array, layer: Layer, height: int, width: int) -> tuple[Floats, str]:
    """The map (H, W) of a layer with :attr:`Layer.is_map`, and a sentence on how it was computed."""
    if layer.grid is not None:
        each, same = _joined(values, 1)
        last = len(each) - layer.after
        summed = each[layer.before : last].reshape(layer.grid)
        joined = "the same, taken once" if same else "summed"
        words = f"The {values.shape[1]} values of each of {layer.grid[0]} x {layer.grid[1]} patches are {joined}"
        ending = _outside_tokens(layer.before, "before", each[: layer.before].sum())
        ending += _outside_tokens(layer.after, "after", each[last:].sum())
    else:
        axis = layer.axes.index("C")
        summed, same = _joined(values, axis)
        joined = "the same, taken once," if same else "summed"
        channels = f"{values.shape[axis]} channels are {joined}" if values.shape[axis] > 1 else "channel are taken"
        words = f"The values of the layer's {channels} at {_by(summed)} positions"
        ending = ""
    enlarged = Image.fromarray(summed.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(enlarged, dtype=np.float64), f"{words} and upsampled to the picture bilinearly.{ending}"


def parts(values: Array, layer: Layer) -> tuple[Floats, list[str], str]:
    """One number per channel, token or unit, their names, and a sentence on how they were computed."""
    wide = values.astype(np.float64)
    if "C" in layer.axes:
        axis = layer.axes.index("C")
        at_positions, same = _joined(values, axis)
        if same and at_positions.size > 1:
            names = [f"position {', '.join(map(str, place))}" for place in np.ndindex(at_positions.shape)]
            return at_positions.reshape(-1), names, "The values of a position are the same for all channels."
        by_channel = np.moveaxis(wide, axis, 0).reshape(wide.shape[axis], -1)
        return (
            by_channel.sum(axis=1),
            _numbered("channel", len(by_channel)),
            "Values of a channel are summed over its positions.",
        )
    if layer.axes == "TD":
        words = f"The {wide.shape[1]} values of each token are summed."
        return wide.sum(axis=1), _numbered("token", len(wide)), words
    if wide.ndim == 1:
        return wide, _numbered(layer.unit, len(wide)), ""
    return wide.reshape(-1), [f"{layer.unit} {', '.join(map(str, place))}" for place in np.ndindex(wide.shape)], ""


def _joined(values: Array, axis: int) -> tuple[Floats, bool]:
    """The values summed along an axis, or as they are if they are all the same along it, and whether they are.

    Methods that remove positions give their value to all numbers there, whose sum would count it that often.
    """
    wide = values.astype(np.float64)
    first: Floats = np.asarray(np.moveaxis(wide, axis, 0)[0])
    same = bool(wide.shape[axis] > 1 and first.any() and (wide == np.expand_dims(first, axis)).all())
    return (first if same else np.asarray(wide.sum(axis=axis))), same


def _outside_tokens(count: int, where: str, total: float) -> str:
    """A sentence on the tokens before or after the patches."""
    tokens, have = ("token", "has") if count == 1 else (f"{count} tokens", "have")
    return f" The {tokens} {where} them, {number_words(total)} in all, {have} no position." if count else ""


def _numbered(kind: str, count: int) -> list[str]:
    return [f"{kind} {number}" for number in range(count)]


def _by(summed: Array) -> str:
    return " x ".join(map(str, summed.shape))
