"""Scene: a model with an objective, and how pictures become its input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.autodiff import Gradient, gradient
from xaionnx.autodiff.rule import Table
from xaionnx.data.inputs import Given
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.optimization.parametrisation import Canvas, Parametrisation
from xaionnx.optimization.views import View
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx

SIZE: Final = "height and width, for a model that reads pictures of any size"
VALUE: Final = "xaionnx_objective"
# Pixels of the canvas around what the model reads, so that views may move.
_MARGIN: Final = 16


@final
@dataclass(frozen=True, eq=False)
class Scene:
    """A model with an objective, and how pictures from 0 to 1 become its input.

    Attributes
    ----------
    model : Model
    judged : Model
        With the terms of the objective as its output :data:`VALUE`.
    slope : Gradient
        Of these terms.
    weights : array (B, T)
        Of the terms for each picture.
    canvas : Canvas
    size : (int, int)
        Rows and columns that the model reads.
    fit : float
        How much larger a pixel of the canvas is than one of the model, before views zoom.
    sample : Sample
        Any sample, for sizes.
    joint : bool
        Whether all pictures have to be in one run.
    """

    model: Model
    judged: Model
    slope: Gradient
    weights: Array
    canvas: Canvas
    size: tuple[int, int]
    fit: float
    sample: Sample
    joint: bool

    __repr__ = short_repr

    @classmethod
    def of(
        cls, model: Model, objective: Objective, count: int, parametrisation: Parametrisation | None = None
    ) -> Scene:
        """Return the scene of ``count`` pictures.

        Raises
        ------
        UnsupportedModelError
            The model does not read pictures as floats, or has other inputs.
        XaionnxError
            The objective does not fit the model.
        """
        info, spec = model.input(), model.input_spec
        feeds = _blank(model)
        height, width = (feeds[info.name].shape[axis] for axis in spec.spatial_axes)
        sample = model.samples(feeds, info.name)[0]
        joint = any(part.joint for part in objective.parts())
        if joint and model.fixed_batch:
            raise UnsupportedModelError(
                f"{model.name} reads {model.fixed_batch} pictures at a time, and the objective compares {count}."
            )

        def built() -> tuple[Model, Gradient]:
            judged = model.rewritten(lambda proto: _with_value(proto, model, sample, objective, count))
            return judged, gradient(judged, VALUE, [info.name], sample=feeds)

        # A search of many units would fill the memory with their sessions.
        key = ("objective", objective.fingerprint(model), count if joint else 0, spec)
        judged, slope = model.latest(key, built)
        margin = _MARGIN if min(height, width) > 2 * _MARGIN + 32 else 2
        canvas = Canvas(count, spec.channels, height + 2 * margin, width + 2 * margin)
        made = canvas if parametrisation is None else parametrisation.canvas(canvas)
        fit = 1.0 if made == canvas else min(height / made.height, width / made.width)
        weights = objective.term_weights(count)
        return cls(model, judged, slope, weights, made, (height, width), fit, sample, joint)

    @property
    def size_of_canvas(self) -> tuple[int, int]:
        return self.canvas.height, self.canvas.width

    def middle(self) -> View:
        """The view of the middle, as large as the model reads."""
        return View.at(self.size_of_canvas, self.size, zoom=self.fit)

    @property
    def name(self) -> str:
        """The input."""
        return self.model.input().name

    def gradient(self, view: View, pictures: Array, rules: Table | None = None) -> tuple[Array, Array]:
        """The objective (B,) in a view of the pictures, and its gradient with respect to them."""
        name, slope = self.name, self.slope if rules is None else self._slope_by(rules)
        feeds = {name: self._tensor(view.crops(pictures)), slope.cotangent: self.weights}
        found = self._run(slope.model, feeds, [slope.out, slope.names[name]])
        return self._total(found[slope.out]), view.back(self._from_tensor(found[slope.names[name]]))

    def _slope_by(self, rules: Table) -> Gradient:
        feeds = {key: x if key in self.sample.shared else x[None] for key, x in self.sample.x.items()}
        return gradient(self.judged, VALUE, [self.name], rules, feeds)

    def value(self, view: View, pictures: Array) -> Array:
        """The objective (B,) in a view of the pictures."""
        found = self._run(self.judged, {self.name: self._tensor(view.crops(pictures))}, [VALUE])[VALUE]
        progress.advance(len(pictures))
        return self._total(found)

    def _run(self, model: Model, feeds: Feeds, fetch: list[str]) -> dict[str, Array]:
        # Batches would part pictures that are compared.
        return model.run_once(feeds, fetch) if self.joint else model.run(feeds, fetch)

    def _total(self, terms: Array) -> Array:
        return np.asarray((terms.astype(np.float64) * self.weights).sum(axis=1))

    def shown(self, view: View, pictures: Array) -> Array:
        """The view of the pictures, uint8 (B, h, w, 3)."""
        return self.model.input_spec.to_pictures(self._tensor(view.crops(pictures)))

    def predictions(self, view: View, pictures: Array) -> list[str]:
        """The class of each view by the model itself; none if its output is not one of classes."""
        output, spec = self.model.output(), self.model.input_spec
        found = self.model.run({self.name: self._tensor(view.crops(pictures))}, [output.name])[output.name]
        if found.ndim != 2 or found.shape[1] < 2:
            return []
        return [spec.label(int(row.argmax())) if len(spec.labels) == len(row) else str(row.argmax()) for row in found]

    def read(self, start: Given) -> Array:
        """The pictures (B, C, H, W) of the canvas for a given start, whose border is reflected."""
        inputs = self.model.read(start)
        tensor = self.model.check(inputs.arrays)[self.name][:1]
        spec = self.model.input_spec
        planes = np.moveaxis(tensor, spec.channel_axis, 1)
        mean, scale = (np.reshape(np.asarray(a, np.float32), (1, -1, 1, 1)) for a in (spec.mean, spec.scale))
        pictures = np.clip((planes * scale + mean) / 255, 0, 1)
        pictures = pictures[:, ::-1] if spec.color == "BGR" else pictures
        down, right = (self.canvas.height - self.size[0]) // 2, (self.canvas.width - self.size[1]) // 2
        wide = np.pad(pictures, ((0, 0), (0, 0), (down, down), (right, right)), mode="reflect")
        return np.repeat(wide, self.canvas.count, axis=0).astype(np.float32)

    @cached_property
    def _scaling(self) -> tuple[Array, Array]:
        """Factors and offsets that make the numbers that the model reads of pictures from 0 to 1, (C or 1, 1, 1)."""
        spec = self.model.input_spec
        mean, scale = (np.asarray(each, dtype=np.float32).reshape(-1, 1, 1) for each in (spec.mean, spec.scale))
        return 255 / scale, mean / scale

    def _tensor(self, crops: Array) -> Array:
        """Pictures from 0 to 1, (B, C, h, w), as the model reads them; it may be the same array."""
        spec, (factor, offset) = self.model.input_spec, self._scaling
        numbers = crops[:, ::-1] if spec.color == "BGR" else crops
        numbers *= factor
        numbers -= offset
        tensor = np.moveaxis(numbers, 1, spec.channel_axis)
        return np.ascontiguousarray(tensor, dtype=self.model.input().dtype)

    def _from_tensor(self, slopes: Array) -> Array:
        """The transpose of the linear part of :meth:`_tensor`; it may be the same array."""
        spec, (factor, _) = self.model.input_spec, self._scaling
        planes: Array = np.moveaxis(np.asarray(slopes, dtype=np.float32), spec.channel_axis, 1)
        planes *= factor
        return np.ascontiguousarray(planes[:, ::-1] if spec.color == "BGR" else planes, dtype=np.float32)


def sized(model: Model, size: int | tuple[int, ...] | None) -> Model:
    """Return the model for pictures of a height and width, or as it is if None.

    Raises
    ------
    ParameterError
        The model reads pictures of another size, or these are not two numbers.
    """
    if size is None:
        return model
    sides = (size, size) if isinstance(size, int) else size
    if len(sides) != 2:
        raise ParameterError(f"'size' must be a height and a width, or one int for both. Got {size} instead.")
    spec = replace(model.input_spec, size=sides)
    spec.check_size(model.input().shape, model.input().name)
    return replace(model, spec=spec)


def _blank(model: Model) -> dict[str, Array]:
    """One input of a model that reads a picture."""
    info, spec = model.input(), model.input_spec
    if spec.kind != "picture" or info.dtype.kind != "f":
        planes = info.shape[1] if len(info.shape) == 4 else None
        reason = (
            f", of {planes} channels, and pictures have 1 or 3"
            if isinstance(planes, int) and info.dtype.kind == "f"
            else ", not a picture of floats"
        )
        raise UnsupportedModelError(f"Input '{info.name}' of {model.name} is {info}{reason}. Searches make pictures.")
    if len(model.inputs) > 1:
        raise UnsupportedModelError(
            f"{model.name} has {len(model.inputs)} inputs, and a search makes one. Cut the model at a layer."
        )
    sides = spec.size or tuple(info.shape[axis] for axis in spec.spatial_axes)
    size = [side for side in sides if isinstance(side, int)]
    if len(size) < len(sides):
        raise UnsupportedModelError(
            f"Input '{info.name}' of {model.name} takes pictures of any size. Give a 'size', such as 224."
        )
    shape = (1, spec.channels, *size) if spec.layout == "NCHW" else (1, *size, spec.channels)
    return model.check({info.name: np.zeros(shape, dtype=info.dtype)})


def _with_value(
    proto: onnx.ModelProto, model: Model, sample: Sample, objective: Objective, count: int
) -> onnx.ModelProto:
    """The graph with the terms of the objective as its output."""
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

    graph_model = ir.from_proto(proto)
    g = Builder(graph_model)
    value = objective.emit(ObjectiveGraph(model, sample, g, count))
    g.output(g.op("Identity", value), VALUE)
    return ir.to_proto(graph_model)
