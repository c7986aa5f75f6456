"""Random logit: how alike the explanations of two classes are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.controls.other_class import next_class
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, measured
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics import _similarity


@final
@dataclass(frozen=True, kw_only=True)
class RandomLogit(Metric):
    """The similarity of the explanation to that of the class with the highest score among the others.

    The paper draws the other class at random; the highest is the hardest to tell apart, and needs no seed. Its name for
    each sample is in the record, ``provenance["other_target"]``.

    References
    ----------
    Sixt, Granz and Landgraf, When explanations lie: why many modified BP attributions fail, ICML 2020,
    arXiv:1912.09818.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "saliency", "random_logit", target=0).values
    array([-1.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Sixt et al. 2020, arXiv:1912.09818"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    similarity: str = _similarity.parameter()
    sign: str = _similarity.sign_parameter()

    def measure(self, evidence: Evidence) -> Measure:
        target = next_class(evidence.resolved, "The metric 'random_logit' compares the maps of two classes")
        rows = np.arange(len(evidence.samples))
        other = evidence.explain(evidence.request.feeds, rows, target=target)
        measure = measured(_similarity.similarities(evidence, other, self.similarity, self.sign))
        return replace(measure, facts={"other_target": list(target.fixed[0].names)})
