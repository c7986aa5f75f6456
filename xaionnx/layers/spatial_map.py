"""The spatial positions of a layer, mapped to those of the input: channels as planes, maps enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.axes import Axes, input_axes
from xaionnx.layers.embeddings import has_tokens
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


# Number of spatial axes of a volume.
_VOLUME: Final = 3

UPSAMPLING: Final = ("bilinear", "nearest")


@final
@dataclass(frozen=True, eq=False)
class SpatialMap:
    """The spatial positions of a layer over the explained input.

    A map over a picture has h x w positions, one over a volume d h x w, and one over a series 1 x t. Tokens that are
    patches of a picture have those of their grid, other tokens beside them none; tokens of a row have 1 x T.

    Attributes
    ----------
    axes : Axes
    shape : tuple of int
        Shape of the layer without the batch.
    sample : Sample
        Any sample, for the sizes of the input.
    over : tuple or None
        The channel axis, None without channels, and the spatial axes of the input; None for a row of tokens.
    """

    axes: Axes
    shape: tuple[int, ...]
    sample: Sample
    over: tuple[int | None, tuple[int, ...]] | None

    @classmethod
    def of(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> SpatialMap:
        """Return the spatial map of the layer ``name``, whose shape without the batch is ``shape``.

        Raises
        ------
        UnsupportedModelError
            The layer has no spatial positions.
        """
        axes, shape = Axes.at(model, name, shape, sample), tuple(shape)
        if "C" in axes.letters or axes.grid is not None or (axes.letters == "TD" and sample.array.ndim == 1):
            return cls(axes, shape, sample, input_axes(model, sample))
        over = input_axes(model, sample)
        if over is None and (sample.array.ndim != 1 or not has_tokens(model)):
            raise UnsupportedModelError(
                f"Tensor '{name}' of {model.name}, {('N', *shape)}, has no spatial positions over the input: class "
                f"activation maps need a picture, a series or tokens, and '{sample.main}', "
                f"{('N', *sample.array.shape)}, is none of these. Use integrated_gradients."
            )
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name}, {('N', *shape)}, has no spatial positions over the input, so there is "
            "no map of it. Name with layer= a map over the picture, (N, C, h, w), or the series, (N, C, t), or tokens "
            "that are patches of a picture."
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows h and columns w of the layer; those of all slices of a volume."""
        if "C" in self.axes.letters:
            sizes = self._sizes
            return (math.prod(sizes[:-1]), sizes[-1]) if "H" in self.axes.letters else (1, max(sizes))
        return self.axes.grid or (1, self.shape[0])

    def planes(self, x: Array) -> Array:
        """Return values of the layer (..., \\*shape) as maps of its channels, (..., D, h, w)."""
        lead = x.shape[: x.ndim - len(self.shape)]
        if "C" in self.axes.letters:
            first = np.moveaxis(x, len(lead) + self._channel, len(lead))
            return first.reshape(*lead, self.shape[self._channel], *self.grid)
        patches = x[..., self._patches, :]
        return np.moveaxis(patches, -1, -2).reshape(*lead, self.shape[1], *self.grid)

    def without(self, x: Array, channel: Array) -> Array:
        """Return values of the layer (M, \\*shape) with one channel of each row set to zero; other tokens stay."""
        axis = self._channel if "C" in self.axes.letters else 1
        emptied = np.moveaxis(x.copy(), axis + 1, 1)
        rows = np.arange(len(x))
        emptied[rows, channel, self._patches if self.axes.letters == "TD" else slice(None)] = 0
        return np.moveaxis(emptied, 1, axis + 1)

    def enlarged(self, maps: Array, how: str) -> Array:
        """Return maps (..., h, w) enlarged to the spatial positions of the input, (..., H, W) or (..., T)."""
        lead = maps.shape[:-2]
        if self.over is None:
            return maps.reshape(*lead, -1)
        if len(self.over[1]) == _VOLUME:
            large = maps.reshape(*lead, *self._sizes)
            for axis, small in enumerate(self._sizes, start=len(lead)):
                weights = enlargement(small, self.sample.array.shape[self.over[1][axis - len(lead)]], how)
                large = np.moveaxis(np.moveaxis(large, axis, -1) @ weights.T, -1, axis)
            return large
        rows, columns = self._weights(how)
        large = rows @ maps @ columns.T
        return large.reshape(*lead, *(self.sample.array.shape[axis] for axis in self.over[1]))

    def spread(self, maps: Array, how: str) -> Array:
        """Return maps (..., h, w) enlarged to the shape of the input, (..., \\*shape), the same for every channel."""
        large = self.enlarged(maps, how)
        if self.over is None or self.over[0] is None:
            return large
        lead = maps.shape[:-2]
        return np.broadcast_to(np.expand_dims(large, len(lead) + self.over[0]), (*lead, *self.sample.array.shape))

    @property
    def _sizes(self) -> tuple[int, ...]:
        """The sizes of the layer along the spatial axes."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self._channel)

    @property
    def _channel(self) -> int:
        return self.axes.letters.index("C")

    @property
    def _patches(self) -> slice:
        """The tokens that are patches."""
        return slice(self.axes.before, self.shape[0] - self.axes.after)

    def _weights(self, how: str) -> tuple[Array, Array]:
        assert self.over is not None  # rows of tokens are not enlarged
        height, width = (1, *(self.sample.array.shape[axis] for axis in self.over[1]))[-2:]
        return enlargement(self.grid[0], height, how), enlargement(self.grid[1], width, how)

    def emit_planes(self, g: Builder, x: ir.Value) -> ir.Value:
        """Emit :meth:`planes` of (N, \\*shape)."""
        if "C" in self.axes.letters:
            rest = [axis + 1 for axis in range(len(self.shape)) if axis != self._channel]
            first = g.op("Transpose", x, perm=[0, self._channel + 1, *rest]) if self._channel else x
            if len(self.shape) > _VOLUME:
                raise UnsupportedModelError("Maps over volumes cannot be compiled. Explain the volume instead.")
            if "H" in self.axes.letters:
                return first
            return g.reshape(first, np.array([0, self.shape[self._channel], *self.grid], dtype=np.int64))
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
        channel, axes = self.over
        if len(axes) == 1:
            large = g.op("Squeeze", large, np.array([2], dtype=np.int64))
        if channel is None:
            return g.op("Squeeze", large, np.array([1], dtype=np.int64))
        if channel:
            large = g.op("Transpose", large, perm=[0, *range(2, channel + 2), 1])
        each = np.ones(len(axes) + 2, dtype=np.int64)
        each[channel + 1] = self.sample.array.shape[channel]
        return g.op("Expand", large, each)


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
