"""Eigen-CAM: the first principal component of a layer, independent of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._cams.cam import CamExplainer, LayerView
from xaionnx.explainers._cams.components import first_component
from xaionnx.explanation import ValueKind
from xaionnx.parameters import flag
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target


@final
@dataclass(frozen=True, kw_only=True)
class EigenCam(CamExplainer):
    """The first principal component of a layer: its positions projected on the first right singular vector::

        A (h w, D) = U S V^T
        map = A V_1

    It uses no gradient and no class: all targets get the same map, and the prediction is only reported. The arbitrary
    sign of the singular vector is chosen so that the map agrees with the sum over the channels.

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
    explains_target: ClassVar[bool] = False
    reference: ClassVar[str] = "Muhammad and Yeasin 2020, arXiv:2008.00299"

    relu: bool = flag(False, "keep only positive values; False gives the signed map, as in the paper")
    centred: bool = flag(False, "subtract each channel's mean first, as principal components do and the paper does not")

    def default_target(self, model: Model) -> Target | None:
        # The target is only reported, and an output that is a map has no top class.
        return Target.sum() if len(default_shape(model)) > 2 else None

    def layer_maps(self, request: Request, view: LayerView) -> Attribution:
        component = first_component(view.planes, self.centred)
        return Attribution({}, maps={"cam": np.stack([component] * view.whole.resolved.count)})
