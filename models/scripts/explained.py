"""Draw the pictures of the README and the documentation into docs/pictures/.

Needs only xaionnx, and some minutes. Run it in the root of the repository; names select some of the pictures::

    python models/scripts/explained.py [cat] [astronaut] [dictionary] [mistaken] [contrast] [cells] [METHOD ...]

One photo is explained by every method, or by the named ones. docs/pictures/methods/ gets a captioned picture of each,
a small one without caption for the gallery, and costs.json with the evaluations and gradients that each method used.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import xaionnx
from xaionnx import Features, Target, discovery, render
from xaionnx.activations.views.dictionary import Dictionary
from xaionnx.optimization.counterfactuals.cem import Cem
from xaionnx.patterns import estimate_patterns
from xaionnx.render.painting import Look, painted
from xaionnx.render.photo import laid_over

MODELS = Path(__file__).resolve().parents[1]
PICTURES = MODELS.parent / "docs" / "pictures"
# Layers of 14 x 14 and 28 x 28 positions; the last one has 7 x 7.
MIDDLE, EARLY = "/_blocks.11/_swish/Clip_output_0", "/_blocks.5/_swish/Clip_output_0"
# Settings that differ from the defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "occlusion": {"window": 48, "stride": 16},
    "sobol": {"features": Features.grid(7)},
    "exact_shapley": {"features": Features.grid(3)},
    "anchors": {"features": Features.grid(4), "budget": 3000},
    "shapley_interactions": {"features": Features.grid(4), "budget": 2048},
    "smooth_grad": {"statistic": "squared"},
    "score_cam": {"channels": 64},
    # At the last layer nothing speaks against the espresso, and gradients are equal at all positions, so that Layer-CAM
    # equals Grad-CAM.
    "counterfactual_cam": {"layer": MIDDLE},
    "layer_cam": {"layer": MIDDLE},
    "masker": {"masker": MODELS / "mnist_masker.onnx"},
    "internal_influence": {"layer": EARLY},
}
# These need a transformer, a network that explains itself, or one that has a masker, and explain a digit.
OF_DIGITS = {
    "attention_rollout": "mnist_vit",
    "attention_relevance": "mnist_vit",
    "masker": "mnist_cnn",
    "senn": "mnist_senn",
}
# These need forests or sums of terms and explain a refused loan.
OF_LOANS = {
    "tree_shap": "german_credit_forest",
    "linear_shap": "german_credit_linear",
    "additive_shap": "german_credit_additive",
}
# The row of that loan.
LOAN = 9
# Width and height of the photo on a method's page, and in the gallery.
SIZE, THUMBNAIL = (480, 320), (240, 160)
# Number of crops of the photographs from which patterns are estimated.
CROPS = 160
# These need patterns.
OF_PATTERNS = {"pattern_net", "pattern_attribution"}
# Number of crops that features are taken from, and how often.
DONORS, DRAWS = 32, 8
# Indices of a four and a nine in the MNIST sample.
DIGIT, NINE = 16, 15
# The last feature map of the segmentation's decoder.
DECODER = "v120"


def photo(name: str) -> Any:
    """A photograph as a uint8 array (H, W, 3)."""
    return np.asarray(Image.open(MODELS / "photos" / name).convert("RGB"))


def classifier() -> xaionnx.Model:
    return xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx", batch_size=4)


def crops() -> list[Any]:
    """Square crops of the photographs, of many sizes; every second one is mirrored."""
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
    """The cat explained by RISE."""
    model, pixels = classifier(), photo("cat.png")
    return render.overlay(xaionnx.explain(model, model.spec.to_tensor([pixels]), "rise"), pixels, stretched=True)


def methods(names: list[str]) -> None:
    """Explain the coffee, or a digit with methods that need another model, and draw both pictures of each method."""
    model, coffee = classifier(), Image.open(MODELS / "photos" / "coffee.jpg").convert("RGB")
    settings = dict(SETTINGS)
    if OF_PATTERNS & set(names):
        patterns = estimate_patterns(model, model.spec.to_tensor(crops()))
        settings |= {name: {"patterns": patterns} for name in OF_PATTERNS}
    if "feature_permutation" in names:
        settings["feature_permutation"] = {"donors": model.spec.to_tensor(crops()[:DONORS]), "draws": DRAWS}
    if "dependence" in names:
        settings["dependence"] = {"background": model.spec.to_tensor(crops()[:DONORS])}
    file = PICTURES / "methods" / "costs.json"
    costs = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in names:
        began = time.perf_counter()
        if name in OF_LOANS:
            result = loan(name)
            costs[name] = _cost(result)
            draw_row(name, result)
            continue
        if name in OF_DIGITS:
            result, photo = digit(name, settings.get(name, {}))
        else:
            x = model.spec.to_tensor([np.asarray(coffee)])
            result, photo = xaionnx.explain(model, x, name, **settings.get(name, {})), coffee
        print(f"{name}: {time.perf_counter() - began:.1f} s")
        costs[name] = _cost(result)
        if name == "senn":
            draw_row(name, result)
        else:
            draw(name, result, photo)
    known = {name: costs[name] for name in discovery.methods() if name in costs}
    file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _cost(result: xaionnx.Explanation) -> dict[str, int]:
    return {key: int((result.diagnostics.get(key) or [0])[0]) for key in ("evaluations", "gradients")}


def loan(method: str) -> xaionnx.Explanation:
    """A refused loan explained by a method for forests or sums of terms."""
    model = xaionnx.Model.load(MODELS / f"{OF_LOANS[method]}.onnx")
    rows = model.read(MODELS / "data" / "german_credit.csv").arrays["features"]
    return xaionnx.explain(model, rows[LOAN : LOAN + 1], method, background=rows)


def draw_row(name: str, result: xaionnx.Explanation) -> None:
    """Draw the captioned and the small picture of a method for rows."""
    folder = PICTURES / "methods"
    result.plot(top=10).save(folder / f"{name}.jpg", quality=82, optimize=True)
    plain = result.plot(top=5)
    plain.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    plain.save(folder / f"{name}-small.jpg", quality=82, optimize=True)


def draw(name: str, result: xaionnx.Explanation, photo: Image.Image) -> None:
    """Draw the captioned and the small picture of one method."""
    folder = PICTURES / "methods"
    small = photo.size[0] <= THUMBNAIL[0]
    shown = np.asarray(photo if small else photo.resize(SIZE, Image.Resampling.LANCZOS))
    captioned = render.overlay(result, shown, stretched=True, zoom=11 if small else 1)
    captioned.save(folder / f"{name}.jpg", quality=82, optimize=True)
    # The small picture has no title, scale or caption.
    laid = laid_over(result, shown, look=Look(zoom=6 if small else 1), stretched=True)
    plain = Image.fromarray(painted(laid.shown, laid.found, laid.scale, laid.look, "overlay"))
    plain.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    plain.save(folder / f"{name}-small.jpg", quality=82, optimize=True)


def digit(method: str, settings: dict[str, Any]) -> tuple[xaionnx.Explanation, Image.Image]:
    """A handwritten digit explained by a method that needs another model than the photo's, and its picture."""
    model = xaionnx.Model.load(MODELS / f"{OF_DIGITS[method]}.onnx")
    pixels = np.load(MODELS / "data" / "mnist_sample.npz")["images"][DIGIT]
    x = (pixels[None] / 255).astype(np.float32)
    return xaionnx.explain(model, x, method, **settings), Image.fromarray(np.repeat(pixels[0][..., None], 3, axis=2))


def person(name: str) -> Image.Image:
    """The region that the segmentation takes for a person, explained by three methods."""
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


def dictionary() -> Image.Image:
    """What a layer sees in the cat: four groups with their icons."""
    view = Dictionary(layer="/_blocks.13/Add_output_0", classes=("281", "285"))
    sheet = xaionnx.show_activations(MODELS / "efficientnet_lite0.onnx", view, MODELS / "photos" / "cat.png")
    return render.activation_sheet(sheet)


def digits(*numbers: int) -> Any:
    """Digits of the MNIST sample as the model reads them, (n, 1, 28, 28)."""
    return np.load(MODELS / "data" / "mnist_sample.npz")["images"][list(numbers)].astype(np.float32) / 255


def contrast() -> Image.Image:
    """What a four lacks for being a nine, and what of it suffices, drawn to digits by an autoencoder."""
    prior = xaionnx.Model.join(MODELS / "mnist_vae_encoder.onnx", MODELS / "mnist_vae_decoder.onnx")
    search = Cem(prior=prior, gamma=3, margin=5)
    found = xaionnx.counterfactual(MODELS / "mnist_cnn.onnx", digits(DIGIT), search)
    return render.contrasts(found, ["four"])


def cells() -> Image.Image:
    """Which cells of a nine make the four one."""
    four, nine = digits(DIGIT), digits(NINE)
    found = xaionnx.counterfactual(MODELS / "mnist_cnn.onnx", four, "goyal", distractor=nine)
    return render.contrasts([found], ["four"])


DRAWN = {
    "cat": lambda: render.save(cat(), PICTURES / "cat.png"),
    "astronaut": lambda: render.save(person("astronaut.jpg"), PICTURES / "astronaut.jpg"),
    "dictionary": lambda: render.save(dictionary(), PICTURES / "dictionary.jpg"),
    "contrast": lambda: render.save(contrast(), PICTURES / "contrast.jpg"),
    "cells": lambda: render.save(cells(), PICTURES / "cells.jpg"),
    "mistaken": lambda: render.save(person("cat.png"), PICTURES / "mistaken.jpg"),
}


def main(names: list[str]) -> None:
    """Draw the named pictures, or all."""
    known = discovery.methods()
    for name in names or DRAWN:
        if name in DRAWN:
            DRAWN[name]()
    methods([name for name in names if name in known] if names else known)


if __name__ == "__main__":
    main(sys.argv[1:])
