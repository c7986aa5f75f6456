"""Our side of what :mod:`tests.goldens.make_cams` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from tests.goldens.peers import Agreement, loaded
from tests.goldens.weights import inputs

FOLDER = Path(__file__).parent / "cams"
NETS = ("vgg", "resnet18", "vit")
# For each map at the layer's own resolution the method, and whether the peer's has a scale of its own.
MAPS = {
    "grad-cam:GradCAM": "grad_cam",
    "captum:LayerGradCam": "grad_cam",
    "grad-cam:HiResCAM": "hi_res_cam",
    "grad-cam:GradCAMPlusPlus": "grad_cam_pp",
    "grad-cam:XGradCAM": "x_grad_cam",
    "grad-cam:LayerCAM": "layer_cam",
}


def compared(net: str, folder: Path) -> list[Agreement]:
    """Each answer of a peer beside ours."""
    model = loaded(net, folder)
    x = inputs(net)
    with np.load(FOLDER / f"{net}.npz") as golden:
        theirs: dict[str, Any] = dict(golden)
    target, layer = theirs["target"], str(theirs["layer"])
    np.testing.assert_allclose(model.run({"x": x})["y"], theirs["out"], rtol=1e-4, atol=1e-5)
    rows = []
    for key, method in MAPS.items():
        if key in theirs:
            ours = xaionnx.explain(model, x, method, target, layer=layer, relu=False).maps["cam"]
            rows.append(Agreement.of(method, key, net, ours, theirs[key]))
    picture = xaionnx.explain(model, x, "grad_cam", target, layer=layer).values[:, 0]
    low, high = picture.min(axis=(1, 2), keepdims=True), picture.max(axis=(1, 2), keepdims=True)
    key = "grad-cam:GradCAM:picture"
    rows.append(Agreement.of("grad_cam", key, net, (picture - low) / (high - low), theirs[key]))
    return rows
