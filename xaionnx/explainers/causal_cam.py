"""Causal-CAM: Grad-CAM without the context that also supports other classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.classes import ByClassScores, one_hot
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.explanation import ValueKind
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class CausalCam(ByClassScores, ByLayerGradient, CamExplainer):
    """Grad-CAM of the target P minus the context, which also supports other classes Q::

        causal = G_P - B_P
        B_P    = max(0, C("why P or Q?") - C("why neither P nor Q?") - C("why P, rather than not P?"))

    G_P is Grad-CAM, and each C a Grad-CAM of a loss J, as in Contrast-CAM: the binary cross-entropy of the scores
    against the labels of the question, where Q stands for all classes except P. The labels are no class, so that dJ/dy
    = sigmoid(y); all classes, sigmoid(y) - 1; and all except P, sigmoid(y) - 1 + 1[P]. Maps act as sets of positions:
    each is rectified and divided by its maximum, and B_P is never negative, so what Grad-CAM does not show is not
    causal.

    The scores y are logits; if the model returns probabilities, the logits from which they are computed.

    The sets follow figure 1 of the paper; the loss is a choice of this implementation.

    Notes
    -----
    When to use: To separate the evidence for one class from the context that it shares with other classes.

    When not to use: As the only map of a decision: it is a difference of rescaled maps, has no unit, and is empty where
    the context explains all of Grad-CAM.

    References
    ----------
    Prabhushankar and AlRegib, Extracting causal visual features for limited label classification, ICIP 2021,
    arXiv:2103.12322, figure 1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.pooled([[1.0], [-1.0]], [[8.0, 0.0], [0.0, 4.0]], (2, 2)))
    >>> x = np.float32([[[[2, 0], [0, -2]]]])
    >>> xaionnx.explain(model, x, CausalCam(relu=False), 0).maps["cam"][0].round(2)
    array([[ 1.  ,  0.  ],
           [ 0.  , -0.45]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "core"
    reference: ClassVar[str] = "Prabhushankar and AlRegib 2021, arXiv:2103.12322"

    def coefficients(self, scores: Array, classes: Array, others: Array) -> list[Array]:
        own = one_hot(classes, scores.shape[1])
        chance = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        return [own, chance, chance - 1, chance - 1 + own]

    one_map_a_target: ClassVar[bool] = False

    def combine_maps(self, maps: Array) -> Array:
        rectified = np.maximum(maps, 0)
        largest = rectified.max(axis=(-2, -1), keepdims=True)
        rectified = rectified / np.where(largest == 0, 1, largest)
        target, either, neither, rather = (rectified[number::4] for number in range(4))
        causal: Array = target - np.maximum(either - neither - rather, 0)
        return causal
