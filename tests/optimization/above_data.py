"""Whether pictures that are found excite a unit more than photographs do, in views that the search did not see.

    python -m tests.optimization.above_data                 search for all units, and keep the numbers in results.json
    python -m tests.optimization.above_data --missing       for those that are not kept yet
    python -m tests.optimization.above_data --pictures FOLDER    and save what is found there

All take about six minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

import xaionnx
from xaionnx.data.images import read_picture
from xaionnx.optimization import Search, Visualization
from xaionnx.optimization.objective import Objective
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.parametrisations.fourier import Fourier
from xaionnx.optimization.scene import Scene

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = Path(__file__).with_name("results.json")
# Early to late, and evenly spread channels of each: none was chosen for its picture.
LAYERS: Final = {
    "/_blocks.4/Add_output_0": 40,
    "/_blocks.10/Add_output_0": 112,
    "/_blocks.14/Add_output_0": 192,
    "/_blocks.15/_project_conv/Conv_output_0": 320,
}
EACH: Final = 5
CLASSES: Final = tuple(range(7, 1000, 100))
CROPS: Final = 1050
SIZE: Final = 224
_SMALLEST = 96
_BATCH = 50


class Unit(NamedTuple):
    """A channel of a layer, or a class."""

    layer: str
    number: int

    @property
    def objective(self) -> Objective:
        if self.layer == "logits":
            return ClassScore(label=self.number)
        return Channel(layer=self.layer, channel=self.number)

    def __str__(self) -> str:
        return f"{self.layer} {self.number}"


def units() -> list[Unit]:
    """The units, by layer."""
    channels = [Unit(name, (2 * k + 1) * count // (2 * EACH)) for name, count in LAYERS.items() for k in range(EACH)]
    return channels + [Unit("logits", number) for number in CLASSES]


def photographs() -> list[np.ndarray]:
    """The photographs of the repository and those that scikit-image and scikit-learn ship."""
    folders = (Path(skimage.data.__file__).parent, Path(sklearn.datasets.__file__).parent / "images")
    found = [*sorted((ROOT / "models" / "photos").iterdir())]
    shipped = ("motorcycle_left.png", "chelsea.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png", "color.png")
    patterns = ("moon.png", "coins.png", "brick.png", "grass.png", "gravel.png", "china.jpg", "flower.jpg")
    found += [folder / name for folder in folders for name in shipped + patterns if (folder / name).exists()]
    return [read_picture(path).array for path in found]


def crops() -> Iterator[np.ndarray]:
    """Square crops of photographs at random places, from 96 pixels to all of the shorter side."""
    rng, given = np.random.default_rng(0), photographs()
    for k in range(CROPS):
        photo = given[k % len(given)]
        longest = min(photo.shape[:2])
        side = int(rng.integers(min(_SMALLEST, longest), longest + 1))
        top, left = (int(rng.integers(0, extent - side + 1)) for extent in photo.shape[:2])
        crop = Image.fromarray(photo[top : top + side, left : left + side])
        yield np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def highest(model: xaionnx.Model) -> dict[str, float]:
    """The largest value of each unit over all crops."""
    names = [*LAYERS, "logits"]
    seen, spec = model.with_outputs(names), model.input_spec
    most: dict[str, np.ndarray] = {}
    every = list(crops())
    for first in range(0, len(every), _BATCH):
        x = spec.to_tensor(every[first : first + _BATCH])
        found = seen.run({model.input().name: x}, names)
        for name in names:
            value = found[name] if name == "logits" else found[name].mean(axis=(2, 3))
            most[name] = np.maximum(most.get(name, -np.inf), value.max(axis=0))
    return {str(unit): float(most[unit.layer][unit.number]) for unit in units()}


def recognised(model: xaionnx.Model, found: Visualization, unit: Unit) -> int:
    """In how many of the eight views that the search did not see the model itself says the class."""
    scene, search = Scene.of(model, unit.objective, 1), Search()
    pictures = Fourier().pictures(scene.canvas, found.state["parameters"])
    name = model.input_spec.label(unit.number)
    return sum(scene.predictions(view, pictures) == [name] for view in search.unseen_views(scene))


def measured(model: xaionnx.Model, unit: Unit, data: float) -> tuple[dict[str, Any], np.ndarray]:
    """The numbers of one unit, and its picture."""
    found = Search().run(model, unit.objective)
    row = {
        "unit": str(unit),
        "data": round(data, 3),
        "unseen": round(float(found.unseen[0]), 3),
        "high": round(float(found.high_frequencies[0]), 4),
    }
    if unit.layer == "logits":
        row |= {"label": model.input_spec.label(unit.number), "recognised": recognised(model, found, unit)}
    return row, found.pictures[0]


def markdown() -> str:
    """The kept results as a table."""
    lines = [
        "| unit | largest of the crops | found, in unseen views | times | grain | recognised in |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in json.loads(RESULTS.read_text())["units"]:
        name = row["unit"] if "label" not in row else f"logit of {row['label']}"
        views = f"{row['recognised']} of 8" if "recognised" in row else ""
        times = row["unseen"] / row["data"]
        lines.append(
            f"| `{name}` | {row['data']:.2f} | {row['unseen']:.2f} | {times:.1f} | {row['high']:.0%} | {views} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description="Whether what is found is larger than for photographs.")
    parser.add_argument("--missing", action="store_true", help="only units that are not kept yet")
    parser.add_argument("--pictures", metavar="FOLDER", help="where the pictures are saved too")
    given = parser.parse_args()
    model = xaionnx.Model.load(ROOT / "models" / "efficientnet_lite0.onnx")
    kept = json.loads(RESULTS.read_text()) if given.missing and RESULTS.exists() else {}
    data = kept.get("data") or highest(model)
    rows = {row["unit"]: row for row in kept.get("units", [])}
    for unit in units():
        if str(unit) in rows:
            continue
        rows[str(unit)], picture = measured(model, unit, data[str(unit)])
        print(rows[str(unit)], flush=True)
        if given.pictures:
            name = str(unit).strip("/").replace("/", "_").replace(" ", "_")
            Image.fromarray(picture).save(Path(given.pictures) / f"{name}.png")
        found = [rows[str(one)] for one in units() if str(one) in rows]
        RESULTS.write_text(json.dumps({"data": data, "units": found}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
