"""Incremental occlusion: only values that a window changes are computed again.

A window changes a box of each local tensor; the rest is the same as for the input. A part of the graph between two
separators therefore runs only on crops around the boxes, taken from the tensors of the input, which are computed once.
After the last separator the graph runs as a whole.

References
----------
Nakandala, Kumar and Papakonstantinou, Incremental and approximate inference for faster occlusion-based deep CNN
explanations, SIGMOD 2019, doi:10.1145/3299869.3319874. There each layer is a part; here the cheapest division is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import onnx

from xaionnx.errors import ModelFileError, UnsupportedModelError
from xaionnx.graph.cut import cut
from xaionnx.graph.locality import Reach, Separator, separators
from xaionnx.perturb.windows import WindowOcclusion
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.perturb.appliers import Applier

Box = tuple[slice, slice]

# Minimum ratio of the whole work to the remaining work.
_LEAST_GAIN = 1.15
# Cost of each part: a share of the whole work, and a number of multiplications for starting it.
_PART_SHARE, _PART_WORK = 0.01, 500_000


@final
@dataclass(frozen=True, eq=False)
class Part:
    """The graph from one separator to another, and its crop for each window.

    Attributes
    ----------
    source, sink : Separator
    starts : array of int (M, 2)
        Top left corner of the crop in the source.
    crop : (int, int)
        Height and width of the crops, the same for all windows.
    boxes : array of int (M, 2, 2)
        Start and stop of the positions of the sink that a window changes, on both axes.
    """

    source: Separator
    sink: Separator
    starts: Array
    crop: tuple[int, int]
    boxes: Array

    __repr__ = short_repr

    @property
    def strides(self) -> tuple[int, int]:
        """Positions of the source per position of the sink."""
        height, width = (
            b.stride // a.stride for a, b in zip(self.source.field.reaches, self.sink.field.reaches, strict=True)
        )
        return height, width


def changed_positions(reach: Reach, first: Array, last: Array) -> Array:
    """Return start and stop, (M, 2), of the positions of a tensor that see the input from ``first`` to ``last`` - 1."""
    start = np.clip(-((reach.high - first) // reach.stride), 0, reach.length)
    stop = np.clip((last - 1 - reach.low) // reach.stride + 1, start, reach.length)
    # A window outside the picture changes nothing.
    return np.stack([start, np.where(first < last, stop, start)], axis=-1)


def crops(reach: Reach, length: int, boxes: Array) -> tuple[Array, int]:
    """Return the starts (M,) and the common length of crops of a source from which the boxes of the sink are exact.

    A crop begins at a multiple of the stride and omits a multiple of it at the end, so that positions and SAME padding
    are those of the whole. It contains everything that the boxes see, up to the border, where padding is correct.
    """
    start, stop = boxes.T
    first = np.maximum(start + reach.low // reach.stride, 0) * reach.stride
    last = np.minimum((stop - 1) * reach.stride + reach.high + 1, length)
    needed = int(np.where(stop > start, last - first, 1).max())
    size = needed + (length - needed) % reach.stride
    return np.minimum(np.where(stop > start, first, 0), length - size), size


def divide(chain: list[Separator], work: int, corners: Array, window: tuple[int, int]) -> list[Part]:
    """Return the cheapest sequence of parts for windows at ``corners`` (M, 2); empty if the gain is too small."""
    if work < _LEAST_GAIN * (_PART_SHARE * work + _PART_WORK):
        return []  # the model is too small for even one part
    source = chain[0].field.reaches
    begins = [np.clip(corners[:, axis], 0, source[axis].length) for axis in (0, 1)]
    ends = [np.clip(corners[:, axis] + window[axis], 0, source[axis].length) for axis in (0, 1)]

    def boxes_of(separator: Separator, few: bool) -> list[Array]:
        spans = [np.stack(pair, axis=1) for pair in zip(begins, ends, strict=True)]
        spans = [np.unique(span, axis=0) for span in spans] if few else spans
        return [changed_positions(r, *span.T) for r, span in zip(separator.field.reaches, spans, strict=True)]

    def crops_between(a: Separator, b: Separator, boxes: list[Array]) -> list[tuple[Array, int]]:
        pairs = zip(a.field.reaches, b.field.reaches, boxes, strict=True)
        return [crops(later.since(earlier), earlier.length, box) for earlier, later, box in pairs]

    costs, before = [0.0], [0]
    for index, sink in enumerate(chain[1:], start=1):
        boxes = boxes_of(sink, True)
        candidates = []
        for number, start in enumerate(chain[:index]):
            share = np.prod([
                size / reach.length
                for (_, size), reach in zip(crops_between(start, sink, boxes), start.field.reaches, strict=True)
            ])  # fmt: skip
            candidates.append(costs[number] + share * (sink.work - start.work) + _PART_SHARE * work + _PART_WORK)
        before.append(int(np.argmin(candidates)))
        costs.append(float(min(candidates)))
    totals = [cost + work - separator.work for cost, separator in zip(costs, chain, strict=True)]
    at = int(np.argmin(totals))
    if work < _LEAST_GAIN * totals[at] or any((b <= a).all() for a, b in zip(begins, ends, strict=True)):
        return []
    parts: list[Part] = []
    while at > 0:
        start, sink = chain[before[at]], chain[at]
        boxes = boxes_of(sink, False)
        (tops, height), (lefts, width) = crops_between(start, sink, boxes)
        parts.insert(0, Part(start, sink, np.stack([tops, lefts], 1), (height, width), np.stack(boxes, 1)))
        at = before[at]
    return parts


@final
class Incremental:
    """Evaluates codes of a `WindowOcclusion` on the CPU, with another applier if dividing the graph gains nothing.

    ``cuts`` names the cached tensors for the last codes.
    """

    def __init__(self, model: Model, removal: WindowOcclusion, selection: TargetSet, plain: Applier) -> None:
        self._model, self._removal, self._selection, self._plain = model, removal, selection, plain
        self._clean: dict[str, Array] = {removal.sample.main: removal.sample.array}
        self.cuts: tuple[str, ...] = ()

    def evaluate(self, codes: Array) -> Iterator[tuple[Array, Array, Array]]:
        """See `xaionnx.perturb.appliers.Applier`."""
        parts = self._parts(codes)
        try:
            models = self._open_models(parts)
        except (ModelFileError, UnsupportedModelError):
            # A model that runs as a whole may not run in parts.
            parts = []
        self.cuts = tuple(part.sink.name for part in parts)
        if not parts:
            yield from self._plain.evaluate(codes)
            return
        draws, sink, tensors = self._removal.draws, parts[-1].sink, self._selection.tensors
        clean = self._clean[sink.name]
        rows, written = np.empty((0, *clean.shape), clean.dtype), list[tuple[slice, ...]]()

        def feed(start: int, stop: int) -> Mapping[str, Array]:
            nonlocal rows
            for row, where in enumerate(written):
                rows[row][where] = clean[where]
            written.clear()
            if stop - start > len(rows):
                rows = np.repeat(clean[None], stop - start, axis=0)
            patches = self._patches(parts, models[:-1], codes, start, stop)
            for row in range(stop - start):
                where = _index(sink, _box_from_bounds(parts[-1].boxes[(start + row) // draws]))
                rows[row][where] = patches[row]
                written.append(where)
            return {sink.name: rows[: stop - start]}

        for start, stop, outputs in models[-1].batches(len(codes) * draws, feed, tensors):
            yield *np.divmod(np.arange(start, stop), draws), self._selection.select(outputs)

    def _open_models(self, parts: list[Part]) -> list[Model]:
        """Return the models of the parts and of the rest, and cache the values of the sinks for the input."""
        models: list[Model] = []
        for part in parts:
            model, name = self._between(part.source, [part.sink.name]), part.sink.name
            models.append(model)
            if name not in self._clean:
                clean = model.run({part.source.name: self._clean[part.source.name][None]}, [name])[name][0]
                lengths = [clean.shape[axis - 1] for axis in part.sink.field.axes]
                if lengths != [reach.length for reach in part.sink.field.reaches]:
                    raise UnsupportedModelError(f"Tensor '{name}' has the shape {clean.shape}, not the one expected.")
                self._clean[name] = clean
        return [*models, self._between(parts[-1].sink, self._selection.tensors)] if parts else []

    def _parts(self, codes: Array) -> list[Part]:
        model, sample = self._model, self._removal.sample
        found = sample.positions()
        batch = model.input(sample.main).shape[0]
        if found is None or not found.is_picture or len(found.values) != 1 or len(sample.x) > 1:
            return []
        if isinstance(batch, int) and batch > 1:
            return []
        spatial = (found.axes[0] + 1, found.axes[1] + 1)
        chain, work = separators(model.view, sample.main, spatial, self._removal.plane.extent, self._selection.tensors)
        window = (self._removal.window[0], self._removal.window[1])
        return divide(chain, work, codes, window) if len(chain) > 1 else []

    def _between(self, source: Separator, wanted: list[str]) -> Model:
        """Return the graph from a separator to ``wanted`` tensors, with free height and width."""
        clean = self._clean[source.name]
        batch = self._model.input(self._removal.sample.main).shape[0]
        dims: list[int | str] = [batch if isinstance(batch, int) else "N", *clean.shape]
        for axis, name in zip(source.field.axes, "HW", strict=True):
            dims[axis] = name
        kind = onnx.helper.np_dtype_to_tensor_dtype(clean.dtype)
        value = onnx.helper.make_tensor_value_info(source.name, kind, dims)

        def rewrite(proto: onnx.ModelProto) -> onnx.ModelProto:
            part = cut(proto, [source.name], wanted, {source.name: value.type})
            part.graph.input[0].CopyFrom(value)
            # Declared shapes are those of the whole.
            del part.graph.value_info[:]
            for output in part.graph.output:
                output.ClearField("type")
            return part

        return self._model.derived(("incremental", source.name, tuple(wanted), tuple(dims)), rewrite)

    def _patches(self, parts: list[Part], models: list[Model], codes: Array, start: int, stop: int) -> list[Array]:
        """Return the values of the last sink in its box, for rows ``start`` to ``stop``."""
        draws, sample = self._removal.draws, self._removal.sample
        baseline, extent, window = self._removal.baseline[sample.main], self._removal.plane.extent, self._removal.window
        patches: list[Array] = []
        boxes: list[Box] = []
        for row in range(start, stop):
            corner = codes[row // draws]
            height, width = (slice(*np.clip((corner[a], corner[a] + window[a]), 0, extent[a]).tolist()) for a in (0, 1))
            boxes.append((height, width))
            patches.append(baseline[row % draws][_index(parts[0].source, boxes[-1])])
        for part, model in zip(parts, models, strict=True):
            clean = self._clean[part.source.name]
            inputs: list[Array] = []
            for row, (patch, box) in enumerate(zip(patches, boxes, strict=True)):
                origin = part.starts[(start + row) // draws]
                crop = clean[_index(part.source, _box_at(origin, part.crop))].copy()
                # A stride may exclude the rim of the changed box.
                both = _intersection(box, _box_at(origin, part.crop))
                crop[_index(part.source, _shifted(both, origin))] = patch[
                    _index(part.source, _shifted(both, _origin(box)))
                ]
                inputs.append(crop)
            results = model.run({part.source.name: np.stack(inputs)}, [part.sink.name])[part.sink.name]
            for row in range(stop - start):
                code = (start + row) // draws
                boxes[row] = _box_from_bounds(part.boxes[code])
                origin = part.starts[code] // np.array(part.strides)
                patches[row] = results[row][_index(part.sink, _shifted(boxes[row], origin))]
        return patches


def _index(separator: Separator, box: Box) -> tuple[slice, ...]:
    """Return the index of a box in a tensor without its batch axis."""
    index = [slice(None)] * 3
    for axis, span in zip(separator.field.axes, box, strict=True):
        index[axis - 1] = span
    return tuple(index)


def _box_from_bounds(bounds: Array) -> Box:
    (top, bottom), (left, right) = bounds.tolist()
    return slice(top, bottom), slice(left, right)


def _box_at(origin: Array, size: tuple[int, int]) -> Box:
    top, left = origin.tolist()
    return slice(top, top + size[0]), slice(left, left + size[1])


def _origin(box: Box) -> Array:
    return np.array([span.start for span in box])


def _intersection(box: Box, other: Box) -> Box:
    height, width = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(box, other, strict=True)
    )
    return height, width


def _shifted(box: Box, origin: Array) -> Box:
    height, width = (slice(s.start - o, s.stop - o) for s, o in zip(box, origin.tolist(), strict=True))
    return height, width
