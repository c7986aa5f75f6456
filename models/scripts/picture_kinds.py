"""Draw a picture of each kind into docs/pictures/kinds/, for the page on pictures.

Needs only xaionnx, pandas, and a few minutes. Run it in the root of the repository; names select some of the kinds::

    python models/scripts/picture_kinds.py [KIND ...]
"""

import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import parser
from PIL import Image

import xaionnx
from xaionnx.render.picture import PICTURES

MODELS = Path(__file__).resolve().parents[1]
FOLDER = MODELS.parent / "docs" / "pictures" / "kinds"
# The widest picture, in pixels, and the quality of its file.
WIDEST, QUALITY = 900, 80
# Half of the background rows, and a refused loan.
ROWS, LOAN = 60, 9
COFFEE, CUP, TEA = 967, 504, 968
# Sums bytes that are digits, voxels, what a picture, a row and a wave have.
DIGITS = """<ir_version: 8, opset_import: ["" : 17]>
digits (int64[N, 64] bytes) => (float[N, 1] score) <int64 zero = {48}, int64 nine = {57}, int64[1] axis = {1}> {
  low = GreaterOrEqual (bytes, zero)
  high = LessOrEqual (bytes, nine)
  digit = And (low, high)
  one = Cast <to = 1> (digit)
  score = ReduceSum (one, axis)
}"""
VOXELS = """<ir_version: 8, opset_import: ["" : 17]>
voxels (float[N, 1, 12, 48, 64] scan) => (float[N, 1] score)
<int64[4] axes = {1, 2, 3, 4}, int64[1] last = {1}, float limit = {0.9}> {
  above = Sub (scan, limit)
  lesion = Relu (above)
  sum = ReduceSum <keepdims = 0> (lesion, axes)
  score = Unsqueeze (sum, last)
}"""
MIXED = """<ir_version: 8, opset_import: ["" : 17]>
mixed (float[N, 1, 32, 48] picture, float[N, 2] row) => (float[N, 1] score)
<int64[3] axes = {1, 2, 3}, int64[1] last = {1}, float[2, 1] weights = {40, -25}> {
  seen = ReduceSum <keepdims = 0> (picture, axes)
  from_picture = Unsqueeze (seen, last)
  from_row = MatMul (row, weights)
  score = Add (from_picture, from_row)
}"""
WAVE = """<ir_version: 8, opset_import: ["" : 17]>
wave (float[N, 1, 8000] sound) => (float[N, 1] loudness) {
  square = Mul (sound, sound)
  mean = GlobalAveragePool (square)
  loudness = Flatten (mean)
}"""


def written(text: str, spec: str = "", axes: str | None = None) -> xaionnx.Model:
    """A model from its text, with a spec beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, text.split("\n")[1].split()[0] + ".onnx")
        onnx.save(parser.parse_model(text), path)
        if spec:
            path.with_suffix(".toml").write_text(spec)
        return xaionnx.Model.load(path, axes=axes)


@cache
def photos() -> xaionnx.Model:
    return xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx", batch_size=4)


def photo(method: str, name: str = "coffee.jpg", target: Any = None, **settings: Any) -> xaionnx.Explanation:
    """A photo explained by a method."""
    return xaionnx.explain(photos(), MODELS / "photos" / name, method, target, **settings)


@cache
def loans() -> xaionnx.Explanation:
    """All loans explained by the exact Shapley values of a forest."""
    frame = pd.read_csv(MODELS / "data" / "german_credit.csv")
    return xaionnx.explain(MODELS / "german_credit_forest.onnx", frame, "tree_shap", 1, background=frame.head(ROWS))


def effects(**settings: Any) -> xaionnx.Explanation:
    """The effects of columns on the prediction of a network."""
    frame = pd.read_csv(MODELS / "data" / "german_credit.csv").head(ROWS)
    return xaionnx.explain(
        MODELS / "german_credit_mlp.onnx", frame.iloc[[LOAN]], "dependence", 1, background=frame, **settings
    )


def pairs_of_columns() -> xaionnx.Explanation:
    """The interactions of columns in a forest."""
    frame = pd.read_csv(MODELS / "data" / "german_credit.csv")
    return xaionnx.explain(
        MODELS / "german_credit_forest.onnx",
        frame.iloc[[LOAN]],
        "shapley_interactions",
        background=frame.head(5),
        budget=9000,
    )


def mail() -> xaionnx.Explanation:
    """A mail whose words are explained."""
    text = (MODELS / "data" / "mail.txt").read_text(encoding="utf-8")
    return xaionnx.explain(xaionnx.Model.load(MODELS / "spam.onnx"), text, "kernel_shap")


def volume() -> xaionnx.Explanation:
    """A made-up scan with a bright lesion."""
    z, y, x = np.ogrid[:12, :48, :64]
    body = ((y - 24) / 20) ** 2 + ((x - 32) / 28) ** 2 < 1
    lesion = (z - 7) ** 2 + ((y - 18) / 2) ** 2 + ((x - 42) / 2) ** 2 < 6
    scan = np.where(lesion, 1.4, np.where(body, 0.6, 0.1)) + np.random.default_rng(0).normal(0, 0.04, (12, 48, 64))
    model = written(VOXELS, axes="N C D H W")
    return xaionnx.explain(model, scan[None, None].astype(np.float32), "occlusion", 0, window=4, stride=4)


def several() -> xaionnx.Explanation:
    """A picture and a row that are explained together."""
    y, x = np.ogrid[:32, :48]
    picture = np.exp(-(((y - 12) / 6) ** 2 + ((x - 30) / 8) ** 2))[None, None].astype(np.float32)
    feeds = {"picture": picture, "row": np.float32([[1.2, 0.8]])}
    return xaionnx.explain(
        written(MIXED), feeds, "kernel_shap", 0, features={"picture": "grid:6", "row": "elements"}, baseline=0
    )


def sound() -> xaionnx.Explanation:
    """A second of sound with a tone in it."""
    time = np.arange(8000) / 8000
    wave = 0.1 * np.sin(600 * np.pi * time)
    wave[3000:4500] += np.hanning(1500) * np.sin(3000 * np.pi * time[3000:4500])
    model = written(WAVE, '[input]\nkind = "series"\nrate = 8000\n')
    return xaionnx.explain(model, wave[None, None].astype(np.float32), "occlusion", 0, window=400, stride=400)


def log() -> xaionnx.Explanation:
    """A line of a log whose bytes are explained."""
    model = written(DIGITS, '[input]\nkind = "bytes"\npadding = 32\n')
    line = "GET /index.html 200 5316 ms=17 agent=Mozilla/5.0 id=48213"
    return xaionnx.explain(model, line.ljust(64).encode(), "feature_ablation", 0, features="bytes:4")


def curves() -> xaionnx.Explanation:
    """A photo with the prediction while its parts are removed and inserted."""
    result = photo("grad_cam", "cat.png")
    return xaionnx.removal_curves(photos(), MODELS / "photos" / "cat.png", result, baseline="blur:10")


# For each kind a result and how it is drawn.
DRAWN: dict[str, tuple[Callable[[], xaionnx.Explanation], dict[str, Any]]] = {
    "map": (lambda: photo("grad_cam"), {"original": True}),
    "contours": (lambda: photo("grad_cam", "cat.png"), {}),
    "for_and_against": (lambda: photo("occlusion", window=48, stride=24), {}),
    "targets": (lambda: photo("grad_cam", target=[COFFEE, CUP, TEA]), {}),
    "deletion": (curves, {}),
    "volume": (volume, {}),
    "series": (sound, {}),
    "inputs": (several, {}),
    "text": (mail, {}),
    "bytes": (log, {}),
    "bar": (lambda: loans()[LOAN], {"top": 10}),
    "waterfall": (lambda: loans()[LOAN], {"top": 10}),
    "force": (lambda: loans()[LOAN], {}),
    "beeswarm": (loans, {"top": 10}),
    "heatmap": (loans, {"top": 10}),
    "dependence": (loans, {"feature": "duration_in_month"}),
    "curves": (effects, {"top": 4}),
    "pairs": (lambda: effects(pairs=[("duration_in_month", "age_in_years")]), {}),
    "interaction": (pairs_of_columns, {"top": 8}),
}


def main(names: list[str]) -> None:
    """Draw the named kinds, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES.names():
        result, how = DRAWN[name]
        picture = result().plot(kind=name, **how)
        picture.thumbnail((WIDEST, 10 * WIDEST), Image.Resampling.LANCZOS)
        picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True)
        print(name, picture.size)


if __name__ == "__main__":
    main(sys.argv[1:])
