"""The value kind that a method declares holds for its values, on a model with known effects."""

import typing

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Explanation, discovery, parameters
from xaionnx.explainers._attention import AttentionExplainer
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.layer_activation import LayerActivation
from xaionnx.explainers.local_evidence import LocalEvidence
from xaionnx.explainers.occlusion import Occlusion
from xaionnx.explainers.rise import Rise
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.explainers.xrai import XRAI
from xaionnx.explanation import ValueKind
from xaionnx.patterns import estimate_patterns

# The models have no trees, are not sums and do not explain themselves, dependence explains all samples together, and
# masker has to learn first.
APART = {"tree_shap", "linear_shap", "additive_shap", "dependence", "masker", "senn"}
METHODS = [name for name in discovery.methods() if name not in APART]
# The score of class 0 is 8 times the mean of what is above zero, less 4 times that of what is below; the score of
# class 1 is 4 times the latter. One quarter of the picture is bright, one is dark, two are empty.
RAISING, LOWERING, EMPTY = np.index_exp[:, :, :6, :6], np.index_exp[:, :, 6:, 6:], np.index_exp[:, :, :6, 6:]
X = np.zeros((1, 1, 12, 12), np.float32)
X[RAISING], X[LOWERING] = 2, -2
SMALL = {
    "budget": 400,
    "features": xaionnx.Features.grid(2, 2),
    "window": 6,
    "stride": 6,
    "grid": 2,
    "relu": False,
}
# The claim of each value kind about the mean over three parts: one that raises the prediction, one that lowers it, and
# one without effect. Methods that show only one sign have zero on the other.
CLAIMS = {
    "contribution": lambda up, down, none: up > 0 and down <= 0.01 * up,
    "hindrance": lambda up, down, none: up < 0 < down,
    "contrast": lambda up, down, none: up > 0 > down,
    "core": lambda up, down, none: up > 0 >= max(down, none),
    "importance": lambda up, down, none: up > max(down, none),
    # Brighter values raise the score in the dark part too.
    "slope": lambda up, down, none: up > 0 and down > 0,
    "sensitivity": lambda up, down, none: up > down > none >= 0,
    "alone": lambda up, down, none: up > 0 > down,
    # Values in the dark part speak against the class but carry no sign.
    "signal": lambda up, down, none: up > 0 and down >= 0,
    "activation": lambda up, down, none: up == down == 2 and none == 0,
    "component": lambda up, down, none: up > 0 and none == 0,
}
# This model has no attention, and no default is 'spread'.
UNTRIED = {"attention", "spread"}


@pytest.fixture(scope="module")
def model():
    return planted.load(planted.pooled([[1.0], [-1.0]], [[8.0, -4.0], [0.0, 4.0]], (12, 12)))


def small(method, model):
    kind = discovery.method(method)
    known = parameters.declared(kind)
    given = {name: value for name, value in SMALL.items() if name in known}
    if "patterns" in known:
        inputs = np.random.default_rng(5).normal(size=(64, 1, 12, 12)).astype(np.float32)
        given["patterns"] = estimate_patterns(model, inputs)
    if "donors" in known:
        given["donors"] = np.zeros((1, 1, 12, 12), np.float32)
    return kind(**given)


def without(part):
    changed = X.copy()
    changed[part] = 0
    return changed


def test_the_model_is_what_the_claims_rest_on(model):
    def score(x):
        return model.run({"x": x})["y"][0]

    assert score(without(RAISING))[0] < score(X)[0] < score(without(LOWERING))[0]
    assert score(without(LOWERING))[1] < score(X)[1] == score(without(RAISING))[1]
    for part in (RAISING, LOWERING):
        brighter = X.copy()
        brighter[part] += 0.5
        assert score(brighter)[0] > score(X)[0]
    assert CLAIMS.keys() | UNTRIED == set(typing.get_args(ValueKind))


@pytest.mark.parametrize("method", [m for m in METHODS if not issubclass(discovery.method(m), AttentionExplainer)])
def test_what_the_values_are_said_to_mean_is_true_of_them(tmp_path, model, method):
    explainer = small(method, model)
    found = explainer.attribute(model, X, 0)
    assert found.value_kind == explainer.value_kind
    assert Explanation.load(found.save(tmp_path / "found.npz")).value_kind == explainer.value_kind
    values = found.values.sum(axis=1, keepdims=True)
    parts = [float(values[part].mean()) for part in (RAISING, LOWERING, EMPTY)]
    assert explainer.value_kind in UNTRIED or CLAIMS[explainer.value_kind](*parts), parts


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_one_of_the_meanings(method):
    assert discovery.method(method)().value_kind in typing.get_args(ValueKind)


@pytest.mark.parametrize(
    ("explainer", "value_kind"),
    [
        (Saliency(), "sensitivity"),
        (Saliency(absolute=False), "slope"),
        (Rise(), "contribution"),
        (Rise(estimator="plain"), "importance"),
        (LocalEvidence(), "alone"),
        (LocalEvidence(relative=True), "contribution"),
        (SmoothGrad(), "slope"),
        (SmoothGrad(statistic="squared"), "sensitivity"),
        (SmoothGrad(statistic="variance"), "spread"),
        (SmoothGrad(inner=Occlusion()), "contribution"),
        (SmoothGrad(inner=GradCam(), statistic="squared"), "importance"),
        (SmoothGrad(inner=LayerActivation()), "activation"),
        (XRAI(), "importance"),
        (XRAI(channels="sum"), "contribution"),
        (XRAI(inner=Saliency()), "sensitivity"),
    ],
)
def test_parameters_change_the_meaning(explainer, value_kind):
    assert explainer.value_kind == value_kind
