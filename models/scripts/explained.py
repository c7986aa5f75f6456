"""Draws the pictures of the README into models/explained/.

Needs xaionnx alone. Run it in the root of the repository::

    python models/scripts/explained.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import xaionnx
from xaionnx import Features, render

MODELS = Path(__file__).resolve().parents[1]
METHODS = {
    "occlusion": {"window": 48, "stride": 16},
    "feature_ablation": {},
    "rise": {},
    "lime": {},
    "kernel_shap": {},
    "shapley_sampling": {},
    "banzhaf": {},
    "sobol": {"features": Features.grid(7)},
}


def main() -> None:
    """Explain the cat by RISE, and the coffee by every method."""
    model = xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx", batch_size=4)
    for photo in ("cat.png", "coffee.jpg"):
        pixels = np.asarray(Image.open(MODELS / "photos" / photo).convert("RGB"))
        x = model.spec.to_tensor([pixels])
        if photo == "cat.png":
            result = xaionnx.explain(model, x, "rise")
            render.save(render.overlay(result, pixels, stretched=True), MODELS / "explained" / "cat.png")
            continue
        results = [xaionnx.explain(model, x, method, **settings) for method, settings in METHODS.items()]
        sheet = render.sheet(results, pixels, stretched=True, columns=3)
        render.save(sheet, MODELS / "explained" / "coffee.jpg")


if __name__ == "__main__":
    main()
