"""Completeness: how far the sum of the values is from the change of the target."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, SampleMeasure, measured
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._removal import ByRemoval, Coalitions
from xaionnx.metrics._subsets import BySums
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Completeness(BySums, ByRemoval):
    """The distance between the sum of the values and the change of the target from the baseline to the input::

        | sum over i of phi_i - (f(x) - f(baseline)) |

    It is in units of the target, and 0 for methods with the axiom of completeness. The baseline is the method's own, be
    it one input or the rows of a background, unless one is given here; zero if the method has none. Controls are
    compared with the same change as the method.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "completeness").values
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    needs: ClassVar[tuple[str, ...]] = ("baseline",)
    reference: ClassVar[str] = "Sundararajan et al. 2017, arXiv:1703.01365"

    def measure(self, evidence: Evidence) -> Measure:
        own = evidence.baseline_prediction
        if own is None or self.replacement is not None or self.quantity != "target":
            return super().measure(evidence)
        changes = evidence.resolved.prediction[0] - own
        each = [SampleMeasure(abs(evidence.total(n) - float(change))) for n, change in enumerate(changes)]
        return dataclasses.replace(measured(each), parameters={"baseline": "of the method"})

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without(np.ones((1, len(values)), dtype=bool))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return SampleMeasure(float(np.abs(values.sum() - (full - targets[0]))))
