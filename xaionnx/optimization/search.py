"""Search: from an objective to pictures for which it is large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.autodiff.guided import REDIRECTED
from xaionnx.autodiff.rule import Table
from xaionnx.data.inputs import Given
from xaionnx.errors import OutputError, ZeroGradientError
from xaionnx.optimisers import OPTIMISERS, SHORT_OPTIMISERS, Optimiser
from xaionnx.optimization.objective import OBJECTIVES, Objective
from xaionnx.optimization.parametrisation import PARAMETRISATIONS, SHORT_PARAMETRISATIONS, Parametrisation
from xaionnx.optimization.scene import SIZE, Scene, sized
from xaionnx.optimization.search_state import SearchState, StepsInterrupted, Told
from xaionnx.optimization.views import Moves, View
from xaionnx.optimization.visualization import Visualization, high_frequencies
from xaionnx.parameters import choice, free, integer, random_seed, real, size
from xaionnx.record import recorded_value
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, ModelLike

# Views that judge the result, none of which the search saw.
_UNSEEN: Final = 8
# What random views are for: steps, and the judgement.
_STEPS, _JUDGEMENT = 1, 2


def _parametrisation(given: str | Parametrisation) -> Parametrisation:
    return SHORT_PARAMETRISATIONS.read(given) if isinstance(given, str) else PARAMETRISATIONS.configured(given, {})


def _optimiser(given: str | Optimiser) -> Optimiser:
    return SHORT_OPTIMISERS.read(given) if isinstance(given, str) else OPTIMISERS.configured(given, {})


class SearchInterrupted(StepsInterrupted):
    """A search was stopped by Ctrl-C after some steps.

    Attributes
    ----------
    found : Visualization
        What it had found, from which it resumes.
    """

    def __init__(self, found: Visualization) -> None:
        super().__init__(len(found.trace), found.search["steps"])
        self.found = found


@final
@dataclass(frozen=True, kw_only=True)
class Search:
    """How pictures are searched for.

    Each step takes random views of all pictures, runs the gradient graph of the objective on them, and follows the
    gradient back through the views and the parametrisation. Where it is 0, since a rectifier lets nothing through, as
    that of a unit that is silent at the start, the step follows what would open the rectifier. Gradients have the
    length 1 in each picture before the penalties are subtracted, so that these mean the same for every unit. An
    optimiser that compares values gets the same views at each step, by default the one of the middle, and gradients in
    units of the length of the first one.

    Parameters
    ----------
    count : int
        B pictures, from different starts.
    size : int or (int, int), optional
        Height and width of the pictures, for a model that reads any; those of its spec if None.
    steps : int
    parametrisation, optimiser : str or object
        Their names, or they themselves with their parameters.
    views : int
        Views in each step, over which the gradient is averaged.
    jitter, zoom, rotation : float
        How far views are moved, as a share of their side, scaled and turned, in degrees.
    padding : str
        What views see beyond the border of the picture.
    total_variation : float
        Weight of the sum of the squared differences of neighbouring pixels by the root of their number, which is
        subtracted.
    blur : float
        Deviation of a blur of the gradient, in pixels.
    seed : int
        Of the starts and of the views.
    """

    count: int = integer(1, "number of pictures", low=1, high=64)
    size: int | tuple[int, ...] | None = size(None, SIZE, optional=True)
    steps: int = integer(128, "number of steps", low=1)
    parametrisation: str | Parametrisation = free(
        "fourier",
        lambda: f"a parametrisation: {SHORT_PARAMETRISATIONS.words()}",
        lambda: f"what is changed: {SHORT_PARAMETRISATIONS.words()}",
        optional=False,
        resolver=_parametrisation,
    )
    optimiser: str | Optimiser = free(
        "adam",
        lambda: f"an optimiser: {SHORT_OPTIMISERS.words()}",
        lambda: f"how it is changed: {SHORT_OPTIMISERS.words()}",
        optional=False,
        resolver=_optimiser,
    )
    views: int = integer(1, "number of views in each step", low=1, high=64)
    jitter: float = real(0.07, "most that a view is moved by, as a share of its side", low=0, high=1)
    zoom: float = real(1.25, "most that a view is scaled by, up or down", low=1)
    rotation: float = real(20.0, "most degrees that a view is turned by", low=0, high=180)
    padding: str = choice("reflect", ("reflect", "gray"), "what views see beyond the border")
    total_variation: float = real(0.0, "weight of differences between neighbouring pixels", low=0)
    blur: float = real(0.0, "deviation of a blur of the gradient, in pixels", low=0, high=100)
    seed: int = random_seed("seed of the starts and of the views")

    def __post_init__(self) -> None:
        parameters.check_all(self)

    def run(
        self,
        model: Model,
        objective: Objective,
        start: Given | None = None,
        resume: Visualization | str | Path | None = None,
    ) -> Visualization:
        """Return pictures for which an objective is large.

        Parameters
        ----------
        model : Model
        objective : Objective
        start : picture, optional
            What the search starts from, as anything that the model reads; noise if None.
        resume : Visualization or path, optional
            An earlier result of the same search with fewer steps, from which it goes on: the result is the same to the
            last bit.

        Raises
        ------
        UnsupportedModelError
            The model does not read pictures as floats, or has other inputs.
        OutputError
            The gradient is not finite.
        ZeroGradientError
            The gradient is 0 at the start.
        ParameterError
            The earlier result is one of another search, or the model reads pictures of another size.
        SearchInterrupted
            Ctrl-C was pressed; it holds what was found so far.
        XaionnxError
            The objective does not fit the model; see :class:`xaionnx.optimization.Objective`.
        """
        began = time.perf_counter()
        parametrisation, _ = self._parts
        model = sized(model, self.size)
        scene = Scene.of(model, objective, self.count, parametrisation)
        told = Told(
            {name: recorded_value(getattr(self, name)) for name in parameters.declared(Search)},
            {
                "model": model.name,
                "model_sha256": model.sha256,
                "objective": repr(objective),
                "objective_sha256": objective.fingerprint(model),
            },
        )
        if resume is None:
            rng = np.random.default_rng([self.seed, 0])
            now = SearchState(self._start(scene, objective, rng, start))
        else:
            now = SearchState.resumed(resume, told, start)
        progress.expect(((self.steps - len(now.trace)) * self.views + _UNSEEN + 1) * self.count)
        try:
            for step in range(len(now.trace), self.steps):
                now = self._stepped(scene, objective, now, step)
                progress.advance(self.count * self.views)
        except KeyboardInterrupt as stop:
            if not now.trace:
                raise
            raise SearchInterrupted(self._result(scene, now, told, time.perf_counter() - began)) from stop
        return self._result(scene, now, told, time.perf_counter() - began)

    @cached_property
    def _parts(self) -> tuple[Parametrisation, Optimiser]:
        return _parametrisation(self.parametrisation), _optimiser(self.optimiser)

    def _start(self, scene: Scene, objective: Objective, rng: np.random.Generator, start: Given | None) -> Array:
        (parametrisation, _), canvas = self._parts, scene.canvas
        if start is not None:
            return parametrisation.from_pictures(canvas, scene.read(start))
        if any(part.same_start for part in objective.parts()):
            return np.repeat(parametrisation.start(replace(canvas, count=1), rng), self.count, axis=0)
        return parametrisation.start(canvas, rng)

    def _stepped(self, scene: Scene, objective: Objective, now: SearchState, step: int) -> SearchState:
        """The state after one more step; the one before stays as it is, so that a stop leaves it whole."""
        parametrisation, optimiser = self._parts
        pictures = parametrisation.pictures(scene.canvas, now.parameters)
        views, redirected = self._views(scene, step, optimiser.compares), now.redirected
        value, slope, length = _mean_gradient(scene, views, pictures)
        if (silent := length == 0).any():
            _, *other = _mean_gradient(scene, views, pictures, REDIRECTED)
            redirected += len(views) * self.count
            slope[silent], length[silent] = (one[silent] for one in other)
        _check_length(length, objective, step)
        length = np.maximum(length, 1e-30)
        scale = length if now.scale is None or not optimiser.compares else now.scale
        slope /= scale.reshape(-1, 1, 1, 1)
        gain = value / scale
        if self.blur:
            slope = blurred(slope, self.blur)
        if self.total_variation:
            weight = self.total_variation * pictures[0].size ** 0.5
            gain = gain - weight * roughness(pictures)
            slope = slope - np.float32(weight) * roughness_slope(pictures)
        gradient = parametrisation.back(scene.canvas, now.parameters, pictures, slope)
        lost, steep = parametrisation.penalty(now.parameters)
        gradient = gradient if steep is None else gradient - steep
        state = dict(now.optimiser)
        moved = now.parameters + optimiser.step(state, gradient, gain - lost)
        return SearchState(moved, state, (*now.trace, value), scale, redirected)

    def unseen_views(self, scene: Scene) -> list[View]:
        """Return the views that judge the result, none of which a step sees.

        They move as far as those of a search do by default, so that the numbers of all searches compare.
        """
        usual = Search(seed=self.seed, padding=self.padding)
        return [usual._view(scene, _JUDGEMENT, number) for number in range(_UNSEEN)]

    def _views(self, scene: Scene, step: int, fixed: bool) -> list[View]:
        if fixed and self.views == 1:
            return [scene.middle()]
        first = 0 if fixed else step * self.views
        return [self._view(scene, _STEPS, first + number) for number in range(self.views)]

    def _view(self, scene: Scene, purpose: int, number: int) -> View:
        rng = np.random.default_rng([self.seed, purpose, number])
        moves = Moves(self.jitter, self.zoom, self.rotation, self.padding == "reflect", scene.fit)
        return View.random(scene.size_of_canvas, scene.size, rng, moves)

    def _result(self, scene: Scene, now: SearchState, told: Told, seconds: float) -> Visualization:
        pictures = self._parts[0].pictures(scene.canvas, now.parameters)
        middle = scene.middle()
        unseen = np.mean([scene.value(view, pictures) for view in self.unseen_views(scene)], axis=0)
        value, shown = scene.value(middle, pictures), scene.shown(middle, pictures)
        trace = np.stack(now.trace)
        cost = (len(trace) * self.views + _UNSEEN + 1) * self.count + now.redirected
        return Visualization(
            shown,
            value,
            unseen,
            high_frequencies(shown),
            trace,
            scene.predictions(middle, pictures),
            told.search,
            {"evaluations": cost, "seconds": round(seconds, 3)},
            told.provenance,
            now.arrays(),
        )


def visualize(
    model: ModelLike,
    objective: str | Objective,
    *,
    negative: bool = False,
    start: Given | None = None,
    resume: Visualization | str | Path | None = None,
    **settings: object,
) -> Visualization:
    """Search for pictures that make a unit of a model large.

    Parameters
    ----------
    model : Model or path
        It reads pictures, as floats.
    objective : str or Objective
        The name of an objective, such as ``channel``, ``neuron``, ``class_score`` or ``caricature``, or the objective
        with its parameters.
    negative : bool
        Make the objective small: what a unit is silent at, or negative.
    start : picture, optional
        What the search starts from; noise if None.
    resume : Visualization or path, optional
        An earlier result of the same search with fewer steps.
    **settings
        Parameters of the objective, if it is given by name (``layer``, ``channel``, ``label``), and of the
        :class:`Search` (``steps``, ``count``, ``seed``, ...).

    Returns
    -------
    Visualization
        With ``image``, the objective at views that the search did not see, and what the model says about the pictures.

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
        return search.run(opened, -chosen if negative else chosen, start, resume)


def _mean_gradient(
    scene: Scene, views: Sequence[View], pictures: Array, rules: Table | None = None
) -> tuple[Array, Array, Array]:
    """The means over views of the objective (B,) and of its gradient, whose lengths (B,) come last."""
    found = [scene.gradient(view, pictures, rules) for view in views]
    value, slope = found[0] if len(found) == 1 else (np.mean(each, axis=0) for each in zip(*found, strict=True))
    return value, slope, np.sqrt(np.einsum("bchw,bchw->b", slope, slope))


def _check_length(length: Array, objective: Objective, step: int) -> None:
    """Refuse lengths (B,) of gradients that no step can follow; a unit may fall silent on the way."""
    if not np.isfinite(length).all():
        raise OutputError(
            f"The gradient of {objective} is NaN or infinity at step {step + 1}. Start from another seed."
        )
    if step == 0 and not length.all():
        raise ZeroGradientError(
            f"The gradient of {objective} is 0 at the start, where it is silent. Start from another seed or a photo."
        )


def blurred(slopes: Array, sigma: float) -> Array:
    """Return gradients (B, C, H, W) blurred over their pixels."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(slopes, (0, 0, sigma, sigma), mode="nearest"), dtype=np.float32)


def roughness(pictures: Array) -> Array:
    """Return the mean squared difference of neighbours, down and right, (B,), for pictures (B, C, H, W)."""
    down, right = (np.diff(pictures, axis=axis).astype(np.float64) ** 2 for axis in (2, 3))
    return np.asarray((down.sum(axis=(1, 2, 3)) + right.sum(axis=(1, 2, 3))) / pictures[0].size)


def roughness_slope(pictures: Array) -> Array:
    """Return the gradient of :func:`roughness` for pictures (B, C, H, W).

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
