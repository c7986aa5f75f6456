"""A method used inside another, with settings fixed by clean samples for their noisy copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx import discovery, parameters
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.game import GameExplainer
from xaionnx.perturb.background import replacement
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, BaselineLike, Document, FeaturesLike, MethodLike


def inner_method(
    owner: Explainer, given: MethodLike | None, default: Explainer, passed: Sequence[str] = ()
) -> Explainer:
    """The method of an 'inner' parameter: ``default`` if None, otherwise the method itself or by name.

    ``passed`` names parameters that the owner passes on to the inner method if they are given.

    Raises
    ------
    ParameterError
        It is not a method, it is of the owner's class, or it lacks a parameter that is passed on. UnknownNameError
        There is no such method.
    """
    method = given if given is not None else default
    if isinstance(given, str):
        method = discovery.method(given)()
    if not isinstance(method, Explainer) or isinstance(method, type(owner)):
        raise ParameterError(
            f"The 'inner' parameter of {type(owner).__name__} must be the name of a method other than "
            f"{owner.name()}, or such a method itself. Got {given!r} instead."
        )
    settings = {name: value for name in passed if (value := getattr(owner, name)) is not None}
    for name, value in settings.items():
        if name not in parameters.declared(type(method)):
            raise ParameterError(
                f"The '{name}' parameter of {type(owner).__name__} must be None for {method.name()}, which has none. "
                f"Got {value!r} instead."
            )
    return dataclasses.replace(method, **settings)  # type: ignore[type-var]  # every method is a dataclass


def resolved_method(method: Explainer, sample: Sample) -> Explainer:
    """The method with its baseline and features resolved."""
    return _replace_settings(method, Baseline.of, lambda given: Features.of(given).resolved(sample))


def with_clean_samples(method: Explainer, samples: Sequence[Sample]) -> Explainer:
    """The method with the baseline and features of N clean samples; row i of the copies belongs to sample i mod N."""
    return _replace_settings(
        method,
        lambda given: _CleanBaseline(Baseline.of(given), samples),
        lambda given: _CleanFeatures([Features.of(given).label_maps(sample) for sample in samples]),
    )


def _replace_settings(
    method: Explainer, baseline: Callable[[BaselineLike], Baseline], features: Callable[[FeaturesLike], Features]
) -> Explainer:
    if isinstance(method, GameExplainer) and method.removed_layer is not None:
        return method  # its baseline and features are those of a layer, not of the samples
    known = parameters.declared(type(method))
    changes: Document = {}
    if "features" in known:
        changes["features"] = features(getattr(method, "features"))  # noqa: B009 - a field of some methods
    if "baseline" in known:
        changes["baseline"] = baseline(replacement(method))
        if "background" in known:
            changes["background"] = None
    return dataclasses.replace(method, **changes)  # type: ignore[type-var]  # every method is a dataclass


@final
@dataclass(frozen=True, eq=False)
class CleanTarget(Target):
    """A target resolved for N clean samples."""

    term: TargetTerm
    output: str | None = None

    def tensor(self, model: Model) -> str:
        return self.term.tensor

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return TargetSet([self.term]).of_samples(np.arange(len(output)) % len(self.term.indices)).terms


@final
@dataclass(frozen=True, eq=False)
class _CleanBaseline(Baseline):
    given: Baseline
    clean: Sequence[Sample]

    @property
    def weights(self) -> Array | None:
        return self.given.weights

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return self.given.fill(self.clean[sample.number % len(self.clean)], name, rng)


@final
@dataclass(frozen=True, eq=False)
class _CleanFeatures(Features):
    maps: Sequence[dict[str, Array]]

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return self.maps[sample.number % len(self.maps)]
