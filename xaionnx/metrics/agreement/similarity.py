"""Similarity: how alike the explanations of two methods are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

from xaionnx import discovery
from xaionnx.errors import ParameterError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, measured
from xaionnx.evaluation.scores import Direction
from xaionnx.explanation import Explanation
from xaionnx.metrics import _similarity
from xaionnx.parameters import free
from xaionnx.typing import MethodLike


@final
@dataclass(frozen=True, kw_only=True)
class Similarity(Metric):
    """How alike the explanation is to that of another method, for the same target.

    ``kind`` is ``spearman`` (ranks), ``cosine`` (angle), ``ssim`` (structure) or ``top_k`` (share of the highest tenth
    of the positions that both have in common). Two methods that agree may both be wrong, so the score has no
    direction.

    References
    ----------
    Krishna et al., The disagreement problem in explainable machine learning, TMLR 2024, arXiv:2202.01602.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "similarity", other="feature_ablation").values
    array([1.])
    """

    direction: ClassVar[Direction] = "none"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Krishna et al. 2024, arXiv:2202.01602"

    other: MethodLike | Explanation | None = free(
        None, "the name of a method, the method itself or its Explanation", "the method to compare with"
    )
    kind: str = _similarity.parameter()
    sign: str = _similarity.sign_parameter()

    def measure(self, evidence: Evidence) -> Measure:
        if self.other is None:
            raise ParameterError("The 'other' parameter of Similarity must be a method, such as 'occlusion'.")
        explanation = self.other
        if not isinstance(explanation, Explanation):
            method = discovery.configured(explanation, {}).bind(evidence.model)
            explanation = method.explain(evidence.request)
        other = replace(evidence, explanation=explanation.samples_first())
        return measured(_similarity.similarities(evidence, other, self.kind, self.sign))
