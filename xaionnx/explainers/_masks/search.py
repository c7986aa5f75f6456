"""The search for a mask by gradients: what it shows or removes, and its steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.sample import Positions, Sample
from xaionnx.errors import InputMismatchError
from xaionnx.explainers._gradients.gradient import Points
from xaionnx.explainers._gradients.paths import Paths
from xaionnx.explainers._masks.upsampling import Upsampling
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.optimisers.adam import Adam
from xaionnx.parameters import integer, random_seed, real
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import is_row
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, BaselineLike

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun

DEFAULT: Final = "blur"
"""What removal puts in if nothing is given."""


@final
@dataclass(frozen=True, eq=False)
class Blend:
    """Points between baselines and samples, for S searches of a target of a sample.

    Attributes
    ----------
    paths : Paths
        From the B baselines of each sample to the sample.
    positions : dict of Positions by input name
    target, sample : arrays of int (S,)
    draw : int
        The baseline of this step.
    shift : dict of tuples of int by input name
        How far the input is moved under the mask, along the axes of its positions.
    """

    paths: Paths
    positions: Mapping[str, Positions]
    target: Array
    sample: Array
    draw: int = 0
    shift: Mapping[str, Sequence[int]] | None = None

    __repr__ = short_repr

    def at(self, shown: Mapping[str, Array], rows: Array) -> dict[str, Array]:
        """Return the inputs of searches ``rows``, of which masks (S, *extent) say the share that is shown."""
        found = {}
        for name in self.positions:
            start, way = self._ends(name, rows)
            found[name] = start + self._over(name, shown[name][rows]) * way
        return found

    def back(self, name: str, rows: Array, gradient: Array) -> Array:
        """Return the slopes of the masks of searches ``rows`` from the gradient of the inputs."""
        axes = tuple(axis + 1 for axis in self.positions[name].values)
        return np.asarray((gradient * self._ends(name, rows)[1]).sum(axis=axes), dtype=np.float32)

    def _over(self, name: str, masks: Array) -> Array:
        """Masks (M, *extent) with axes of length 1 for the values at a position."""
        return np.expand_dims(masks, tuple(axis + 1 for axis in self.positions[name].values))

    def _ends(self, name: str, rows: Array) -> tuple[Array, Array]:
        """The baselines, and the ways from there to the samples."""
        which = self.sample[rows]
        start, x = self.paths.starts[name][which, self.draw], self.paths.points.x[name][which]
        for axis, shift in zip(self.positions[name].axes, (self.shift or {}).get(name, ()), strict=False):
            if shift:
                # What lies beyond the border repeats the border.
                moved = np.clip(np.arange(x.shape[axis + 1]) - shift, 0, x.shape[axis + 1] - 1)
                start, x = np.take(start, moved, axis + 1), np.take(x, moved, axis + 1)
        return start, x - start


@dataclass(frozen=True, kw_only=True)
class MaskSearch(FromBackground):
    """Lets a :class:`GradientExplainer` search for masks over the positions of its input, with Adam.

    The objective is made of the share of the target's change that the mask leaves, ``(f(z) - f(b)) / (f(x) - f(b))``
    with ``z = b + mask (x - b)``, so that the weights of penalties mean the same for a logit and for a probability.
    Where f(x) = f(b) there is nothing to explain, and values are 0.
    """

    value_kind: ClassVar[ValueKind] = "importance"

    baseline: BaselineLike = baselines.parameter("what removal puts in, blur:10 by default,")
    seed: int = random_seed("seed of the shifts, and of a random baseline")
    steps: int = integer(100, "steps of the search", low=1, high=2**20)
    grid: int = integer(28, "most cells of the coarse mask along each axis", low=1)
    jitter: float = real(0.018, "largest shift of the input under the mask, as a share of its side", low=0, high=0.5)
    learning_rate: float = real(0.1, "size of a step of Adam", low=0, low_open=True)

    @property
    @hook
    def masks(self) -> int:
        """The number A of masks of each target."""
        return 1

    @property
    @abstractmethod
    def removes(self) -> bool:
        """Whether a mask is what is removed, rather than what is shown."""

    @abstractmethod
    def upsampling(self, extent: tuple[int, ...], cells: tuple[int, ...]) -> Upsampling:
        """How coarse masks become masks over positions."""

    @abstractmethod
    def ascent(self, upsampling: Upsampling, coarse: Array, mask: Array, slope: Array, done: float) -> Array:
        """The gradient of the objective with respect to the coarse masks (S, *cells), the A masks of a target in turn.

        ``mask`` and ``slope`` are (S, *extent): the masks, and how the objective rises with them without its penalties.
        ``done`` is the share of the steps before this one.
        """

    @abstractmethod
    def attribution(self, masks: Mapping[str, Array], left: Array) -> Attribution:
        """The result from the masks (T, N, A, *extent) and the targets (T, N, A) that they leave."""

    @hook
    def start(self) -> float:
        """The coarse masks before the search."""
        return 0.0

    @final
    def check_gradients(self, dry_run: DryRun, names: Sequence[str]) -> dict[str, str | None]:
        remarks = validate_source(dry_run, names)
        if embedded := sorted(set(names) - {info.name for info in dry_run.model.inputs}):
            raise self._without_places(embedded[0], "is the embedding of tokens")
        if dry_run.sample is not None:
            for name in dry_run.sample.own.keys() & set(names):
                self._positions(dry_run.sample, name)
        return remarks

    def _positions(self, sample: Sample, name: str) -> Positions:
        """The positions of an input.

        Raises
        ------
        InputMismatchError
            It has none, or a single one.
        """
        if name not in sample.purposes or sample.text is not None:
            raise self._without_places(name, "is the embedding of tokens")
        if is_row(sample, name):
            raise self._without_places(name, "is a row of a table")
        found = sample.placed(type(self).__name__, name)
        if all(size == 1 for size in found.extent):
            raise self._without_places(name, "has a single position")
        return found

    def _without_places(self, name: str, what: str) -> InputMismatchError:
        return InputMismatchError(
            f"{type(self).__name__} needs a picture, a series or a volume, but '{name}' {what}. Use a method without "
            "masks: kernel_shap, integrated_gradients."
        )

    @final
    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        replaced = DEFAULT if self.replacement is None else self.replacement
        samples = [target_gradients.samples[n] for n in points.sample]
        positions = {name: self._positions(samples[0], name) for name in points.x}
        paths = Paths.of(target_gradients, points, replaced, self.seed)
        baseline = paths.baseline_targets(np.arange(paths.draws))
        shape = (target_gradients.targets, len(samples), self.masks)
        target, which, _ = (index.ravel() for index in np.indices(shape))
        blend = Blend(paths, positions, target, which)
        change = np.repeat((points.values - baseline).ravel(), self.masks)
        ups = {name: self._upsampling(found) for name, found in positions.items()}
        coarse = self._search(blend, ups, change)
        masks = {name: ups[name].up(one) * _column(change != 0, one) for name, one in coarse.items()}
        left = self._left(blend, masks)
        found = self.attribution(
            {name: mask.reshape(*shape, *mask.shape[1:]) for name, mask in masks.items()}, left.reshape(shape)
        )
        values = {
            name: np.broadcast_to(np.expand_dims(value, tuple(axis + 2 for axis in positions[name].values)),
                                  (*shape[:2], *points.x[name].shape[1:])).astype(points.x[name].dtype)
            for name, value in found.values.items()
        }  # fmt: skip
        given = {} if self.replacement is not None else {"baseline": Baseline.of(DEFAULT)}
        return replace(found, values=values, baseline=baseline, parameters={**found.parameters, **given})

    def _upsampling(self, positions: Positions) -> Upsampling:
        return self.upsampling(positions.extent, tuple(min(self.grid, size) for size in positions.extent))

    def _shown(self, masks: Mapping[str, Array]) -> dict[str, Array]:
        return {name: 1 - mask for name, mask in masks.items()} if self.removes else dict(masks)

    def _search(self, blend: Blend, ups: Mapping[str, Upsampling], change: Array) -> dict[str, Array]:
        """The coarse masks (S, *cells) by input name, after all steps."""
        scale = np.divide(1, change, out=np.zeros_like(change), where=change != 0)
        coarse = {name: np.full((len(change), *up.cells), self.start(), np.float32) for name, up in ups.items()}
        states: dict[str, dict[str, Array]] = {name: {} for name in ups}
        # Slopes fall by orders of magnitude once the target is gone, and penalties must count then.
        optimiser = Adam(learning_rate=self.learning_rate, beta2=0.9)
        progress.expect(self.steps * len(change))
        for step in range(self.steps):
            progress.expect(-len(change))  # announced before; the gradients announce themselves
            rng = np.random.default_rng([self.seed, step])
            now = replace(blend, draw=step % blend.paths.draws, shift=self._shifts(blend.positions, rng))
            masks = {name: ups[name].up(one) for name, one in coarse.items()}
            slopes = self._slopes(now, self._shown(masks))
            for name, up in ups.items():
                slope = slopes[name] * _column(scale.astype(np.float32), slopes[name])
                uphill = self.ascent(up, coarse[name], masks[name], slope, step / self.steps)
                coarse[name] = np.clip(coarse[name] + optimiser.step(states[name], uphill), 0, 1)
        return coarse

    def _slopes(self, blend: Blend, shown: Mapping[str, Array]) -> dict[str, Array]:
        """The slopes (S, *extent) of the targets with respect to what is shown, by input name."""
        slopes = {name: np.empty_like(mask) for name, mask in shown.items()}
        sample = blend.paths.points.sample[blend.sample]
        for _, rows, found in blend.paths.gradients.at(sample, blend.target[None], lambda rows: blend.at(shown, rows)):
            for name, gradient in found.items():
                slopes[name][rows] = blend.back(name, rows, gradient[0])
        return slopes

    def _shifts(self, positions: Mapping[str, Positions], rng: np.random.Generator) -> dict[str, tuple[int, ...]]:
        """A shift of each input, by the whole positions of ``jitter`` at most."""
        most = {name: [round(self.jitter * size) for size in found.extent] for name, found in positions.items()}
        return {name: tuple(int(rng.integers(-m, m + 1)) for m in each) for name, each in most.items()}

    def _left(self, blend: Blend, masks: Mapping[str, Array]) -> Array:
        """The targets (S,) that the masks leave, as a mean over the baselines."""
        shown, sample = self._shown(masks), blend.paths.points.sample[blend.sample]
        every = np.arange(len(sample))
        left = np.zeros(len(sample))
        for draw in range(blend.paths.draws):
            at = partial(replace(blend, draw=draw).at, shown)
            left += blend.paths.gradients.values(sample, at)[blend.target, every] / blend.paths.draws
        return left


def _column(values: Array, like: Array) -> Array:
    """Values (S,) that broadcast to an array (S, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
