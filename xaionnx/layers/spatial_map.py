"""The spatial positions of a layer, mapped to those of the input: channels as planes, maps enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.axes import Axes, input_positions, of_each_input
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_sizes
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


# Number of axes of positions that a compiled map has at most.
_PICTURE: Final = 2

UPSAMPLING: Final = ("bilinear", "nearest")


@final
@dataclass(frozen=True, eq=False)
class SpatialMap:
    """The positions of a layer over the explained input.

    A map over a picture has h x w positions, one over a volume d h x w, and one over a series or tokens 1 x t. Tokens
    that are patches of a picture have those of their grid, other tokens beside them none; tokens of a row have 1 x T.
    All numbers of a position are its channels.

    Attributes
    ----------
    axes : Axes
    shape : tuple of int
        Shape of the layer without the batch.
    sample : Sample
        Any sample, for the sizes of the input.
    over : tuple of int or None
        The axes of the input that the positions are along; None for a row of tokens.
    """

    axes: Axes
    shape: tuple[int, ...]
    sample: Sample
    over: tuple[int, ...] | None

    @classmethod
    def of(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> SpatialMap:
        """Return the map of the layer ``name``, whose shape without the batch is ``shape``.

        The positions are those of the explained input, or of the first other input that the layer has positions of.

        Raises
        ------
        UnsupportedModelError
            The layer has no positions.
        """
        for one in of_each_input(sample):
            found = cls.at(Axes.at(model, name, shape, one), shape, one)
            if found is not None:
                return found
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name}, {('N', *short_sizes(shape))}, has no spatial positions over the input"
            f"{_advice(sample)}"
        )

    @classmethod
    def at(cls, axes: Axes, shape: Sequence[int], sample: Sample) -> SpatialMap | None:
        """Return the map of a layer with known axes; None if it has no positions."""
        if axes.positions:
            given = input_positions(sample)
            return cls(axes, tuple(shape), sample, tuple(given[axes.letters[axis]] for axis in axes.positions))
        if axes.grid is not None:
            return cls(axes, tuple(shape), sample, tuple(input_positions(sample)[letter] for letter in "HW"))
        if axes.letters == "TD" and sample.array.ndim == 1:
            return cls(axes, tuple(shape), sample, None)
        return None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows h and columns w of the layer; those of all slices of a volume."""
        if self.axes.positions:
            return math.prod(self._sizes[:-1]), self._sizes[-1]
        return self.axes.grid or (1, self.shape[0])

    def planes(self, x: Array) -> Array:
        """Return values of the layer (..., \\*shape) as maps of its channels, (..., D, h, w)."""
        lead = x.ndim - len(self.shape)
        if self.axes.positions:
            order = (*range(lead), *(lead + axis for axis in (*self.axes.values, *self.axes.positions)))
            return x.transpose(order).reshape(*x.shape[:lead], self._channels, *self.grid)
        patches = x[..., self._patches, :]
        return np.moveaxis(patches, -1, -2).reshape(*x.shape[:lead], self.shape[1], *self.grid)

    def without(self, x: Array, channel: Array) -> Array:
        """Return values of the layer (M, \\*shape) with one channel of each row set to zero; other tokens stay."""
        emptied, rows = x.copy(), np.arange(len(x))
        if self.axes.positions:
            values = self.axes.values
            places = np.unravel_index(channel, [self.shape[axis] for axis in values])
            np.moveaxis(emptied, [axis + 1 for axis in values], range(1, len(values) + 1))[(rows, *places)] = 0
        else:
            np.moveaxis(emptied, 2, 1)[rows, channel, self._patches] = 0
        return emptied

    def enlarged(self, maps: Array, how: str) -> Array:
        """Return maps (..., h, w) enlarged to the positions of the input, (..., H, W) or (..., T)."""
        lead = maps.shape[:-2]
        if self.over is None:
            return maps.reshape(*lead, -1)
        if len(self.over) > _PICTURE:
            large = maps.reshape(*lead, *self._sizes)
            for axis, small in enumerate(self._sizes, start=len(lead)):
                weights = enlargement(small, self.sample.array.shape[self.over[axis - len(lead)]], how)
                large = np.moveaxis(np.moveaxis(large, axis, -1) @ weights.T, -1, axis)
            return large
        rows, columns = self._weights(how)
        large = rows @ maps @ columns.T
        return large.reshape(*lead, *(self.sample.array.shape[axis] for axis in self.over))

    def spread(self, maps: Array, how: str) -> Array:
        """Return maps (..., h, w) enlarged to the shape of the input, (..., \\*shape), the same for every channel."""
        large, lead = self.enlarged(maps, how), maps.shape[:-2]
        if self.over is None:
            return large
        alike = [len(lead) + axis for axis in range(self.sample.array.ndim) if axis not in self.over]
        return np.broadcast_to(np.expand_dims(large, alike), (*lead, *self.sample.array.shape))

    @property
    def _sizes(self) -> tuple[int, ...]:
        """The sizes of the layer along its positions."""
        return tuple(self.shape[axis] for axis in self.axes.positions)

    @property
    def _channels(self) -> int:
        return math.prod(self.shape[axis] for axis in self.axes.values)

    @property
    def _patches(self) -> slice:
        """The tokens that are patches."""
        return slice(self.axes.before, self.shape[0] - self.axes.after)

    def _weights(self, how: str) -> tuple[Array, Array]:
        assert self.over is not None  # rows of tokens are not enlarged
        height, width = (1, *(self.sample.array.shape[axis] for axis in self.over))[-2:]
        return enlargement(self.grid[0], height, how), enlargement(self.grid[1], width, how)

    def emit_planes(self, g: Builder, x: ir.Value) -> ir.Value:
        """Emit :meth:`planes` of (N, \\*shape)."""
        values, places = self.axes.values, self.axes.positions
        if places:
            order = [0, *(axis + 1 for axis in (*values, *places))]
            first = g.op("Transpose", x, perm=order) if order != sorted(order) else x
            if len(places) > _PICTURE:
                raise UnsupportedModelError("Maps over volumes cannot be compiled. Explain the volume instead.")
            if len(values) == 1 and len(places) == _PICTURE:
                return first
            return g.reshape(first, np.array([0, self._channels, *self.grid], dtype=np.int64))
        if self.axes.before or self.axes.after:
            ends = (np.array([n], dtype=np.int64) for n in (self._patches.start, self._patches.stop, 1))
            x = g.op("Slice", x, *ends)
        turned = g.op("Transpose", x, perm=[0, 2, 1])
        return g.reshape(turned, np.array([0, self.shape[1], *self.grid], dtype=np.int64))

    def emit_spread(self, g: Builder, maps: ir.Value, how: str) -> ir.Value:
        """Emit :meth:`spread` of (N, 1, h, w)."""
        if self.over is None:
            return g.reshape(maps, np.array([0, self.grid[1]], dtype=np.int64))
        # The same matrices as in numpy: providers differ in how Resize rounds positions half-way between two.
        kind = maps.dtype.numpy() if maps.dtype is not None else np.float32
        rows, columns = (matrix.astype(kind) for matrix in self._weights(how))
        large = g.op("MatMul", g.op("MatMul", rows, maps), np.ascontiguousarray(columns.T))
        shape = self.sample.array.shape
        alone = np.array([0, *(shape[axis] if axis in self.over else 1 for axis in range(len(shape)))], dtype=np.int64)
        each = np.array([1, *(1 if axis in self.over else size for axis, size in enumerate(shape))], dtype=np.int64)
        spread = g.reshape(large, alone)
        return g.op("Expand", spread, each) if each.max() > 1 else spread


def _advice(sample: Sample) -> str:
    """The rest of the sentence that says that a tensor has no positions."""
    if any(input_positions(one) for one in of_each_input(sample)):
        return (
            ", so there is no map of it. Name with layer= a map over the picture, (N, C, h, w), or the series, "
            "(N, C, t), or tokens that are patches of a picture."
        )
    return (
        f": class activation maps need a picture, a series or tokens, and '{sample.main}', "
        f"{('N', *sample.array.shape)}, is none of these. Use integrated_gradients."
    )


def enlargement(small: int, large: int, how: str) -> Array:
    """Return the matrix (large, small) that enlarges a row of ``small`` pixels, with half-pixel centres.

    Examples
    --------
    >>> enlargement(2, 4, "bilinear")
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    >>> enlargement(2, 3, "nearest")
    array([[1., 0.],
           [0., 1.],
           [0., 1.]])
    """
    matrix, rows = np.zeros((large, small)), np.arange(large)
    if how == "nearest":
        matrix[rows, (2 * rows + 1) * small // (2 * large)] = 1
        return matrix
    centre = np.clip((rows + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.minimum(np.floor(centre).astype(int), max(small - 2, 0))
    matrix[rows, low] = 1 - (centre - low)
    if small > 1:
        matrix[rows, low + 1] = centre - low
    return matrix
