"""Contrast-CAM: why the target, rather than another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import ParameterError
from xaionnx.explainers._classes import ClassCamExplainer, one_hot, softmax
from xaionnx.explanation import Meaning
from xaionnx.model import Model
from xaionnx.parameters import free
from xaionnx.scores import class_number

Array = npt.NDArray[Any]


def _class(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


@final
@dataclass(frozen=True, kw_only=True)
class ContrastCam(ClassCamExplainer):
    """Grad-CAM of the loss against class Q: what would have to go for the model to answer Q in place of P::

        J = -log softmax(y)_Q        why P, rather than Q?

    P is the target, and Q the best class beside it, unless ``contrast`` names another. As the loss knows Q alone, P
    enters by what the model answers; ask it of the top class, or of one that the model thinks likely. Scores are taken
    as logits.

    References
    ----------
    Prabhushankar, Kwon, Temel and AlRegib, Contrastive explanations in neural networks, ICIP 2020, arXiv:2008.00178.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.pooled([[1.0], [-1.0]], [[8.0, 0.0], [0.0, 4.0]], (2, 2)))
    >>> x = np.float32([[[[2, 0], [0, -2]]]])
    >>> xaionnx.explain(model, x, ContrastCam(contrast=1), 0).maps["cam"][0].round(2)
    array([[3.52, 0.  ],
           [0.  , 0.  ]], dtype=float32)
    """

    shows: ClassVar[Meaning] = "contrast"
    reference: ClassVar[str] = "Prabhushankar et al. 2020, arXiv:2008.00178"

    contrast: Any = free(
        None, "a class by number or label", "the class Q; the best one beside the target if not given", reader=_class
    )

    def coefficients(self, model: Model, scores: Array, classes: Array) -> list[Array]:
        count = scores.shape[1]
        if self.contrast is None:
            others = np.where(one_hot(classes, count) > 0, -np.inf, scores).argmax(axis=1)
        else:
            others = np.full(len(scores), class_number(self.contrast, count, "the scores", model))
        if (others == classes).any():
            raise ParameterError(
                f"The 'contrast' parameter of ContrastCam must be another class than the target. Got {self.contrast!r}."
            )
        return [softmax(scores) - one_hot(others, count)]
