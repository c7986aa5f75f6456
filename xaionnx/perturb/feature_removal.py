"""Removal of features: the elements of each absent player take the baseline's values, or a mixture of both."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Self, final

import numpy as np
from xaionnx_kernels import fills

from xaionnx.data.sample import Sample
from xaionnx.hooks import hook
from xaionnx.perturb.interpolation import emit_interpolation, series_view
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal, baseline_name, blend, input_like, x_name
from xaionnx.typing import Array, DType

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

# For a larger basis, a Gather is preferable: it is slower but needs less memory.
_LARGEST_BASIS = 2**24


class _FeatureRemoval(Removal):
    """Players given by label maps; a code contains a weight for each player, (M, P)."""

    def __init__(self, sample: Sample, players: Players, baseline: Mapping[str, Array]) -> None:
        super().__init__(sample, players, baseline)
        self._labels: dict[str, Array] = {}
        # Of the codes in the graph: without some players it stays, so that no other graph is needed.
        self._width = players.count

    def view(self, name: str) -> tuple[int, int, int]:
        """Return the sizes (A, L, B) of an input: before, along and after the axes of its label map."""
        shape, (first, last) = self.sample.x[name].shape, self._label_axes(name)
        return math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])

    def labels(self, name: str) -> Array:
        """Return the label map along the axis L of :meth:`view`."""
        if name not in self._labels:
            self._labels[name] = self._flat_labels(name)
        return self._labels[name]

    def element_labels(self, name: str) -> Array:
        return np.broadcast_to(self.players.maps[name], self.sample.x[name].shape).reshape(-1)

    def _flat_labels(self, name: str) -> Array:
        shape, (first, last) = self.sample.x[name].shape, self._label_axes(name)
        inner = self.players.maps[name].reshape(self._padded_shape(name)[first:last])
        return np.ascontiguousarray(np.broadcast_to(inner, shape[first:last])).reshape(-1)

    def _label_axes(self, name: str) -> tuple[int, int]:
        """Return start and stop of the axes along which the labels of an input differ."""
        used = [axis for axis, n in enumerate(self._padded_shape(name)) if n > 1]
        return (used[0], used[-1] + 1) if used else (0, 0)

    def _padded_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a label map, padded to the rank of the input."""
        shape = self.players.maps[name].shape
        return (1,) * (self.sample.x[name].ndim - len(shape)) + shape

    @property
    @hook
    def structure(self) -> tuple[Hashable, ...]:
        maps = tuple((name, m.shape, self.sample.x[name].shape) for name, m in sorted(self.players.maps.items()))
        return type(self).__name__, maps, self._width, self._baseline_is_zero, self._uses_basis

    @property
    def _baseline_is_zero(self) -> bool:
        return all(not b.any() and b.dtype.kind == "f" for b in self.baseline.values())

    @property
    def _uses_basis(self) -> bool:
        return self._width * max(m.size for m in self.players.maps.values()) <= _LARGEST_BASIS

    @hook
    def of_players(self, players: Players) -> Self:
        if players is self.players:
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, players=players, _labels={})
        return other

    def codes(self, codes: Array) -> dict[str, Array]:
        # The last column is also that of label -1.
        wide = np.pad(codes, ((0, 0), (0, self._width - codes.shape[1])))
        return {"xaionnx_coalitions": np.ascontiguousarray(wide, dtype=np.float32)}

    def shared(self, draw: int) -> dict[str, Array]:
        feeds: dict[str, Array] = {}
        for name, labels in self.players.maps.items():
            feeds[x_name(name)] = self.sample.x[name]
            if not self._baseline_is_zero:
                feeds[baseline_name(name)] = self.baseline[name][draw]
            flat = labels.reshape(-1)
            if self._uses_basis:
                feeds[f"xaionnx_basis_{name}"] = (flat == np.arange(self._width)[:, None]).astype(np.float32)
            else:
                feeds[f"xaionnx_labels_{name}"] = flat.astype(np.int64)
        return feeds

    def _emit_weights(self, g: Builder, coalitions: ir.Value, name: str) -> ir.Value:
        """Add nodes for the weight of each element, (M, ...), broadcasting to the input."""
        labels = self.players.maps[name]
        if self._uses_basis:
            basis = g.input(f"xaionnx_basis_{name}", np.float32, (self._width, labels.size))
            weights = g.op("MatMul", coalitions, basis)
        else:
            index = g.input(f"xaionnx_labels_{name}", np.int64, (labels.size,))
            weights = g.op("Gather", coalitions, index, axis=1)
        return g.reshape(weights, np.array([-1, *self._padded_shape(name)], dtype=np.int64))

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        coalitions = g.input("xaionnx_coalitions", np.float32, ("M", self._width))
        emitted = {}
        for name in self.players.maps:
            x = input_like(g, x_name(name), self.sample.x[name])
            weights = self._emit_weights(g, coalitions, name)
            base = None if self._baseline_is_zero else input_like(g, baseline_name(name), self.baseline[name][0])
            emitted[name] = self._emit_input(g, name, x, weights, base)
        return emitted

    @hook
    def _emit_input(self, g: Builder, name: str, x: ir.Value, weights: ir.Value, baseline: ir.Value | None) -> ir.Value:
        """Add nodes for one changed input (M, ...) from the weights of its elements."""
        return self._emit_mix(g, x, weights, baseline, self.sample.x[name].dtype)

    @abstractmethod
    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: DType
    ) -> ir.Value: ...


@final
class Select(_FeatureRemoval):
    """Selects input or baseline for each player, exactly. Codes are coalitions, bool (M, P).

    Attributes
    ----------
    interpolated : frozenset of str
        The inputs whose absent steps are interpolated between the present ones; their baseline replaces them where
        nothing is present.
    """

    def __init__(
        self,
        sample: Sample,
        players: Players,
        baseline: Mapping[str, Array],
        interpolated: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(sample, players, baseline)
        self.interpolated = interpolated

    @property
    def structure(self) -> tuple[Hashable, ...]:
        return (*super().structure, tuple(sorted(self.interpolated)))

    @property
    @hook
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=bool)

    @hook
    def fill(self, codes: Array, draws: slice, out: Mapping[str, Array]) -> None:
        for name in self.players.maps:
            x, baselines, count = self.sample.x[name], self.baseline[name][draws], draws.stop - draws.start
            rows = out[name].reshape(len(codes), count, *x.shape)
            if name in self.interpolated:
                self._interpolate(name, codes, draws, rows)
                continue
            if x.dtype == object:
                # Kernels need a fixed width, which strings lack.
                present = np.broadcast_to(self.players.maps[name], x.shape)
                rows[...] = np.where(codes[:, None, present], x, baselines)
                continue
            view = self.view(name)
            several = baselines.reshape(count, *view)
            fills.fill_select(x.reshape(view), several, self.labels(name), codes, rows.reshape(-1, count, *view))

    def _interpolate(self, name: str, codes: Array, draws: slice, rows: Array) -> None:
        """Write a series (M, B, ...) with straight lines across its absent parts."""
        labels = self.players.maps[name]
        present = np.concatenate([codes, np.ones((len(codes), 1), dtype=bool)], axis=1)[:, labels]
        view = series_view(self.sample, name)
        sides = series_view(self.sample, name, present.shape[1:])
        for number, draw in enumerate(range(draws.start, draws.stop)):
            copy = np.empty((len(codes), *view), dtype=rows.dtype)
            x, baseline = self.sample.x[name].reshape(view), self.baseline[name][draw].reshape(view)
            fills.fill_interpolated(x, baseline, present.reshape(-1, *sides), copy)
            rows[:, number] = copy.reshape(len(codes), *self.sample.x[name].shape)

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        self.fill(codes, slice(draw, draw + 1), out)

    @hook
    def _emit_input(self, g: Builder, name: str, x: ir.Value, weights: ir.Value, baseline: ir.Value | None) -> ir.Value:
        if name not in self.interpolated:
            return super()._emit_input(g, name, x, weights, baseline)
        return emit_interpolation(g, self.sample, name, x, g.op("Greater", weights, 0.5), baseline)

    @property
    @hook
    def is_by_element(self) -> bool:
        # A string that holds several players, and steps that are interpolated, are no selection of elements.
        return not self.interpolated and self.players.parts is None

    @hook
    def null_players(self, x: Mapping[str, Array], baseline: Mapping[str, Array]) -> Array:
        if self.interpolated or self.players.parts is not None:
            return super().null_players(x, baseline)
        varies = np.zeros((len(next(iter(x.values()))), self.players.count + 1), dtype=bool)
        for name, array in x.items():
            differs = (_bits(array)[:, None] != _bits(baseline[name])).any(axis=1)
            row, element = np.nonzero(differs.reshape(len(array), -1))
            varies[row, self.element_labels(name)[element]] = True
        return ~varies[:, :-1]

    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: DType
    ) -> ir.Value:
        # A selection, not arithmetic: NaN and infinity disappear with their player.
        here = g.op("Greater", weights, 0.5)
        if dtype.kind == "b":
            # onnxruntime has no Where for booleans.
            kept = g.op("And", here, x)
            return kept if baseline is None else g.op("Or", kept, g.op("And", g.op("Not", here), baseline))
        return g.op("Where", here, x, dtype.type(0) if baseline is None else baseline)


def _bits(array: Array) -> Array:
    """An array whose elements are equal where their bits are, such as two NaN, but not 0 and -0."""
    has_bits = array.dtype.kind != "O" and array.dtype.itemsize in (1, 2, 4, 8)
    return array.view(f"u{array.dtype.itemsize}") if has_bits else array


@final
class Mix(_FeatureRemoval):
    """Mixes input and baseline. Codes are shares of the input in [0, 1], float32 (M, P)."""

    @property
    @hook
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=np.float32)

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        for name in self.players.maps:
            outer, length, inner = self.view(name)
            view = (outer, 1, length, inner)
            weights = np.ascontiguousarray(codes[:, self.labels(name)], dtype=np.float32)[:, None, :]
            x, baseline = self.sample.x[name].reshape(view), self.baseline[name][draw].reshape(view)
            fills.fill_blend(x, baseline, weights, out[name].reshape(len(codes), *view))

    @property
    @hook
    def is_by_element(self) -> bool:
        # Whole numbers are rounded.
        return all(self.sample.x[name].dtype.kind == "f" for name in self.players.maps)

    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: DType
    ) -> ir.Value:
        return blend(g, x, weights, baseline, dtype)
