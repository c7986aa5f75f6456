"""Draws the pictures of the README into models/explained/.

Needs xaionnx alone, and some minutes. Run it in the root of the repository, with names of pictures for some of them::

    python models/scripts/explained.py [cat] [coffee] [astronaut] [mistaken]
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import xaionnx
from xaionnx import Features, Target, discovery, render
from xaionnx.patterns import estimate_patterns

MODELS = Path(__file__).resolve().parents[1]
# What a method is not asked with its defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "occlusion": {"window": 48, "stride": 16},
    "sobol": {"features": Features.grid(7)},
    "exact_shapley": {"features": Features.grid(3)},
    "smooth_grad": {"statistic": "squared"},
    "score_cam": {"channels": 64},
}
# Of a transformer alone.
ELSEWHERE = {"attention_rollout", "attention_relevance"}
# Crops of the photographs, from which patterns are estimated.
CROPS = 160
# Of the decoder: the last map but for the mask itself.
DECODER = "v120"


def photo(name: str) -> Any:
    """A photograph as a uint8 array (H, W, 3)."""
    return np.asarray(Image.open(MODELS / "photos" / name).convert("RGB"))


def classifier() -> xaionnx.Model:
    return xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx", batch_size=4)


def crops() -> list[Any]:
    """Squares out of the photographs, of many sizes, every second one turned round."""
    photos = [photo(file.name) for file in sorted((MODELS / "photos").iterdir())]
    rng, found = np.random.default_rng(0), []
    for number in range(CROPS):
        pixels = photos[number % len(photos)]
        side = int(min(pixels.shape[:2]) * rng.uniform(0.4, 1))
        top, left = (rng.integers(0, size - side + 1) for size in pixels.shape[:2])
        square = pixels[top : top + side, left : left + side]
        found.append(square[:, ::-1] if number % 2 else square)
    return found


def cat() -> Image.Image:
    """The cat by RISE."""
    model, pixels = classifier(), photo("cat.png")
    return render.overlay(xaionnx.explain(model, model.spec.to_tensor([pixels]), "rise"), pixels, stretched=True)


def coffee() -> Image.Image:
    """The coffee by every method."""
    model, pixels = classifier(), photo("coffee.jpg")
    x = model.spec.to_tensor([pixels])
    methods = [name for name in discovery.methods() if name not in ELSEWHERE]
    patterns = estimate_patterns(model, model.spec.to_tensor(crops()))
    settings = SETTINGS | {key: {"patterns": patterns} for key in ("pattern_net", "pattern_attribution")}
    results = []
    for name in methods:
        began = time.perf_counter()
        results.append(xaionnx.explain(model, x, name, **settings.get(name, {})))
        print(f"{name}: {time.perf_counter() - began:.1f} s")
    return render.sheet(results, pixels, stretched=True, columns=6, side=220)


def person(name: str) -> Image.Image:
    """What a segmentation takes for a person."""
    model = xaionnx.Model.load(MODELS / "selfie_segmentation.onnx")
    pixels = photo(name)
    x = model.spec.to_tensor([pixels])
    results = [
        xaionnx.explain(model, x, method, Target.region(), **settings)
        for method, settings in (
            ("grad_cam", {"layer": DECODER}),
            ("integrated_gradients", {"baseline": "mean", "tolerance": 0.05}),
            ("guided_backprop", {}),
        )
    ]
    return render.sheet(results, pixels, stretched=True)


PICTURES = {
    "cat": ("cat.png", cat),
    "coffee": ("coffee.jpg", coffee),
    "astronaut": ("astronaut.jpg", lambda: person("astronaut.jpg")),
    "mistaken": ("mistaken.jpg", lambda: person("cat.png")),
}


def main(names: list[str]) -> None:
    """Draw some pictures, or all."""
    for name in names or PICTURES:
        file, draw = PICTURES[name]
        render.save(draw(), MODELS / "explained" / file)


if __name__ == "__main__":
    main(sys.argv[1:])
