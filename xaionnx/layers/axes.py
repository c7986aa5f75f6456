"""The meaning of a tensor's axes: spatial positions of the input, channels or tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Axis, AxisFactor, Layout, covering_factor, token_factor, with_size
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.layers.embeddings import has_tokens
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.layers.series import series
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


# Number of spatial axes of a picture.
_PICTURE: Final = 2


@final
@dataclass(frozen=True)
class Axes:
    """The meaning of a layer's axes, without the batch axis.

    Attributes
    ----------
    letters : str
        ``CHW`` or ``HWC`` for a map over a picture, ``CDHW`` or ``DHWC`` over a volume, ``CT`` or ``TC`` over a series,
        with ``1`` for an axis of size one; ``TD`` for tokens, ``F`` for units, ``-`` for unknown axes.
    grid : tuple (h, w) or None
        Rows and columns of patches, if the tokens are patches of a picture.
    before : int
        Number of tokens before the patches: class token, distillation token, registers.
    after : int
        Number of tokens after the patches.

    Examples
    --------
    >>> Axes.of((320, 7, 7), (224, 224))
    Axes(letters='CHW', grid=None, before=0, after=0)
    >>> Axes.of((12, 64), tokens=12).letters
    'TD'
    """

    letters: str
    grid: tuple[int, int] | None = None
    before: int = 0
    after: int = 0

    @classmethod
    def at(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> Axes:
        """Return the axes of the tensor ``name``, whose shape without the batch is ``shape``."""
        over = series(model, sample)
        if over is not None:
            letters = over.letters.get(name, "")
            time, longest = letters.find("T"), sample.array.shape[1 - over.channel]
            if letters and len(letters) == len(shape) and 1 < shape[time] <= longest:
                return cls(letters)
        layout, extent = _layouts(model, sample).get(name, ()), picture_size(sample)
        if _places(sample) and extent is None:
            letters = "".join(part.kind if (part := covering_factor(axis)) else "C" for axis in layout[1:])
            return cls(letters) if sorted(letters) == sorted("CDHW") else cls.of(shape)
        if extent is not None and len(layout) == len(shape) + 1 and not any(part.is_spatial for part in layout[0]):
            letters = "".join(part.kind if (part := covering_factor(axis)) else "C" for axis in layout[1:])
            if len(shape) == 2 and letters == "CC" and not any(part.is_spatial for part in layout[2]):
                found = cls.along(layout[1], shape[0], extent)
                return found if found is not None else cls.of(shape)
            return cls.of(shape, extent, forms=(letters,))
        whole = sample.array.shape[0] if sample.array.ndim == 1 and has_tokens(model) else None
        return cls.of(shape, tokens=whole)

    @classmethod
    def of_keys(cls, model: Model, name: str, tokens: int, sample: Sample) -> Axes:
        """Return the last axis, of ``tokens`` entries, of the tensor ``name``, such as attention keys."""
        layout, extent = _layouts(model, sample).get(name, ()), picture_size(sample)
        found = cls.along(layout[-1], tokens, extent) if layout and extent is not None else None
        return found if found is not None else cls("--")

    @classmethod
    def along(cls, axis: Axis, size: int, extent: tuple[int, int]) -> Axes | None:
        """Return the tokens along an axis; None if they are not patches of a picture of ``extent`` (H, W)."""
        part = token_factor(with_size(axis, size))
        if part is None or not _covers(part.grid, extent) or min(part.before, part.after) < 0:
            return None
        if size != part.before + math.prod(part.grid) + part.after:
            return None
        return cls("TD", part.grid, part.before, part.after)

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        extent: tuple[int, int] | None = None,
        tokens: int | None = None,
        forms: Sequence[str] = ("CHW", "HWC"),
    ) -> Axes:
        """Infer the axes of a layer from its ``shape``, for pictures of ``extent`` (H, W) or rows of ``tokens`` tokens.

        ``forms`` lists the axis orders that a map over the picture may have here.
        """
        shape = tuple(shape)
        if len(shape) == 3 and extent is not None:
            sizes = {"CHW": shape[1:], "HWC": shape[:2]}
            fitting = [letters for letters in sizes if letters in forms and _covers(sizes[letters], extent)]
            if fitting:
                # Small maps fit many pictures: the aspect ratio decides, and in a tie channels come first.
                return cls(min(fitting, key=lambda letters: _aspect_mismatch(sizes[letters], extent)))
        if len(shape) == 2 and tokens is not None and shape[0] == tokens:
            return cls("TD")
        return cls("F" if len(shape) == 1 else "-" * len(shape))


def _covers(size: tuple[int, ...], extent: tuple[int, int]) -> bool:
    """Whether a map of ``size`` can cover a picture; each side may be off by one, as convolutions leave it."""
    # A picture with a single row or column has maps with a single row or column.
    sides = [(size[axis], extent[axis]) for axis in (0, 1) if size[axis] != 1 or extent[axis] != 1]
    if not sides or min(small for small, _ in sides) < 2:
        return False
    ratio = [large / small for small, large in sides]
    slack = [large / max(small - 1.5, 0.5) - large / small for small, large in sides]
    return min(ratio) >= 1 and max(ratio) - min(ratio) <= max(slack)


def _aspect_mismatch(size: tuple[int, ...], extent: tuple[int, int]) -> float:
    """Absolute log ratio of the two factors that enlarge a map of ``size`` to a picture."""
    return abs(math.log(extent[0] * size[1] / (extent[1] * size[0])))


def input_axes(model: Model, sample: Sample) -> tuple[int | None, tuple[int, ...]] | None:
    """Return the channel axis, if any, and the spatial axes (rows and columns, also depth; time) of the input."""
    over = series(model, sample)
    if over is not None:
        return over.channel, (1 - over.channel,)
    found, places = sample.positions(), _places(sample)
    return (next(iter(found.values), None), places) if found is not None and places else None


def _places(sample: Sample) -> tuple[int, ...]:
    """The axes of the places of a picture or a volume with at most one axis of channels; empty for any other input."""
    found = sample.positions()
    if found is None or not (found.is_picture or found.is_volume) or len(found.values) > 1:
        return ()
    return found.axes


def picture_size(sample: Sample) -> tuple[int, int] | None:
    """Height and width of the explained picture; None if the input is not a picture."""
    places = _places(sample)
    if len(places) != _PICTURE:
        return None
    return sample.array.shape[places[0]], sample.array.shape[places[1]]


def _layouts(model: Model, sample: Sample) -> Mapping[str, Layout]:
    """The axis layouts of the model's tensors, relative to the explained picture or volume; empty if it is neither."""
    axes = _places(sample)
    if not axes:
        return {}
    sizes, start = {name: (1, *x.shape) for name, x in sample.own.items()}, sample.main
    key = ("layouts", start, tuple(sizes.items()), axes)

    def find(view: GraphView) -> Mapping[str, Layout]:
        known = view.shapes(sizes)
        batch = (known.get(start) or sizes[start])[0] or 1
        kinds = dict(zip(axes, "DHW"[-len(axes) :], strict=True))
        own_axes = [
            (AxisFactor.spatial(kinds[axis], size, size) if axis in kinds else AxisFactor("C", size),)
            for axis, size in enumerate(sample.array.shape)
        ]
        return propagate_axes(view, {start: ((AxisFactor("N", batch),), *own_axes)}, known).layouts

    return graph_fact(model, key, find)


def known_shape(model: Model, name: str, shape: Sequence[int], sample: Sample) -> tuple[int, ...]:
    """The shape of a tensor with batch axis, each unknown size, 0, replaced by the size that its layout implies."""
    layout = _layouts(model, sample).get(name, ())
    if len(layout) != len(shape):
        return tuple(shape)
    return tuple(size or math.prod(part.size for part in axis) for size, axis in zip(shape, layout, strict=True))
