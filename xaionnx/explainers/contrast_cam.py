"""Contrast-CAM: why the target rather than another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.labels import class_word
from xaionnx.errors import ParameterError
from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.classes import ByClassScores, class_names, one_hot, softmax
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.explanation import ValueKind
from xaionnx.parameters import free
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import class_number, default_output
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class ContrastCam(ByClassScores, ByLayerGradient, CamExplainer):
    """Grad-CAM of the loss for class Q: what would have to change for the model to predict Q instead of P::

        J = -log softmax(y)_Q        why P, rather than Q?

    P is the target, and Q the highest-scoring other class, unless ``contrast`` names one. The loss depends only on Q; P
    enters as the predicted class. A target that is not the predicted class is therefore refused with ``contrast``;
    without it, Q is the predicted class, and the map is the same for all such targets. ``diagnostics["against"]`` names
    Q. The scores y are logits; if the model returns probabilities, the logits from which they are computed. For
    independent labels (a Sigmoid output) the loss is still the softmax over all labels, as if they were exclusive.

    Notes
    -----
    When to use: To see why the model predicts this class rather than a particular other one.

    When not to use: Classes that the model does not predict, or models with one output. For the difference of two
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
        None, "a class by number or label", "the class Q; the highest-scoring other class if not given"
    )

    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        count = scores.shape[1]
        choose_layer: Array
        if self.contrast is None:
            choose_layer = np.where(one_hot(classes, count) > 0, -np.inf, scores).argmax(axis=1)
        else:
            named = self.contrast
            word = class_word(named, model.labels or ()) if isinstance(named, str) else named
            choose_layer = np.full(len(scores), class_number(word, count, default_output(model), model, "contrast"))
        if (choose_layer == classes).any():
            raise ParameterError(
                f"The 'contrast' parameter of ContrastCam must be a class other than the target. Got {self.contrast!r}."
            )
        not_predicted = scores.max(axis=1) > np.take_along_axis(scores, classes[:, None], 1)[:, 0]
        if self.contrast is not None and not_predicted.any():
            row = int(not_predicted.argmax())
            raise ParameterError(
                f"With 'contrast', ContrastCam explains the class that {model.name} predicts, and for row {row} that "
                f"is class {scores[row].argmax()}, not {classes[row]}. Leave the target out, or use grad_cam with the "
                "margin of the two classes."
            )
        return choose_layer[:, None]

    def names_of_others(self, model: Model, tensor: str, scores: Array, others: Array) -> tuple[str, ...]:
        is_top = (scores >= np.take_along_axis(scores, others, 1)).sum(axis=1) == 1
        words = class_names(model, tensor, scores.shape[1], others)
        return tuple(
            f"{name}, the predicted class, whatever the target" if best else name
            for name, best in zip(words, is_top, strict=True)
        )

    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        return [softmax(scores) - one_hot(others[:, 0], scores.shape[1])]
