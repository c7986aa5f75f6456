"""Einsum: attention that is written with it is explained as that with MatMul."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import normal
from xaionnx import Model, Target

WEIGHTS = {"a": normal(4, 4), "o": normal(4, 2), "k": normal(4, 3, 2, 2)}
PATCHES = """g (float[N, 3, 6, 6] x) => (float[N, 2] y) {
    c = Conv <strides = [2, 2]> (x, k)
    r = Relu(c)"""
PRODUCTS = """
    s = Reshape(r, flat)
    t = Transpose <perm = [0, 2, 1]> (s)
    q = MatMul(t, a)
    u = Transpose <perm = [0, 2, 1]> (t)
    z = MatMul(q, u)
    p = Softmax <axis = 2> (z)
    h = MatMul(p, t)
    e = ReduceMean <axes = [1], keepdims = 0> (h)
    y = MatMul(e, o) }"""
SUMS = """
    t = Reshape(r, flat)
    q = Einsum <equation = "bdt,de->bte"> (t, a)
    z = Einsum <equation = "bte,bes->bts"> (q, t)
    p = Softmax <axis = 2> (z)
    h = Einsum <equation = "bts,bds->btd"> (p, t)
    e = ReduceMean <axes = [1], keepdims = 0> (h)
    y = Einsum <equation = "...d,dk"> (e, o) }"""


@pytest.fixture(scope="module")
def both() -> tuple[Model, Model]:
    held = {**WEIGHTS, "flat": np.array([0, 4, 9])}
    products, sums = (tiny.parsed(PATCHES + text, **held) for text in (PRODUCTS, SUMS))
    return planted.load(products, device="cpu"), planted.load(sums, device="cpu")


@pytest.mark.parametrize(
    "method", ["saliency", "grad_cam", "lrp", "deep_lift", "attention_rollout", "attention_relevance"]
)
@pytest.mark.parametrize("layer", [None, "h"])
def test_attention_of_sums_is_that_of_products(both, method, layer):
    if layer is not None and method in ("lrp", "deep_lift", "attention_rollout", "attention_relevance"):
        pytest.skip("has no layer")
    settings = {} if layer is None else {"layer": layer}
    x = normal(2, 3, 6, 6)
    products, sums = (xaionnx.explain(model, x, method, 1, **settings) for model in both)
    assert sums.provenance.get("layer") == products.provenance.get("layer")
    np.testing.assert_allclose(sums.values, products.values, atol=1e-5 * np.abs(products.values).max())


def test_tokens_keep_their_axis():
    text = """g (float[N, P, 4] x) => (float[N, P, 2] y) {
        q = Einsum <equation = "btd,de->bte"> (x, a)
        z = Einsum <equation = "bte,bse->bts"> (q, x)
        p = Softmax <axis = 2> (z)
        h = Einsum <equation = "bts,bsd->btd"> (p, x)
        y = Einsum <equation = "btd,dk->btk"> (h, o) }"""
    model = planted.load(tiny.parsed(text, a=WEIGHTS["a"], o=WEIGHTS["o"]), device="cpu")
    assert [role.value for role in model.axes.of("x").roles] == ["sample", "token", "feature"]
    x = normal(1, 5, 4)
    found = xaionnx.explain(model, x, "occlusion", Target.index((2, 1)), baseline=0.0, window=1).values[0]
    for token in range(5):
        changed = x.copy()
        changed[:, token] = 0
        drop = model.run({"x": x})["y"][0, 2, 1] - model.run({"x": changed})["y"][0, 2, 1]
        np.testing.assert_allclose(found[token], drop, atol=1e-5)
