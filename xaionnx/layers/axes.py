"""How the axes of a tensor read: which are places of the input, and which hold channels or tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Axis, Layout, Part, filled, place_on, tokens_on
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.layers.series import series
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


@final
@dataclass(frozen=True)
class Axes:
    """How the axes of a layer read, behind the batch.

    Attributes
    ----------
    letters : str
        ``CHW`` or ``HWC`` of a map over a picture; ``CT`` or ``TC`` of one over a series, with a ``1`` for an axis of
        one number; ``TD`` of tokens, ``F`` of units, ``-`` where nothing is known.
    grid : tuple (h, w) or None
        Of tokens that cut a picture into patches.
    before : int
        Tokens in front of the patches: the class token, one of distillation, registers.
    after : int
        Tokens behind the patches.

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
        """Read the axes of the tensor ``name``, of ``shape`` behind the batch, for the input of a sample."""
        over = series(model, sample)
        if over is not None:
            letters = over.letters.get(name, "")
            time, longest = letters.find("T"), sample.array.shape[1 - over.channel]
            if letters and len(letters) == len(shape) and 1 < shape[time] <= longest:
                return cls(letters)
        layout, extent = _layouts(model, sample).get(name, ()), extent_of(sample)
        if extent is not None and len(layout) == len(shape) + 1 and not any(part.placed for part in layout[0]):
            letters = "".join(part.kind if (part := place_on(axis)) else "C" for axis in layout[1:])
            if len(shape) == 2 and letters == "CC" and not any(part.placed for part in layout[2]):
                found = cls.along(layout[1], shape[0], extent)
                return found if found is not None else cls.of(shape)
            return cls.of(shape, extent, forms=(letters,))
        whole = sample.array.shape[0] if sample.array.ndim == 1 and sample.array.dtype.kind in "iu" else None
        return cls.of(shape, tokens=whole)

    @classmethod
    def of_keys(cls, model: Model, name: str, tokens: int, sample: Sample) -> Axes:
        """Read the last axis of the tensor ``name``, such as attention, for so many tokens."""
        layout, extent = _layouts(model, sample).get(name, ()), extent_of(sample)
        found = cls.along(layout[-1], tokens, extent) if layout and extent is not None else None
        return found if found is not None else cls("--")

    @classmethod
    def along(cls, axis: Axis, size: int, extent: tuple[int, int]) -> Axes | None:
        """Tokens along an axis of so many, for pictures of ``extent``; None where they are no patches of it."""
        part = tokens_on(filled(axis, size))
        if part is None or not _alike(part.grid, extent) or min(part.before, part.after) < 0:
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
        """Read the axes of a layer of ``shape``, for pictures of ``extent`` (H, W) or rows of so many ``tokens``.

        ``forms`` are the orders that a map over the picture may have here.
        """
        shape = tuple(shape)
        if len(shape) == 3 and extent is not None:
            fields = {"CHW": shape[1:], "HWC": shape[:2]}
            fitting = [letters for letters in fields if letters in forms and _alike(fields[letters], extent)]
            if fitting:
                # A few places fit many a picture: the aspect tells, and channels come first where it does not.
                return cls(min(fitting, key=lambda letters: _stretch(fields[letters], extent)))
        if len(shape) == 2 and tokens is not None and shape[0] == tokens:
            return cls("TD")
        return cls("F" if len(shape) == 1 else "-" * len(shape))


def _alike(field: tuple[int, ...], extent: tuple[int, int]) -> bool:
    """Whether a map covers a picture, each side one too long or short for what convolutions do at the border."""
    # A picture of one row, or column, has maps of one.
    wide = [(field[axis], extent[axis]) for axis in (0, 1) if field[axis] != 1 or extent[axis] != 1]
    if not wide or min(small for small, _ in wide) < 2:
        return False
    share = [large / small for small, large in wide]
    slack = [large / max(small - 1.5, 0.5) - large / small for small, large in wide]
    return min(share) >= 1 and max(share) - min(share) <= max(slack)


def _stretch(field: tuple[int, ...], extent: tuple[int, int]) -> float:
    """How much further a map is drawn out in one direction than in the other, to cover a picture."""
    return abs(math.log(extent[0] * field[1] / (extent[1] * field[0])))


def places_of(model: Model, sample: Sample) -> tuple[int, tuple[int, ...]] | None:
    """Axes of the channels and of the places of the explained input: height and width, or time; None without places."""
    over = series(model, sample)
    return sample.picture_axes if over is None else (over.channel, (1 - over.channel,))


def extent_of(sample: Sample) -> tuple[int, int] | None:
    """Height and width of the picture that is explained; None where it is none."""
    axes = sample.picture_axes
    return None if axes is None else (sample.array.shape[axes[1][0]], sample.array.shape[axes[1][1]])


def _layouts(model: Model, sample: Sample) -> Mapping[str, Layout]:
    """How the axes of tensors count the places of the picture that is explained; empty where it is none."""
    axes = sample.picture_axes
    if axes is None:
        return {}
    sizes, start = {name: (1, *x.shape) for name, x in sample.own.items()}, sample.main
    key = ("layouts", start, tuple(sizes.items()), axes)

    def find(view: GraphView) -> Mapping[str, Layout]:
        known = view.shapes(sizes)
        batch = (known.get(start) or sizes[start])[0] or 1
        kinds = {axes[1][0]: "H", axes[1][1]: "W"}
        behind = [
            (Part.place(kinds[axis], size, size) if axis in kinds else Part("C", size),)
            for axis, size in enumerate(sample.array.shape)
        ]
        return propagate_axes(view, {start: ((Part("N", batch),), *behind)}, known).layouts

    return graph_fact(model, key, find)


def counted(model: Model, name: str, shape: Sequence[int], sample: Sample) -> tuple[int, ...]:
    """The shape of a tensor of a picture's, the batch in front, where 0 stands for what only its axes tell."""
    layout = _layouts(model, sample).get(name, ())
    if len(layout) != len(shape):
        return tuple(shape)
    return tuple(size or math.prod(part.size for part in axis) for size, axis in zip(shape, layout, strict=True))
