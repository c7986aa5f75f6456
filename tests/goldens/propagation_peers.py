"""Our values for the goldens of :mod:`tests.goldens.make_propagation`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import xaionnx
from tests.goldens.peers import Agreement
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff.lrp import Composite
from xaionnx.autodiff.relevance import AlphaBeta, Epsilon, Flat, Gamma, LinearRule, Pass, WSquare, ZBox, ZPlus
from xaionnx.explainer import Explainer
from xaionnx.explainers.deconvnet import Deconvnet
from xaionnx.explainers.guided_backprop import GuidedBackprop
from xaionnx.explainers.lrp import Lrp

FOLDER = Path(__file__).parent / "propagation"
NETS = ("vgg", "resnet", "vit", "mlp", "inception", "dense")
LOW, HIGH = -2.0, 2.0
# zennit adds this to denominators without scaling.
AS_IT_IS: dict[str, Any] = {"epsilon": 1e-6, "relative": False}
EPSILON = Epsilon(**AS_IT_IS)
# zennit's z-plus includes biases, which makes it alpha 1 and beta 0.
PLUS = AlphaBeta(1, 0, **AS_IT_IS)


def _lrp(rules: dict[str, LinearRule]) -> Explainer:
    return Lrp(composite=Composite(rules | {"*": EPSILON}, EPSILON))


def _alike(rule: LinearRule) -> Explainer:
    return Lrp(composite=Composite({"*": rule}, EPSILON))


# For each result the name and settings of our method.
OURS: dict[str, tuple[str, Explainer]] = {
    "captum:guided_backprop": ("guided_backprop", GuidedBackprop()),
    "captum:deconvnet": ("deconvnet", Deconvnet()),
    "captum:epsilon": ("lrp epsilon", Lrp(composite="epsilon", epsilon=1e-9, relative=False)),
    "detached": ("lrp epsilon", Lrp(composite="epsilon", epsilon=1e-9)),
    "zennit:epsilon": ("lrp epsilon", _lrp({})),
    "zennit:gamma": ("lrp gamma", _alike(Gamma(0.25, **AS_IT_IS))),
    "zennit:alpha2_beta1": ("lrp alpha2_beta1", _alike(AlphaBeta(2, 1, **AS_IT_IS))),
    "zennit:w_square": ("lrp w_square", _alike(WSquare(**AS_IT_IS))),
    "zennit:flat": ("lrp flat", _alike(Flat(**AS_IT_IS))),
    "zennit:epsilon_plus_without_bias": ("lrp epsilon_plus", _lrp({"Conv": ZPlus(**AS_IT_IS)})),
    "zennit:epsilon_plus": ("lrp alpha1_beta0", _lrp({"Conv": PLUS})),
    "zennit:epsilon_plus_flat": ("lrp alpha1_beta0, flat first", _lrp({"first": Flat(**AS_IT_IS), "Conv": PLUS})),
    "zennit:epsilon_gamma_box": (
        "lrp epsilon_gamma_box",
        _lrp({"first": ZBox(LOW, HIGH, **AS_IT_IS), "Conv": Gamma(0.25, **AS_IT_IS)}),
    ),
    "zennit:epsilon_plus_flat:all_first": (
        "lrp alpha1_beta0, flat first",
        _lrp({"first": Flat(**AS_IT_IS), "Conv": PLUS}),
    ),
    "zennit:epsilon_gamma_box:all_first": (
        "lrp epsilon_gamma_box",
        _lrp({"first": ZBox(LOW, HIGH, **AS_IT_IS), "Conv": Gamma(0.25, **AS_IT_IS)}),
    ),
    "zennit:epsilon_alpha2_beta1_flat:all_first": (
        "lrp epsilon_alpha2_beta1_flat",
        _lrp({"first": Flat(**AS_IT_IS), "Conv": AlphaBeta(2, 1, **AS_IT_IS)}),
    ),
    "zennit:epsilon:own_layer": ("lrp epsilon", _lrp({})),
    "zennit:gamma:own_layer": ("lrp gamma", _alike(Gamma(0.25, **AS_IT_IS))),
    "zennit:alpha2_beta1:own_layer": ("lrp alpha2_beta1", _alike(AlphaBeta(2, 1, **AS_IT_IS))),
    "zennit:epsilon_alpha2_beta1": ("lrp epsilon_alpha2_beta1", _lrp({"Conv": AlphaBeta(2, 1, **AS_IT_IS)})),
    "zennit:epsilon_alpha2_beta1_flat": (
        "lrp epsilon_alpha2_beta1_flat",
        _lrp({"first": Flat(**AS_IT_IS), "Conv": AlphaBeta(2, 1, **AS_IT_IS)}),
    ),
}
# With zennit's rule of a normalisation ahead of a convolution.
WITH_PASS: dict[str, tuple[str, Explainer]] = {
    f"zennit:{name}": (
        f"lrp {name}, Pass at normalisation",
        Lrp(composite=Composite({"BatchNormalization": Pass(), "*": rule}, EPSILON)),
    )
    for name, rule in {
        "epsilon": EPSILON,
        "gamma": Gamma(0.25, **AS_IT_IS),
        "alpha2_beta1": AlphaBeta(2, 1, **AS_IT_IS),
    }.items()
}
_PLUS_NOTE = "its z-plus shares with biases"
_SMALL_SUMS = "sums near 0 get relevance that is not; float32 rounds them"
NOTES: dict[str | tuple[str, str], str] = {
    "detached": "PyTorch itself, what Ali et al. hold constant taken out of the graph",
    "zennit:epsilon_plus": _PLUS_NOTE,
    "zennit:epsilon_plus_flat": _PLUS_NOTE,
    "zennit:epsilon_plus_without_bias": "its z-plus told to give biases nothing, as in the paper",
    "zennit:w_square": "told to give biases nothing, as in the paper",
    ("zennit:w_square", "resnet"): f"told to give biases nothing, as in the paper; {_SMALL_SUMS}",
    ("zennit:flat", "resnet"): _SMALL_SUMS,
    ("zennit:epsilon_gamma_box", "mlp"): "its z-box is for convolutions only, and there are none",
    **{
        (f"zennit:{name}", "inception"): "it gives the rule of the first layer to one of three that read the input"
        for name in ("epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat")
    },
    **{
        f"zennit:{name}:all_first": "told that all layers which read the input are first"
        for name in ("epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat")
    },
    **{
        f"zennit:{name}:own_layer": "told that a normalisation ahead of a convolution is a linear layer of its own"
        for name in ("epsilon", "gamma", "alpha2_beta1")
    },
}


def compared(net: str, folder: Path) -> list[Agreement]:
    """Compare each result of a peer with ours; the graphs exist, and ``folder`` stays empty."""
    del folder
    model = Model.load(FOLDER / f"{net}.onnx", device="cpu", threads=1)
    with np.load(FOLDER / f"{net}.npz") as golden:
        theirs = dict(golden)
    x, target = theirs.pop("x"), theirs.pop("target")
    assert_close(model.run({"x": x})["y"], theirs.pop("out"), Tolerance.SIGNED_LAYERS)
    rows = []
    for key, answer in theirs.items():
        method, explainer = WITH_PASS[key] if net == "dense" and key in WITH_PASS else OURS[key]
        ours = xaionnx.explain(model, x, explainer, target).values
        rows.append(Agreement.of(method, key, net, ours, answer))
    return rows
