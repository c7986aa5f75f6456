"""Label randomisation: how alike the explanations are to those of a model trained on random labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, measured
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics import _similarity
from xaionnx.parameters import free
from xaionnx.runtime.model import Model
from xaionnx.typing import ModelLike


@final
@dataclass(frozen=True, kw_only=True)
class LabelRandomisation(Metric):
    """The similarity of the explanation to that of a control model, which was trained on random labels.

    A method whose maps are the same for both does not explain what was learned. The control model is one that you
    train: the same net on the same inputs, with the labels in a random order. Inputs and outputs have the same names.

    References
    ----------
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, Sanity checks for saliency maps, NeurIPS 2018, arXiv:1810.03292,
    section 4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model, control = (planted.load(planted.linear([w])) for w in ([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "label_randomisation", control_model=control).values
    array([-1.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Adebayo et al. 2018, arXiv:1810.03292"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    control_model: ModelLike | None = free(None, "a Model or its file", "the model that was trained on random labels")
    similarity: str = _similarity.parameter()
    sign: str = _similarity.sign_parameter()

    def measure(self, evidence: Evidence) -> Measure:
        if self.control_model is None:
            raise ParameterError(
                "The 'control_model' parameter of LabelRandomisation must be a model with the same inputs and outputs "
                "that was trained on random labels. Without one the metric does not apply."
            )
        control = self.control_model if isinstance(self.control_model, Model) else Model.load(self.control_model)
        other = evidence.explain(evidence.request.feeds, np.arange(len(evidence.samples)), control)
        return measured(_similarity.similarities(evidence, other, self.similarity, self.sign))
