"""Appliers: evaluation of codes on the host or in the graph, with one interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, final

import numpy as np

from xaionnx.perturb.deleting import DeletedTokens
from xaionnx.perturb.incremental import Incremental
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.windows import WindowOcclusion
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array

# The added nodes require this version of the default domain or a later one.
_OPSET = 13


class Applier(Protocol):
    """Evaluates codes for one sample.

    ``cuts`` names the internal tensors that were computed once for the input and then only updated.
    """

    cuts: tuple[str, ...]

    def evaluate(self, codes: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Yield for each batch the number of each row's code and of its baseline, (m,), and the targets, (m, T).

        Each code occurs once for every baseline, in their order.
        """


def applier(model: Model, removal: Removal, selection: TargetSet, kind: str = "auto") -> Applier:
    """Return the applier for a model: ``host``, ``graph``, or ``auto``, which is the graph if the model is on a GPU.

    ``incremental`` is ``auto``, except that for windows on the CPU only changed values are computed again.
    """
    # Devices do not support strings.
    able = (
        not removal.on_host
        and model.on_gpu
        and model.file.opset >= _OPSET
        and all(a.dtype != object for a in removal.sample.x.values())
    )
    if (kind == "graph" and not removal.on_host) or (kind != "host" and able):
        return InGraph(model, removal, selection)
    if isinstance(removal, DeletedTokens) and removal.shortens:
        return Shortened(model, removal, selection)
    plain = OnHost(model, removal, selection)
    covered = isinstance(removal, WindowOcclusion) and not removal.interpolated
    if kind == "incremental" and covered and not model.on_gpu:
        assert isinstance(removal, WindowOcclusion)
        return Incremental(model, removal, selection, plain)
    return plain


@final
class OnHost:
    """A kernel fills a buffer that is reused for each batch; numpy computes the targets."""

    cuts: tuple[str, ...] = ()

    def __init__(self, model: Model, removal: Removal, selection: TargetSet) -> None:
        self._model, self._removal, self._selection = model, removal, selection
        self._tensors = selection.tensors
        self._buffers: dict[str, Array] = {}
        self._written: Array | None = None

    def evaluate(self, codes: Array) -> Iterator[tuple[Array, Array, Array]]:
        x, draws = self._removal.sample.x, self._removal.draws
        shared = {name: array for name, array in x.items() if name in self._model.shared}

        def feed(start: int, stop: int) -> Mapping[str, Array]:
            rows = self._reset_rows(stop - start)
            for first, last, baselines in _whole_codes(start, stop, draws):
                begin = first * draws + baselines.start - start
                end = begin + (last - first) * (baselines.stop - baselines.start)
                part = {name: buffer[begin:end] for name, buffer in rows.items()}
                self._removal.fill(codes[first:last], baselines, part)
            if self._removal.restores:
                self._written = codes[np.arange(start, stop) // draws]
            return rows

        for start, stop, outputs in self._model.batches(len(codes) * draws, feed, self._tensors, shared):
            yield *np.divmod(np.arange(start, stop), draws), self._selection.select(outputs)

    def _reset_rows(self, count: int) -> dict[str, Array]:
        held = len(next(iter(self._buffers.values()))) if self._buffers else 0
        if count > held:
            x = self._removal.sample.x
            self._buffers = {
                name: np.empty((count, *array.shape), dtype=array.dtype)
                for name, array in x.items()
                if name not in self._model.shared
            }
            self._removal.begin(self._buffers)
        elif self._written is not None:
            self._removal.restore(self._written, {n: b[: len(self._written)] for n, b in self._buffers.items()})
        self._written = None
        return {name: buffer[:count] for name, buffer in self._buffers.items()}


@final
class Shortened:
    """Inputs of tokens without those that are deleted: each length has batches of its own."""

    cuts: tuple[str, ...] = ()

    def __init__(self, model: Model, removal: DeletedTokens, selection: TargetSet) -> None:
        self._model, self._removal, self._selection = model, removal, selection

    def evaluate(self, codes: Array) -> Iterator[tuple[Array, Array, Array]]:
        x, lengths = self._removal.sample.x, self._removal.lengths(codes)
        shared = {name: array for name, array in x.items() if name in self._model.shared}
        for length in np.unique(lengths).tolist():
            numbers = np.flatnonzero(lengths == length)
            for start, stop, outputs in self._batches(codes[numbers], length, shared):
                aligned = {name: self._removal.at_end(name, array) for name, array in outputs.items()}
                rows = numbers[start:stop]
                yield rows, np.zeros_like(rows), self._selection.select(aligned)

    def _batches(
        self, codes: Array, length: int, shared: Mapping[str, Array]
    ) -> Iterator[tuple[int, int, dict[str, Array]]]:
        def feed(start: int, stop: int) -> Mapping[str, Array]:
            return self._removal.shortened(codes[start:stop], length)

        return self._model.batches(len(codes), feed, self._selection.tensors, shared)


@final
class InGraph:
    """Nodes before the model compute the inputs, nodes after it the targets; only codes are transferred."""

    cuts: tuple[str, ...] = ()

    def __init__(self, model: Model, removal: Removal, selection: TargetSet) -> None:
        from xaionnx.graph.prelude import OUTPUT, PREFIX, enclose

        self._output = OUTPUT
        self._removal, self._selection = removal, selection
        self._sample_bytes = sum(array.nbytes for array in removal.sample.x.values())
        unchanged = {name: a for name, a in removal.sample.x.items() if name not in removal.baseline}
        repeated = {name: a for name, a in unchanged.items() if name not in model.shared}
        self._rest = {PREFIX + name if name in repeated else name: a for name, a in unchanged.items()}
        inputs = tuple((name, a.shape, str(a.dtype)) for name, a in unchanged.items())
        self._model = model.derived(
            ("prelude", removal.structure, selection.structure, inputs),
            lambda proto: enclose(proto, removal.emit, selection.emit, repeated),
            shared=frozenset({**removal.shared(0), **selection.feeds(), **self._rest}),
        )

    def evaluate(self, codes: Array) -> Iterator[tuple[Array, Array, Array]]:
        def feed(start: int, stop: int) -> Mapping[str, Array]:
            return self._removal.codes(codes[start:stop])

        for draw in range(self._removal.draws):
            shared = {**self._removal.shared(draw), **self._selection.feeds(), **self._rest}
            pieces = self._model.batches(len(codes), feed, [self._output], shared, self._sample_bytes)
            for start, stop, outputs in pieces:
                rows = np.arange(start, stop)
                yield rows, np.full_like(rows, draw), outputs[self._output].astype(np.float64)


def _whole_codes(start: int, stop: int, draws: int) -> Iterator[tuple[int, int, slice]]:
    """Divide rows ``start`` to ``stop`` of codes with B baselines each into ranges of codes and of baselines.

    Yields all baselines for whole codes, and before and after them some baselines of one code.
    """
    while start < stop:
        code, offset = divmod(start, draws)
        if offset or stop - start < draws:
            taken = min(draws - offset, stop - start)
            yield code, code + 1, slice(offset, offset + taken)
        else:
            whole = (stop - start) // draws
            taken = whole * draws
            yield code, code + whole, slice(0, draws)
        start += taken
