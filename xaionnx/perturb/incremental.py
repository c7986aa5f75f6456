"""Incremental: occlusion that computes again only what a window changed.

A window changes a box of each tensor that is local; the rest is as at the input itself. So a part of the graph, between
two tensors that separate what is in front from what is behind, is run on crops around the boxes, laid over the tensors
of the input itself, which are computed once. Behind the last of these tensors the graph runs as a whole.

References
----------
Nakandala, Kumar and Papakonstantinou, Incremental and approximate inference for faster occlusion-based deep CNN
explanations, SIGMOD 2019, doi:10.1145/3299869.3319874. There each layer is a part; here the cheapest division.
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

# It is used where the estimate of the whole work over what remains is above this.
_LEAST_GAIN = 1.15
# What a further part costs: a share of the whole work, and so many multiplications for starting it.
_PART_SHARE, _PART_WORK = 0.01, 500_000


@final
@dataclass(frozen=True, eq=False)
class Part:
    """The graph from one separator to another, and where it is cropped for each window.

    Attributes
    ----------
    source, sink : Separator
    starts : array of int (M, 2)
        Top left corner of the crop in the source.
    crop : (int, int)
        Its height and width, the same for all windows.
    boxes : array of int (M, 2, 2)
        First and behind the last position of the sink that a window changes, on both axes.
    """

    source: Separator
    sink: Separator
    starts: Array
    crop: tuple[int, int]
    boxes: Array

    __repr__ = short_repr

    @property
    def strides(self) -> tuple[int, int]:
        """Positions of the source for one of the sink."""
        height, width = (
            b.stride // a.stride for a, b in zip(self.source.field.reaches, self.sink.field.reaches, strict=True)
        )
        return height, width


def changed(reach: Reach, first: Array, last: Array) -> Array:
    """Positions (M, 2) of a tensor that see input ``first`` to ``last`` - 1: the first, and behind the last."""
    start = np.clip(-((reach.high - first) // reach.stride), 0, reach.length)
    stop = np.clip((last - 1 - reach.low) // reach.stride + 1, start, reach.length)
    # A window outside the picture changes nothing.
    return np.stack([start, np.where(first < last, stop, start)], axis=-1)


def crops(reach: Reach, length: int, boxes: Array) -> tuple[Array, int]:
    """Where crops of a source of some length begin, (M,), and their one length, so that boxes of the sink come right.

    A crop begins at a multiple of the stride and leaves one out behind it, so that positions and the padding of
    SAME are those of the whole. It reaches as far as the boxes see, or to the border, where padding is right.
    """
    start, stop = boxes.T
    first = np.maximum(start + reach.low // reach.stride, 0) * reach.stride
    last = np.minimum((stop - 1) * reach.stride + reach.high + 1, length)
    needed = int(np.where(stop > start, last - first, 1).max())
    size = needed + (length - needed) % reach.stride
    return np.minimum(np.where(stop > start, first, 0), length - size), size


def divide(found: list[Separator], work: int, corners: Array, window: tuple[int, int]) -> list[Part]:
    """The cheapest chain of parts for windows at ``corners`` (M, 2); none where nothing clearly is saved."""
    if work < _LEAST_GAIN * (_PART_SHARE * work + _PART_WORK):
        return []  # too small a net for even one part
    source = found[0].field.reaches
    begins = [np.clip(corners[:, axis], 0, source[axis].length) for axis in (0, 1)]
    ends = [np.clip(corners[:, axis] + window[axis], 0, source[axis].length) for axis in (0, 1)]

    def boxes_of(separator: Separator, few: bool) -> list[Array]:
        spans = [np.stack(pair, axis=1) for pair in zip(begins, ends, strict=True)]
        spans = [np.unique(span, axis=0) for span in spans] if few else spans
        return [changed(r, *span.T) for r, span in zip(separator.field.reaches, spans, strict=True)]

    def cropped(a: Separator, b: Separator, boxes: list[Array]) -> list[tuple[Array, int]]:
        pairs = zip(a.field.reaches, b.field.reaches, boxes, strict=True)
        return [crops(later.since(earlier), earlier.length, box) for earlier, later, box in pairs]

    costs, before = [0.0], [0]
    for index, sink in enumerate(found[1:], start=1):
        boxes = boxes_of(sink, True)
        ways = []
        for number, start in enumerate(found[:index]):
            share = np.prod([
                size / reach.length
                for (_, size), reach in zip(cropped(start, sink, boxes), start.field.reaches, strict=True)
            ])  # fmt: skip
            ways.append(costs[number] + share * (sink.work - start.work) + _PART_SHARE * work + _PART_WORK)
        before.append(int(np.argmin(ways)))
        costs.append(float(min(ways)))
    totals = [cost + work - separator.work for cost, separator in zip(costs, found, strict=True)]
    at = int(np.argmin(totals))
    if work < _LEAST_GAIN * totals[at] or any((b <= a).all() for a, b in zip(begins, ends, strict=True)):
        return []
    parts: list[Part] = []
    while at > 0:
        start, sink = found[before[at]], found[at]
        boxes = boxes_of(sink, False)
        (tops, height), (lefts, width) = cropped(start, sink, boxes)
        parts.insert(0, Part(start, sink, np.stack([tops, lefts], 1), (height, width), np.stack(boxes, 1)))
        at = before[at]
    return parts


@final
class Incremental:
    """Answers codes of a `WindowOcclusion` on the CPU; what cannot be divided with a gain is left to another applier.

    ``cuts`` names the tensors that were cached for the last codes.
    """

    def __init__(self, model: Model, removal: WindowOcclusion, selection: TargetSet, plain: Applier) -> None:
        self._model, self._removal, self._selection, self._plain = model, removal, selection, plain
        self._clean: dict[str, Array] = {removal.sample.main: removal.sample.array}
        self.cuts: tuple[str, ...] = ()

    def answers(self, codes: Array) -> Iterator[tuple[Array, Array]]:
        """As `xaionnx.perturb.appliers.Applier`."""
        parts = self._parts(codes)
        try:
            models = self._opened(parts)
        except (ModelFileError, UnsupportedModelError):
            # What runs as a whole need not run in parts.
            parts = []
        self.cuts = tuple(part.sink.name for part in parts)
        if not parts:
            yield from self._plain.answers(codes)
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
                where = _placed(sink, _box(parts[-1].boxes[(start + row) // draws]))
                rows[row][where] = patches[row]
                written.append(where)
            return {sink.name: rows[: stop - start]}

        for start, stop, outputs in models[-1].batches(len(codes) * draws, feed, tensors):
            yield np.arange(start, stop) // draws, self._selection.select(outputs)

    def _opened(self, parts: list[Part]) -> list[Model]:
        """The models of the parts and of what is behind them; what the sinks hold for the input itself is kept."""
        models: list[Model] = []
        for part in parts:
            model, name = self._between(part.source, [part.sink.name]), part.sink.name
            models.append(model)
            if name not in self._clean:
                clean = model.run({part.source.name: self._clean[part.source.name][None]}, [name])[name][0]
                found = [clean.shape[axis - 1] for axis in part.sink.field.axes]
                if found != [reach.length for reach in part.sink.field.reaches]:
                    raise UnsupportedModelError(f"Tensor '{name}' has the shape {clean.shape}, not the one expected.")
                self._clean[name] = clean
        return [*models, self._between(parts[-1].sink, self._selection.tensors)] if parts else []

    def _parts(self, codes: Array) -> list[Part]:
        model, sample = self._model, self._removal.sample
        axes = sample.picture_axes
        batch = model.input(sample.main).shape[0]
        if axes is None or sample.array.ndim != 3 or len(sample.x) > 1 or (isinstance(batch, int) and batch > 1):
            return []
        spatial = (axes[1][0] + 1, axes[1][1] + 1)
        found, work = separators(model.view, sample.main, spatial, self._removal.plane.extent, self._selection.tensors)
        return divide(found, work, codes, self._removal.window) if len(found) > 1 else []

    def _between(self, source: Separator, wanted: list[str]) -> Model:
        """The graph from a separator on, with free height and width."""
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
            # Shapes that were declared are those of the whole.
            del part.graph.value_info[:]
            for output in part.graph.output:
                output.ClearField("type")
            return part

        return self._model.derived(("incremental", source.name, tuple(wanted), tuple(dims)), rewrite)

    def _patches(self, parts: list[Part], models: list[Model], codes: Array, start: int, stop: int) -> list[Array]:
        """What the last sink holds in its box, for rows ``start`` to ``stop``."""
        draws, sample = self._removal.draws, self._removal.sample
        baseline, extent, window = self._removal.baseline[sample.main], self._removal.plane.extent, self._removal.window
        patches: list[Array] = []
        boxes: list[Box] = []
        for row in range(start, stop):
            corner = codes[row // draws]
            height, width = (slice(*np.clip((corner[a], corner[a] + window[a]), 0, extent[a]).tolist()) for a in (0, 1))
            boxes.append((height, width))
            patches.append(baseline[row % draws][_placed(parts[0].source, boxes[-1])])
        for part, model in zip(parts, models, strict=True):
            clean = self._clean[part.source.name]
            inputs: list[Array] = []
            for row, (patch, box) in enumerate(zip(patches, boxes, strict=True)):
                origin = part.starts[(start + row) // draws]
                crop = clean[_placed(part.source, _at(origin, part.crop))].copy()
                # A stride may leave out the rim of what changed.
                both = _common(box, _at(origin, part.crop))
                crop[_placed(part.source, _less(both, origin))] = patch[_placed(part.source, _less(both, _corner(box)))]
                inputs.append(crop)
            answers = model.run({part.source.name: np.stack(inputs)}, [part.sink.name])[part.sink.name]
            for row in range(stop - start):
                code = (start + row) // draws
                boxes[row] = _box(part.boxes[code])
                origin = part.starts[code] // np.array(part.strides)
                patches[row] = answers[row][_placed(part.sink, _less(boxes[row], origin))]
        return patches


def _placed(separator: Separator, box: Box) -> tuple[slice, ...]:
    """The index of a box in a tensor without its batch axis."""
    index = [slice(None)] * 3
    for axis, span in zip(separator.field.axes, box, strict=True):
        index[axis - 1] = span
    return tuple(index)


def _box(bounds: Array) -> Box:
    (top, bottom), (left, right) = bounds.tolist()
    return slice(top, bottom), slice(left, right)


def _at(origin: Array, size: tuple[int, int]) -> Box:
    top, left = origin.tolist()
    return slice(top, top + size[0]), slice(left, left + size[1])


def _corner(box: Box) -> Array:
    return np.array([span.start for span in box])


def _common(box: Box, other: Box) -> Box:
    height, width = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(box, other, strict=True)
    )
    return height, width


def _less(box: Box, origin: Array) -> Box:
    height, width = (slice(s.start - o, s.stop - o) for s, o in zip(box, origin.tolist(), strict=True))
    return height, width
