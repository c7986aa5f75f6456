"""Smooth parameter randomisation: parameter randomisation of the mean explanation of noisy copies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric
from xaionnx.evaluation.scores import Direction
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.metrics import _similarity
from xaionnx.metrics._randomised import ORDERS, explanations_of
from xaionnx.metrics.randomisation.parameter_randomisation import ParameterRandomisation
from xaionnx.parameters import choice, integer, random_seed, real


@final
@dataclass(frozen=True, kw_only=True)
class SmoothParameterRandomisation(Metric):
    """The score of ``parameter_randomisation`` for the mean of the method's maps over noisy copies of the input.

    Noise in the maps of a method lowers their similarity even where they do not depend on the weights; the mean over
    copies is less noisy. The noise has the standard deviation ``noise`` times the range of the input.

    References
    ----------
    Hedström, Weber, Lapuschkin and Höhne, Sanity checks revisited: an exploration to repair the model parameter
    randomisation test, 2024, arXiv:2401.06465, section 4.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> bool(xaionnx.evaluate(model, x, "saliency", "smooth_parameter_randomisation").values[0] < 1)
    True
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Hedström et al. 2024, arXiv:2401.06465"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    order: str = choice("top_down", ORDERS, "which layers are randomised: from the outputs, from the inputs, or each")
    steps: int | None = integer(10, "number of layers at which maps are compared", low=1, optional=True)
    draws: int = integer(16, "number of noisy copies", low=2)
    noise: float = real(0.1, "standard deviation of the noise, as a share of the input's range", low=0, low_open=True)
    similarity: str = _similarity.parameter()
    sign: str = _similarity.sign_parameter()
    weights_seed: int = random_seed("seed of the random weights")

    @property
    def explanations(self) -> int:
        return self.draws * (1 + explanations_of(self.steps))

    def measure(self, evidence: Evidence) -> Measure:
        if evidence.explainer is None:
            raise ParameterError("Noisy copies are explained, and there is only a record. Give the method instead.")
        if isinstance(evidence.explainer, SmoothGrad):
            raise ParameterError(
                "The metric 'smooth_parameter_randomisation' takes the mean of a method's maps over noisy copies of "
                "the input, which the maps of smooth_grad are already. Use 'parameter_randomisation'."
            )
        smooth = SmoothGrad(inner=evidence.explainer, draws=self.draws, noise=self.noise)
        mean = replace(evidence, explainer=smooth)
        rows = np.arange(len(evidence.samples))
        start = replace(mean, explanation=mean.explain(evidence.request.feeds, rows).explanation)
        plain = ParameterRandomisation(
            order=self.order,
            steps=self.steps,
            similarity=self.similarity,
            sign=self.sign,
            weights_seed=self.weights_seed,
        )
        return plain.measure(start)
