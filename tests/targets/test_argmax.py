"""A model that returns the number of the class is explained as the one that returns the scores."""

import functools

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import normal
from xaionnx import Model, Target, discovery

# They need attention, samples with the same features, few features, patterns, a masker, concepts, trees, or sums.
OTHERS = {
    "additive_shap", "linear_shap",
    "attention_relevance", "attention_rollout", "dependence", "exact_shapley", "masker",
    "pattern_attribution", "pattern_net",
    "senn", "tree_shap",
}  # fmt: skip
SCORES = """c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
    r = Relu(c)
    p = GlobalAveragePool(r)
    f = Flatten(p)
    z = MatMul(f, w)"""
WEIGHTS = {"k": normal(5, 3, 3, 3), "w": normal(5, 4)}


@functools.cache
def net(labels: bool) -> Model:
    ends = "int64[N] y" if labels else "float[N, 4] z"
    last = "y = ArgMax <axis = 1, keepdims = 0> (z)" if labels else ""
    return planted.load(tiny.parsed(f"g (float[N, 3, 16, 16] x) => ({ends}) {{ {SCORES} {last} }}", **WEIGHTS))


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", sorted({*discovery.methods()} - OTHERS))
def test_labels_are_explained_by_their_scores(method):
    x = normal(2, 3, 16, 16)
    # The regression of all pairs of superpixels takes long, and so do all second derivatives.
    few = {"shapley_interactions": {"features": "grid:3"}, "integrated_hessians": {"steps": 4}}.get(method, {})
    labels, scores = (xaionnx.explain(net(kind), x, method, **few) for kind in (True, False))
    np.testing.assert_allclose(labels.values, scores.values, rtol=1e-5, atol=1e-6 * np.abs(scores.values).max())


@pytest.mark.parametrize("method", ["saliency", "occlusion", "rise", "lime", "eigen_cam", "layer_activation"])
def test_a_map_of_labels_is_explained_by_its_scores(method):
    text = """g (float[N, 3, 16, 16] x) => (int64[N, 16, 16] y) {
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k)
        b = Relu(a)
        c = Conv (b, l)
        y = ArgMax <axis = 1, keepdims = 0> (c) }"""
    model = planted.load(tiny.parsed(text, k=WEIGHTS["k"], l=normal(6, 5, 1, 1)))
    x = normal(1, 3, 16, 16)
    result = xaionnx.explain(model, x, method, Target.segment(2))
    scores = model.with_outputs(["c"]).run({"x": x}, ["c", "y"])
    np.testing.assert_allclose(result.prediction, scores["c"][0, 2][scores["y"][0] == 2].sum(), rtol=1e-4)
