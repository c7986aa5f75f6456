"""The contract of every method, tested on all methods that discovery finds."""

import dataclasses

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import rows_run
from tests.tolerances import Tolerance, assert_close
from xaionnx import Explanation, discovery, parameters
from xaionnx.errors import BudgetError, ParameterError, UnknownNameError
from xaionnx.explainers._attention import AttentionExplainer
from xaionnx.explainers._gradients.layer_paths import AlongInputPath
from xaionnx.explainers._masks.search import MaskSearch
from xaionnx.patterns import estimate_patterns
from xaionnx.runtime.session import Session

# No model here is a forest, a sum or self-explaining, dependence explains all samples together, and masker learns what
# to show of one model: their contracts are in their own tests, such as tests/explainers/test_tree_shap.py.
APART = {"tree_shap", "linear_shap", "additive_shap", "dependence", "masker", "senn"}
METHODS = [name for name in discovery.methods() if name not in APART]
WEIGHTS = np.random.default_rng(3).normal(size=(3, 3, 12, 12)).astype(np.float32)
X = np.random.default_rng(4).normal(size=(3, 3, 12, 12)).astype(np.float32)

# Four feature maps that are pooled and scored, for methods that map the positions of a layer.
FILTERS = np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)
HEAD = np.random.default_rng(6).normal(size=(3, 4)).astype(np.float32)

# Settings that keep a method fast on a picture of 12 by 12 pixels.
SMALL = {
    "budget": 400,
    "features": xaionnx.Features.grid(2, 3),
    "window": 4,
    "stride": 4,
    "grid": 3,
    "batch": 8,
}


def fields(method):
    return parameters.declared(discovery.method(method))


def small(method, model=None, **more):
    known = fields(method)
    if "patterns" in known and model is not None:
        more["patterns"] = patterns_of(model)
    if "donors" in known:
        more["donors"] = donors_for(model)
    return discovery.method(method)(**{key: value for key, value in {**SMALL, **more}.items() if key in known})


def donors_for(model):
    """Rows of data for a method that else takes the other samples of the batch; of the size of X without a model."""
    shape = X.shape[1:] if model is None else model.input().shape[1:]
    return np.random.default_rng(8).normal(size=(5, *shape)).astype(np.float32)


_patterns = {}


def patterns_of(model):
    """Patterns from a few random inputs."""
    if model.sha256 not in _patterns:
        shape = (4, *model.input().shape[1:])
        inputs = np.random.default_rng(5).normal(size=shape).astype(np.float32)
        _patterns[model.sha256] = estimate_patterns(model, inputs)
    return _patterns[model.sha256]


def needs_gradient(method):
    return discovery.method(method).needs == "gradient"


def looks_at_places(method):
    """Whether a method maps a layer over the input."""
    return {"layer", "upsampling"} <= fields(method).keys()


def explains_a_layer(method):
    """Whether a method explains a layer by default."""
    kind = discovery.method(method)
    return not looks_at_places(method) and (
        issubclass(kind, AlongInputPath) or (kind.needs == "activation" and not follows_attention(method))
    )


def follows_attention(method):
    return issubclass(discovery.method(method), AttentionExplainer)


def simple(method, **options):
    """The linear model of WEIGHTS, or a model with attention or pooled features if a method needs that."""
    if follows_attention(method):
        made = planted.attending()
    elif looks_at_places(method):
        made = planted.pooled(FILTERS, HEAD, (12, 12))
    else:
        made = planted.linear(WEIGHTS)
    return planted.load(made, **options)


def by_player(result):
    """The value of each player, or of each element if a method has no players: (..., P)."""
    if result.feature_values is not None:
        return result.feature_values
    return result.values.reshape(*result.target.shape, -1)


def curved(method, **options):
    """A model with products of inputs, so that a single coalition does not determine the value of a feature."""
    if method == "cam":  # which needs a head with pooling
        return planted.load(planted.pooled([[1.0], [-1.0]], [[3.0, -1.0]] * 10, (28, 28)), **options)
    name = "mnist_vit" if follows_attention(method) else "mnist_cnn"
    return xaionnx.Model.load(f"models/{name}.onnx", **options)


def evaluations(monkeypatch):
    """Count the rows that sessions really run."""
    return rows_run(monkeypatch)


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_the_record_has_the_shapes_that_the_contract_gives(method):
    model = simple(method)
    one = small(method, model).attribute(model, X, 1)
    if explains_a_layer(method):
        # "flat" is the tensor between the input and the scores of the linear model.
        assert one.provenance["layer"] == {"name": "flat", "axes": "F", "grid": None, "before": 0, "after": 0}
        assert one.provenance["parameters"]["layer"] == "flat"
        assert one.values.shape == (3, X[0].size)
    else:
        assert one.values.shape == X.shape
        assert "layer" not in one.provenance
        if looks_at_places(method):
            seen = {"name": "features", "axes": "CHW", "grid": None, "before": 0, "after": 0}
            assert one.provenance["seen_at"] == seen
            assert one.provenance["parameters"]["layer"] == "features"
    assert np.isfinite(one.values).all()
    assert one.target.shape == one.prediction.shape == (3,)
    assert_close(one.prediction, model.run({"x": X})["y"][:, 1], Tolerance.DEEP)
    several = small(method, model).attribute(model, X, [0, 2])
    assert several.values.shape == (2, *one.values.shape)
    if one.features is None:
        # Each element has its own gradient: there are no players.
        assert discovery.method(method).needs != "output"
        assert one.feature_values is None
    else:
        assert several.feature_values.shape[:2] == (2, 3)
        # Each element gets the value of its player.
        labels = np.broadcast_to(one.features, X.shape)
        for n in range(3):
            np.testing.assert_array_equal(one.values[n], one.feature_values[n].astype(np.float32)[labels[n]])
    assert one.provenance["model_sha256"] == model.sha256
    assert set(parameters.declared(discovery.method(method))) <= set(one.provenance["parameters"])


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_result_and_leaves_the_input_alone(method):
    x = np.random.default_rng(0).normal(size=(1, 1, 28, 28)).astype(np.float32)
    before = x.copy()
    model = curved(method)
    first, second = (small(method, model, window=7, stride=7, seed=5).attribute(model, x) for _ in range(2))
    assert_close(first.values, second.values, Tolerance.DEEP)
    np.testing.assert_array_equal(x, before)
    first_hashes = {k: v for k, v in first.provenance.items() if k.endswith("sha256")}
    assert first_hashes == {k: v for k, v in second.provenance.items() if k.endswith("sha256")}


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_samples_one_by_one(method):
    model = simple(method)
    together = small(method, model).attribute(model, X, 1)
    for n in range(3):
        alone = small(method, model).attribute(model, X[n : n + 1], 1)
        assert_close(alone.values[0], together.values[n], Tolerance.DEEP)


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_several_targets_equal_single_ones_and_run_the_model_no_more_often(method):
    model = simple(method)
    several = small(method, model).attribute(model, X[:1], [0, 1, 2])
    joint = several.diagnostics
    for t in range(3):
        single = small(method, model).attribute(model, X[:1], t)
        assert_close(single.values, several.values[t], Tolerance.DEEP)
        alone = single.diagnostics
        if needs_gradient(method):
            assert joint["gradients"][0] == 3 * alone["gradients"][0] > 0
        if method in ("guided_ig", "integrated_hessians"):
            # Each target has its own path, or its own Hessian.
            assert joint["evaluations"][0] - joint["gradients"][0] == alone["evaluations"][0] - alone["gradients"][0]
        elif issubclass(discovery.method(method), MaskSearch):
            # Each target has its own masks; only the sample and the baseline are evaluated once for all.
            assert joint["evaluations"][0] - 2 == 3 * (alone["evaluations"][0] - 2)
        else:
            # Each target has its own anchor, after as many evaluations as that takes.
            assert method == "anchors" or alone["evaluations"] == joint["evaluations"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "threads"), [(1, 1), (7, 2), (64, 1)])
@pytest.mark.sampled(percent=8)
def test_batch_size_and_threads_change_nothing(method, size, threads):
    x = np.random.default_rng(1).normal(size=(1, 1, 28, 28)).astype(np.float32)
    options = {"window": 7, "stride": 7}
    model = curved(method)
    reference = small(method, model, **options).attribute(model, x, 3)
    other = curved(method, batch_size=size, threads=threads)
    result = small(method, other, **options).attribute(other, x, 3)
    scale = np.abs(reference.values).max() or 1.0
    assert_close(result.values / scale, reference.values / scale, Tolerance.DEEP)
    assert result.diagnostics["evaluations"] == reference.diagnostics["evaluations"]


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_the_budget_is_kept_and_evaluations_are_counted_honestly(monkeypatch, method):
    model = simple(method, batch_size=1)  # one row a run, without probing
    if discovery.method(method).needs != "output":
        small(method, model).attribute(model, X[:1], 0)  # building the gradient graph probes the model once
    counted = evaluations(monkeypatch)
    result = small(method, model).attribute(model, X[:2], 0)
    # Inputs that are equal to others count, but do not run.
    assert sum(counted) + result.diagnostics.get("equal_inputs", 0) == sum(result.diagnostics["evaluations"])
    if "budget" in parameters.declared(discovery.method(method)):
        assert max(result.diagnostics["evaluations"]) <= SMALL["budget"]
        with pytest.raises((BudgetError, ParameterError)):
            small(method, model, budget=2).attribute(model, X[:1], 0)


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_one_session_serves_a_whole_explanation(monkeypatch, method):
    model = simple(method)
    if discovery.method(method).needs != "output":
        small(method, model).attribute(model, X, [2, 1])  # opens the single gradient session, which serves all classes
    opened = []
    init = Session.__init__
    monkeypatch.setattr(Session, "__init__", lambda self, *a, **k: opened.append(1) or init(self, *a, **k))
    small(method, model).attribute(model, X, [0, 1])
    assert opened == []


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", METHODS)
def test_a_record_survives_its_file_bit_for_bit(tmp_path, method):
    model = simple(method)
    result = small(method, model).attribute(model, X, [0, 1])
    again = Explanation.load(result.save(tmp_path / "record.npz"))
    for field in dataclasses.fields(Explanation):
        value, other = getattr(result, field.name), getattr(again, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
            assert value.dtype == other.dtype
        elif field.name == "maps":
            assert value.keys() == other.keys()
            for key in value:
                np.testing.assert_array_equal(value[key], other[key])
        else:
            assert value == other


@pytest.mark.parametrize(
    "method", [m for m in METHODS if discovery.method(m).needs != "activation" and not follows_attention(m)]
)
def test_a_null_model_explains_nothing(method):
    nothing = np.zeros((2, 4))
    made = planted.pooled(FILTERS, nothing, (12, 12)) if looks_at_places(method) else planted.null((3, 12, 12))
    null = planted.load(made)
    result = small(method, null).attribute(null, X[:1], 0)
    assert np.abs(result.values).sum() < 1e-8


@pytest.mark.parametrize("method", [m for m in METHODS if "efficiency" in discovery.method(m).axioms])
def test_efficiency_the_values_add_up_to_the_whole(method):
    x = np.random.default_rng(2).normal(size=(2, 1, 28, 28)).astype(np.float32)
    model = curved(method)
    result = small(method, model).attribute(model, x)
    gap = by_player(result).sum(axis=-1) - (result.prediction - result.baseline_prediction)
    assert_close(gap, 0, Tolerance.DEEP, np.abs(result.prediction).max())


@pytest.mark.parametrize("method", [m for m in METHODS if "null player" in discovery.method(m).axioms])
def test_a_null_player_gets_nothing(method):
    weights = WEIGHTS.copy()
    weights[:, :, :6, :4] = 0  # the first cell of the grid of 2 by 3
    result = small(method).attribute(planted.load(planted.linear(weights)), X[:1], 0)
    values = by_player(result)
    # The first player is that cell, the first element lies in it.
    assert_close(values[0, 0], 0, Tolerance.DEEP, np.abs(values).max())


@pytest.mark.parametrize("method", [m for m in METHODS if "linearity" in discovery.method(m).axioms])
def test_the_explanation_of_a_sum_is_the_sum_of_explanations(method):
    pair = planted.load(planted.linear(WEIGHTS[:2]))
    total = planted.load(planted.linear(WEIGHTS[:1] + 2 * WEIGHTS[1:2]))
    parts = small(method).attribute(pair, X[:1], [0, 1]).values
    whole = small(method).attribute(total, X[:1], 0).values
    assert_close(whole, parts[0] + 2 * parts[1], Tolerance.QUOTIENTS)


@pytest.mark.parametrize("method", [m for m in METHODS if "symmetry" in discovery.method(m).axioms])
def test_players_that_do_the_same_get_the_same(method):
    mean = planted.load(planted.mean_picture(12, 12, 3))
    result = small(method).attribute(mean, np.ones((1, 3, 12, 12), np.float32), 0)
    values = by_player(result)
    assert_close(np.ptp(values), 0, Tolerance.DEEP, np.abs(values).max())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_says_what_it_is(method):
    kind = discovery.method(method)
    assert kind.name() == method
    assert kind.needs in ("output", "gradient", "activation")
    assert kind.reference
    summary = (kind.__doc__ or "").strip().splitlines()[0]
    assert summary.endswith((".", "::", ":"))
    assert "References" in kind.__doc__
    assert "Examples" in kind.__doc__


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_parameter_is_refused_by_name(method):
    kind = discovery.method(method)
    for name, (parameter, _) in parameters.declared(kind).items():
        if parameter.accepts(object()):
            continue
        with pytest.raises(ParameterError, match=f"The '{name}' parameter of {kind.__name__} must be "):
            kind(**{name: object()})


def test_unknown_names_are_answered_with_the_nearest():
    model = simple("occlusion")
    with pytest.raises(UnknownNameError, match=r"No method named 'oclusion'. Nearest: occlusion"):
        xaionnx.explain(model, X, "oclusion")
    with pytest.raises(UnknownNameError, match=r"No parameter of occlusion named 'windw'. Nearest: window"):
        xaionnx.explain(model, X, "occlusion", windw=3)
    with pytest.raises(ParameterError, match="belong in its constructor"):
        xaionnx.explain(model, X, small("occlusion"), window=3)


def test_what_is_no_method_is_refused():
    model, kind = simple("occlusion"), discovery.method("occlusion")
    with pytest.raises(UnknownNameError, match=r"No method named 'Grad-CAM\+\+'. Nearest: grad_cam"):
        xaionnx.explain(model, X, "Grad-CAM++")
    with pytest.raises(ParameterError, match=r"got the class Occlusion. Give a method: Occlusion\(\), or its name."):
        xaionnx.explain(model, X, kind)
    with pytest.raises(ParameterError, match=r"must be the name of a method, or an Explainer. Got None instead."):
        xaionnx.explain(model, X, None)
