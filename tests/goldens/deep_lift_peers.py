"""Our side of what :mod:`tests.goldens.make_deep_lift` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from tests.goldens.peers import Agreement, loaded
from tests.goldens.weights import inputs
from xaionnx import Baseline, Explanation

FOLDER = Path(__file__).parent / "deep_lift"
NETS = ("vgg", "resnet", "resnet18", "vit")


def golden(net: str) -> dict[str, Any]:
    """What the peer answers on a net."""
    with np.load(FOLDER / f"{net}.npz") as arrays:
        return dict(arrays)


def explained(net: str, folder: Path) -> dict[str, Explanation]:
    """With the first baseline, and with all, as the peer calls them."""
    model, x, baselines = loaded(net, folder), inputs(net), inputs(net, baselines=True)
    theirs = golden(net)
    for given, out in ((x, theirs["out"]), (baselines, theirs["out_baselines"])):
        np.testing.assert_allclose(model.run({"x": given})["y"], out, rtol=1e-4, atol=1e-5)
    chosen = {"DeepLift": baselines[0], "DeepLiftShap": Baseline.background(baselines)}
    return {
        name: xaionnx.explain(model, x, "deep_lift", theirs["target"], baseline=baseline)
        for name, baseline in chosen.items()
    }


def compared(net: str, folder: Path) -> list[Agreement]:
    """Each answer of the peer beside ours."""
    ours, theirs = explained(net, folder), golden(net)
    return [
        Agreement.of("deep_lift", key, net, ours[key.split(":")[1]].values, answer)
        for key, answer in theirs.items()
        if key.startswith("captum:")
    ]
