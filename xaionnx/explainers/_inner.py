"""A method inside another, and what clean samples decide for the noisy copies that it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from xaionnx import discovery, parameters
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.model import Model
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.perturb.sample import Sample
from xaionnx.selection import Pick, Selection
from xaionnx.target import Target

Array = npt.NDArray[Any]


def inner(owner: Explainer, given: Any, usual: Explainer) -> Explainer:
    """The method behind a 'method' parameter: ``usual`` where None, else by its name, or itself.

    Raises
    ------
    ParameterError
        It is no method, or of the owner's own kind.
    UnknownNameError
        There is no such method.
    """
    if given is None:
        return usual
    found = discovery.method(given)() if isinstance(given, str) else given
    if not isinstance(found, Explainer) or isinstance(found, type(owner)):
        raise ParameterError(
            f"The 'method' parameter of {type(owner).__name__} must be the name of a method other than "
            f"{owner.name()}, or such a method itself. Got {given!r} instead."
        )
    return found


def resolved(method: Explainer, sample: Sample) -> Explainer:
    """The method with what stands behind its shorthand of a baseline and of features."""
    return _replaced(method, Baseline.of, lambda given: Features.of(given).resolved(sample))


def held(method: Explainer, samples: Sequence[Sample]) -> Explainer:
    """The method with the baseline and the features of N clean samples, for copies of which row i is of i mod N."""
    return _replaced(
        method,
        lambda given: _HeldBaseline(Baseline.of(given), samples),
        lambda given: _HeldFeatures([Features.of(given).label_maps(sample) for sample in samples]),
    )


def _replaced(method: Explainer, baseline: Any, features: Any) -> Explainer:
    known = parameters.declared(type(method))
    changes = {"baseline": baseline, "features": features}
    return dataclasses.replace(  # type: ignore[type-var]  # every method is a dataclass
        method, **{name: change(getattr(method, name)) for name, change in changes.items() if name in known}
    )


@final
@dataclass(frozen=True, eq=False)
class HeldTarget(Target):
    """A target as it was resolved for N clean samples."""

    pick: Pick
    output: str | None = None

    def tensor(self, model: Model) -> str:
        return self.pick.tensor

    def picks(self, output: Array, model: Model) -> list[Pick]:
        return Selection([self.pick]).of_samples(np.arange(len(output)) % len(self.pick.indices)).picks


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
