"""Trials: each method explains one artificial sample, so that only what was tried is promised.

A method is first run with its defaults. Where it announces more evaluations than the limit allows it is stopped, and
run to its end with few evaluations and two groups of elements as players.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np

from xaionnx import discovery, parameters
from xaionnx.data.inputs import Inputs
from xaionnx.errors import (
    DataError,
    MemoryLimitError,
    TimeLimitError,
    UnsupportedModelError,
    UsageError,
    XaionnxError,
)
from xaionnx.layers.dry_run import DryRun
from xaionnx.perturb.features import Features
from xaionnx.perturb.partitions.superpixels import Superpixels
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.progress import listening
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.explainer import Explainer
    from xaionnx.explanation import Explanation
    from xaionnx.runtime.model import Model

Outcome = Literal["works", "refused", "not tried"]

# Seconds of a trial with the defaults; and how much longer a gradient takes than a run.
_EACH_S: Final = 0.25
_GRADIENT: Final = 4
# Settings with which any method is fast.
_SMALL: Final = {"steps": 2, "draws": 2, "channels": 2, "grid": 2}
_PLAYERS: Final = 2
# Of a picture of fewer numbers superpixels may be its pixels, which methods of few players refuse.
_SMALL_PICTURE: Final = 64 * 64
# Rows that may be one sample together.
_MOST_ROWS: Final = 8
# All coalitions of two players, and what methods need that refuse so few.
_BUDGETS: Final = (4, 16)
_GRADIENT_MODULES: Final = ("xaionnx.autodiff.backward", "xaionnx.autodiff.several", "xaionnx.autodiff.table")
# Tried first, as the time may not do for all: those by removal before those whose graphs have to be built.
_FIRST: Final = (
    "occlusion", "feature_ablation", "kernel_shap", "lime", "rise", "shapley_sampling", "saliency", "grad_cam",
    "input_x_gradient", "score_cam", "integrated_gradients", "smooth_grad",
)  # fmt: skip


@final
@dataclass(frozen=True)
class Trial:
    """What came of one method.

    Attributes
    ----------
    method : str
    outcome : str
    reason : str
        Why it is refused, or was not tried; empty if it works.
    facts : dict
        For a method that takes gradients, ``gradient``, their source, and ``remark``.
    """

    method: str
    outcome: Outcome
    reason: str
    facts: Document


class _TooLongError(Exception):
    """A method announced more evaluations than the limit allows."""


@final
class _Clock:
    """Seconds since it was made: of the processor where others keep it busy, and by the clock where several work."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return min(time.perf_counter() - self._start[0], time.process_time() - self._start[1])


@final
class _Limit:
    """Stops a method that announces, or has spent, more than its time."""

    def __init__(self, one_s: float, limit_s: float) -> None:
        self._one_s, self._clock, self._limit_s = one_s, _Clock(), limit_s
        self._planned = 0

    def expect(self, evaluations: int) -> None:
        self._planned += evaluations
        if self._planned * self._one_s > self._limit_s:
            raise _TooLongError

    def advance(self, evaluations: int) -> None:
        del evaluations
        if self._clock.seconds > self._limit_s:
            raise _TooLongError

    def phase(self, words: str) -> None:
        """Do nothing: a trial has few features."""


def try_methods(model: Model, limit_s: float) -> list[Trial]:
    """Return what comes of each method, within about ``limit_s`` seconds in all.

    The best known methods are tried first, and the other gradient methods, some of which build a graph each, last.
    Those for which no time is left are checked without a run, and after as long a time once more not at all.
    """
    names = discovery.methods()
    # Imported ahead of the clock: the import takes longer than to try a small model.
    order = sorted(names, key=_order)
    for module in _GRADIENT_MODULES:
        importlib.import_module(module)
    model = in_runs_of_the_graph(model) or model
    trials = _Trials.of(model, DryRun.of(model), limit_s)
    found = {}
    for name in order:
        progress.phase(f"trying {name}")
        found[name] = trials.of_method(discovery.method(name)())
    return [found[name] for name in names]


def in_runs_of_the_graph(model: Model) -> Model | None:
    """Return the model in runs of as many rows as its graph is for, if it runs on no other number.

    None if it takes a fixed number of rows, each of which cannot be explained without the others.
    """
    feeds = DryRun.of(model).assumed
    if feeds is None or not feeds[model.input().name].size:
        return model
    try:
        probed = model.probed(feeds, {info.name for info in model.outputs})
    except UnsupportedModelError:
        return None
    return probed if probed.fixed_batch != model.fixed_batch else model


def _order(name: str) -> tuple[int, bool, str]:
    first = _FIRST.index(name) if name in _FIRST else len(_FIRST)
    return first, discovery.method(name).needs == "gradient", name


def _several_rows(model: Model, feeds: Mapping[str, Array]) -> tuple[Model, DryRun] | None:
    """A model that takes several rows as one sample, if it runs on some, with that sample; None if it does not."""
    if model.axes.rows:
        return None
    joint = model.reopened(rows="joint")
    for count in range(2, _MOST_ROWS + 1) if model.fixed_batch is None else (model.fixed_batch,):
        # Rows that differ, since those that are alike may hide that they see each other.
        rows = {
            name: np.concatenate([one * np.asarray(1 - 0.1 * k, dtype=one.dtype) for k in range(count)])
            if name not in model.shared and one.dtype.kind == "f"
            else one
            for name, one in feeds.items()
        }
        try:
            sample = joint.check(rows)
            joint.run(sample)
        except XaionnxError:
            continue
        return joint, DryRun(joint, sample)
    return None


@final
@dataclass(frozen=True)
class _Trials:
    """A model with an artificial sample, the seconds of a run, and the clock of the trials.

    ``unable`` says why there is no sample, if so, and ``runs`` is False if the model fails on it.
    """

    model: Model
    dry_run: DryRun
    feeds: dict[str, Array]
    one_s: float
    limit_s: float
    clock: _Clock
    unable: str = ""
    runs: bool = True

    @classmethod
    def of(cls, model: Model, dry_run: DryRun, limit_s: float) -> _Trials:
        feeds, unable, one_s, runs = dry_run.assumed, "", 0.0, True
        if limit_s <= 0:
            unable = "the limit is 0 s"
        elif feeds is None:
            free = [info.name for info in model.inputs if not all(isinstance(size, int) for size in info.shape[1:])]
            unable = f"no sample can be made, since sizes of {', '.join(free)} are free"
        elif not feeds[model.input().name].size:
            unable = f"there is nothing to explain in input '{model.input().name}', {feeds[model.input().name].shape}"
        else:
            try:
                # Rows of a fixed number that see each other are found here.
                model.probed(feeds, {info.name for info in model.outputs})
                model.run(feeds)
                clock = _Clock()
                model.run(feeds)
                one_s = clock.seconds
            except XaionnxError as error:
                found = _several_rows(model, feeds)
                if found is not None:
                    return cls.of(*found, limit_s)
                unable, runs = f"the model does not run on one row of noise: {error}", False
        return cls(model, dry_run, feeds or {}, one_s, limit_s, _Clock(), unable, runs)

    def of_method(self, method: Explainer) -> Trial:
        """What comes of a method."""
        name, left_s = method.name(), self.limit_s - self.clock.seconds
        if self.unable:
            return self._checked(method, self.unable) if self.runs else Trial(name, "not tried", self.unable, {})
        over = f"the {self.limit_s:g} s for trials were over: --limit gives more"
        if left_s < -self.limit_s:
            return Trial(name, "not tried", over, {})
        if left_s < 0:
            return self._checked(method, over)
        most_s = min(_EACH_S, left_s)
        try:
            default_output(self.dry_run.model)
            result = self._run(self._undivided(method), most_s)
        except (MemoryLimitError, TimeLimitError) as error:
            return Trial(name, "not tried", str(error), {})
        except XaionnxError as refusal:
            return self._refused(method, refusal)
        if result is None:
            # Too long with the defaults, which passed all checks ahead of the evaluations.
            result = self._run_small(method, left_s)
        if result is None:
            return self._checked(
                method, over if most_s < _EACH_S else f"it takes longer than a trial may, {_EACH_S:g} s"
            )
        if method.needs != "gradient":
            return Trial(name, "works", "", {})
        source = result.diagnostics.get("gradient")
        # Methods around others keep no source, and a remark on differences says what a gradient lacks.
        plain = source in ("graph", "user")
        facts = {"gradient": source, "remark": None} if plain else self._checked(method, "").facts
        return Trial(name, "works", "", facts)

    def _refused(self, method: Explainer, refusal: XaionnxError) -> Trial:
        """A refusal of the model; one of the sample or of a parameter only shows that it needs others."""
        if self.dry_run.rows is None:
            return self._checked(method, f"with sizes of 64 in place of free ones: {refusal}")
        if isinstance(refusal, UsageError | DataError):
            return self._checked(method, f"with the defaults on one sample: {refusal}")
        return Trial(method.name(), "refused", str(refusal), {})

    def _checked(self, method: Explainer, why: str) -> Trial:
        """What a check without a run says about a method."""
        try:
            return Trial(method.name(), "not tried", why, dict(method.validate(self.dry_run)))
        except XaionnxError as refusal:
            return Trial(method.name(), "refused", str(refusal), {})

    def _run(self, method: Explainer, limit_s: float) -> Explanation | None:
        """The explanation; None if it takes too long."""
        one_s = self.one_s * (_GRADIENT if method.needs == "gradient" else 1)
        model = self.model
        try:
            with warnings.catch_warnings(), listening(_Limit(one_s, limit_s)):
                warnings.simplefilter("ignore")
                bound = method.bind(model)
                given = bound.default_target(model)
                return bound.explain(Request(model, Inputs(dict(self.feeds)), given, (), bound.explained))
        except _TooLongError:
            return None

    def _undivided(self, method: Explainer) -> Explainer:
        """The method, which has its defaults, with two groups of elements in place of superpixels.

        No model refuses these, and the import of what finds them takes longer than a trial.
        """
        given, sample = getattr(method, "features", None), self.model.samples(self.feeds)[0]
        is_large = sample.array.size > _SMALL_PICTURE and sample.is_picture
        if (
            "features" in parameters.declared(type(method))
            and is_large
            and isinstance(Features.of(given).resolved(sample), Superpixels)
        ):
            chosen: Document = {"features": self._groups()}
            return type(method)(**chosen)
        return method

    def _groups(self) -> Array:
        """Labels of the two groups of elements that are players of a trial."""
        shape = self.feeds[self.model.input().name].shape[1:]
        size = int(np.prod(shape, dtype=np.int64))
        return (np.arange(size) * min(_PLAYERS, size) // max(size, 1)).reshape(shape)

    def _run_small(self, method: Explainer, limit_s: float) -> Explanation | None:
        """The explanation with few evaluations; None if it takes too long, or cannot do with so few."""
        for budget in _BUDGETS:
            try:
                if result := self._run(self._small(method, budget), limit_s):
                    return result
            except XaionnxError:
                continue
        return None

    def _small(self, method: Explainer, budget: int) -> Explainer:
        """The method with few evaluations."""
        kind, shape = type(method), self.feeds[self.model.input().name].shape[1:]
        known = parameters.declared(kind)
        small = {"budget": budget, **_SMALL}
        chosen: Document = {k: value for k, value in small.items() if k in known and known[k][0].accepts(value)}
        if "features" in known:
            chosen["features"] = self._groups()
        if {"window", "stride"} <= known.keys():
            positions = self.model.samples(self.feeds)[0].positions()
            extent = shape[-1:] if positions is None else positions.extent
            sides = tuple(max(1, int(side) // 2) for side in extent)
            chosen["window"] = chosen["stride"] = sides if len(sides) > 1 else sides[0]
        return kind(**chosen)


def short_reason(reason: str, most: int = 150) -> str:
    """Return the first sentence of a reason, without its end if it is long.

    Examples
    --------
    >>> short_reason("No rule for op 'X' (node 'h.0'), on the path. Explain an earlier tensor.")
    "No rule for op 'X' (node 'h.0'), on the path"
    """
    first = reason.split(". ", 1)[0].removesuffix(".")
    return first if len(first) <= most else f"{first[: most - 3].rstrip()}..."
