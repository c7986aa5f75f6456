"""Methods on labelled photographs, by metrics, beside controls that explain nothing.

The photographs are the twenty of ImageNet in the wheel of PyPI foolbox 3.3.4, whose names end in their class; they are
not kept here, as their licences differ::

    pip download foolbox==3.3.4 --no-deps
    python -m tests.evaluation.photos foolbox-3.3.4-py3-none-any.whl             measures all rows anew
    python -m tests.evaluation.photos foolbox-3.3.4-py3-none-any.whl --missing   only what is not kept yet

Each row that ends is kept in photos.json. All take about an hour of one core. Every method explains the class of the
label. Metrics that explain again judge methods of many runs on the first ``FEWER`` photographs.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from xaionnx import Model
from xaionnx.discovery import METHODS
from xaionnx.evaluation import Scores, ScoreTable, score_table
from xaionnx.evaluation.metric import METRICS
from xaionnx.evaluation.standing import Standing
from xaionnx.explainer import Explainer
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.typing import Array

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = Path(__file__).with_name("photos.json")
WHEEL: Final = "foolbox-3.3.4-py3-none-any.whl"
# The variable that tells tests where the wheel is.
PLACE: Final = "XAIONNX_LABELLED_PHOTOS"

ONCE: Final = ("deletion", "insertion", "road")
# These explain changed inputs, or models with random weights.
AGAIN: Final = ("max_sensitivity", "parameter_randomisation")
FEWER: Final = 10
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "deletion": {"steps": 7},
    "insertion": {"steps": 7},
    "road": {"steps": 1},
    "max_sensitivity": {"draws": 2},
    "parameter_randomisation": {"steps": 3},
}
# Settings that differ from the defaults of a method, so that all end; a row is a method, cheap ones first.
_CELLS: Final = {"features": "grid:3x3", "budget": 56}
_ONE_RUN: Final = (
    *("saliency", "grad_cam", "guided_backprop", "deconvnet", "input_x_gradient", "lrp", "deep_lift", "layer_cam"),
    *("grad_cam_pp", "hi_res_cam", "x_grad_cam", "cam", "finer_cam", "contrast_cam", "counterfactual_cam"),
    *("causal_cam", "eigen_cam", "eigen_grad_cam", "guided_grad_cam", "full_grad"),
)
CHEAP: Final[dict[str, dict[str, Any]]] = {
    **{name: {} for name in _ONE_RUN},
    "ablation_cam": {"channels": 48},
    "feature_ablation": {"features": "grid:5x5"},
    "smooth_grad": {"draws": 6},
}
COSTLY: Final[dict[str, dict[str, Any]]] = {
    "occlusion": {"window": 64, "stride": 32},
    "blur_ig": {"steps": 8},
    "integrated_gradients": {"steps": 8},
    "expected_gradients": {"draws": 8},
    "score_cam": {"channels": 48},
    "rise": {"budget": 81},
    "sobol": _CELLS,
    "guided_ig": {"steps": 8},
    "lime": _CELLS,
    "kernel_shap": _CELLS,
    "shapley_sampling": _CELLS,
    "banzhaf": _CELLS,
    "partition_shap": _CELLS,
    "meaningful_perturbation": {"steps": 20},
    "extremal_masks": {"steps": 20},
    "xrai": {"inner": IntegratedGradients(steps=8)},
    "local_evidence": {},
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


def scored(
    row: str, model: Model, x: Array, classes: list[int], metrics: Sequence[str], *, control: bool = False
) -> ScoreTable:
    """The scores of one row by these metrics: all of them explain again, or none does."""
    count = FEWER if row in COSTLY and set(metrics) <= set(AGAIN) else len(x)
    return score_table(
        model,
        x[:count],
        [METHODS.configured(row, dict(ROWS[row]))],
        [METRICS.configured(name, dict(SETTINGS[name])) for name in metrics],
        np.array(classes[:count]),
        controls=("random",) if control else (),
    )


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
        "| method | settings | " + " | ".join(f"{name} ({METRICS.find(name).direction})" for name in SETTINGS) + " |",
        "| --- | --- |" + " ---: |" * len(SETTINGS),
    ]
    for row in table.methods:
        cells = [_cell(each.get(row)) for each in standings.values()]
        lines.append(f"| `{row}` | {_settings(row)} | " + " | ".join(cells) + " |")
    controls = [next(iter(each.values())).scores.control for each in standings.values()]
    lines.append("| random values | | " + " | ".join("" if c is None else f"{c.mean:.3f}" for c in controls) + " |")
    none = [row for row in table.methods if not any(standings[metric][row].beats_control for metric in ONCE)]
    worse = [row for row in table.methods if any(table.scores[row][metric].gain()[0] < 0 for metric in ONCE)]
    lines += [
        "",
        f"Better than random order by none of deletion, insertion and ROAD: {_names(none)}.",
        f"Worse than random order, on the mean, by one of them at least: {_names(worse)}.",
    ]
    fewer = [row for row, each in table.scores.items() if any(len(each[m].values) == FEWER for m in AGAIN if m in each)]
    if fewer:
        lines.append(f"Explained again on the first {FEWER} photographs alone: {_names(fewer)}.")
    never = [row for row, each in table.scores.items() if not set(AGAIN) & set(each)]
    if never:
        lines.append(f"Not explained again, for want of time: {_names(never)}.")
    return "\n".join(lines)


def _cell(one: Standing | None) -> str:
    """The mean of a method by a metric, with its mark."""
    if one is None:
        return "not judged"
    return f"{one.scores.mean:.3f}{' **best**' if one.best else '' if one.beats_control else ' ✗'}"


def _settings(row: str) -> str:
    """What differs from the defaults of a method."""
    words = [f"{name} {_value(value)}" for name, value in ROWS[row].items()]
    return ", ".join(words) or "defaults"


def _value(value: Any) -> str:  # of any parameter
    if not isinstance(value, Explainer):
        return str(value)
    default = type(value)()
    changed = {name: given for name, given in vars(value).items() if given != getattr(default, name)}
    return f"{value.name()} of " + ", ".join(f"{name} {given}" for name, given in changed.items())


def _names(rows: list[str]) -> str:
    return ", ".join(f"`{row}`" for row in sorted(rows)) or "none"


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description="Methods on labelled photographs, by metrics.")
    parser.add_argument("wheel", type=Path)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", help="measure these rows anew")
    choice.add_argument("--missing", action="store_true", help="measure what is not kept yet")
    given = parser.parse_args()
    model = Model.load(ROOT / "models" / "efficientnet_lite0.onnx", batch_size=4)
    x, classes = photographs(given.wheel, model)
    kept: dict[str, Any] = {"control": {}, "scores": {}, "seconds": {}, "refused": {}}
    if RESULTS.exists() and (given.only or given.missing):
        kept = json.loads(RESULTS.read_text())
    for row in given.only or ():
        kept["scores"].pop(row, None)
    for metrics in ONCE, AGAIN:
        for row in given.only or ROWS:
            missing = [name for name in metrics if name not in kept["scores"].get(row, {})]
            if missing and row not in kept["refused"]:
                _measure(row, missing, model, x, classes, kept)


def _measure(
    row: str, metrics: Sequence[str], model: Model, x: Array, classes: list[int], kept: dict[str, Any]
) -> None:
    """Measure a row by some metrics, and keep what was found."""
    began = time.perf_counter()
    # Random values are the same for all methods, and are measured once.
    table = scored(row, model, x, classes, metrics, control=row == "saliency")
    kept["refused"].update(table.refused)
    kept["seconds"].update({name: round(seconds, 4) for name, seconds in table.seconds.items()})
    for metric, one in table.scores.get(row, {}).items():
        kept["scores"].setdefault(row, {})[metric] = _json(one.values)
        if one.control is not None:
            kept["control"][metric] = _json(one.control.values)
    print(f"{table!r}, {time.perf_counter() - began:.0f} s {dict(table.refused)}", flush=True)
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(kept) + "\n")
    part.replace(RESULTS)


if __name__ == "__main__":
    main()
