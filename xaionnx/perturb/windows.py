"""Removals over height and width: a window that covers or reveals, and smooth masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from xaionnx_kernels import fills, masks

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, baseline_name, blend, cast, input_like, x_name
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
class Plane:
    """Height and width of one input, for any position of the channels.

    Attributes
    ----------
    view : tuple of four ints
        The input as (A, H, W, B), with channels before or after height and width; a sequence has height 1.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        shape, axes = sample.array.shape, sample.picture_axes
        if sample.array.dtype.kind not in "fiu":
            raise InputMismatchError(f"Input '{sample.main}' has type {sample.array.dtype}, which cannot be covered.")
        if axes is None:
            self.view = (int(np.prod(shape[:-1])), 1, shape[-1], 1)
        elif axes[0] == 0:
            self.view = (shape[0], shape[1], shape[2], 1)
        else:
            self.view = (1, shape[0], shape[1], shape[2])

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width, (1, W) for a sequence."""
        return self.view[1], self.view[2]

    def emit_mask(self, g: Builder, mask: ir.Value) -> ir.Value:
        """Reshape a mask (M, H, W) to the axes of the input."""
        _, height, width, _ = self.view
        axes = self.sample.picture_axes
        if axes is None:
            sizes = [-1, *(1,) * (self.sample.array.ndim - 1), width]
        else:
            sizes = [-1, 1, height, width] if axes[0] == 0 else [-1, height, width, 1]
        return g.reshape(mask, np.array(sizes, dtype=np.int64))


def _shared(removal: Removal, draw: int) -> dict[str, Array]:
    """Return the input and one baseline, which stay on the device."""
    name = removal.sample.main
    return {x_name(name): removal.sample.array, baseline_name(name): removal.baseline[name][draw]}


def _emit_operands(g: Builder, removal: Removal) -> tuple[ir.Value, ir.Value]:
    """Add graph inputs for the arrays of :func:`_shared`."""
    name = removal.sample.main
    x = input_like(g, x_name(name), removal.sample.array)
    return x, input_like(g, baseline_name(name), removal.baseline[name][0])


class Windowed(Removal):
    """Covers or reveals a window. Codes are its top left corner, int32 (M, 2); it may extend beyond the border."""

    def __init__(
        self, sample: Sample, players: Players, baseline: Mapping[str, Array], window: int | tuple[int, ...]
    ) -> None:
        super().__init__(sample, players, {sample.main: baseline[sample.main]})
        self.plane = Plane(sample)
        self.window = self.per_axis("window", window)

    def per_axis(self, name: str, given: int | tuple[int, ...]) -> tuple[int, int]:
        """Return a size for height and width; a sequence has one axis."""
        flat = self.sample.picture_axes is None
        if isinstance(given, int):
            return (1, given) if flat else (given, given)
        if len(given) != (1 if flat else 2):
            raise ParameterError(
                f"The '{name}' parameter must be an int or {1 if flat else 2} ints for this input. Got {given} instead."
            )
        return (1, given[0]) if flat else (given[0], given[1])

    def steps(self, owner: str, stride: int | tuple[int, ...] | None, share: int = 2) -> tuple[int, int]:
        """Return the stride on both axes, by default the window divided by ``share``.

        Raises
        ------
        ParameterError
            It exceeds the window; the message names the method by its class ``owner``.
        """
        if stride is None:
            return max(1, self.window[0] // share), max(1, self.window[1] // share)
        steps = self.per_axis("stride", stride)
        if any(step > length for step, length in zip(steps, self.window, strict=True)):
            sides = self.window[1:] if self.sample.picture_axes is None else self.window
            shown = " x ".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
            raise ParameterError(
                f"The 'stride' parameter of {owner} must not exceed the window {shown}, or pixels are skipped. "
                f"Got {stride} instead."
            )
        return steps

    def laid_over(self, values: Array, corners: Array) -> tuple[Array, Array]:
        """Return the sum of values (T, M) over the windows that cover each pixel, (T, H, W), and their number, (H, W).

        Adding at the four corners of a window and cumulative sums along both axes cost the same for any window.
        """
        height, width = self.plane.extent
        steps = np.zeros((len(values) + 1, height + 1, width + 1))
        weights = np.concatenate([values, np.ones((1, len(corners)))])
        top, left = np.clip(corners, 0, (height, width)).T
        bottom, right = np.clip(corners + np.array(self.window), 0, (height, width)).T
        for rows, columns, sign in ((top, left, 1), (bottom, left, -1), (top, right, -1), (bottom, right, 1)):
            for step, weight in zip(steps, weights, strict=True):
                np.add.at(step, (rows, columns), sign * weight)
        laid = steps.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
        return laid[:-1], np.rint(laid[-1])

    @property
    def structure(self) -> tuple[Hashable, ...]:
        return (
            type(self).__name__,
            self.sample.main,
            self.sample.array.shape,
            str(self.sample.array.dtype),
            self.plane.view,
            self.window,
        )

    def shared(self, draw: int) -> dict[str, Array]:
        return _shared(self, draw)

    def codes(self, codes: Array) -> dict[str, Array]:
        return {"xaionnx_corners": np.ascontiguousarray(codes, dtype=np.int64)}

    def _emit_inside(self, g: Builder) -> ir.Value:
        """Add nodes for the elements inside the window, bool (M, ...)."""
        corners = g.input("xaionnx_corners", np.int64, ("M", 2))
        sides = []
        for axis, (length, size) in enumerate(zip(self.plane.extent, self.window, strict=True)):
            start = g.op("Gather", corners, np.array([axis], dtype=np.int64), axis=1)
            offset = g.op("Sub", np.arange(length, dtype=np.int64)[None], start)
            here = g.op("And", g.op("GreaterOrEqual", offset, 0), g.op("Less", offset, size))
            sides.append(g.op("Unsqueeze", here, np.array([2 - axis], dtype=np.int64)))
        return self.plane.emit_mask(g, g.op("And", *sides))


@final
class WindowOcclusion(Windowed):
    """Covers one window."""

    restores: ClassVar[bool] = True

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        fills.fill_windows(
            self.baseline[name][draw].reshape(self.plane.view),
            codes,
            self.window,
            out[name].reshape(-1, *self.plane.view),
        )

    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        fills.restore_windows(
            self.sample.array.reshape(self.plane.view), codes, self.window, out[name].reshape(-1, *self.plane.view)
        )

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = _emit_operands(g, self)
        return {self.sample.main: g.op("Where", self._emit_inside(g), baseline, x)}


@final
class Reveal(Windowed):
    """Shows one window and covers the rest."""

    @property
    def empty(self) -> Array:
        # A corner beyond the last pixel shows nothing.
        return np.array([self.plane.extent], dtype=np.int32)

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        out[name][...] = self.baseline[name][draw]
        fills.fill_windows(
            self.sample.array.reshape(self.plane.view), codes, self.window, out[name].reshape(-1, *self.plane.view)
        )

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = _emit_operands(g, self)
        return {self.sample.main: g.op("Where", self._emit_inside(g), x, baseline)}


@final
class SmoothMask(Removal):
    """Smooth random masks of RISE. Codes are successive numbers of masks, int64 (M,).

    Mask i is ``A_y cells_i A_x^T`` with rows of a fixed interpolation matrix, selected by the random shift of mask i.
    """

    def __init__(
        self,
        sample: Sample,
        players: Players,
        baseline: Mapping[str, Array],
        grid: int | tuple[int, ...],
        keep: float,
        seed: int,
    ) -> None:
        super().__init__(sample, players, {sample.main: baseline[sample.main]})
        check_smooth(sample)
        self.plane = Plane(sample)
        height, width = self.plane.extent
        rows, columns = (grid, grid) if isinstance(grid, int) else (grid[0], grid[-1])
        self.grid = (1 if sample.picture_axes is None else min(rows, height), min(columns, width))
        self.cell = (-(-height // self.grid[0]), -(-width // self.grid[1]))
        self.keep = keep
        self.seed = seed

    def drawn(self, codes: Array) -> tuple[Array, Array]:
        """Return the cells (M, s_h, s_w) and shifts (M, 2) of the masks with these numbers."""
        start, stop = int(codes[0]), int(codes[-1]) + 1
        cells = masks.rise_cells(self.seed, start, stop, self.grid, self.keep)
        return cells, masks.rise_shifts(self.seed, start, stop, self.cell)

    def masks(self, codes: Array) -> Array:
        """Return the masks (M, H, W), 1 where the input is kept."""
        cells, shifts = self.drawn(codes)
        drawn: Array = masks.rise_masks(cells, shifts, self.cell, self.plane.extent)
        return drawn

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        cells, shifts = self.drawn(codes)
        fills.fill_rise(
            self.sample.array.reshape(self.plane.view),
            self.baseline[name][draw].reshape(self.plane.view),
            cells,
            shifts,
            self.cell,
            out[name].reshape(-1, *self.plane.view),
        )

    @property
    def structure(self) -> tuple[Hashable, ...]:
        sample = self.sample
        return (
            "SmoothMask",
            sample.main,
            sample.array.shape,
            str(sample.array.dtype),
            self.plane.view,
            self.grid,
            self.cell,
        )

    def shared(self, draw: int) -> dict[str, Array]:
        return _shared(self, draw)

    def codes(self, codes: Array) -> dict[str, Array]:
        cells, shifts = self.drawn(codes)
        return {"xaionnx_cells": cells.astype(np.float32), "xaionnx_shifts": shifts.astype(np.int64)}

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = _emit_operands(g, self)
        cells = g.input("xaionnx_cells", np.float32, ("M", *self.grid))
        shifts = g.input("xaionnx_shifts", np.int64, ("M", 2))
        sides = []
        for axis, (length, count, cell) in enumerate(zip(self.plane.extent, self.grid, self.cell, strict=True)):
            matrix = np.asarray(masks.bilinear_matrix(count, cell), dtype=np.float32)
            shift = g.op("Gather", shifts, np.array([axis], dtype=np.int64), axis=1)
            rows = g.op("Add", shift, np.arange(length, dtype=np.int64)[None])
            sides.append(g.op("Gather", g.constant(matrix), rows, axis=0))  # (M, length, count)
        mask = g.op("MatMul", g.op("MatMul", sides[0], cells), g.op("Transpose", sides[1], perm=[0, 2, 1]))
        weights = cast(g, self.plane.emit_mask(g, mask), self.sample.array.dtype)
        return {self.sample.main: blend(g, x, weights, baseline)}


def check_smooth(sample: Sample) -> None:
    """Check that the input has floating-point values, which can be mixed.

    Raises
    ------
    InputMismatchError
        It has not.
    """
    if sample.array.dtype.kind != "f":
        raise InputMismatchError(
            f"Input '{sample.main}' has type {sample.array.dtype}; a smooth mask needs a floating-point input. "
            "Use occlusion, or a method with features."
        )
