"""Methods on labelled photographs, by metrics, beside controls that explain nothing.

The photographs are the twenty of ImageNet in the wheel of PyPI foolbox 3.3.4, whose names end in their class; they are
not kept here, as their licences differ::

    pip download foolbox==3.3.4 --no-deps
    python -m tests.evaluation.photos foolbox-3.3.4-py3-none-any.whl             measures all rows anew
    python -m tests.evaluation.photos foolbox-3.3.4-py3-none-any.whl --missing   only those that are not kept yet

Each row that ends is kept in photos.json. All take about an hour on two cores. Every method explains the class of the
label. Methods of at most ``CHEAP`` runs a photograph are judged by all metrics; those that evaluate the model more
often by those alone that do not explain again.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from xaionnx import Features, Model
from xaionnx.discovery import METHODS
from xaionnx.errors import XaionnxError
from xaionnx.evaluation import Scores, ScoreTable, score_table
from xaionnx.evaluation.metric import METRICS
from xaionnx.typing import Array

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = Path(__file__).with_name("photos.json")
WHEEL: Final = "foolbox-3.3.4-py3-none-any.whl"
# The variable that tells tests where the wheel is.
PLACE: Final = "XAIONNX_LABELLED_PHOTOS"

AGAIN: Final = ("max_sensitivity", "parameter_randomisation")
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "deletion": {"steps": 7},
    "insertion": {"steps": 7},
    "road": {"steps": 1},
    "max_sensitivity": {"draws": 2},
    "parameter_randomisation": {"steps": 3},
}
# Budgets that differ from the defaults of a method, so that all end; a row is a method, cheap ones first.
_CELLS: Final = Features.grid(5)
_ONE_RUN: Final = (
    *("saliency", "grad_cam", "guided_backprop", "deconvnet", "input_x_gradient", "lrp", "deep_lift", "layer_cam"),
    *("grad_cam_pp", "hi_res_cam", "x_grad_cam", "cam", "finer_cam", "contrast_cam", "counterfactual_cam", "eigen_cam"),
    *("eigen_grad_cam", "full_grad", "guided_grad_cam", "layer_activation"),
)
CHEAP: Final[dict[str, dict[str, Any]]] = {
    **{name: {} for name in _ONE_RUN},
    "smooth_grad": {"draws": 6},
    "integrated_gradients": {"steps": 8},
}
COSTLY: Final[dict[str, dict[str, Any]]] = {
    "expected_gradients": {"draws": 8},
    "blur_ig": {"steps": 8},
    "guided_ig": {"steps": 8},
    "xrai": {},
    "occlusion": {"window": 64, "stride": 32},
    "feature_ablation": {"features": _CELLS},
    "partition_shap": {"budget": 48},
    "kernel_shap": {"features": _CELLS, "budget": 48},
    "lime": {"features": _CELLS, "budget": 48},
    "banzhaf": {"features": _CELLS, "budget": 48},
    "shapley_sampling": {"features": _CELLS, "budget": 48},
    "sobol": {"features": Features.grid(3), "budget": 55},
    "rise": {"budget": 81},
}
ROWS: Final = CHEAP | COSTLY


def photographs(wheel: Path, model: Model) -> tuple[Array, list[int]]:
    """The pictures (20, 3, 224, 224) and their classes."""
    assert model.spec is not None
    pictures, classes = [], []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            found = re.fullmatch(r"foolbox/data/imagenet_\d+_(\d+)\.jpg", name)
            if found:
                with Image.open(BytesIO(archive.read(name))) as image:
                    pictures.append(np.asarray(image.convert("RGB")))
                classes.append(int(found[1]))
    return np.concatenate([model.spec.to_tensor([picture]) for picture in pictures]), classes


def scored(row: str, model: Model, x: Array, classes: list[int], control: bool = True) -> ScoreTable:
    """The scores of one row by the metrics that it is judged by."""
    explainer = METHODS.configured(row, dict(ROWS[row]))
    names = [name for name in SETTINGS if row in CHEAP or name not in AGAIN]
    judges = [METRICS.configured(name, dict(SETTINGS[name])) for name in names]
    return score_table(model, x, [explainer], judges, np.array(classes), controls=("random",) if control else ())


def kept_table() -> ScoreTable:
    """The kept scores; every method has the same control."""
    kept, scores = json.loads(RESULTS.read_text()), dict[str, dict[str, Scores]]()
    for row in (row for row in ROWS if row in kept["scores"]):
        scores[row] = {}
        for metric, values in kept["scores"][row].items():
            kind = METRICS.find(metric)
            control = Scores(metric, "random", _array(kept["control"][metric]), kind.direction, kind.bounds)
            scores[row][metric] = Scores(
                metric, row, _array(values), kind.direction, kind.bounds, controls={"random": control}
            )
    return ScoreTable(scores, kept["refused"], kept["seconds"])


def _array(values: list[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values])


def _json(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def markdown() -> str:
    """The kept results as a table, with what is no better than random order marked."""
    table = kept_table()
    standings = {metric: table.standings(metric) for metric in SETTINGS}
    lines = [
        "| method | " + " | ".join(f"{name} ({METRICS.find(name).direction})" for name in SETTINGS) + " |",
        "| --- |" + " ---: |" * len(SETTINGS),
    ]
    for row in table.methods:
        cells = []
        for each in standings.values():
            one = each.get(row)
            mark = "" if one is None else " **best**" if one.best else "" if one.beats_control else " ✗"
            cells.append("not judged" if one is None else f"{one.scores.mean:.3f}{mark}")
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    controls = [next(iter(each.values())).scores.control for each in standings.values()]
    lines.append("| random values | " + " | ".join("" if c is None else f"{c.mean:.3f}" for c in controls) + " |")
    lost = {
        row
        for row in table.methods
        if not any(standings[metric][row].beats_control for metric in ("deletion", "insertion", "road"))
    }
    lines += ["", f"No better than random order by deletion, insertion and ROAD: {_names(lost)}."]
    missing = [row for row in ROWS if row not in table.methods]
    if missing:
        lines.append(f"Not measured: {_names(missing)}.")
    return "\n".join(lines)


def _names(rows: set[str] | list[str]) -> str:
    return ", ".join(f"`{row}`" for row in sorted(rows)) or "none"


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description="Methods on labelled photographs, by metrics.")
    parser.add_argument("wheel", type=Path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", help="measure these rows anew")
    choice.add_argument("--missing", action="store_true", help="measure the rows that are not kept yet")
    given = parser.parse_args()
    model = Model.load(ROOT / "models" / "efficientnet_lite0.onnx", batch_size=4)
    x, classes = photographs(given.wheel, model)
    kept: dict[str, Any] = {"control": {}, "scores": {}, "seconds": {}, "refused": {}}
    if RESULTS.exists() and (given.only or given.missing):
        kept = json.loads(RESULTS.read_text())
    for row in given.only or [row for row in ROWS if not given.missing or row not in kept["scores"]]:
        began = time.perf_counter()
        try:
            # Random values are the same for all methods, and are measured once.
            table = scored(row, model, x, classes, control=row == "saliency")
        except XaionnxError as error:
            table = ScoreTable({}, {row: str(error)})
        kept["refused"].update(table.refused)
        for name, each in table.scores.items():
            kept["seconds"][name] = round(table.seconds[name], 4)
            kept["scores"][name] = {metric: _json(one.values) for metric, one in each.items()}
            for metric, one in each.items():
                if one.control is not None:
                    kept["control"][metric] = _json(one.control.values)
        print(f"{row}: {table!r}, {time.perf_counter() - began:.0f} s {dict(table.refused)}", flush=True)
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(kept) + "\n")
        part.replace(RESULTS)


if __name__ == "__main__":
    main()
