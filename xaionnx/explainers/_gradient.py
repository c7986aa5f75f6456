"""What all methods share that ask for gradients: from a batch and a target to points, and back to a record."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from xaionnx.explainer import Explainer, provenance
from xaionnx.explainers._slopes import Slopes
from xaionnx.explanation import Explanation
from xaionnx.model import Model
from xaionnx.resolution import resolve
from xaionnx.target import Target

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Points:
    """J points to explain.

    Attributes
    ----------
    sample : array of int (J,)
        The sample whose targets are explained there.
    x : dict of arrays (J, ...) by input name
    values : array (T, J) or None
        The targets at the points, where they are known.
    """

    sample: Array
    x: dict[str, Array]
    values: Array | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found at J points.

    Attributes
    ----------
    values : dict of arrays (T, J, ...) by input name
    gradients : array of int (J,)
        Gradient evaluations that each point cost, for all targets together.
    forwards : array of int (J,)
        Evaluations of the model without a gradient.
    baseline : array (T, J) or None
        The targets at the baseline.
    standard_error : dict of arrays like ``values``, or None
    diagnostics : dict of arrays (T, J)
    """

    values: dict[str, Array]
    gradients: Array
    forwards: Array
    baseline: Array | None = None
    standard_error: dict[str, Array] | None = None
    diagnostics: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GradientExplainer(Explainer):
    """A method that asks for gradients of the target with respect to the float inputs.

    ``diagnostics`` tell ``evaluations``, every row that ran through the model, with its gradient or without, and
    ``gradients``, those of them that went back too. A gradient is of one target, so T targets cost T gradients.
    ``provenance`` lists under ``approximations`` what in the gradients is no derivative of what the model computes,
    as where it was quantised.
    """

    needs: ClassVar[str] = "gradient"

    @abstractmethod
    def trace(self, slopes: Slopes, points: Points) -> Found:
        """Explain points, for each of the targets."""

    def rules(self, model: Model) -> Table | None:
        """The rules that take the place of derivatives; None for the derivatives themselves."""
        del model
        return None

    def resolved(self) -> dict[str, Any]:
        """What stands behind a parameter's shorthand."""
        return {}

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        target = self.usual_target(model) if target is None else target
        resolution = resolve(target, model, feeds)
        slopes = Slopes(model, feeds, resolution, self.rules(model))
        numbers = np.arange(len(slopes.samples))
        found = self.trace(slopes, Points(numbers, {name: feeds[name] for name in slopes.names}, resolution.values))

        def axis(array: Array) -> Array:
            return array if resolution.several else array[0]

        values = {name: axis(found.values[name].astype(feeds[name].dtype)) for name in slopes.names}
        main = model.input().name
        errors = found.standard_error or {}
        alone = list(values) == [main]
        return Explanation(
            method=self.name(),
            values=values[main] if alone else values,
            target=axis(resolution.selection.names),
            prediction=axis(resolution.values),
            baseline_prediction=None if found.baseline is None else axis(found.baseline),
            standard_error=axis(errors[main]) if errors and alone else None,
            maps={} if alone else {f"standard_error_{name}": axis(array) for name, array in errors.items()},
            diagnostics={
                # One more: the prediction.
                "evaluations": (1 + found.gradients + found.forwards).tolist(),
                "gradients": found.gradients.tolist(),
                "seconds": round(time.perf_counter() - began, 6),
                **{key: axis(array).tolist() for key, array in found.diagnostics.items()},
            },
            provenance={
                **provenance(self, model, feeds, Target.of(target)[0], self.resolved()),
                "approximations": slopes.approximations,
            },
        )


def gradients(slopes: Slopes, points: Points) -> Found:
    """The gradient of each target at each point."""
    count, targets = len(points.sample), slopes.targets
    values = {name: np.empty((targets, *x.shape), dtype=x.dtype) for name, x in points.x.items()}
    # Row j * T + t is target t at point j.
    which, target = np.divmod(np.arange(count * targets), targets)
    for rows, found in slopes.at(
        points.sample[which], target, lambda rows: {name: x[which[rows]] for name, x in points.x.items()}
    ):
        for name, array in found.items():
            values[name][target[rows], which[rows]] = array
    return Found(values, np.full(count, targets), np.zeros(count, dtype=np.int64))
