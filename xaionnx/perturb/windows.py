"""Removals over height and width: a window that covers or reveals, and smooth masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from xaionnx_kernels import fills, masks

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.hooks import hook
from xaionnx.perturb.element_types import check_mixable
from xaionnx.perturb.interpolation import emit_interpolation, series_view
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, baseline_name, blend, input_like, x_name
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
class Plane:
    """The positions of one input, for any place of the channels.

    Attributes
    ----------
    view : tuple of ints
        The input as (A, *extent, B), with the values at a position before or after. Rows and sequences have height 1.
    """

    def __init__(self, sample: Sample, what: str) -> None:
        self.sample = sample
        shape, found = sample.array.shape, sample.positions()
        if sample.array.dtype.kind not in "fiu":
            raise InputMismatchError(f"Input '{sample.main}' has type {sample.array.dtype}, which cannot be covered.")
        if found is None and len(shape) > 1:
            found = sample.placed(what)
        axes = found.axes if found is not None else tuple(range(len(shape)))
        extent = tuple(shape[axis] for axis in axes) or (1,)
        first = axes[0] if axes else 0
        before, after = math.prod(shape[:first]), math.prod(shape[first + len(axes) :])
        self.extent = extent if len(extent) > 1 else (1, *extent)
        self.view = (before, *self.extent, after)

    @property
    def is_flat(self) -> bool:
        """Whether the input is a row or a sequence, of height 1."""
        found = self.sample.positions()
        return found is None or len(found.axes) == 1

    def per_axis(self, name: str, given: int | tuple[int, ...]) -> tuple[int, ...]:
        """Return a size for each axis of the positions; a sequence has one, and height 1.

        Raises
        ------
        ParameterError
            There are more or fewer sizes than axes; the message calls them ``name``.
        """
        wanted = 1 if self.is_flat else len(self.extent)
        sizes = (given,) * wanted if isinstance(given, int) else given
        if len(sizes) != wanted:
            one = "an int" if wanted == 1 else f"an int or {wanted} ints"
            raise ParameterError(f"The '{name}' parameter must be {one} for this input. Got {given} instead.")
        return (1, *sizes) if self.is_flat else sizes

    def labels(self) -> Array:
        """Return a player for each position, in the shape of the input with axes of length 1 for the others."""
        found = self.sample.positions()
        each = np.arange(math.prod(self.extent))
        return each if found is None else found.over(each.reshape(found.extent))

    def emit_mask(self, g: Builder, mask: ir.Value) -> ir.Value:
        """Reshape a mask (M, *extent) to the axes of the input."""
        found = self.sample.positions()
        sizes = list(self.sample.array.shape)
        for axis in found.values if found is not None else ():
            sizes[axis] = 1
        return g.reshape(mask, np.array([-1, *sizes], dtype=np.int64))


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
    """Covers or reveals a window. Codes are its first corner, int32 (M, D); it may extend beyond the border."""

    def __init__(
        self, sample: Sample, players: Players, baseline: Mapping[str, Array], window: int | tuple[int, ...]
    ) -> None:
        super().__init__(sample, players, {sample.main: baseline[sample.main]})
        self.plane = Plane(sample, "A window")
        self.window = self.plane.per_axis("window", window)

    def steps(self, owner: str, stride: int | tuple[int, ...] | None, share: int = 2) -> tuple[int, ...]:
        """Return the stride on each axis, by default the window divided by ``share``.

        Raises
        ------
        ParameterError
            It exceeds the window; the message names the method by its class ``owner``.
        """
        if stride is None:
            return tuple(max(1, side // share) for side in self.window)
        steps = self.plane.per_axis("stride", stride)
        if any(step > length for step, length in zip(steps, self.window, strict=True)):
            sides = self.window[1:] if self.plane.is_flat else self.window
            shown = " x ".join(map(str, sides if len(set(sides)) > 1 else sides[:1]))
            raise ParameterError(
                f"The 'stride' parameter of {owner} must not exceed the window {shown}, or pixels are skipped. "
                f"Got {stride} instead."
            )
        return steps

    def laid_over(self, values: Array, corners: Array) -> tuple[Array, Array]:
        """Return the sum of values (T, M) over the windows that cover each position, (T, *extent), and their number.

        Adding at the corners of a window and cumulative sums along each axis cost the same for any window.
        """
        # A window covers the whole of an axis with one position.
        axes = [axis for axis, size in enumerate(self.plane.extent) if size > 1] or [0]
        extent = tuple(self.plane.extent[axis] for axis in axes)
        steps = np.zeros((len(values) + 1, *(size + 1 for size in extent)))
        weights = np.concatenate([values, np.ones((1, len(corners)))])
        first = np.clip(corners[:, axes], 0, extent).T
        last = np.clip(corners[:, axes] + np.array(self.window)[axes], 0, extent).T
        for ends in itertools.product((0, 1), repeat=len(extent)):
            place = tuple((last if end else first)[axis] for axis, end in enumerate(ends))
            sign = (-1) ** sum(ends)
            if len(weights) > len(corners):
                # In the same order, whichever is faster.
                for number, here in enumerate(zip(*place, strict=True)):
                    steps[(slice(None), *here)] += sign * weights[:, number]
                continue
            for step, weight in zip(steps, weights, strict=True):
                np.add.at(step, place, sign * weight)
        for axis in range(1, steps.ndim):
            np.cumsum(steps, axis=axis, out=steps)
        laid = steps[(slice(None), *(slice(size) for size in extent))].reshape(len(steps), *self.plane.extent)
        return laid[:-1], np.rint(laid[-1])

    def write(self, source: Array, codes: Array, out: Array) -> None:
        """Write the windows of ``source`` into copies of the input (M or more, ...)."""
        view = self.plane.view
        fills.fill_windows(source.reshape(view), codes, self.window, out.reshape(-1, *view))

    @property
    @hook
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
        count = len(self.plane.extent)
        corners = g.input("xaionnx_corners", np.int64, ("M", count))
        inside: ir.Value | None = None
        for axis, (length, size) in enumerate(zip(self.plane.extent, self.window, strict=True)):
            start = g.op("Gather", corners, np.array([axis], dtype=np.int64), axis=1)
            offset = g.op("Sub", np.arange(length, dtype=np.int64)[None], start)
            here = g.op("And", g.op("GreaterOrEqual", offset, 0), g.op("Less", offset, size))
            others = [1 + other for other in range(count) if other != axis]
            side = g.op("Unsqueeze", here, np.array(others, dtype=np.int64))
            inside = side if inside is None else g.op("And", inside, side)
        assert inside is not None  # there is at least one axis
        return self.plane.emit_mask(g, inside)


@final
class WindowOcclusion(Windowed):
    """Covers one window."""

    restores: ClassVar[bool] = True

    def __init__(
        self,
        sample: Sample,
        players: Players,
        baseline: Mapping[str, Array],
        window: int | tuple[int, ...],
        *,
        interpolated: bool = False,
    ) -> None:
        super().__init__(sample, players, baseline, window)
        self.interpolated = interpolated

    @property
    def structure(self) -> tuple[Hashable, ...]:
        return (*super().structure, self.interpolated)

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        if self.interpolated:
            self._interpolate(codes, self.baseline[name][draw], out[name])
        else:
            self.write(self.baseline[name][draw], codes, out[name])

    def _interpolate(self, codes: Array, baseline: Array, out: Array) -> None:
        """Write a straight line into the window of each series (M, ...)."""
        view = series_view(self.sample, self.sample.main)
        steps = np.arange(view[1])
        start = codes[:, -1:]
        present = (steps < start) | (steps >= start + self.window[-1])
        fills.fill_interpolated(
            self.sample.array.reshape(view),
            np.broadcast_to(baseline, self.sample.array.shape).reshape(view),
            present[:, None, :, None],
            out[: len(codes)].reshape(-1, *view),
        )

    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        self.write(self.sample.array, codes, out[self.sample.main])

    @property
    def is_by_element(self) -> bool:
        return not self.interpolated

    def kept_elements(self, codes: Array, name: str) -> Array:
        kept = np.ones((len(codes), *self.sample.array.shape), dtype=bool)
        self.write(np.zeros_like(kept[0]), codes, kept)
        return kept.reshape(len(codes), -1)

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = _emit_operands(g, self)
        inside = self._emit_inside(g)
        if self.interpolated:
            present = g.op("Not", inside)
            return {self.sample.main: emit_interpolation(g, self.sample, self.sample.main, x, present, baseline)}
        return {self.sample.main: g.op("Where", inside, baseline, x)}


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
        self.write(self.sample.array, codes, out[name])

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = _emit_operands(g, self)
        return {self.sample.main: g.op("Where", self._emit_inside(g), x, baseline)}


@final
class SmoothMask(Removal):
    """Smooth random masks of RISE. Codes are successive numbers of masks, int64 (M,).

    Mask i is ``A_y cells_i A_x^T`` with rows of a fixed interpolation matrix, selected by the random shift of mask i;
    a volume has a third matrix, along its depth.
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
        self.plane = Plane(sample, "A smooth mask")
        self.grid, self.cell = mask_grid(self.plane, grid)
        self.keep = keep
        self.seed = seed

    def drawn(self, codes: Array) -> tuple[Array, Array]:
        """Return the cells (M, *grid) and shifts (M, D) of the masks with these numbers."""
        start, stop = int(codes[0]), int(codes[-1]) + 1
        cells = masks.rise_cells(self.seed, start, stop, self.grid, self.keep)
        return cells, masks.rise_shifts(self.seed, start, stop, self.cell)

    def masks(self, codes: Array) -> Array:
        """Return the masks (M, *extent), 1 where the input is kept."""
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
        shifts = g.input("xaionnx_shifts", np.int64, ("M", len(self.grid)))
        sides = []
        for axis, (length, count, cell) in enumerate(zip(self.plane.extent, self.grid, self.cell, strict=True)):
            matrix = np.asarray(masks.bilinear_matrix(count, cell), dtype=np.float32)
            shift = g.op("Gather", shifts, np.array([axis], dtype=np.int64), axis=1)
            rows = g.op("Add", shift, np.arange(length, dtype=np.int64)[None])
            sides.append(g.op("Gather", g.constant(matrix), rows, axis=0))  # (M, length, count)
        weights = self.plane.emit_mask(g, self._emit_masks(g, cells, sides))
        return {self.sample.main: blend(g, x, weights, baseline, self.sample.array.dtype)}

    def _emit_masks(self, g: Builder, cells: ir.Value, sides: Sequence[ir.Value]) -> ir.Value:
        """Add nodes that enlarge cells (M, *grid) by the matrices (M, length, count) of the axes."""
        *planes, down, across = sides
        lines = (1,) * len(planes)
        for side in planes:
            # The other axes are one: (M, s_d, s_h * s_w).
            flat = g.reshape(cells, np.array([0, 0, -1], dtype=np.int64))
            shape = np.array([0, self.plane.extent[0], *self.grid[1:]], dtype=np.int64)
            cells = g.reshape(g.op("MatMul", side, flat), shape)
        if lines:
            one = np.array([1], dtype=np.int64)
            down, across = g.op("Unsqueeze", down, one), g.op("Unsqueeze", across, one)
        order = [*range(len(lines) + 1), len(lines) + 2, len(lines) + 1]
        return g.op("MatMul", g.op("MatMul", down, cells), g.op("Transpose", across, perm=order))


def mask_grid(plane: Plane, grid: int | tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of cells of a smooth mask, at most one a position, and the positions of a cell, by axis.

    Raises
    ------
    ParameterError
        The grid has more or fewer axes than the positions.
    """
    counts = tuple(min(count, size) for count, size in zip(plane.per_axis("grid", grid), plane.extent, strict=True))
    return counts, tuple(-(-size // count) for count, size in zip(counts, plane.extent, strict=True))


def check_smooth(sample: Sample) -> None:
    """Check that the input can be mixed with a baseline.

    Raises
    ------
    InputMismatchError
        It cannot.
    """
    finest = max(Plane(sample, "A grid").extent)
    instead = f"Choose a grid as fine as the input, grid={finest}, occlusion, or a method with features."
    check_mixable(sample, sample.main, "a smooth mask", instead)
