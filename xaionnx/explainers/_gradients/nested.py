"""A method inside another, and what clean samples decide for the noisy copies that it is given."""

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
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetSet, TargetTerm
from xaionnx.targets.target import Target
from xaionnx.typing import Array, BaselineLike, Document, FeaturesLike, MethodLike


def inner_method(owner: Explainer, given: MethodLike | None, usual: Explainer, passed: Sequence[str] = ()) -> Explainer:
    """The method behind an 'inner' parameter: ``usual`` where None, else by its name, or itself.

    ``passed`` names parameters of the owner that the inner method takes on where they are given.

    Raises
    ------
    ParameterError
        It is no method, of the owner's own kind, or lacks a parameter that is passed on.
    UnknownNameError
        There is no such method.
    """
    found = given if given is not None else usual
    if isinstance(given, str):
        found = discovery.method(given)()
    if not isinstance(found, Explainer) or isinstance(found, type(owner)):
        raise ParameterError(
            f"The 'inner' parameter of {type(owner).__name__} must be the name of a method other than "
            f"{owner.name()}, or such a method itself. Got {given!r} instead."
        )
    taken = {name: value for name in passed if (value := getattr(owner, name)) is not None}
    for name, value in taken.items():
        if name not in parameters.declared(type(found)):
            raise ParameterError(
                f"The '{name}' parameter of {type(owner).__name__} must be None for {found.name()}, which has none. "
                f"Got {value!r} instead."
            )
    return dataclasses.replace(found, **taken)  # type: ignore[type-var]  # every method is a dataclass


def resolved_method(method: Explainer, sample: Sample) -> Explainer:
    """The method with what stands behind its shorthand of a baseline and of features."""
    return _replaced(method, Baseline.of, lambda given: Features.of(given).resolved(sample))


def held(method: Explainer, samples: Sequence[Sample]) -> Explainer:
    """The method with the baseline and the features of N clean samples, for copies of which row i is of i mod N."""
    return _replaced(
        method,
        lambda given: _HeldBaseline(Baseline.of(given), samples),
        lambda given: _HeldFeatures([Features.of(given).label_maps(sample) for sample in samples]),
    )


def _replaced(
    method: Explainer, baseline: Callable[[BaselineLike], Baseline], features: Callable[[FeaturesLike], Features]
) -> Explainer:
    known = parameters.declared(type(method))
    changes: Document = {"baseline": baseline, "features": features}
    return dataclasses.replace(  # type: ignore[type-var]  # every method is a dataclass
        method, **{name: change(getattr(method, name)) for name, change in changes.items() if name in known}
    )


@final
@dataclass(frozen=True, eq=False)
class HeldTarget(Target):
    """A target as it was resolved for N clean samples."""

    term: TargetTerm
    output: str | None = None

    def tensor(self, model: Model) -> str:
        return self.term.tensor

    def terms(self, output: Array, model: Model) -> list[TargetTerm]:
        return TargetSet([self.term]).of_samples(np.arange(len(output)) % len(self.term.indices)).terms


@final
@dataclass(frozen=True, eq=False)
class _HeldBaseline(Baseline):
    given: Baseline
    clean: Sequence[Sample]

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return self.given.fill(self.clean[sample.number % len(self.clean)], name, rng)


@final
@dataclass(frozen=True, eq=False)
class _HeldFeatures(Features):
    maps: Sequence[dict[str, Array]]

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return self.maps[sample.number % len(self.maps)]
