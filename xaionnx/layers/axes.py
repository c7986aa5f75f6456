"""The meaning of a tensor's axes: positions of the input, channels or tokens, from the roles of the input's axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Axis, AxisFactor, Layout, covering_factor, token_factor, with_size
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.roles import Role, Roles
from xaionnx.layers.embeddings import has_tokens
from xaionnx.layers.shapes import shapes_of
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.typing import Shapes


# The letters of positions by their number of axes, and that of rows that are one sample together.
_LETTERS: Final = {1: "T", 2: "HW", 3: "DHW"}
_ROWS: Final = "R"
_ROLES: Final = {
    **dict.fromkeys("DHW", Role.SPACE), **dict.fromkeys("C1", Role.CHANNEL), "T": Role.TIME, "F": Role.FEATURE,
}  # fmt: skip
# Number of spatial axes of a picture.
_PICTURE: Final = 2
# Numbers of samples that hardly any other axis has.
_SAMPLES: Final = (523, 541)


@final
@dataclass(frozen=True)
class Axes:
    """The meaning of a layer's axes, without the batch axis.

    Attributes
    ----------
    letters : str
        A letter an axis: ``H`` and ``W`` for rows and columns of a picture, ``D`` too for a volume, ``T`` for time or
        tokens, ``R`` for rows that are one sample together, ``C`` for channels and ``1`` for an axis of size one, such
        as ``CHW`` or ``TC``. ``TD`` for tokens that are not resampled, ``F`` for units, ``-`` for unknown axes.
    grid : tuple (h, w) or None
        Rows and columns of patches, if the tokens are patches of a picture.
    before : int
        Number of tokens before the patches: class token, distillation token, registers.
    after : int
        Number of tokens after the patches.

    Examples
    --------
    >>> Axes("CHW").positions, Axes("TCC").positions, Axes("TD").positions
    ((1, 2), (0,), ())
    """

    letters: str
    grid: tuple[int, int] | None = None
    before: int = 0
    after: int = 0

    @property
    def positions(self) -> tuple[int, ...]:
        """The axes of a map's positions, in the order of the input's; empty for tokens and units."""
        if "C" not in self.letters:
            return ()
        return tuple(self.letters.index(letter) for letter in _ROWS + "DHWT" if letter in self.letters)

    @property
    def roles(self) -> Roles:
        """The role of each axis."""
        if self.letters == "TD":
            return Role.TOKEN, Role.FEATURE
        # Columns without rows, as ahead of the head of a reader of text, follow each other as steps do.
        alone = sum(letter in "DHW" for letter in self.letters) == 1
        roles = {**_ROLES, **dict.fromkeys("DHW", Role.TIME)} if alone else _ROLES
        return tuple(roles.get(letter, Role.UNKNOWN) for letter in self.letters)

    @property
    def values(self) -> tuple[int, ...]:
        """The other axes: the channels."""
        return tuple(axis for axis in range(len(self.letters)) if axis not in self.positions)

    @classmethod
    def at(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> Axes:
        """Return the axes of the tensor ``name``, whose shape without the batch is ``shape``."""
        return AxesOverInput.of(model, sample).at(name, shape)

    @classmethod
    def over_inputs(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> Axes:
        """Return :meth:`at` over the explained input, or over the first other one that the tensor has positions of."""
        found = [cls.at(model, name, shape, one) for one in of_each_input(sample)]
        return next((axes for axes in found if axes.positions or axes.grid is not None), found[0])

    @classmethod
    def unknown(cls, shape: Sequence[int]) -> Axes:
        """Return the axes of units, or of a tensor of which nothing is known."""
        return cls("F" if len(shape) == 1 else "-" * len(shape))

    @classmethod
    def of_keys(cls, model: Model, name: str, tokens: int, sample: Sample) -> Axes:
        """Return the last axis, of ``tokens`` entries, of the tensor ``name``, such as attention keys."""
        layout, extent = layouts(model, sample).get(name, ()), picture_size(sample)
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


def _covers(size: tuple[int, ...], extent: tuple[int, int]) -> bool:
    """Whether patches of ``size`` can cover a picture; each side may be off by one, as convolutions leave it."""
    # A picture with a single row or column has maps with a single row or column.
    sides = [(size[axis], extent[axis]) for axis in (0, 1) if size[axis] != 1 or extent[axis] != 1]
    if not sides or min(small for small, _ in sides) < 2:
        return False
    ratio = [large / small for small, large in sides]
    slack = [large / max(small - 1.5, 0.5) - large / small for small, large in sides]
    return min(ratio) >= 1 and max(ratio) - min(ratio) <= max(slack)


def input_positions(sample: Sample) -> dict[str, int]:
    """Return the axes of the input's positions, by their letter as in :class:`Axes`; empty if it has none.

    The axes of a picture, a volume or a series are those that its roles, or its spec, tell; rows beside them that
    together are one sample count as positions too.
    """
    found, roles = sample.positions(), sample.roles.get(sample.main, ())
    if found is None or len(found.axes) not in _LETTERS:
        return {}
    letters = dict(zip(_LETTERS[len(found.axes)], found.axes, strict=True))
    rows = [axis for axis in found.values if roles and roles[axis] is Role.UNKNOWN]
    # The axes of the input are in ascending order.
    if len(rows) == 1 and len(found.values) > 1 and rows[0] < found.axes[0]:
        return {_ROWS: rows[0], **letters}
    return letters


def picture_size(sample: Sample) -> tuple[int, int] | None:
    """Height and width of the explained picture; None if the input is not a picture."""
    found = input_positions(sample)
    if "H" not in found or "D" in found:
        return None
    return sample.array.shape[found["H"]], sample.array.shape[found["W"]]


def layouts(model: Model, sample: Sample) -> Mapping[str, Layout]:
    """The axis layouts of the model's tensors, relative to the positions of the explained input; empty without any."""
    return AxesOverInput.of(model, sample).layouts


@final
class AxesOverInput:
    """The axes of a model's tensors over the explained input of a sample; what they share is found once.

    Parameters
    ----------
    model : Model
    sample : Sample
    """

    def __init__(self, model: Model, sample: Sample) -> None:
        self._sample = sample
        self._batch = BatchAxes.of(model, {name: x.shape for name, x in sample.own.items()})
        self._extent, self._axes = picture_size(sample), input_positions(sample)
        self._tokens = _token_count(model, sample)
        self.layouts: Mapping[str, Layout] = self._propagate(model) if self._axes else {}

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, sample: Sample) -> AxesOverInput:
        """Return the axes over an input, made once for inputs of the same shapes and positions."""
        sizes = tuple((name, x.shape) for name, x in sample.own.items())
        key = ("axes over input", sample.main, sizes, tuple(input_positions(sample).items()))
        return graph_fact(model, key, lambda _: cls(model, sample))

    @staticmethod
    def may_be_held(model: Model, sample: Sample) -> bool:
        """Whether tensors may have positions of the input: if not, all axes are of units, or unknown."""
        return bool(input_positions(sample)) or _token_count(model, sample) is not None

    def at(self, name: str, shape: Sequence[int]) -> Axes:
        """Return the axes of the tensor ``name``, whose shape without the batch is ``shape``."""
        layout = self._inner_layout(name, shape)
        if layout is None:
            # Beyond ops that axes cannot be followed through, such as loops, the number of tokens shows their axis.
            tokens = self._tokens is not None and len(shape) == 2
            found = tokens and name not in self.layouts and shape[0] in (0, self._tokens)
            return Axes("TD") if found else Axes.unknown(shape)
        if self._extent is not None and len(layout) == 2 and not any(part.is_spatial for part in layout[1]):
            along = Axes.along(layout[0], shape[0], self._extent)
            if along is not None:
                return along
        letters = _letters(layout, shape, self._sample)
        if letters == "TC" and shape[0] == self._tokens:
            return Axes("TD")
        return Axes(letters) if letters else Axes.unknown(shape)

    def _propagate(self, model: Model) -> Mapping[str, Layout]:
        sample, start = self._sample, self._sample.main
        axes, known = {axis: letter for letter, axis in self._axes.items()}, shapes_of(model, sample)
        batch = (known.get(start) or (1, *sample.array.shape))[0] or 1
        own = [
            (AxisFactor.spatial(axes[axis], size, size) if axis in axes else AxisFactor("C", size),)
            for axis, size in enumerate(sample.array.shape)
        ]
        return propagate_axes(model.view, {start: ((AxisFactor("N", batch),), *own)}, known).layouts

    def _inner_layout(self, name: str, shape: Sequence[int]) -> Layout | None:
        """The layout of a tensor without the batch axis; None if it is not known for this shape."""
        layout = self.layouts.get(name, ())
        if len(layout) == len(shape):
            # A model of one sample, in which the tensor has no axis of samples.
            return layout if self._batch.at(name, shape) is None else None
        if len(layout) != len(shape) + 1:
            return None
        held = [math.prod(part.size for part in axis) for axis in layout]
        lead = self._batch.at(name, held) or 0
        rest = (*layout[:lead], *layout[lead + 1 :])
        return None if any(part.is_spatial for part in layout[lead] if part.size != 1) else rest


@final
class BatchAxes:
    """The batch axes of a model's tensors: the only axis of each whose size follows the number of samples.

    Parameters
    ----------
    model : Model
    sizes : mapping of sequence of int by input name
        Shapes of one sample of the inputs that have samples.
    """

    def __init__(self, model: Model, sizes: Mapping[str, Sequence[int]]) -> None:
        self._declared = {info.name for info in (*model.inputs, *model.outputs)}
        self._is_single = {i.shape[0] for i in model.inputs if i.name not in model.shared and i.shape} == {1}
        self._view, self._sizes = model.view, sizes

    __repr__ = short_repr

    @classmethod
    def of(cls, model: Model, sizes: Mapping[str, Sequence[int]]) -> BatchAxes:
        """Return the batch axes for inputs of some sizes, made once for these."""
        key = ("batch axes", tuple((name, tuple(size)) for name, size in sizes.items()))
        return graph_fact(model, key, lambda _: cls(model, sizes))

    def at(self, name: str, shape: Sequence[int]) -> int | None:
        """Return the batch axis of a tensor of ``shape`` for one sample; None if it has none, as in a model of one."""
        if name in self._declared:
            return 0
        if self._is_single:
            return 0 if tuple(shape[:1]) == (1,) else None
        found = [
            {axis for axis, size in enumerate(known.get(name, ())) if size == samples}
            for samples, known in zip(_SAMPLES, self._shapes, strict=True)
        ]
        axes = set.intersection(*found)
        return axes.pop() if len(axes) == 1 else 0

    @cached_property
    def _shapes(self) -> list[Shapes]:
        """The shapes for numbers of samples that hardly any other axis has."""
        return [self._view.shapes({key: (count, *size) for key, size in self._sizes.items()}) for count in _SAMPLES]


def _token_count(model: Model, sample: Sample) -> int | None:
    """The number of tokens; None if the input holds none."""
    return len(sample.array) if sample.array.ndim == 1 and has_tokens(model) else None


def _letters(layout: Layout, shape: Sequence[int], sample: Sample) -> str:
    """The letters of a map; empty if the tensor is none: without positions or channels, or with mixed positions."""
    letters = "".join(_letter(axis, size) for axis, size in zip(layout, shape, strict=True))
    if "C" not in letters:
        # One channel.
        letters = letters.replace("1", "C", 1)
    given = input_positions(sample)
    held = {letter: axis for letter, axis in given.items() if letter in letters}
    sides = [(shape[letters.index(letter)], sample.array.shape[axis]) for letter, axis in held.items()]
    unique = all(letters.count(letter) <= 1 for letter in given)
    covers = all(0 < small <= large for small, large in sides) and math.prod(small for small, _ in sides) > 1
    return letters if "C" in letters and "-" not in letters and unique and covers else ""


def _letter(axis: Axis, size: int) -> str:
    part = covering_factor(axis)
    if part is not None:
        return part.kind if part.size in (0, size) else "-"
    if any(factor.kind in ("?", "P") for factor in axis):
        return "-"
    if not axis:
        return "1" if size in (0, 1) else "-"
    # Values of all positions along another axis, such as rows of a picture that are features of its columns.
    whole = all(not factor.is_spatial or covering_factor((factor,)) is not None for factor in axis)
    return "C" if whole else "-"


def inputs_with_maps(model: Model, sample: Sample) -> list[Sample]:
    """Return those of :func:`of_each_input` over which a tensor of the model may have positions."""
    return [one for one in of_each_input(sample) if AxesOverInput.may_be_held(model, one)]


def of_each_input(sample: Sample) -> list[Sample]:
    """Return the sample with each input of floats as the explained one, its own first."""
    others = [name for name, x in sample.data.items() if name != sample.main and x.dtype.kind == "f"]
    return [sample, *(replace(sample, main=name, spec=None) for name in others)]
