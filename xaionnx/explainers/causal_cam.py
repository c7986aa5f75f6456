"""Causal-CAM: Grad-CAM without the context that only tells classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.classes import ClassQuestions, one_hot
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.explanation import ValueKind
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class CausalCam(ClassQuestions, ByLayerGradient, CamExplainer):
    """What Grad-CAM shows of the target P, less the context, which speaks for other classes Q too::

        causal = G_P - B_P
        B_P    = max(0, C("why P or Q?") - C("why neither P nor Q?") - C("why P, rather than not P?"))

    G_P is Grad-CAM, and each C a Grad-CAM of a loss J, as in Contrast-CAM: the binary cross-entropy of the scores
    against the answer that is ruled out, Q being all classes beside P. Ruled out are no class, so that dJ/dy =
    sigmoid(y); all, sigmoid(y) - 1; and all but P, sigmoid(y) - 1 + 1[P]. As sets of places they are compared by what
    they show: each map is rectified and divided by its largest number, and a set without another holds never less
    than nothing, so that what Grad-CAM does not show is not causal.

    The scores y are logits; where the model answers probabilities, those that they are made of.

    The sets are the paper's, as its figure 1 draws them; the loss, which shows each of them, is a choice of ours.

    Notes
    -----
    When to use: To separate what speaks for one class from the context that it shares with other classes.

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

    def joined(self, maps: Array) -> Array:
        shown = np.maximum(maps, 0)
        largest = shown.max(axis=(-2, -1), keepdims=True)
        shown = shown / np.where(largest == 0, 1, largest)
        target, either, neither, alone = (shown[number::4] for number in range(4))
        found: Array = target - np.maximum(either - neither - alone, 0)
        return found
