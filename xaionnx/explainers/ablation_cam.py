"""Ablation-CAM: the channels of a layer, weighted by the drop of the target without each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.explainers._cams.cam import CamExplainer, LayerView
from xaionnx.explainers._cams.channels import ByChannel
from xaionnx.layers.path import LayerPath
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class AblationCam(ByChannel, CamExplainer):
    """The channels of a layer, weighted by the relative drop of the target without each::

        w_k = (y - y_k) / |y|
        map = max(0, sum_k w_k A_k)

    y_k is the target with channel k of the layer set to zero. Only the part of the model after the layer runs, once per
    channel. The paper divides by y, which it assumes to be positive; if the target is zero there is no division.

    Notes
    -----
    When to use: A coarse map of a convolutional network whose gradients are missing, saturated or noisy.

    When not to use: Layers with many channels, because each channel costs one run of the part after the layer;
    ``grad_cam`` finds much the same with one gradient. Fine detail, because the map is as coarse as the layer.

    References
    ----------
    Desai and Ramaswamy, Ablation-CAM: visual explanations for deep convolutional network via gradient-free
    localization, WACV 2020, doi:10.1109/WACV45572.2020.9093360, equations 2 and 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> xaionnx.explain(planted.load(planted.net_b()), x, AblationCam(layer="relu1"), 0).maps["cam"][0].round(2)
    array([[ 0.  ,  4.  ],
           [28.67, 34.17]], dtype=float32)
    """

    reference: ClassVar[str] = "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360"

    def part(self, view: LayerView) -> LayerPath:
        return view.path

    def channel_inputs(self, view: LayerView, sample: Array, channel: Array) -> dict[str, Array]:
        (layer,) = view.path.names
        return {layer: view.field.without(view.path.feeds[layer][sample], channel)}

    def channel_weights(self, values: Array, scores: Array) -> Array:
        size = np.abs(scores)[..., None]
        weights: Array = (scores[..., None] - values) / np.where(size == 0, 1, size)
        return weights
