"""Trials of ``xaionnx inspect`` on models whose rows are one sample together."""

import numpy as np
from xaionnx_cli._trials import try_methods

from tests.tiny import loaded


def test_a_model_that_takes_several_rows_alone_is_tried_on_as_many():
    text = """g (float[b, 4] x) => (float[1, 3] y) {
      h = Reshape(x, n)  s = ReduceSum<keepdims = 0>(h, axis)  t = Tanh(s)  y = MatMul(t, w) }"""
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    model = loaded(text, n=np.array([-1, 3, 4]), axis=np.array([1]), w=weight)
    found = {trial.method: trial for trial in try_methods(model, 20)}
    for method in ("saliency", "feature_ablation", "integrated_gradients"):
        assert found[method].outcome == "works", found[method].reason


def test_a_model_that_runs_on_no_small_number_of_rows_is_not_tried():
    model = loaded("g (float[b, 4] x) => (float[b, 3] y) { h = Reshape(x, n)  y = MatMul(h, w) }",
                   n=np.array([100, 4]), w=np.ones((4, 3), np.float32))  # fmt: skip
    [trial] = [trial for trial in try_methods(model, 5) if trial.method == "saliency"]
    assert trial.outcome == "not tried"
    assert "does not run on one row of noise" in trial.reason
