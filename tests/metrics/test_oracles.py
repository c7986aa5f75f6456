"""Every metric against a slow oracle from its paper, over small random nets."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import xaionnx
from models import planted
from tests.oracles.metrics import BASELINE, ORACLES, Case, Net
from tests.tiny import node, tensor
from xaionnx import InputSpec
from xaionnx.evaluation import metrics
from xaionnx.evaluation.metric import METRICS
from xaionnx.explainers.saliency import Saliency

# Six groups of the 5 x 6 pixels, of which all subsets can be evaluated.
GROUPS = np.arange(30).reshape(5, 6) // 5
# What a metric needs for the oracle to apply: few features, all subsets, no noise, several neighbours.
SETTINGS = {
    "adcc": {"quantity": "probability"},
    "average_drop": {"quantity": "probability"},
    "average_gain": {"quantity": "probability"},
    "average_increase": {"quantity": "probability"},
    "deletion": {"quantity": "probability"},
    "effective_complexity": {"tolerance": 0.05},
    "efficient_parameter_randomisation": {"bins": 7},
    "faithfulness_correlation": {"size": 2, "features": GROUPS},
    "gaussian_infidelity": {"noise": 0.2, "draws": 12},
    "infidelity": {"subsets": "all", "features": GROUPS},
    "insertion": {"quantity": "probability"},
    "irof": {"quantity": "probability", "features": GROUPS},
    "mu_fidelity": {"share": 0.5, "features": GROUPS},
    "region_perturbation": {"features": GROUPS},
    "road": {"quantity": "probability", "steps": 4, "noise": 0},
    "selectivity": {"features": GROUPS},
    "sensitivity_n": {"n": 3, "features": GROUPS},
    "sufficiency": {"distance": 0.6},
    "top_k_intersection": {"k": 5},
    **{name: {"draws": 3, "radius": 0.1} for name in ("max_sensitivity", "average_sensitivity", "local_lipschitz")},
    **{f"relative_{of}_stability": {"draws": 3, "radius": 0.02} for of in ("input", "output", "representation")},
}
# Relative changes are of single precision, and divide by values near 0.
LOOSE = {"relative_input_stability", "relative_output_stability", "relative_representation_stability"}
# Metrics that may not tell contributions from their opposite: by sizes, after the best factor, or where the probability
# of a masked input never rises.
TIES = {
    "monotonicity_correlation",
    "monotonicity",
    "infidelity",
    "gaussian_infidelity",
    "average_increase",
    "average_gain",
}
BY_REMOVAL = {name for name in metrics() if "baseline" in METRICS.find(name).__dataclass_fields__}
# Metrics of values that are given; the values of others are those of the method.
OF_VALUES = [name for name in metrics() if "method" not in METRICS.find(name).needs and name != "similarity"]


def saved(net, shape):
    """The net as a model whose scores are called logits."""
    names = ("w1", "b1") if net.w2 is None else ("w1", "b1", "w2", "b2")
    parts = {name: getattr(net, name).astype(np.float32) for name in names}
    first = "h" if net.w2 is not None else "logits"
    nodes = [node("Flatten", ["x"], ["flat"]), node("Gemm", ["flat", "w1", "b1"], [first], transB=1)]
    if net.w2 is not None:
        nodes += [node("Tanh", ["h"], ["t"]), node("Gemm", ["t", "w2", "b2"], ["logits"], transB=1)]
    graph = helper.make_graph(
        nodes,
        "net",
        [tensor("x", ["N", *shape])],
        [tensor("logits", ["N", len(net.b1 if net.b2 is None else net.b2)])],
        [numpy_helper.from_array(array, name) for name, array in parts.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    axes = "N F" if len(shape) == 1 else "N C H W"
    return planted.load(model, spec=InputSpec(kind="array", axes=axes, activation="logits"))


def net_of(shape, seed, *, hidden=True):
    """A random net with weights of single precision; its first feature has no effect."""
    rng, count = np.random.default_rng(seed), int(np.prod(shape))

    def drawn(*size):
        return rng.normal(0, 0.6 / np.sqrt(size[-1] / 6), size).astype(np.float32).astype(float)

    w1 = drawn(8 if hidden else 3, count)
    w1.reshape(len(w1), *shape)[(slice(None), ..., 0, 0) if len(shape) == 3 else (slice(None), 0)] = 0
    return Net(w1, drawn(len(w1)), drawn(3, 8), drawn(3)) if hidden else Net(w1, drawn(3), None, None)


def input_x_gradient(net, x, k):
    return x * net.gradient(x, k)


def case_of(kind, seed, name, *, hidden=True, explain=input_x_gradient):
    """A case, its model, and the metric's settings."""
    shape = (6,) if kind == "rows" else (2, 5, 6)
    rng, net = np.random.default_rng([seed, 7]), net_of(shape, seed, hidden=hidden)
    x = rng.uniform(0.5, 2, (4, *shape)).astype(np.float32).astype(float)
    outputs = np.stack([net.outputs(one) for one in x])
    classes = [int(k) for k in outputs.argmax(axis=1)]
    settings = dict(SETTINGS.get(name, {}))
    if kind == "rows":
        settings.pop("features", None)
    if name in BY_REMOVAL:
        settings["baseline"] = BASELINE
    values = np.stack([explain(net, one, k) for one, k in zip(x, classes, strict=True)])
    masks = None
    if "masks" in METRICS.find(name).needs:
        masks = rng.random((4, *(shape[1:] or shape))) < 0.4
        masks[:, ..., 0] = True
    control = net_of(shape, seed + 100, hidden=hidden) if name == "label_randomisation" else None
    return Case(net, x, classes, values, settings, explain, masks, control), saved(net, shape)


def ours(case, model, name, method):
    settings = dict(case.settings)
    if case.control is not None:
        settings["control_model"] = saved(case.control, case.x.shape[1:])
    if name == "similarity":
        settings["other"] = Saliency(absolute=False)
    return xaionnx.evaluate(
        model,
        case.x.astype(np.float32),
        method,
        name,
        np.array(case.classes),
        masks=case.masks,
        controls=(),
        **settings,
    ).values


def test_every_metric_has_an_oracle():
    assert sorted(ORACLES) == metrics()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["rows", "pictures"])
@pytest.mark.parametrize("name", [name for name in ORACLES if name != "smooth_parameter_randomisation"])
def test_metric_is_its_oracle(name, kind, seed):
    if name == "road" and kind == "rows":
        pytest.skip("rows have no pixels")
    case, model = case_of(kind, seed, name)
    method = "input_x_gradient"
    if name in OF_VALUES:
        # Any values will do: those of no method, some of them negative, and that of a feature 0.
        values = np.random.default_rng(seed).normal(size=case.x.shape).astype(np.float32)
        values[..., 1] = 0
        record = xaionnx.explain(model, case.x.astype(np.float32), method, np.array(case.classes))
        case, method = (
            dataclasses.replace(case, values=values.astype(float)),
            dataclasses.replace(record, values=values),
        )
    expected = [ORACLES[name](case, n) for n in range(len(case.x))]
    np.testing.assert_allclose(
        ours(case, model, name, method), expected, rtol=1e-3 if name in LOOSE else 2e-4, atol=2e-6
    )


def gradient(net, x, k):
    return net.gradient(x, k)


@pytest.mark.parametrize("kind", ["rows", "pictures"])
def test_noise_does_not_change_the_slope_of_a_linear_net(kind):
    """So the smooth variant is the plain one."""
    name = "smooth_parameter_randomisation"
    case, model = case_of(kind, 0, name, hidden=False, explain=gradient)
    expected = [ORACLES[name](case, n) for n in range(len(case.x))]
    np.testing.assert_allclose(ours(case, model, name, Saliency(absolute=False)), expected, atol=2e-3)


@pytest.mark.parametrize("name", [name for name in metrics() if METRICS.find(name).category() == "faithfulness"])
def test_exact_contributions_to_a_linear_model_are_better_than_their_opposite(name):
    """The direction that a metric declares."""
    kind = "pictures" if name == "road" else "rows"
    shape = (6,) if kind == "rows" else (1, 6, 6)
    weights = np.sort(np.random.default_rng(3).uniform(0.2, 1, int(np.prod(shape))))[None]
    net = Net(np.concatenate([weights, np.zeros_like(weights)]), np.zeros(2), None, None)
    x = np.random.default_rng(4).uniform(0.5, 1.5, (6, *shape)).astype(np.float32)
    model, settings = saved(net, shape), {"distance": 0.6} if name == "sufficiency" else {}
    if name in BY_REMOVAL:
        settings["baseline"] = 0
    record = xaionnx.explain(model, x, "input_x_gradient", 0)
    if name == "sufficiency":
        pytest.skip("it compares samples, and both explanations tell them apart equally well")
    scores = [
        xaionnx.evaluate(model, x, dataclasses.replace(record, values=sign * record.values), name, 0, **settings)
        for sign in (1, -1)
    ]
    good, bad = (np.nanmean(one.values) for one in scores)
    if name in TIES:
        assert (good <= bad) if scores[0].direction == "lower" else (good >= bad)
    else:
        assert (good < bad) if scores[0].direction == "lower" else (good > bad)
