"""How close propagation is to other libraries, on the nets and answers of :mod:`tests.goldens.make_propagation`.

python -m tests.goldens.propagation_peers     compares anew and writes propagation/results.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from xaionnx import Model
from xaionnx.autodiff.lrp import Composite
from xaionnx.autodiff.relevance import AlphaBeta, Epsilon, Flat, Gamma, LinearRule, WSquare, ZBox, ZPlus
from xaionnx.explainer import Explainer
from xaionnx.explainers.deconvnet import Deconvnet
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explainers.lrp import Lrp

FOLDER = Path(__file__).parent / "propagation"
RESULTS = FOLDER / "results.json"
NETS = ("vgg", "resnet", "vit")
LOW, HIGH = -2.0, 2.0
# zennit adds this to denominators as it is.
AS_IT_IS: dict[str, Any] = {"epsilon": 1e-6, "relative": False}
EPSILON = Epsilon(**AS_IT_IS)
# Its z-plus gives biases a share, which makes it alpha 1 and beta 0.
PLUS = AlphaBeta(1, 0, **AS_IT_IS)


def _lrp(rules: dict[str, LinearRule]) -> Explainer:
    return Lrp(composite=Composite(rules | {"*": EPSILON}, EPSILON))


def _alike(rule: LinearRule) -> Explainer:
    return Lrp(composite=Composite({"*": rule}, EPSILON))


OURS: dict[str, Explainer] = {
    "captum:guided_backprop": GuidedBackprop(),
    "captum:deconvnet": Deconvnet(),
    "captum:epsilon": Lrp(composite="epsilon", epsilon=1e-9, relative=False),
    "detached": Lrp(composite="epsilon", epsilon=1e-9),
    "zennit:epsilon": _lrp({}),
    "zennit:gamma": _alike(Gamma(0.25, **AS_IT_IS)),
    "zennit:alpha2_beta1": _alike(AlphaBeta(2, 1, **AS_IT_IS)),
    "zennit:w_square": _alike(WSquare(**AS_IT_IS)),
    "zennit:flat": _alike(Flat(**AS_IT_IS)),
    "zennit:epsilon_plus_without_bias": _lrp({"Conv": ZPlus(**AS_IT_IS)}),
    "zennit:epsilon_plus": _lrp({"Conv": PLUS}),
    "zennit:epsilon_plus_flat": _lrp({"first": Flat(**AS_IT_IS), "Conv": PLUS}),
    "zennit:epsilon_gamma_box": _lrp({"first": ZBox(LOW, HIGH, **AS_IT_IS), "Conv": Gamma(0.25, **AS_IT_IS)}),
    "zennit:epsilon_alpha2_beta1": _lrp({"Conv": AlphaBeta(2, 1, **AS_IT_IS)}),
    "zennit:epsilon_alpha2_beta1_flat": _lrp({"first": Flat(**AS_IT_IS), "Conv": AlphaBeta(2, 1, **AS_IT_IS)}),
}


def compared(net: str) -> dict[str, float]:
    """For each answer of a peer the distance of ours from it, as a share of its own size (Euclidean)."""
    model = Model.load(FOLDER / f"{net}.onnx", device="cpu", threads=1)
    with np.load(FOLDER / f"{net}.npz") as golden:
        theirs = dict(golden)
    x, target = theirs.pop("x"), theirs.pop("target")
    np.testing.assert_allclose(model.run({"x": x})["y"], theirs.pop("out"), rtol=1e-4, atol=1e-5)
    found = {key: xaionnx.explain(model, x, OURS[key], target).values for key in theirs}
    return {key: float(np.linalg.norm(found[key] - theirs[key]) / np.linalg.norm(theirs[key])) for key in theirs}


def markdown() -> str:
    """The kept figures as a table."""
    results = json.loads(RESULTS.read_text())
    rows = dict.fromkeys(key for net in NETS for key in results[net])
    lines = ["| peer | " + " | ".join(NETS) + " |", "| --- " * (len(NETS) + 1) + "|"]
    for key in rows:
        cells = [f"{results[net][key]:.0e}" if key in results[net] else "" for net in NETS]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Compare and keep."""
    results = {net: compared(net) for net in NETS}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
