"""Captions of backward passes that are not derivatives, or not as published."""

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Explanation, Model
from xaionnx.autodiff import patterns
from xaionnx.render import captions, settings

RULE = "a complete rule beyond the paper"
SCALED = f"{patterns._SCALED}-370"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], []),
        (["QuantizeLinear: straight through (3 nodes)"], ["approximations at QuantizeLinear"]),
        ([f"Add: {RULE} (1 node)", f"Add: {RULE}, too (1 node)"], ["approximations at Add"]),
        ([f"{op}: {RULE} (1 node)" for op in "ABC"], ["approximations at A, B, C"]),
        ([f"{op}: {RULE} (1 node)" for op in "ABCD"], ["approximations at A, B, C and 1 other op"]),
        ([f"{op}: {RULE} (1 node)" for op in "ABCDE"], ["approximations at A, B, C and 2 other ops"]),
        ([f"Gemm: {SCALED} (1 node)"], ["published values times 2**-370"]),
        (
            [f"Gemm: {SCALED} (1 node)", "Relu: straight through (2 nodes)"],
            ["published values times 2**-370", "approximations at Relu"],
        ),
    ],
)
def test_ops_are_named_and_factors(labels, said):
    one = Explanation("saliency", np.ones((1, 4)), np.array(["cat"]), np.ones(1), provenance={"approximations": labels})
    assert settings.approximations(one) == said
    told = captions.made_by(one).replace("\N{NO-BREAK SPACE}", " ").split(" · ")
    assert told == ["saliency", *said]


def test_methods_that_ask_another_pass_on_what_it_tells():
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    x = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    labels = [f"MaxPool: {RULE} (2 nodes)"]
    for outer, more in (("smooth_grad", {"draws": 2}), ("xrai", {})):
        found = xaionnx.explain(model, x, outer, 3, inner="deep_lift", **more)
        assert found.provenance["approximations"] == labels
        assert settings.approximations(found) == ["approximations at MaxPool"]
        plain = xaionnx.explain(planted.load(planted.linear(np.ones((1, 1, 28, 28)))), x, outer, 0, **more)
        assert settings.approximations(plain) == []
