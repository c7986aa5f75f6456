"""Finer-CAM: what distinguishes a class from similar classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.classes import ByClassScores, one_hot, softmax
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.explanation import ValueKind
from xaionnx.parameters import choice, integer, real
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class FinerCam(ByClassScores, ByLayerGradient, CamExplainer):
    """Grad-CAM of the score of class c minus the scores of the most similar classes d::

        J = sum_d s_d (y_c - strength y_d) / sum_d s_d

    The similar classes are those whose scores are nearest to that of c: three, at a strength of 0.6, in the authors'
    experiments. Their weights are equal, s_d = 1, or their probabilities, s_d = softmax(y)_d, treated as constants.
    With ``strength=0`` it is Grad-CAM. ``diagnostics["against"]`` names the similar classes. The scores y are logits;
    if the model returns probabilities, the logits from which they are computed.

    Notes
    -----
    When to use: Classes that look alike, such as species of birds: it shows what distinguishes a class from its nearest
    ones.

    When not to use: To find the whole object, since what similar classes share is subtracted. Models with one output.

    References
    ----------
    Zhang, Gu, Chowdhury, Mai, Carlyn, Berger-Wolf, Su and Chao, Finer-CAM: spotting the difference reveals finer
    details for visual explanation, CVPR 2025, arXiv:2501.11309, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.pooled([[1.0], [-1.0]], [[3.0, -1.0], [3.0, 1.0]], (2, 2)))
    >>> x = np.float32([[[[1, 0], [0, -2]]]])
    >>> xaionnx.explain(model, x, FinerCam(strength=1.0, relu=False), 1).maps["cam"][0]
    array([[0., 0.],
           [0., 1.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contrast"
    reference: ClassVar[str] = "Zhang et al. 2025, arXiv:2501.11309"

    similar: int = integer(3, "number of similar classes, or all others if there are fewer", low=1)
    strength: float = real(0.6, "share of a similar class's score that is subtracted", low=0)
    weighting: str = choice("probability", ("equal", "probability"), "how much each similar class counts")

    def others(self, model: Model, scores: Array, classes: Array) -> Array:
        own = one_hot(classes, scores.shape[1])
        distances = np.where(own > 0, np.inf, np.abs(scores - np.take_along_axis(scores, classes[:, None], 1)))
        return np.argsort(distances, axis=1, kind="stable")[:, : min(self.similar, scores.shape[1] - 1)]

    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        shares = np.zeros_like(scores)
        class_weights = softmax(scores) if self.weighting == "probability" else np.ones_like(scores)
        np.put_along_axis(shares, others, np.take_along_axis(class_weights, others, 1), 1)
        total = shares.sum(axis=1, keepdims=True)
        own = one_hot(classes, scores.shape[1])
        return [own - self.strength * shares / np.where(total == 0, 1, total)]
