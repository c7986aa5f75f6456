"""Contrast-CAM: why the target, rather than another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.classes import ClassQuestions, class_names, one_hot, softmax
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.explanation import ValueKind
from xaionnx.parameters import free
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import class_number
from xaionnx.typing import Array


def _class(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


@final
@dataclass(frozen=True, kw_only=True)
class ContrastCam(ClassQuestions, ByLayerGradient, CamExplainer):
    """Grad-CAM of the loss against class Q: what would have to go for the model to answer Q in place of P::

        J = -log softmax(y)_Q        why P, rather than Q?

    P is the target, and Q the best class beside it, unless ``contrast`` names another. The loss knows Q alone, and P
    enters as what the model answers. So a target that is not the answer is refused with ``contrast``; without it, Q is
    the answer, and the map the same for all such targets. ``diagnostics["against"]`` names Q. The scores y are logits;
    where the model answers probabilities, those that they are made of. Of independent labels, which a Sigmoid makes
    probabilities, the loss is still the softmax across all labels, as if one excluded the others.

    Notes
    -----
    When to use: To ask why the model answers this class rather than a particular other one.

    When not to use: Classes that the model does not answer, or models with one output. For the difference of two
    scores, ``grad_cam`` with ``Target.margin`` is easier to read.

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

    value_kind: ClassVar[ValueKind] = "contrast"
    reference: ClassVar[str] = "Prabhushankar et al. 2020, arXiv:2008.00178"

    contrast: int | str | None = free(
        None, "a class by number or label", "the class Q; the best one beside the target if not given", reader=_class
    )

    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        count = scores.shape[1]
        chosen: Array
        if self.contrast is None:
            chosen = np.where(one_hot(classes, count) > 0, -np.inf, scores).argmax(axis=1)
        else:
            chosen = np.full(len(scores), class_number(self.contrast, count, model.output().name, model, "contrast"))
        if (chosen == classes).any():
            raise ParameterError(
                f"The 'contrast' parameter of ContrastCam must be another class than the target. Got {self.contrast!r}."
            )
        unasked = scores.max(axis=1) > np.take_along_axis(scores, classes[:, None], 1)[:, 0]
        if self.contrast is not None and unasked.any():
            row = int(unasked.argmax())
            raise ParameterError(
                f"With 'contrast', ContrastCam tells why {model.name} answers what it answers, and for row {row} that "
                f"is class {scores[row].argmax()}, not {classes[row]}. Leave the target out, or ask grad_cam for the "
                "margin of the two classes."
            )
        return chosen[:, None]

    def named(self, model: Model, tensor: str, scores: Array, others: Array) -> tuple[str, ...]:
        above = (scores >= np.take_along_axis(scores, others, 1)).sum(axis=1) == 1
        words = class_names(model, tensor, scores.shape[1], others)
        return tuple(
            f"{name}, the model's answer, whatever the target" if best else name
            for name, best in zip(words, above, strict=True)
        )

    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        return [softmax(scores) - one_hot(others[:, 0], scores.shape[1])]
