"""Eigen-CAM: the first principal component of what a layer holds, whatever the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import CamExplainer, Seen
from xaionnx.explainers._cams.components import projected
from xaionnx.explanation import ValueKind
from xaionnx.parameters import flag
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target


@final
@dataclass(frozen=True, kw_only=True)
class EigenCam(CamExplainer):
    """What most of the layer agrees on: its places, projected on the first right singular vector::

        A (h w, D) = U S V^T        map = A V_1

    No gradient, and no class: all targets get the same map, and the prediction is told beside it. The sign, which a
    singular vector leaves open, is that with which the map agrees with the sum over the channels.

    Notes
    -----
    When to use: A quick look at what dominates a layer, without gradients or a target, such as in a feature extractor.

    When not to use: To explain a class, because every target gets the same map.

    References
    ----------
    Muhammad and Yeasin, Eigen-CAM: class activation map using principal components, IJCNN 2020, arXiv:2008.00299,
    equations 3 and 4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> xaionnx.explain(planted.load(planted.net_b()), x, EigenCam(layer="relu1"), 0).maps["cam"][0][1].round(2)
    array([31.39, 42.64], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "component"
    needs: ClassVar[str] = "activation"
    reference: ClassVar[str] = "Muhammad and Yeasin 2020, arXiv:2008.00299"

    relu: bool = flag(False, "draw only what is above zero; False gives the signed map, as the paper does")
    centred: bool = flag(False, "take each channel's mean off first, as principal components do and the paper does not")

    def default_target(self, model: Model) -> Target | None:
        # A target is only told of here, and a map has no top class.
        return Target.sum() if len(model.output().shape) > 2 else None

    def look(self, request: Request, seen: Seen) -> Attribution:
        small = projected(seen.planes, self.centred)
        return Attribution({}, maps={"cam": np.stack([small] * seen.whole.resolved.count)})
