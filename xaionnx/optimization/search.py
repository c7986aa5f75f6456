"""Search: from an objective to pictures for which it is large."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.autodiff import Gradient, gradient
from xaionnx.data.inputs import Given
from xaionnx.data.sample import Sample
from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.optimisers import OPTIMISERS, Optimiser
from xaionnx.optimization.objective import OBJECTIVES, Objective, ObjectiveGraph
from xaionnx.optimization.parametrisation import PARAMETRISATIONS, Canvas, Parametrisation
from xaionnx.optimization.views import View
from xaionnx.optimization.visualization import Visualization, high_frequencies
from xaionnx.parameters import free, integer, random_seed, real
from xaionnx.record import recorded_value
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, ModelLike

if TYPE_CHECKING:
    import onnx

_VALUE: Final = "xaionnx_objective"
# Pixels of the canvas around what the model reads, so that views may move.
_MARGIN: Final = 16
# Views that judge the result, none of which the search saw.
_UNSEEN: Final = 8


@final
@dataclass(frozen=True, kw_only=True)
class Search:
    """How pictures are searched for.

    Each step takes one random view of all pictures, runs the gradient graph of the objective on it, and follows the
    gradient back through the view and the parametrisation. Gradients have the length 1 in each picture before the
    penalties are subtracted, so that these mean the same for every unit.

    Parameters
    ----------
    count : int
        B pictures, from different starts.
    parametrisation, optimiser : str or object
        Their names, or they themselves with their parameters.
    steps : int
    jitter, zoom, rotation : float
        How far views are moved, as a share of their side, scaled and turned, in degrees.
    total_variation : float
        Weight of the mean squared difference of neighbouring pixels, which is subtracted.
    seed : int
        Of the starts and of the views.
    """

    count: int = integer(1, "number of pictures", low=1, high=64)
    steps: int = integer(256, "number of steps", low=1)
    parametrisation: str | Parametrisation = free(
        "fourier",
        lambda: f"a parametrisation: {', '.join(PARAMETRISATIONS.names())}",
        "what is changed",
        optional=False,
        resolver=lambda given: PARAMETRISATIONS.configured(given, {}),
    )
    optimiser: str | Optimiser = free(
        "adam",
        lambda: f"an optimiser: {', '.join(OPTIMISERS.names())}",
        "how it is changed",
        optional=False,
        resolver=lambda given: OPTIMISERS.configured(given, {}),
    )
    jitter: float = real(0.07, "most that a view is moved by, as a share of its side", low=0, high=1)
    zoom: float = real(1.25, "most that a view is scaled by, up or down", low=1)
    rotation: float = real(20.0, "most degrees that a view is turned by", low=0, high=180)
    total_variation: float = real(0.0, "weight of differences between neighbouring pixels", low=0)
    seed: int = random_seed("seed of the starts and of the views")

    def __post_init__(self) -> None:
        parameters.check_all(self)

    def run(self, model: Model, objective: Objective, start: Given | None = None) -> Visualization:
        """Return pictures for which an objective is large.

        Parameters
        ----------
        model : Model
        objective : Objective
        start : picture, optional
            What the search starts from, as anything that the model reads; noise if None.

        Raises
        ------
        UnsupportedModelError
            The model does not read pictures as floats, or has other inputs.
        OutputError
            The gradient is 0 or not finite at the start.
        XaionnxError
            The objective does not fit the model; see :class:`xaionnx.optimization.Objective`.
        """
        began = time.perf_counter()
        scene = _Scene.of(model, objective, self.count)
        parametrisation: Parametrisation = PARAMETRISATIONS.configured(self.parametrisation, {})
        optimiser: Optimiser = OPTIMISERS.configured(self.optimiser, {})
        rng = np.random.default_rng([self.seed, 0])
        found = (
            parametrisation.start(scene.canvas, rng)
            if start is None
            else parametrisation.from_pictures(scene.canvas, scene.read(start))
        )
        state: dict[str, Array] = {}
        trace = np.empty((self.steps, self.count))
        progress.expect((self.steps + _UNSEEN + 1) * self.count)
        for step in range(self.steps):
            pictures = parametrisation.pictures(scene.canvas, found)
            view = self._view(scene, 1, step)
            trace[step], slope = scene.gradient(view, pictures)
            if step == 0:
                _check_slope(slope, objective)
            slope /= np.maximum(np.linalg.norm(slope.reshape(self.count, -1), axis=1), 1e-30).reshape(-1, 1, 1, 1)
            if self.total_variation:
                slope -= np.float32(self.total_variation) * roughness_slope(pictures)
            found = found + optimiser.step(state, parametrisation.back(scene.canvas, pictures, slope))
            progress.advance(self.count)
        pictures = parametrisation.pictures(scene.canvas, found)
        return self._result(scene, pictures, trace, objective, time.perf_counter() - began)

    def _view(self, scene: _Scene, purpose: int, number: int) -> View:
        rng = np.random.default_rng([self.seed, purpose, number])
        return View.random(
            scene.size_of_canvas, scene.size, rng, jitter=self.jitter, zoom=self.zoom, rotation=self.rotation
        )

    def _result(
        self, scene: _Scene, pictures: Array, trace: Array, objective: Objective, seconds: float
    ) -> Visualization:
        middle = View.at(scene.size_of_canvas, scene.size)
        views = [self._view(scene, 2, number) for number in range(_UNSEEN)]
        unseen = np.mean([scene.value(view, pictures) for view in views], axis=0)
        value, shown = scene.value(middle, pictures), scene.shown(middle, pictures)
        settings = {name: recorded_value(getattr(self, name)) for name in parameters.declared(Search)}
        return Visualization(
            shown,
            value,
            unseen,
            high_frequencies(shown),
            trace,
            scene.predictions(middle, pictures),
            settings,
            {"evaluations": (self.steps + _UNSEEN + 1) * self.count, "seconds": round(seconds, 3)},
            {
                "model": scene.model.name,
                "model_sha256": scene.model.sha256,
                "objective": repr(objective),
            },
        )


def visualize(
    model: ModelLike, objective: str | Objective, *, start: Given | None = None, **settings: object
) -> Visualization:
    """Search for pictures that make a unit of a model large.

    Parameters
    ----------
    model : Model or path
        It reads pictures, as floats.
    objective : str or Objective
        The name of an objective, ``channel``, ``neuron``, ``spatial``, ``layer``, ``direction`` or ``class_score``, or
        the objective with its parameters.
    start : picture, optional
        What the search starts from; noise if None.
    **settings
        Parameters of the objective, if it is given by name (``layer``, ``channel``, ``label``), and of the
        :class:`Search` (``steps``, ``count``, ``seed``, ...).

    Returns
    -------
    Visualization
        With ``image``, the objective at views that the search did not see, and what the model says of the pictures.

    Raises
    ------
    UnknownNameError
        There is no such objective, parameter, layer or channel.
    XaionnxError
        See :meth:`Search.run`.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007.

    Examples
    --------
    >>> import xaionnx
    >>> found = xaionnx.visualize("models/mnist_cnn.onnx", "class_score", label=3, steps=128)
    >>> found.predictions
    ['3']
    >>> bool(found.unseen[0] > found.trace[0, 0])
    True
    """
    own = parameters.declared(Search).keys()
    search = Search(**{name: value for name, value in settings.items() if name in own})  # type: ignore[arg-type]  # checked there
    chosen = OBJECTIVES.configured(objective, {name: v for name, v in settings.items() if name not in own})
    opened = model if isinstance(model, Model) else Model.load(model)
    with progress.bar():
        return search.run(opened, chosen, start)


@final
@dataclass(frozen=True, eq=False)
class _Scene:
    """A model with an objective, and how pictures from 0 to 1 become its input."""

    model: Model
    judged: Model
    slope: Gradient
    canvas: Canvas
    size: tuple[int, int]
    sample: Sample

    @classmethod
    def of(cls, model: Model, objective: Objective, count: int) -> _Scene:
        info, spec = model.input(), model.input_spec
        if spec.kind != "picture" or info.dtype.kind != "f":
            raise UnsupportedModelError(
                f"Input '{info.name}' of {model.name} is {info}, not a picture of floats. Searches make pictures."
            )
        if len(model.inputs) > 1:
            raise UnsupportedModelError(
                f"{model.name} has {len(model.inputs)} inputs, and a search makes one. Cut the model at a layer."
            )
        axes = spec.spatial_axes
        sides = spec.size or tuple(info.shape[axis] for axis in axes)
        size = [side for side in sides if isinstance(side, int)]
        if len(size) < len(sides):
            raise UnsupportedModelError(
                f"Input '{info.name}' of {model.name} takes pictures of any size. Give its .toml file a 'size'."
            )
        height, width = size
        shape = (1, spec.channels, height, width) if spec.layout == "NCHW" else (1, height, width, spec.channels)
        feeds = model.check({info.name: np.zeros(shape, dtype=info.dtype)})
        sample = model.samples(feeds, info.name)[0]
        judged = model.derived(
            ("objective", repr(objective)), lambda proto: _with_value(proto, model, sample, objective)
        )
        slope = gradient(judged, _VALUE, [info.name], sample=feeds)
        margin = _MARGIN if min(height, width) > 2 * _MARGIN + 32 else 2
        canvas = Canvas(count, spec.channels, height + 2 * margin, width + 2 * margin)
        return cls(model, judged, slope, canvas, (height, width), sample)

    @property
    def size_of_canvas(self) -> tuple[int, int]:
        return self.canvas.height, self.canvas.width

    @property
    def name(self) -> str:
        """The input."""
        return self.model.input().name

    def gradient(self, view: View, pictures: Array) -> tuple[Array, Array]:
        """The objective (B,) in a view of the pictures, and its gradient with respect to them."""
        weights = np.ones((len(pictures), 1), dtype=np.float32)
        value, slopes = self.slope.run({self.name: self._tensor(view.crops(pictures))}, weights)
        return value.reshape(-1), view.back(self._from_tensor(slopes[self.name]))

    def value(self, view: View, pictures: Array) -> Array:
        """The objective (B,) in a view of the pictures."""
        found = self.judged.run({self.name: self._tensor(view.crops(pictures))}, [_VALUE])[_VALUE]
        progress.advance(len(pictures))
        return found.reshape(-1).astype(np.float64)

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

    def _tensor(self, crops: Array) -> Array:
        """Pictures from 0 to 1, (B, C, h, w), as the model reads them."""
        spec = self.model.input_spec
        mean, scale = (np.asarray(a, dtype=np.float32).reshape(1, -1, 1, 1) for a in (spec.mean, spec.scale))
        ordered = crops[:, ::-1] if spec.color == "BGR" else crops
        tensor = np.moveaxis((255 * ordered - mean) / scale, 1, spec.channel_axis)
        return np.ascontiguousarray(tensor, dtype=self.model.input().dtype)

    def _from_tensor(self, slopes: Array) -> Array:
        """The transpose of the linear part of :meth:`_tensor`."""
        spec = self.model.input_spec
        scale = np.asarray(spec.scale, dtype=np.float32).reshape(1, -1, 1, 1)
        planes: Array = np.moveaxis(slopes, spec.channel_axis, 1) * (255 / scale)
        return np.ascontiguousarray(planes[:, ::-1] if spec.color == "BGR" else planes, dtype=np.float32)


def _with_value(proto: onnx.ModelProto, model: Model, sample: Sample, objective: Objective) -> onnx.ModelProto:
    """The graph with the objective as its output."""
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

    graph_model = ir.from_proto(proto)
    g = Builder(graph_model)
    value = objective.emit(ObjectiveGraph(model, sample, g))
    g.output(g.op("Identity", value), _VALUE)
    return ir.to_proto(graph_model)


def _check_slope(slope: Array, objective: Objective) -> None:
    if not np.isfinite(slope).all():
        raise OutputError(f"The gradient of {objective} is NaN or infinity at the start. Start from another seed.")
    if not slope.reshape(len(slope), -1).any(axis=1).all():
        raise OutputError(
            f"The gradient of {objective} is 0 at the start, where it is silent. Start from another seed or a photo."
        )


def roughness_slope(pictures: Array) -> Array:
    """Return the gradient of the mean squared difference of neighbours, down and right, for pictures (B, C, H, W).

    Examples
    --------
    >>> roughness_slope(np.float32([[[[0, 1]]]])).round(3).tolist()
    [[[[-1.0, 1.0]]]]
    """
    down, right = np.diff(pictures, axis=2), np.diff(pictures, axis=3)
    slope = np.zeros_like(pictures)
    slope[:, :, :-1] -= down
    slope[:, :, 1:] += down
    slope[:, :, :, :-1] -= right
    slope[:, :, :, 1:] += right
    return np.asarray(slope * np.float32(2 / pictures[0].size))
