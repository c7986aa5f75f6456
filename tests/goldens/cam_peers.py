"""Our maps for the goldens of :mod:`tests.goldens.make_cams`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from tests.goldens.peers import Agreement, Array, loaded
from tests.goldens.weights import inputs
from tests.tolerances import Tolerance, assert_close

FOLDER = Path(__file__).parent / "cams"
NETS = ("vgg", "resnet18", "vit")
# Method, options and measure for each map at the layer's own resolution.
MAPS: dict[str, tuple[str, dict[str, Any], str]] = {
    "grad-cam:GradCAM": ("grad_cam", {}, "distance"),
    "captum:LayerGradCam": ("grad_cam", {}, "distance"),
    "grad-cam:HiResCAM": ("hi_res_cam", {}, "distance"),
    "grad-cam:GradCAMPlusPlus": ("grad_cam_pp", {}, "distance"),
    "grad-cam:XGradCAM": ("x_grad_cam", {}, "distance"),
    "grad-cam:LayerCAM": ("layer_cam", {}, "distance"),
    "grad-cam:EigenCAM": ("eigen_cam", {"centred": True}, "distance up to sign"),
    "grad-cam:EigenGradCAM": ("eigen_grad_cam", {"centred": True}, "distance up to sign"),
    "grad-cam:ScoreCAM": ("score_cam", {}, "correlation"),
    "grad-cam:AblationCAM": ("ablation_cam", {}, "distance"),
    "grad-cam:AblationCAM:zeros": ("ablation_cam", {}, "distance"),
    "grad-cam:FinerCAM": ("finer_cam", {"strength": 1.0}, "correlation"),
}
_SIGN = "up to the sign, which it leaves to chance; it takes off each channel's mean (`centred`), the paper does not"
NOTES: dict[str | tuple[str, str], str] = {
    "captum:LayerGradCam": "it applies no ReLU, as here `relu=False`",
    "grad-cam:GradCAM:picture": "rectified, enlarged, scaled to 0..1",
    "grad-cam:GradCAMPlusPlus": "it adds 1e-6 to the denominator; with that the formula here is 4e-7 apart",
    "grad-cam:EigenCAM": _SIGN,
    "grad-cam:EigenGradCAM": _SIGN,
    "grad-cam:ScoreCAM": "it enlarges masks corner to corner, where here pixels are squares",
    ("grad-cam:AblationCAM", "vit"): "it sets channels to -1e7, not 0, where a layer's least value is not 0",
    "grad-cam:AblationCAM:zeros": "told to set them to 0",
    "grad-cam:FinerCAM": "it also differentiates the probabilities that weigh classes, which are constant here",
    "grad-cam:FullGrad": "it scales each channel of a layer to 0..1, where here each layer is scaled",
    "captum:GuidedGradCam": "enlarged by the nearest, as it does",
}


def compared(net: str, folder: Path) -> list[Agreement]:
    """Compare each map of a peer with ours."""
    model = loaded(net, folder)
    x = inputs(net)
    with np.load(FOLDER / f"{net}.npz") as golden:
        theirs: dict[str, Any] = dict(golden)
    target, layer = theirs["target"], str(theirs["layer"])
    assert_close(model.run({"x": x})["y"], theirs["out"], Tolerance.DEEP)
    rows = []
    for key, (method, options, measure) in MAPS.items():
        if key in theirs:
            ours = xaionnx.explain(model, x, method, target, layer=layer, relu=False, **options).maps["cam"]
            if (key, net) == ("grad-cam:AblationCAM", "vit"):
                measure = "correlation"
            rows.append(Agreement.of(method, key, net, ours, theirs[key], measure))
    picture = xaionnx.explain(model, x, "grad_cam", target, layer=layer).values[:, 0]
    key = "grad-cam:GradCAM:picture"
    rows.append(Agreement.of("grad_cam", key, net, stretched(picture), theirs[key]))
    if net == "vit":
        return rows
    key = "grad-cam:FullGrad"
    ours = xaionnx.explain(model, x, "full_grad", target).values[:, 0]
    rows.append(Agreement.of("full_grad", key, net, ours, theirs[key], "correlation"))
    key = "captum:GuidedGradCam"
    ours = xaionnx.explain(model, x, "guided_grad_cam", target, layer=layer, upsampling="nearest").values
    rows.append(Agreement.of("guided_grad_cam", key, net, ours, theirs[key]))
    return rows


def stretched(maps: Array) -> Array:
    """Maps (..., h, w), each scaled to 0 to 1 as grad-cam does."""
    raised = maps - maps.min(axis=(-2, -1), keepdims=True)
    found: Array = raised / (1e-7 + raised.max(axis=(-2, -1), keepdims=True))
    return found
