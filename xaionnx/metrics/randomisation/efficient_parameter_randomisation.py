"""Efficient parameter randomisation: how much the entropy of the explanation rises for a model with random weights."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._randomised import randomised
from xaionnx.parameters import integer, random_seed
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class EfficientParameterRandomisation(Metric):
    """The relative rise of the entropy of the explanation from the model to one whose weights are all random::

        (H(phi of the random model) - H(phi)) / H(phi)

    with H the entropy of the histogram of the values over positions. It needs one random model and no similarity.

    References
    ----------
    Hedström, Weber, Lapuschkin and Höhne, Sanity checks revisited: an exploration to repair the model parameter
    randomisation test, 2024, arXiv:2401.06465, section 4.2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "efficient_parameter_randomisation").values
    array([0.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-1.0, math.inf)
    reference: ClassVar[str] = "Hedström et al. 2024, arXiv:2401.06465"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    bins: int = integer(100, "number of bins of the histogram", low=2)
    weights_seed: int = random_seed("seed of the random weights")

    def measure(self, evidence: Evidence) -> Measure:
        rows = np.arange(len(evidence.samples))
        with closing(randomised(evidence.model, None, self.weights_seed)) as model:
            other = evidence.explain(evidence.request.feeds, rows, model)
        each = []
        for n in range(len(evidence.samples)):
            before, after = (histogram_entropy(one.position_values(n), self.bins) for one in (evidence, other))
            each.append(SampleMeasure((after - before) / before) if before > 0 else undefined("all values are equal"))
        return measured(each)


def histogram_entropy(values: Array, bins: int) -> float:
    """Return the entropy, in nats, of the histogram of values between their minimum and maximum.

    Examples
    --------
    >>> round(histogram_entropy(np.array([0.0, 0, 0, 1]), 4), 6), round(histogram_entropy(np.arange(4.0), 4), 6)
    (0.562335, 1.386294)
    """
    counts = np.histogram(values, bins=bins)[0]
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
