"""Mosaics of four photographs: the one with the class should get the largest share.

A mosaic shows four photographs of different classes in its quadrants. A class's own tile is where the model finds
it, so a method that explains the class should put the largest share of its positive values there.

    python -m tests.localisation.mosaics               measures all rows anew, and keeps each in results.json
    python -m tests.localisation.mosaics --missing     only those that are not kept yet
    python -m tests.localisation.mosaics --only lime banzhaf 'lrp epsilon_plus'

All take about a quarter of an hour on two cores: xrai, guided_ig and score_cam together half of it, and methods that
run backward once 1 to 6 seconds each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import xaionnx
from xaionnx import Features, Model

ROOT = Path(__file__).parents[2]
# Photographs whose top class is well above the second.
PHOTOS = ("cat.png", "coffee.jpg", "rocket.jpg", "camera.png", "flower.jpg")
SIDE = 112
MOSAICS = 5
RESULTS = Path(__file__).with_name("results.json")

# A row is the name of a method, followed by the settings that distinguish it from the method's other rows. Superpixels
# of a mosaic: 64 in all, about 16 for each tile.
METHODS: dict[str, dict[str, Any]] = {
    "feature_ablation": {"features": Features.superpixels(count=64)},
    "occlusion": {"window": 28, "stride": 14, "class_maps": False},
    "rise": {"budget": 1001},
    "lime": {"features": Features.superpixels(count=64), "budget": 1000},
    "kernel_shap": {"features": Features.superpixels(count=64), "budget": 1000},
    "shapley_sampling": {"features": Features.superpixels(count=64), "budget": 1000},
    "banzhaf": {"features": Features.superpixels(count=64), "budget": 1000},
    "sobol": {"features": Features.grid(8), "budget": 1056},
    "saliency": {},
    "input_x_gradient": {},
    "smooth_grad": {},
    "integrated_gradients": {},
    "blur_ig": {},
    "guided_ig": {},
    "xrai": {},
    "guided_backprop": {},
    "deconvnet": {},
    "lrp epsilon": {"composite": "epsilon"},
    "lrp epsilon_plus": {"composite": "epsilon_plus"},
    "lrp epsilon_plus_flat": {"composite": "epsilon_plus_flat"},
    "lrp epsilon_gamma_box": {"composite": "epsilon_gamma_box"},
    "lrp epsilon_alpha2_beta1": {"composite": "epsilon_alpha2_beta1"},
    "deep_lift": {},
    "grad_cam": {},
    "grad_cam_pp": {},
    "x_grad_cam": {},
    "hi_res_cam": {},
    "layer_cam": {},
    "score_cam": {},
    "ablation_cam": {},
    "finer_cam": {},
    "full_grad": {},
    "guided_grad_cam": {},
}


@dataclass(frozen=True)
class Mosaic:
    """A picture tensor (1, 3, 224, 224), and the class of each tile in reading order."""

    x: np.ndarray[Any, Any]
    classes: list[int]

    def share(self, values: np.ndarray[Any, Any], tile: int) -> np.ndarray[Any, Any]:
        """Share of the positive values (3, H, W) in each tile; the class's own first."""
        positive = np.maximum(values.mean(axis=0), 0)
        tiles = positive.reshape(2, SIDE, 2, SIDE).sum(axis=(1, 3)).reshape(-1)
        shares = tiles / max(tiles.sum(), 1e-12)
        return np.roll(shares, -tile)


def mosaics(model: Model, count: int) -> Iterator[Mosaic]:
    """The first ``count`` mosaics: every choice of four photographs, in a shuffled order."""
    spec = model.spec
    assert spec is not None
    pictures = {name: np.asarray(Image.open(ROOT / "models" / "photos" / name).convert("RGB")) for name in PHOTOS}
    logits = model.run({"images": spec.to_tensor(list(pictures.values()))})["logits"]
    classes = dict(zip(PHOTOS, logits.argmax(axis=1), strict=True))
    rng = np.random.default_rng(0)
    chosen = itertools.cycle(itertools.combinations(PHOTOS, 4))
    for names in itertools.islice(chosen, count):
        order = [str(name) for name in rng.permutation(names)]
        tiles = [np.asarray(Image.fromarray(pictures[n]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for n in order]
        mosaic = np.concatenate([np.concatenate(tiles[:2], axis=1), np.concatenate(tiles[2:], axis=1)])
        yield Mosaic(spec.to_tensor([mosaic]), [int(classes[n]) for n in order])


def hits(row: str, count: int, model: Model) -> tuple[int, int, float]:
    """How often the class's own tile has the largest share, the number of tries, and its mean share."""
    own, tries, shares = 0, 0, []
    for mosaic in mosaics(model, count):
        result = xaionnx.explain(model, mosaic.x, row.split()[0], list(mosaic.classes), **METHODS[row])
        for tile in range(4):
            share = mosaic.share(result.values[tile, 0], tile)
            own += bool(share[0] == share.max() and share[0] > share[1:].max())
            tries += 1
            shares.append(share[0])
    return own, tries, float(np.mean(shares))


def covered(model: Model, count: int) -> tuple[int, int]:
    """The control: how often covering the class's own tile lowers its score most."""
    right, tries = 0, 0
    for mosaic in mosaics(model, count):
        drops = []
        for tile in range(4):
            x = mosaic.x.copy()
            row, column = divmod(tile, 2)
            x[..., row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = 0
            drops.append(-model.run({"images": x})["logits"][0, mosaic.classes])
        right += int((np.argmax(drops, axis=0) == np.arange(4)).sum())
        tries += 4
    return right, tries


def markdown() -> str:
    """The kept results as a table."""
    results = json.loads(RESULTS.read_text())
    right, tries = results["control"]
    lines = [
        "| method | largest share on the class's own tile | mean share there |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {own} of {n} | {share:.0%} |" for name, (own, n, share) in results["methods"].items()),
        "",
        f"Control: covering the own tile lowers the class's score most in {right} of {tries} cases; chance is 25 %.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description="On which tile of a mosaic a method finds a class.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", nargs="+", choices=list(METHODS), metavar="ROW", help="measure these rows anew")
    choice.add_argument("--missing", action="store_true", help="measure the rows that are not kept yet")
    given = parser.parse_args()
    model = Model.load(ROOT / "models" / "efficientnet_lite0.onnx", batch_size=4)
    kept = json.loads(RESULTS.read_text())["methods"]
    control = covered(model, MOSAICS)
    for row in given.only or ([row for row in METHODS if row not in kept] if given.missing else METHODS):
        began = time.perf_counter()
        kept[row] = hits(row, MOSAICS, model)
        print(f"{row}: {kept[row]}, {time.perf_counter() - began:.0f} s", flush=True)
        methods = {name: kept[name] for name in METHODS if name in kept}
        RESULTS.write_text(json.dumps({"control": control, "methods": methods}, indent=1) + "\n")


if __name__ == "__main__":
    main()
