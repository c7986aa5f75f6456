"""Removal of features: each element belongs to one player, who is present, absent, or there in part."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt
from xaionnx_kernels import fills

from xaionnx.perturb.features import Players
from xaionnx.perturb.removal import Removal, baseline_name, cast, emit_blend, input_like, kept_name
from xaionnx.perturb.sample import Sample

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

Array = npt.NDArray[Any]

# A basis of more elements than this would cost more memory than a Gather costs time.
_LARGEST_BASIS = 2**24


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
            feeds[kept_name(name)] = self.sample.x[name]
            if not self._zero:
                feeds[baseline_name(name)] = self.baseline[name][draw]
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
            x = input_like(g, kept_name(name), self.sample.x[name])
            weights = self._emit_weights(g, coalitions, name)
            base = None if self._zero else input_like(g, baseline_name(name), self.baseline[name][0])
            emitted[name] = self._emit_mix(g, x, weights, base, self.sample.x[name].dtype)
        return emitted

    @abstractmethod
    def _emit_mix(
        self, g: Builder, x: ir.Value, weights: ir.Value, baseline: ir.Value | None, dtype: np.dtype[Any]
    ) -> ir.Value: ...


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
            return g.op("Mul", x, cast(g, weights, dtype))
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
        return emit_blend(g, x, cast(g, weights, dtype), baseline)
