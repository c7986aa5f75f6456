"""The places of a layer, and those of the input that they lie over: channels taken apart, maps enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.axes import Axes, places_of
from xaionnx.runtime.model import Model
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


UPSAMPLING: Final = ("bilinear", "nearest")


@final
@dataclass(frozen=True, eq=False)
class Field:
    """How the numbers of a layer lie over the explained input.

    A map over a picture has h x w places, and one over a series 1 x t; tokens that cut a picture into patches have
    those of their grid, and tokens in front of them or behind none; tokens of a row have 1 x T.

    Attributes
    ----------
    axes : Axes
    shape : tuple of int
        Of the layer, behind the batch.
    sample : Sample
        One, which tells the sizes of the input.
    over : tuple or None
        Axes of the channels and of the places of the input; None for a row of tokens.
    """

    axes: Axes
    shape: tuple[int, ...]
    sample: Sample
    over: tuple[int, tuple[int, ...]] | None

    @classmethod
    def of(cls, model: Model, name: str, shape: Sequence[int], sample: Sample) -> Field:
        """The field of the layer ``name``, which holds ``shape``.

        Raises
        ------
        UnsupportedModelError
            It has no places.
        """
        axes, shape = Axes.at(model, name, shape, sample), tuple(shape)
        if "C" in axes.letters or axes.grid is not None or (axes.letters == "TD" and sample.array.ndim == 1):
            return cls(axes, shape, sample, places_of(model, sample))
        over = places_of(model, sample)
        if over is None and (sample.array.ndim != 1 or sample.array.dtype.kind not in "iu"):
            raise UnsupportedModelError(
                f"Tensor '{name}' of {model.name}, {('N', *shape)}, has no places that lie over the input: class "
                f"activation maps need a picture, a series or tokens, and '{sample.main}', "
                f"{('N', *sample.array.shape)}, is none of these. Use integrated_gradients."
            )
        raise UnsupportedModelError(
            f"Tensor '{name}' of {model.name}, {('N', *shape)}, has no places that lie over the input, so there is no "
            "map of it. Name with layer= a map over the picture, (N, C, h, w), or the series, (N, C, t), or tokens "
            "that cut a picture into patches."
        )

    @property
    def places(self) -> tuple[int, int]:
        """Rows h and columns w of the layer."""
        if "C" in self.axes.letters:
            sizes = [size for axis, size in enumerate(self.shape) if axis != self._channel]
            return (sizes[0], sizes[1]) if "H" in self.axes.letters else (1, max(sizes))
        return self.axes.grid or (1, self.shape[0])

    def planes(self, x: Array) -> Array:
        """What the layer holds, (..., D, h, w), of numbers in its shape (..., \\*shape)."""
        lead = x.shape[: x.ndim - len(self.shape)]
        if "C" in self.axes.letters:
            first = np.moveaxis(x, len(lead) + self._channel, len(lead))
            return first.reshape(*lead, self.shape[self._channel], *self.places)
        kept = x[..., self._patches, :]
        return np.moveaxis(kept, -1, -2).reshape(*lead, self.shape[1], *self.places)

    def without(self, x: Array, channel: Array) -> Array:
        """The layer (M, \\*shape) where in each row one channel holds zero at all places; other tokens stay."""
        axis = self._channel if "C" in self.axes.letters else 1
        emptied = np.moveaxis(x.copy(), axis + 1, 1)
        rows = np.arange(len(x))
        emptied[rows, channel, self._patches if self.axes.letters == "TD" else slice(None)] = 0
        return np.moveaxis(emptied, 1, axis + 1)

    def enlarged(self, maps: Array, how: str) -> Array:
        """Maps (..., h, w) over the places of the input (..., H, W), or (..., T)."""
        lead = maps.shape[:-2]
        if self.over is None:
            return maps.reshape(*lead, -1)
        rows, columns = self._weights(how)
        large: Array = rows @ maps @ columns.T
        return large.reshape(*lead, *(self.sample.array.shape[axis] for axis in self.over[1]))

    def spread(self, maps: Array, how: str) -> Array:
        """Maps (..., h, w) in the shape of the input, (..., \\*shape): every channel gets the same."""
        large = self.enlarged(maps, how)
        if self.over is None:
            return large
        lead = maps.shape[:-2]
        return np.broadcast_to(np.expand_dims(large, len(lead) + self.over[0]), (*lead, *self.sample.array.shape))

    @property
    def _channel(self) -> int:
        return self.axes.letters.index("C")

    @property
    def _patches(self) -> slice:
        """Tokens that have a place."""
        return slice(self.axes.before, self.shape[0] - self.axes.after)

    def _weights(self, how: str) -> tuple[Array, Array]:
        assert self.over is not None  # rows of tokens are not enlarged
        height, width = (1, *(self.sample.array.shape[axis] for axis in self.over[1]))[-2:]
        return enlargement(self.places[0], height, how), enlargement(self.places[1], width, how)

    def emit_planes(self, g: Builder, x: ir.Value) -> ir.Value:
        """Nodes for :meth:`planes` of (N, \\*shape)."""
        if "C" in self.axes.letters:
            rest = [axis + 1 for axis in range(len(self.shape)) if axis != self._channel]
            first = g.op("Transpose", x, perm=[0, self._channel + 1, *rest]) if self._channel else x
            if "H" in self.axes.letters:
                return first
            return g.reshape(first, np.array([0, self.shape[self._channel], *self.places], dtype=np.int64))
        if self.axes.before or self.axes.after:
            ends = (np.array([n], dtype=np.int64) for n in (self._patches.start, self._patches.stop, 1))
            x = g.op("Slice", x, *ends)
        turned = g.op("Transpose", x, perm=[0, 2, 1])
        return g.reshape(turned, np.array([0, self.shape[1], *self.places], dtype=np.int64))

    def emit_spread(self, g: Builder, maps: ir.Value, how: str) -> ir.Value:
        """Nodes for :meth:`spread` of (N, 1, h, w)."""
        if self.over is None:
            return g.reshape(maps, np.array([0, self.places[1]], dtype=np.int64))
        # The matrices of numpy's face, where Resize would round places between two as it likes.
        kind = maps.dtype.numpy() if maps.dtype is not None else np.float32
        rows, columns = (matrix.astype(kind) for matrix in self._weights(how))
        large = g.op("MatMul", g.op("MatMul", rows, maps), np.ascontiguousarray(columns.T))
        channel, axes = self.over
        if len(axes) == 1:
            large = g.op("Squeeze", large, np.array([2], dtype=np.int64))
        if channel:
            large = g.op("Transpose", large, perm=[0, *range(2, channel + 2), 1])
        each = np.ones(len(axes) + 2, dtype=np.int64)
        each[channel + 1] = self.sample.array.shape[channel]
        return g.op("Expand", large, each)


def enlargement(small: int, large: int, how: str) -> Array:
    """The matrix (large, small) that enlarges a row of ``small`` places, pixels being squares about their centres.

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
    matrix, places = np.zeros((large, small)), np.arange(large)
    if how == "nearest":
        matrix[places, (2 * places + 1) * small // (2 * large)] = 1
        return matrix
    centre = np.clip((places + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.minimum(np.floor(centre).astype(int), max(small - 2, 0))
    matrix[places, low] = 1 - (centre - low)
    if small > 1:
        matrix[places, low + 1] = centre - low
    return matrix
