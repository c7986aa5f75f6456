"""The values of a layer, brought into a form that can be drawn: a map over the picture, or one number a part."""

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
    """The layer that was explained, as the provenance tells of it; see `xaionnx.layers.layer.Axes`."""

    name: str
    axes: str
    grid: tuple[int, int] | None
    before: int
    after: int = 0

    @property
    def is_map(self) -> bool:
        """Whether it can lie over the picture."""
        return "H" in self.axes or self.grid is not None


def layer_of(explanation: Explanation) -> Layer | None:
    """The layer whose shape the values have; None where they have that of the input."""
    told = explanation.provenance.get("layer")
    if told is None:
        return None
    grid = None if told["grid"] is None else tuple(told["grid"])
    return Layer(told["name"], told["axes"], grid, told["before"], told.get("after", 0))


def covers_picture(explanation: Explanation) -> bool:
    """Whether the values are a map over the picture, as those of any input that is one; a layer may be none."""
    layer = layer_of(explanation)
    return layer is None or layer.is_map


def over_picture(values: Array, layer: Layer, height: int, width: int) -> tuple[Floats, str]:
    """A map (H, W) of a layer that :attr:`Layer.is_map`, and a sentence on how it was made."""
    if layer.grid is not None:
        each = values.astype(np.float64).sum(axis=1)
        last = len(each) - layer.after
        small = each[layer.before : last].reshape(layer.grid)
        words = f"The {values.shape[1]} values of each of {layer.grid[0]} x {layer.grid[1]} patches are summed"
        ending = _placeless(layer.before, "in front of", each[: layer.before].sum())
        ending += _placeless(layer.after, "behind", each[last:].sum())
    else:
        axis = layer.axes.index("C")
        small = values.astype(np.float64).sum(axis=axis)
        channels = f"{values.shape[axis]} channels are summed" if values.shape[axis] > 1 else "channel are taken"
        words = f"The values of the layer's {channels} at {_by(small)} places"
        ending = ""
    enlarged = Image.fromarray(small.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(enlarged, dtype=np.float64), f"{words} and enlarged to the picture bilinearly.{ending}"


def parts(values: Array, layer: Layer) -> tuple[Floats, list[str], str]:
    """One number for each channel, token or unit, their names, and a sentence on how they were made."""
    wide = values.astype(np.float64)
    if "C" in layer.axes:
        axis = layer.axes.index("C")
        kept = np.moveaxis(wide, axis, 0).reshape(wide.shape[axis], -1)
        return kept.sum(axis=1), _named("channel", len(kept)), "Values of a channel are summed over its places."
    if layer.axes == "TD":
        words = f"The {wide.shape[1]} values of each token are summed."
        return wide.sum(axis=1), _named("token", len(wide)), words
    if wide.ndim == 1:
        return wide, _named("unit", len(wide)), ""
    return wide.reshape(-1), [f"unit {', '.join(map(str, place))}" for place in np.ndindex(wide.shape)], ""


def _placeless(count: int, where: str, total: float) -> str:
    """A sentence on the tokens on one side of the patches."""
    tokens, have = ("token", "has") if count == 1 else (f"{count} tokens", "have")
    return f" The {tokens} {where} them, {number_words(total)} in all, {have} no place." if count else ""


def _named(kind: str, count: int) -> list[str]:
    return [f"{kind} {number}" for number in range(count)]


def _by(small: Array) -> str:
    return " x ".join(map(str, small.shape))
