"""Removal: how an absence is written into the input.

A removal turns codes (coalitions, window corners, mask numbers) into model inputs. It has two faces that give
the same inputs: the host fills a buffer with a kernel (:meth:`Removal.fill`), or nodes in front of the model
compute it where the model runs (:meth:`Removal.emit`), so that only the codes travel to the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
from xaionnx_kernels import fills, masks

from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.perturb.features import Players, Sample

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

Array = npt.NDArray[Any]

# A basis of more elements than this would cost more memory than a Gather costs time.
_LARGEST_BASIS = 2**24


class Removal(ABC):
    """Writes inputs for one sample.

    Attributes
    ----------
    sample : Sample
    players : Players
        Who can be absent.
    baseline : dict of arrays by input name, (B, ...)
        What an absent player is replaced by.
    """

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        self.sample = sample
        self.players = players
        self.baseline = dict(baseline)

    @property
    def draws(self) -> int:
        """The number B of baselines that answers are averaged over."""
        return len(next(iter(self.baseline.values())))

    @property
    def empty(self) -> Array | None:
        """The code that removes everything, (1, ...); None where no code does."""
        return None

    def begin(self, out: Mapping[str, Array]) -> None:
        """Fill fresh buffers (M, ...) with the input itself."""
        for name, buffer in out.items():
            buffer[...] = self.sample.x[name]

    @abstractmethod
    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        """Write one input for each code into buffers (M, ...), with baseline number ``draw``."""

    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        """Undo what :meth:`fill` wrote for ``codes``, where the next fill does not overwrite all of it."""
        del codes, out

    @property
    @abstractmethod
    def structure(self) -> tuple[Any, ...]:
        """What the nodes of :meth:`emit` depend on."""

    @abstractmethod
    def emit(self, g: Builder) -> dict[str, ir.Value]:
        """Add nodes that compute the changed inputs (M, ...) by name from :meth:`codes` and :meth:`shared`."""

    @abstractmethod
    def codes(self, codes: Array) -> dict[str, Array]:
        """What travels to the device for each run: arrays (M, ...)."""

    @abstractmethod
    def shared(self, draw: int) -> dict[str, Array]:
        """What stays on the device: the input, the baseline and the layout of the players."""


def _x(name: str) -> str:
    return f"xaionnx_x_{name}"


def _baseline(name: str) -> str:
    return f"xaionnx_baseline_{name}"


def _input_like(g: Builder, label: str, array: Array) -> ir.Value:
    return g.input(label, array.dtype, array.shape)


class _Partition(Removal):
    """Players given by label maps; a code weighs each player, (M, P)."""

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        super().__init__(sample, players, baseline)
        # Once, not for each batch: a batch of a small model takes microseconds.
        self._views = {name: self._view(name) for name in players.maps}
        self._labels = {name: self._along(name) for name in players.maps}

    def view(self, name: str) -> tuple[int, int, int]:
        """The axes (A, L, B) of an input: those before, under and behind its label map."""
        return self._views[name]

    def labels(self, name: str) -> Array:
        """The label map along the axis L of :meth:`view`."""
        return self._labels[name]

    def _view(self, name: str) -> tuple[int, int, int]:
        shape, mapped = self.sample.x[name].shape, self.players.maps[name].shape
        mapped = (1,) * (len(shape) - len(mapped)) + mapped
        used = [axis for axis, n in enumerate(mapped) if n > 1]
        first, last = (used[0], used[-1] + 1) if used else (0, 0)
        return int(np.prod(shape[:first])), int(np.prod(shape[first:last])), int(np.prod(shape[last:]))

    def _along(self, name: str) -> Array:
        shape, mapped = self.sample.x[name].shape, self.players.maps[name]
        mapped = mapped.reshape((1,) * (len(shape) - mapped.ndim) + mapped.shape)
        used = [axis for axis, n in enumerate(mapped.shape) if n > 1]
        if not used:
            return mapped.reshape(1)
        inner = mapped.reshape(mapped.shape[used[0] : used[-1] + 1])
        return np.ascontiguousarray(np.broadcast_to(inner, shape[used[0] : used[-1] + 1])).reshape(-1)

    @property
    def structure(self) -> tuple[Any, ...]:
        maps = tuple((name, m.shape, self.sample.x[name].shape) for name, m in sorted(self.players.maps.items()))
        return type(self).__name__, maps, self.players.count, self._zero, self._with_basis

    @property
    def _zero(self) -> bool:
        return all(not b.any() and b.dtype.kind == "f" for b in self.baseline.values())

    @property
    def _with_basis(self) -> bool:
        return self.players.count * max(m.size for m in self.players.maps.values()) <= _LARGEST_BASIS

    def codes(self, codes: Array) -> dict[str, Array]:
        return {"xaionnx_coalitions": np.ascontiguousarray(codes, dtype=np.float32)}

    def shared(self, draw: int) -> dict[str, Array]:
        feeds: dict[str, Array] = {}
        for name, labels in self.players.maps.items():
            feeds[_x(name)] = self.sample.x[name]
            if not self._zero:
                feeds[_baseline(name)] = self.baseline[name][draw]
            flat = labels.reshape(-1)
            if self._with_basis:
                feeds[f"xaionnx_basis_{name}"] = (flat == np.arange(self.players.count)[:, None]).astype(np.float32)
            else:
                feeds[f"xaionnx_labels_{name}"] = flat.astype(np.int64)
        return feeds

    def _emit_weights(self, g: Builder, coalitions: ir.Value, name: str) -> ir.Value:
        """The weight of each element in its place, (M, ...), broadcasting to the input."""
        labels = self.players.maps[name]
        if self._with_basis:
            basis = g.input(f"xaionnx_basis_{name}", np.float32, (self.players.count, labels.size))
            weights = g.op("MatMul", coalitions, basis)
        else:
            index = g.input(f"xaionnx_labels_{name}", np.int64, (labels.size,))
            weights = g.op("Gather", coalitions, index, axis=1)
        padded = (1,) * (self.sample.x[name].ndim - labels.ndim) + labels.shape
        return g.op("Reshape", weights, np.array([-1, *padded], dtype=np.int64))

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        coalitions = g.input("xaionnx_coalitions", np.float32, ("M", self.players.count))
        emitted = {}
        for name in self.players.maps:
            x = _input_like(g, _x(name), self.sample.x[name])
            weights = self._emit_weights(g, coalitions, name)
            base = None if self._zero else _input_like(g, _baseline(name), self.baseline[name][0])
            emitted[name] = self._emit_mix(g, x, weights, base, self.sample.x[name].dtype)
        return emitted

    @abstractmethod
    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: np.dtype[Any]
    ) -> ir.Value: ...


def _cast(g: Builder, value: ir.Value, dtype: np.dtype[Any]) -> ir.Value:
    import onnx_ir as ir

    return value if dtype == np.float32 else g.op("Cast", value, to=int(ir.DataType.from_numpy(dtype)))


@final
class Select(_Partition):
    """Present or absent: an exact choice between input and baseline. Codes are coalitions, bool (M, P)."""

    @property
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=bool)

    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        for name in self.players.maps:
            x, baseline, buffer = self.sample.x[name], self.baseline[name][draw], out[name]
            labels = self.labels(name)
            if x.dtype == object:
                # Strings have no fixed width for a kernel.
                present = np.broadcast_to(self.players.maps[name], x.shape)
                buffer[...] = np.where(codes[:, present], x, baseline)
                continue
            view = self.view(name)
            fills.fill_select(x.reshape(view), baseline.reshape(view), labels, codes, buffer.reshape(len(codes), *view))

    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: np.dtype[Any]
    ) -> ir.Value:
        if baseline is None:
            return g.op("Mul", x, _cast(g, weights, dtype))
        return g.op("Where", g.op("Greater", weights, 0.5), x, baseline)


@final
class Mix(_Partition):
    """A share of the input and the rest of the baseline. Codes are shares in [0, 1], float32 (M, P)."""

    @property
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=np.float32)

    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        for name in self.players.maps:
            outer, length, inner = self.view(name)
            view = (outer, 1, length, inner)
            weights = np.ascontiguousarray(codes[:, self.labels(name)], dtype=np.float32)[:, None, :]
            x, baseline = self.sample.x[name].reshape(view), self.baseline[name][draw].reshape(view)
            fills.fill_blend(x, baseline, weights, out[name].reshape(len(codes), *view))

    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: np.dtype[Any]
    ) -> ir.Value:
        return _emit_blend(g, x, _cast(g, weights, dtype), baseline)


def _emit_blend(g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None) -> ir.Value:
    mixed = g.op("Mul", x, weights)
    if baseline is None:
        return mixed
    return g.op("Add", mixed, g.op("Mul", baseline, g.op("Sub", 1.0, weights)))


class _Spatial(Removal):
    """Absences that are laid over height and width of one input, whatever its channels."""

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        super().__init__(sample, players, {sample.main: baseline[sample.main]})
        shape, axes = sample.array.shape, sample.picture_axes
        if sample.array.dtype.kind not in "fiu":
            raise InputMismatchError(f"Input '{sample.main}' holds {sample.array.dtype}, which cannot be covered.")
        # (A, H, W, B): channels before or behind height and width; a sequence is a picture of height 1.
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

    def pixel_map(self, values: Array) -> Array:
        """Values (T, H, W) in the shape of the input, (T, ...)."""
        outer, height, width, inner = self.view
        full = np.broadcast_to(values[:, None, :, :, None], (len(values), outer, height, width, inner))
        return full.reshape(len(values), *self.sample.array.shape).astype(np.float32)

    def _emit_placed(self, g: Builder, mask: ir.Value) -> ir.Value:
        """A mask (M, H, W) in the axes of the input."""
        _, height, width, _ = self.view
        axes = self.sample.picture_axes
        if axes is None:
            placed = [-1, *(1,) * (self.sample.array.ndim - 1), width]
        else:
            placed = [-1, 1, height, width] if axes[0] == 0 else [-1, height, width, 1]
        return g.op("Reshape", mask, np.array(placed, dtype=np.int64))

    def shared(self, draw: int) -> dict[str, Array]:
        name = self.sample.main
        return {_x(name): self.sample.array, _baseline(name): self.baseline[name][draw]}

    def _emit_operands(self, g: Builder) -> tuple[ir.Value, ir.Value]:
        name = self.sample.main
        x = _input_like(g, _x(name), self.sample.array)
        return x, _input_like(g, _baseline(name), self.baseline[name][0])


@final
class Cover(_Spatial):
    """One window is covered. Codes are its top left corner, int32 (M, 2); it may overhang the border."""

    def __init__(
        self, sample: Sample, players: Players, baseline: Mapping[str, Array], window: int | tuple[int, ...]
    ) -> None:
        super().__init__(sample, players, baseline)
        self.window = self.per_axis("window", window)

    def per_axis(self, name: str, given: int | tuple[int, ...]) -> tuple[int, int]:
        """A size for height and width; a sequence has one axis."""
        flat = self.sample.picture_axes is None
        if isinstance(given, int):
            return (1, given) if flat else (given, given)
        if len(given) != (1 if flat else 2):
            raise ParameterError(
                f"The '{name}' parameter must be an int or {1 if flat else 2} ints for this input. Got {given} instead."
            )
        return (1, given[0]) if flat else (given[0], given[1])

    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        fills.fill_windows(
            self.baseline[name][draw].reshape(self.view), codes, self.window, out[name].reshape(-1, *self.view)
        )

    def restore(self, codes: Array, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        fills.restore_windows(
            self.sample.array.reshape(self.view), codes, self.window, out[name].reshape(-1, *self.view)
        )

    @property
    def structure(self) -> tuple[Any, ...]:
        return "Cover", self.sample.main, self.sample.array.shape, str(self.sample.array.dtype), self.view, self.window

    def codes(self, codes: Array) -> dict[str, Array]:
        return {"xaionnx_corners": np.ascontiguousarray(codes, dtype=np.int64)}

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = self._emit_operands(g)
        corners = g.input("xaionnx_corners", np.int64, ("M", 2))
        sides = []
        for axis, (length, size) in enumerate(zip(self.extent, self.window, strict=True)):
            start = g.op("Gather", corners, np.array([axis], dtype=np.int64), axis=1)
            offset = g.op("Sub", np.arange(length, dtype=np.int64)[None], start)
            here = g.op("And", g.op("GreaterOrEqual", offset, 0), g.op("Less", offset, size))
            sides.append(g.op("Unsqueeze", here, np.array([2 - axis], dtype=np.int64)))
        inside = g.op("And", *sides)
        return {self.sample.main: g.op("Where", self._emit_placed(g, inside), baseline, x)}


@final
class Veil(_Spatial):
    """Smooth random masks after RISE. Codes are the numbers of the masks, int64 (M,), each following the last.

    Mask i is ``A_y cells_i A_x^T``: rows of one fixed interpolation matrix, chosen by the random shift of mask i.
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
        super().__init__(sample, players, baseline)
        if sample.array.dtype.kind != "f":
            raise InputMismatchError(
                f"Input '{sample.main}' holds {sample.array.dtype}; a smooth mask needs numbers with a fraction. "
                "Use occlusion, or a method with features."
            )
        height, width = self.extent
        rows, columns = (grid, grid) if isinstance(grid, int) else (grid[0], grid[-1])
        self.grid = (1 if sample.picture_axes is None else min(rows, height), min(columns, width))
        self.cell = (-(-height // self.grid[0]), -(-width // self.grid[1]))
        self.keep = keep
        self.seed = seed

    def drawn(self, codes: Array) -> tuple[Array, Array]:
        """Cells (M, s_h, s_w) and shifts (M, 2) of the masks with these numbers."""
        start, stop = int(codes[0]), int(codes[-1]) + 1
        cells = masks.rise_cells(self.seed, start, stop, self.grid, self.keep)
        return cells, masks.rise_shifts(self.seed, start, stop, self.cell)

    def masks(self, codes: Array) -> Array:
        """The masks (M, H, W) themselves, 1 where the input stays."""
        cells, shifts = self.drawn(codes)
        drawn: Array = masks.rise_masks(cells, shifts, self.cell, self.extent)
        return drawn

    def fill(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        name = self.sample.main
        cells, shifts = self.drawn(codes)
        fills.fill_rise(
            self.sample.array.reshape(self.view),
            self.baseline[name][draw].reshape(self.view),
            cells,
            shifts,
            self.cell,
            out[name].reshape(-1, *self.view),
        )

    @property
    def structure(self) -> tuple[Any, ...]:
        sample = self.sample
        return "Veil", sample.main, sample.array.shape, str(sample.array.dtype), self.view, self.grid, self.cell

    def codes(self, codes: Array) -> dict[str, Array]:
        cells, shifts = self.drawn(codes)
        return {"xaionnx_cells": cells.astype(np.float32), "xaionnx_shifts": shifts.astype(np.int64)}

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        x, baseline = self._emit_operands(g)
        cells = g.input("xaionnx_cells", np.float32, ("M", *self.grid))
        shifts = g.input("xaionnx_shifts", np.int64, ("M", 2))
        sides = []
        for axis, (length, count, cell) in enumerate(zip(self.extent, self.grid, self.cell, strict=True)):
            matrix = np.asarray(masks.bilinear_matrix(count, cell), dtype=np.float32)
            shift = g.op("Gather", shifts, np.array([axis], dtype=np.int64), axis=1)
            rows = g.op("Add", shift, np.arange(length, dtype=np.int64)[None])
            sides.append(g.op("Gather", g.constant(matrix), rows, axis=0))  # (M, length, count)
        mask = g.op("MatMul", g.op("MatMul", sides[0], cells), g.op("Transpose", sides[1], perm=[0, 2, 1]))
        weights = _cast(g, self._emit_placed(g, mask), self.sample.array.dtype)
        return {self.sample.main: _emit_blend(g, x, weights, baseline)}
