"""Our values for the goldens of :mod:`tests.goldens.make_deep_lift`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from tests.goldens.peers import Agreement, loaded
from tests.goldens.weights import inputs
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Explanation

FOLDER = Path(__file__).parent / "deep_lift"
NETS = ("vgg", "resnet", "resnet18", "vit")
_LOST = "directly behind a ReLU its rule for max pooling is lost"
_OVERLAP = "where windows overlap it does not add their shares up"
_LINEAR = "it takes attention, normalisation and Gelu for linear"
NOTES: dict[str | tuple[str, str], str] = {
    ("captum:DeepLift", "vgg"): _LOST,
    ("captum:DeepLiftShap", "vgg"): _LOST,
    ("captum:DeepLift:apart", "vgg"): "the same with a product with 1 between ReLU and max pooling",
    ("captum:DeepLift", "resnet18"): f"{_LOST}; {_OVERLAP}",
    ("captum:DeepLiftShap", "resnet18"): f"{_LOST}; {_OVERLAP}",
    ("captum:DeepLift:apart", "resnet18"): _OVERLAP,
    ("captum:DeepLift", "vit"): _LINEAR,
    ("captum:DeepLiftShap", "vit"): _LINEAR,
}


def golden(net: str) -> dict[str, Any]:
    """The golden of a net."""
    with np.load(FOLDER / f"{net}.npz") as arrays:
        return dict(arrays)


def explained(net: str, folder: Path) -> dict[str, Explanation]:
    """DeepLIFT with the first baseline, and with all, under the peer's names."""
    model, x, baselines = loaded(net, folder), inputs(net), inputs(net, baselines=True)
    theirs = golden(net)
    for given, out in ((x, theirs["out"]), (baselines, theirs["out_baselines"])):
        assert_close(model.run({"x": given})["y"], out, Tolerance.DEEP)
    chosen = {"DeepLift": baselines[0], "DeepLiftShap": Baseline.background(baselines)}
    return {
        name: xaionnx.explain(model, x, "deep_lift", theirs["target"], baseline=baseline)
        for name, baseline in chosen.items()
    }


def gaps(net: str, name: str, ours: Explanation) -> tuple[float, float]:
    """Our gap and the peer's, relative to the explained change, for the worst sample."""
    theirs = golden(net)
    reference = theirs["out_baselines"] if name == "DeepLiftShap" else theirs["out_baselines"][:1]
    change = (theirs["out"] - reference.mean(axis=0))[np.arange(len(theirs["target"])), theirs["target"]]
    mine = ours.values.astype(np.float64).sum(axis=(1, 2, 3)) - change
    return float(np.abs(mine / change).max()), float(np.abs(theirs[f"gap:{name}"] / change).max())


def compared(net: str, folder: Path) -> list[Agreement]:
    """Compare each result of the peer with ours."""
    found, rows = explained(net, folder), []
    for key, answer in golden(net).items():
        library, _, name = key.partition(":")
        if library == "captum":
            ours = found[name.partition(":")[0]]
            row = Agreement.of("deep_lift", key, net, ours.values, answer)
            rows.append(dataclasses.replace(row, gaps=gaps(net, name, ours)))
    return rows
