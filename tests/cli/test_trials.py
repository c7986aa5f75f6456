"""Trials of ``xaionnx inspect``: as small as each method allows, and on several rows that are one sample together."""

import dataclasses
import sys

import numpy as np
import pytest
from xaionnx_cli import _trials
from xaionnx_cli._trials import try_methods

from tests.tiny import loaded
from xaionnx import Model, discovery
from xaionnx.errors import TimeLimitError
from xaionnx.layers.dry_run import DryRun


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
                   n=np.array([2000, 4]), w=np.ones((4, 3), np.float32))  # fmt: skip
    [trial] = [trial for trial in try_methods(model, 5) if trial.method == "saliency"]
    assert trial.outcome == "not tried"
    assert "does not run on one row of noise" in trial.reason


@pytest.mark.parametrize("name", ["occlusion", "feature_ablation", "kernel_shap", "lime", "rise", "shapley_sampling"])
def test_methods_by_removal_get_an_answer_for_a_handful_of_runs(digits, name):
    model = Model.load(digits, device="cpu")
    # A slow model: ten runs take longer than the limit.
    trials = dataclasses.replace(_trials._Trials.of(model, DryRun.of(model), limit_s=100.0), one_s=10.0)
    assert trials.of_method(discovery.method(name)()).outcome == "works"


@pytest.mark.parametrize("limit_s", [1e-6, 0.2, 100.0])
def test_a_method_that_was_stopped_has_the_limit_that_stopped_it(digits, monkeypatch, limit_s):
    """Whatever the limit was, it was said that the method takes longer than the 0.25 s of a trial."""
    monkeypatch.setattr(_trials._Clock, "seconds", property(lambda clock: 0.0))
    model = Model.load(digits, device="cpu")
    trials = dataclasses.replace(_trials._Trials.of(model, DryRun.of(model), limit_s), one_s=1e9)
    trial = trials.of_method(discovery.method("occlusion")())
    assert trial.outcome == "not tried"
    own = "it takes longer than a trial may, 0.25 s"
    assert trial.reason == (own if limit_s > 1 else f"the {limit_s:g} s for trials were over: --limit gives more")


def test_a_method_that_a_run_had_no_time_for_is_not_refused(digits, monkeypatch):
    """The time limit of a run says nothing against a method."""
    model = Model.load(digits, device="cpu")
    trials = _trials._Trials.of(model, DryRun.of(model), 100.0)

    def stopped(*_):
        raise TimeLimitError("A run took longer than 1 s and was stopped.")

    monkeypatch.setattr(_trials._Trials, "_run", stopped)
    trial = trials.of_method(discovery.method("occlusion")())
    assert (trial.outcome, trial.reason) == ("not tried", "A run took longer than 1 s and was stopped.")


def test_all_is_imported_before_the_clock_starts(digits, monkeypatch):
    class Started(Exception):
        pass

    seen = []

    def start(*_):
        seen.extend(sys.modules)
        raise Started

    monkeypatch.setattr(_trials._Trials, "of", start)
    with pytest.raises(Started):
        _trials.try_methods(Model.load(digits, device="cpu"), 1.0)
    assert {*_trials._GRADIENT_MODULES, *(discovery.method(name).__module__ for name in discovery.methods())} <= {*seen}
