"""DeepLIFT against the paper's numbers, slow oracles, and completeness: values add up to the change."""

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree
from tests.oracles import deep_lift as oracle
from tests.tiny import loaded, node, opened, tensor, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, Target
from xaionnx.autodiff import gradient
from xaionnx.autodiff.deep_lift import TABLES
from xaionnx.autodiff.reference import baseline_name
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.deep_lift import DeepLift

RULES = ("rescale", "reveal_cancel")


def assert_complete(found):
    """Values add up to the change of the target, relative to the sum of absolute values: the change may be small."""
    values = found.values.reshape(*found.target.shape, -1).astype(np.float64)
    change = found.prediction - found.baseline_prediction
    size = np.abs(values).sum(axis=-1) + np.abs(found.prediction)
    assert_close(values.sum(axis=-1), change, Tolerance.COMPLETENESS, size)
    assert_close(
        found.diagnostics["completeness_gap"], (values.sum(axis=-1) - change).T, Tolerance.COMPLETENESS, size.T
    )


def dense(rng, activation):
    """Gemm, MatMul with a bias added after it, Gemm with transposed weights."""
    w = [rng.normal(size=s) for s in ((6, 7), (5, 6), (3, 5))]
    b = [rng.normal(size=s) for s in (6, 5, 3)]
    op = {"relu": "Relu", "tanh": "Tanh"}[activation]
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["u"]), node(op, ["u"], ["v"]), node("MatMul", ["v", "w1"], ["m"]),
        node("Add", ["m", "b1"], ["p"]), node(op, ["p"], ["q"]), node("Gemm", ["q", "w2", "b2"], ["y"], transB=1),
    ]  # fmt: skip
    constants = {"w0": w[0].T, "w1": w[1].T, "w2": w[2], **{f"b{k}": b[k] for k in range(3)}}
    steps = []
    for k in range(3):
        steps += [("linear", w[k], b[k]), (activation,)]
    return opened(nodes, [7], [3], constants), steps[:-1]


def convolutional(rng, activation):
    w, v, head = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(3, 18))
    b, c = rng.normal(size=3), rng.normal(size=2)
    op = {"relu": "Relu", "tanh": "Tanh"}[activation]
    nodes = [
        node("Conv", ["x", "w", "b"], ["u"], pads=[1, 1, 1, 1]), node(op, ["u"], ["r"]),
        node("Conv", ["r", "v", "c"], ["s"]), node("Flatten", ["s"], ["f"]), node(op, ["f"], ["t"]),
        node("Gemm", ["t", "head"], ["y"], transB=1),
    ]  # fmt: skip
    first, shape = oracle.convolution(w, b, (2, 4, 4), 1)
    second, _ = oracle.convolution(v, c, shape, 0)
    model = opened(nodes, [2, 4, 4], [3], {"w": w, "b": b, "v": v, "c": c, "head": head})
    return model, [first, (activation,), second, (activation,), ("linear", head, np.zeros(3))]


def residual(rng, activation):
    """Two blocks; the second is residual."""
    w = [rng.normal(size=s) for s in ((6, 7), (5, 6), (6, 5), (6, 6), (3, 6))]
    b = [rng.normal(size=len(m)) for m in w]
    op = {"relu": "Relu", "tanh": "Tanh"}[activation]
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["a"], transB=1), node(op, ["a"], ["h"]),
        node("Gemm", ["h", "w1", "b1"], ["c"], transB=1), node(op, ["c"], ["d"]),
        node("Gemm", ["d", "w2", "b2"], ["e"], transB=1), node("Add", ["e", "h"], ["f"]), node(op, ["f"], ["g"]),
        node("Gemm", ["g", "w3", "b3"], ["i"], transB=1), node("Add", ["g", "i"], ["j"]), node(op, ["j"], ["k"]),
        node("Gemm", ["k", "w4", "b4"], ["y"], transB=1),
    ]  # fmt: skip
    constants = {f"w{k}": m for k, m in enumerate(w)} | {f"b{k}": m for k, m in enumerate(b)}
    lin, act = [("linear", m, bias) for m, bias in zip(w, b, strict=True)], (activation,)
    steps = [lin[0], act, ("residual", [lin[1], act, lin[2]]), act, ("residual", [lin[3]]), act, lin[4]]
    return opened(nodes, [7], [3], constants), steps


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("net", [dense, convolutional, residual])
@pytest.mark.parametrize("rule", RULES)
def test_the_equations_of_the_paper(rule, net, activation):
    rng = np.random.default_rng(5)
    model, steps = net(rng, activation)
    x, b = (rng.normal(size=(3, *model.input().shape[1:])).astype(np.float32) for _ in range(2))
    # Entries that equal the baseline contribute nothing but are still multiplied.
    x[0].flat[1] = b[0].flat[1]
    found = xaionnx.explain(model, x, DeepLift(rule=rule, baseline=b), [0, 2])
    for t, target in enumerate((0, 2)):
        for n in range(3):
            expected = oracle.explained(steps, x[n], b[n], target, rule)
            assert_close(found.values[t, n].ravel(), expected, Tolerance.DIFFERENCE_QUOTIENTS)
    assert found.provenance["approximations"] == []


def test_the_reference_case():
    """Net F at (1, 2) from (0, 0): contributions (2, 1), multipliers (2, 0.5), nothing missing."""
    found = xaionnx.explain(planted.load(planted.net_f()), np.float32([[1, 2]]), "deep_lift", 0)
    np.testing.assert_array_equal(found.values, [[2, 1]])
    np.testing.assert_array_equal(found.values / np.float32([[1, 2]]), [[2, 0.5]])
    assert found.diagnostics["completeness_gap"] == [0]


@pytest.mark.parametrize("rule", RULES)
def test_without_the_factor_the_values_are_the_multipliers(rule):
    x = np.float32([[1, 2]])
    found = xaionnx.explain(planted.load(planted.net_f()), x, DeepLift(factor="none", rule=rule), 0)
    np.testing.assert_array_equal(found.values, [[2, 0.5]])
    assert found.value_kind == "slope"
    assert found.baseline_prediction is None
    assert not {"completeness_gap", "relative_gap"} & found.diagnostics.keys()
    rows = Baseline.background(np.float32([[0, 0], [0, 1.5]]))  # the second turns ReLU(x2 - 1.5) on at once
    found = xaionnx.explain(planted.load(planted.net_f()), x, DeepLift(factor="none", rule=rule, baseline=rows), [0])
    assert_close(found.values, [[[2, (0.5 + 2) / 2]]], Tolerance.OPERATIONS)


@pytest.mark.parametrize(
    ("x", "rescaled", "revealed"),
    [((1, 2), (1, 0), (0.5, 0.5)), ((2, 1), (0, 1), (0.5, 0.5)), ((3, 4), (3, 0), (1.5, 1.5))],
)
def test_reveal_cancel_shares_a_minimum(x, rescaled, revealed):
    """Section 3.5.3: for min(i1, i2) = i1 - ReLU(i1 - i2) rescale credits one input, reveal-cancel both equally."""
    model = planted.load(planted.minimum())
    for rule, expected in zip(RULES, (rescaled, revealed), strict=True):
        found = xaionnx.explain(model, np.float32([x]), DeepLift(rule=rule), 0)
        assert_close(found.values, [expected], Tolerance.ORDER_ONE)


def test_reveal_cancel_takes_off_as_it_adds_what_is_turned():
    """ReLU(x U - x W) equals ReLU(x U + x (-W)), whose terms have separate parts."""
    rng = np.random.default_rng(13)
    u, w, v, b = (rng.normal(size=s) for s in ((4, 5), (4, 5), (5, 2), 5))
    text = """g (float[N, 4] x) => (float[N, 2] y) {{
      a = Gemm(x, u, b)  c = MatMul(x, w)  d = {}(a, c)  r = Relu(d)  y = MatMul(r, v) }}"""
    less, more = (loaded(text.format(op), u=u, b=b, w=turned, v=v) for op, turned in (("Sub", w), ("Add", -w)))
    x, start = drawn(rng, 3, 4), drawn(rng, 3, 4)
    rescaled, found, expected = (
        xaionnx.explain(model, x, DeepLift(rule=rule, baseline=start), 0).values
        for model, rule in ((less, "rescale"), (less, "reveal_cancel"), (more, "reveal_cancel"))
    )
    assert_close(found, expected, Tolerance.DIFFERENCE_QUOTIENTS)
    assert np.abs(found - rescaled).max() > 0.1


@pytest.mark.parametrize("rule", RULES)
def test_what_saturates_still_owes_its_change(rule):
    """Figure 1: min(i1 + i2, 1) = 1 - ReLU(1 - i1 - i2) is flat at (1, 1), and each input contributes half."""
    text = "g (float[N, 2] x) => (float[N, 1] y) { s = MatMul(x, w)  t = Sub(one, s)  h = Relu(t)  y = Sub(one, h) }"
    model, x = loaded(text, w=[[1.0], [1.0]], one=[1.0]), np.float32([[1, 1], [0.4, 0.4], [1, 0], [1, 3]])
    found = xaionnx.explain(model, x, DeepLift(rule=rule), 0)
    assert_close(found.values, [[0.5, 0.5], [0.4, 0.4], [1, 0], [0.25, 0.75]], Tolerance.OPERATIONS)
    # The gradient is zero, and removing either input has no effect.
    for method in ("input_x_gradient", "feature_ablation"):
        np.testing.assert_array_equal(xaionnx.explain(model, x[:1], method, 0).values, [[0, 0]])


@pytest.mark.parametrize("rule", RULES)
def test_a_threshold_is_crossed_without_a_jump(rule):
    """Figure 2: the contribution of x to max(0, x - 10) is continuous; gradient times input jumps from 0 to 10 at x =
    10.
    """
    model = loaded("g (float[N, 1] x) => (float[N, 1] y) { s = Add(x, bias)  y = Relu(s) }", bias=[-10.0])
    x = np.float32([[9], [10], [10.0625], [12]])
    found = xaionnx.explain(model, x, DeepLift(rule=rule), 0)
    assert_close(found.values, [[0], [0], [0.0625], [2]], Tolerance.OPERATIONS)
    jumps = xaionnx.explain(model, x, "input_x_gradient", 0).values
    assert_close(jumps, [[0], [0], [10.0625], [12]], Tolerance.OPERATIONS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["digits_cnn", "mnist_cnn", "mnist_vit", "german_credit_mlp", "efficientnet_lite0"])
@pytest.mark.sampled(percent=50)
def test_values_add_up_on_real_models(name, rule):
    model = trained(name)
    count = 1 if name == "efficientnet_lite0" else 2  # which takes seconds a sample
    x = np.random.default_rng(1).normal(size=(count, *model.input().shape[1:])).astype(np.float32)
    found = xaionnx.explain(model, x, DeepLift(rule=rule), [0, 1])
    assert_complete(found)


def test_a_photograph_and_its_blur():
    model = trained("efficientnet_lite0")
    x = model.spec.to_tensor(np.asarray(Image.open("models/photos/cat.png").convert("RGB"))[None])
    for baseline in ("blur:8", "mean", "black"):
        found = xaionnx.explain(model, x, DeepLift(baseline=baseline))
        assert_complete(found)


@pytest.mark.parametrize("rule", RULES)
def test_several_baselines_are_averaged(rule):
    model = trained("mnist_cnn")
    rng = np.random.default_rng(2)
    x, rows = (rng.uniform(size=(count, 1, 28, 28)).astype(np.float32) for count in (2, 3))
    found = xaionnx.explain(model, x, DeepLift(rule=rule, baseline=Baseline.background(rows)), 3)
    each = [xaionnx.explain(model, x, DeepLift(rule=rule, baseline=row), 3) for row in rows]
    assert_close(found.values, np.mean([one.values for one in each], axis=0), Tolerance.ORDER_ONE)
    assert_close(found.baseline_prediction, np.mean([one.baseline_prediction for one in each], axis=0), Tolerance.SUMS)


def test_a_linear_model_owes_by_its_weights():
    """For a linear model DeepSHAP gives w (x - mean of the background)."""
    rows = np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32)
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    found = xaionnx.explain(model, np.float32([[3, 2, 1]]), DeepLift(baseline=Baseline.background(rows)), 0)
    assert_close(found.values, [[1, 2, -3] * (np.float32([3, 2, 1]) - rows.mean(axis=0))], Tolerance.SUMS)


def test_at_a_layer_and_of_a_probability():
    model = trained("mnist_cnn")
    x = np.random.default_rng(4).uniform(size=(2, 1, 28, 28)).astype(np.float32)
    at = xaionnx.explain(model, x, DeepLift(layer="/4/Conv_output_0", baseline=0.5), 3)
    whole = xaionnx.explain(model, x, DeepLift(baseline=0.5), 3)
    # Each by itself: their difference cancels to a twentieth, and so is only as exact as they are.
    assert_close(at.prediction, whole.prediction, Tolerance.SUMS)
    assert_close(at.baseline_prediction, whole.baseline_prediction, Tolerance.SUMS)
    assert_complete(at)
    sure = xaionnx.explain(model, x, DeepLift(), Target.probability(3))
    assert_close(sure.diagnostics["completeness_gap"], 0, Tolerance.ORDER_ONE)
    assert any(label.startswith("Softmax") for label in sure.provenance["approximations"])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "baseline", [None, 0.3, Baseline.background(np.random.default_rng(6).uniform(size=(3, 1, 8, 8)).astype(np.float32))]
)
def test_compiled_with_a_fixed_baseline(rule, baseline):
    model = trained("digits_cnn")
    x = np.random.default_rng(7).uniform(size=(4, 1, 8, 8)).astype(np.float32)
    found, told = agree(model, {model.input().name: x}, DeepLift(rule=rule, baseline=baseline), None)
    assert_close(found["completeness_gap"], 0, Tolerance.DEEP)
    assert_close(found["completeness_gap"], told.diagnostics["completeness_gap"], Tolerance.DEEP)


def test_what_is_not_compiled():
    model = trained("mnist_cnn")
    with pytest.raises(ParameterError, match="computed from the sample"):
        xaionnx.compile(model, "deep_lift", baseline="blur")
    with pytest.raises(ParameterError, match="not at a layer"):
        xaionnx.compile(model, "deep_lift", layer="/4/Conv_output_0")


def drawn(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


R = np.random.default_rng(8)
# Graphs that should be complete by a rule of their own or by linearity, with their labels.
COMPLETE = {
    **{
        op: ([node(op, ["x"], ["y"])], [2, 4, 4], [2, 4, 4], {}, 0)
        for op in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "HardSwish", "Exp", "Abs", "Erf", "Gelu",
                   "Floor", "Neg", "Sin", "Selu", "Softsign", "HardSigmoid", "ThresholdedRelu")
    },
    "mish": ([node("Mish", ["x"], ["y"])], [3, 4], [3, 4], {}, 1),
    "swish": ([node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], [2, 4, 4], [2, 4, 4], {}, 0),
    "max pool": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])],
                 [2, 5, 5], [2, 3, 3], {}, 1),
    "global max": ([node("GlobalMaxPool", ["x"], ["y"])], [2, 4, 4], [2, 1, 1], {}, 1),
    "reduce max": ([node("ReduceMax", ["x", "axes"], ["y"], keepdims=0)], [2, 4, 4], [2, 4], {"axes": [2]}, 1),
    "reduce min": ([node("ReduceMin", ["x", "axes"], ["y"])], [2, 4, 4], [1, 4, 4], {"axes": [1]}, 1),
    "max": ([node("Neg", ["x"], ["n"]), node("Max", ["x", "n", "c"], ["y"])], [3, 4], [3, 4], {"c": 0.5}, 1),
    "min": ([node("Neg", ["x"], ["n"]), node("Min", ["x", "n", "c"], ["y"])], [3, 4], [3, 4], {"c": -0.5}, 1),
    "square": ([node("Mul", ["x", "x"], ["y"])], [3, 4], [3, 4], {}, 0),
    "power": ([node("Pow", ["x", "c"], ["y"])], [3, 4], [3, 4], {"c": 3.0}, 0),
    "power of 2": ([node("Pow", ["x", "c"], ["y"])], [3, 4], [3, 4], {"c": 2.0}, 0),
    "root": ([node("Exp", ["x"], ["e"]), node("Sqrt", ["e"], ["y"])], [3, 4], [3, 4], {}, 0),
    "logarithm": ([node("Exp", ["x"], ["e"]), node("Add", ["e", "c"], ["f"]), node("Log", ["f"], ["y"])],
                  [3, 4], [3, 4], {"c": 0.1}, 0),
    "quotient": ([node("Exp", ["x"], ["e"]), node("Div", ["x", "e"], ["y"])], [3, 4], [3, 4], {}, 1),
    "reciprocal": ([node("Exp", ["x"], ["e"]), node("Div", ["c", "e"], ["y"])], [3, 4], [3, 4], {"c": 2.0}, 0),
    "inverse": ([node("Exp", ["x"], ["e"]), node("Reciprocal", ["e"], ["y"])], [3, 4], [3, 4], {}, 0),
    "sum that broadcasts": ([node("MatMul", ["x", "w"], ["t"]), node("ReduceMean", ["x", "axes"], ["m"]),
                             node("MatMul", ["m", "w"], ["u"]), node("Add", ["t", "u"], ["s"]),
                             node("Relu", ["s"], ["y"])], [3, 4], [3, 4], {"w": drawn(R, 4, 4), "axes": [1]}, 0),
    "attention": ([node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["s"]),
                   node("Softmax", ["s"], ["a"]), node("MatMul", ["a", "x"], ["y"])], [3, 4], [3, 4], {}, 2),
    "gate": ([node("GlobalAveragePool", ["x"], ["m"]), node("Sigmoid", ["m"], ["s"]), node("Mul", ["x", "s"], ["y"])],
             [2, 4, 4], [2, 4, 4], {}, 1),
    "softmax": ([node("Softmax", ["x"], ["y"], axis=1)], [5, 3], [5, 3], {}, 1),
    "log softmax": ([node("LogSoftmax", ["x"], ["y"])], [5, 3], [5, 3], {}, 1),
    "log sum exp": ([node("ReduceLogSumExp", ["x", "axes"], ["y"], keepdims=0)], [5, 3], [5], {"axes": [2]}, 1),
    "layer norm": ([node("LayerNormalization", ["x", "g", "h"], ["y"])], [3, 6], [3, 6],
                   {"g": drawn(R, 6), "h": drawn(R, 6)}, 1),
    "instance norm": ([node("InstanceNormalization", ["x", "g", "h"], ["y"])], [2, 4, 4], [2, 4, 4],
                      {"g": drawn(R, 2), "h": drawn(R, 2)}, 1),
    "group norm": (
        [node("GroupNormalization", ["x", "g", "h"], ["y"], num_groups=2)], [4, 3, 3], [4, 3, 3],
        {"g": drawn(R, 2), "h": drawn(R, 2)}, 1),
    "batch norm": ([node("BatchNormalization", ["x", "g", "h", "m", "v"], ["y"])], [2, 4, 4], [2, 4, 4],
                   {"g": drawn(R, 2), "h": drawn(R, 2), "m": drawn(R, 2), "v": np.float32([0.5, 2])}, 0),
    "average": ([node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2])], [2, 4, 4], [2, 3, 3], {}, 0),
}  # fmt: skip


def multipliers(model, x, b, cotangent, rule):
    found = gradient(model, "y", ["x"], TABLES[rule])
    return found.run({"x": x, baseline_name("x"): b}, cotangent)[1]["x"], found.approximations


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", COMPLETE)
def test_an_op_hands_on_all_of_its_change(name, rule):
    nodes, shape, out, weights, labels = COMPLETE[name]
    model = opened(nodes, shape, out, weights)
    rng = np.random.default_rng(9)
    x, b, cotangent = drawn(rng, 3, *shape) * 2, drawn(rng, 3, *shape) * 2, drawn(rng, 3, *out)
    # Some entries nearly equal the baseline, and some equal it.
    x[:, 0] = b[:, 0] + np.float32([1e-8, 1e-4, 3e-3]).reshape(3, *[1] * (len(shape) - 1))
    x[0].flat[-2:] = b[0].flat[-2:]
    m, told = multipliers(model, x, b, cotangent, rule)
    y, z = (model.run({"x": v})["y"].astype(np.float64) for v in (x, b))
    change = (cotangent * (y - z)).reshape(3, -1).sum(axis=1)
    assert_close((m * (x - b)).reshape(3, -1).sum(axis=1), change, Tolerance.DIFFERENCE_QUOTIENTS)
    if rule == "rescale":
        assert len(told) == labels


def test_without_a_difference_multipliers_are_derivatives():
    rng = np.random.default_rng(10)
    for name in ("Tanh", "softmax", "layer norm", "attention", "max pool", "quotient", "Relu", "gate", "log sum exp",
                 "max", "min", "global max", "reduce max", "reduce min", "power of 2", "inverse"):  # fmt: skip
        nodes, shape, out, weights, _ = COMPLETE[name]
        model = opened(nodes, shape, out, weights)
        x, cotangent = drawn(rng, 2, *shape), drawn(rng, 2, *out)
        m, _ = multipliers(model, x, x, cotangent, "rescale")
        plain = gradient(model, "y", ["x"]).run({"x": x}, cotangent)[1]["x"]
        assert_close(m, plain, Tolerance.SIGNED_LAYERS)


def test_max_pooling_gives_a_rise_to_its_winner_and_a_fall_to_the_one_before():
    model = opened([node("MaxPool", ["x"], ["y"], kernel_shape=[3])], [1, 3], [1, 1])
    b = np.float32([[[1, 0, 0]], [[9, 0, 0]]])
    x = np.float32([[[0, 5, 3]], [[1, 5, 3]]])
    m, _ = multipliers(model, x, b, np.ones((2, 1, 1), np.float32), "rescale")
    # From 1 to 5, by the second entry, which rose by 5; from 9 to 5, by the first, which fell by 8.
    assert_close(m[:, 0], [[0, 4 / 5, 0], [4 / 8, 0, 0]], Tolerance.OPERATIONS)


@pytest.mark.parametrize("op", ["LRN", "GridSample"])
def test_what_has_no_rule_keeps_its_derivative_and_says_so(op):
    """A GridSample is an example if its grid depends on the input too."""
    nodes = {
        "LRN": [node("LRN", ["x"], ["y"], size=3)],
        "GridSample": [node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), node("Mul", ["t", "c"], ["grid"]),
                       node("GridSample", ["x", "grid"], ["y"])],
    }[op]  # fmt: skip
    model = opened(nodes, [2, 3, 3], [2, 3, 3], {"c": 0.3})
    x = drawn(np.random.default_rng(11), 1, 2, 3, 3)
    m, told = multipliers(model, x, 0 * x, np.ones_like(x), "rescale")
    assert_close(m, gradient(model, "y", ["x"]).run({"x": x}, np.ones_like(x))[1]["x"], Tolerance.SUMS)
    assert told == (f"{op}: its derivative at the input, which leaves a gap (1 node)",)


def test_a_root_whose_operand_stays_at_zero_owes_nothing():
    """Two changes that cancel: the derivative of the root is infinite there, but its contribution is 0."""
    text = "g (float[N, 2] x) => (float[N, 1] y) { d = MatMul(x, w)  r = Sqrt(d)  l = MatMul(x, v)  y = Add(r, l) }"
    model = loaded(text, w=[[1.0], [-1.0]], v=[[2.0], [3.0]])
    found = xaionnx.explain(model, np.float32([[1, 1], [5, 1]]), DeepLift(), 0)
    # 2 x1 + 3 x2; in the second row the root of 4, with half of its operand's contribution.
    assert_close(found.values, [[2, 3], [12.5, 2.5]], Tolerance.OPERATIONS)


LARGE = ("softmax", "log softmax", "log sum exp", "Softplus", "Sigmoid", "Tanh", "Erf", "Gelu", "swish", "mish", "Elu")


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("size", [1.0, 30.0, 200.0, 1e4, 1e6])
def test_numbers_of_any_size_add_up(name, size, rule):
    """The exponential of 89 overflows, though no multiplier does."""
    nodes, shape, out, weights, _ = COMPLETE[name]
    model = opened(nodes, shape, out, weights)
    rng = np.random.default_rng(15)
    x, b = (drawn(rng, 4, *shape) * np.float32(size) for _ in range(2))
    x[0], b[1] = 0, 0
    cotangent = drawn(rng, 4, *out)
    m, _ = multipliers(model, x, b, cotangent, rule)
    assert np.isfinite(m).all()
    y, z = (model.run({"x": v})["y"].astype(np.float64) for v in (x, b))
    change = (cotangent * (y - z)).reshape(4, -1).sum(axis=1)
    parts = (m * (x.astype(np.float64) - b)).reshape(4, -1)
    # A multiplier of Softmax is a difference of numbers up to one, and is multiplied by the change of its logit.
    scale = np.abs(parts).sum(axis=1) + np.abs(change) + np.abs(x - b).max()
    assert_close(parts.sum(axis=1), change, Tolerance.COMPLETENESS, scale)


def test_softmax_of_large_logits_against_float64():
    """The multipliers of the module's formula, by logarithms, in float64."""

    def log_mean(p, q):  # the logarithm of (e^p - e^q) / (p - q)
        d = np.abs(p - q)
        return np.maximum(p, q) + np.where(d > 1e-9, np.log(-np.expm1(-np.maximum(d, 1e-9)) / np.maximum(d, 1e-9)), 0)

    rng = np.random.default_rng(16)
    x, b = 150 * rng.normal(size=(2, 3, 5))
    total, before = (np.log(np.exp(v - v.max(1, keepdims=True)).sum(1, keepdims=True)) + v.max(1, keepdims=True)
                     for v in (x, b))  # fmt: skip
    share = np.exp(log_mean(x, b) - log_mean(total, before))
    cotangent = rng.normal(size=(3, 5))
    signal = cotangent * np.exp(log_mean(x - total, b - before))
    expected = signal - share * signal.sum(1, keepdims=True)
    model = opened([node("Softmax", ["x"], ["y"], axis=1)], [5], [5], {})
    m, _ = multipliers(model, *(np.float32(v) for v in (x, b, cotangent)), "rescale")
    assert_close(m, expected, Tolerance.DIFFERENCE_QUOTIENTS, np.abs(expected).max())


def test_masked_logits_of_minus_infinity_pass_nothing():
    nodes = [node("Add", ["x", "mask"], ["s"]), node("Softmax", ["s"], ["y"], axis=1)]
    model = opened(nodes, [3], [3], {"mask": np.float32([0, 0, -np.inf])})
    x, b = np.float32([[1, 2, 3]]), np.float32([[0, 0, 0]])
    m, _ = multipliers(model, x, b, np.float32([[1, 0, 0]]), "rescale")
    plain = opened([node("Softmax", ["x"], ["y"], axis=1)], [2], [2], {})
    n, _ = multipliers(plain, x[:, :2], b[:, :2], np.float32([[1, 0]]), "rescale")
    assert_close(m, [[*n[0], 0]], Tolerance.OPERATIONS)


def test_reveal_cancel_says_where_it_is_not_defined():
    nodes, shape, out, weights, _ = COMPLETE["swish"]
    x, cotangent = drawn(np.random.default_rng(14), 1, *shape), np.ones((1, *out), np.float32)
    _, told = multipliers(opened(nodes, shape, out, weights), x, 0 * x, cotangent, "reveal_cancel")
    assert told == ("Mul: rescale in place of reveal-cancel (1 node)",)


def test_a_condition_that_changes_is_told():
    nodes = [node("Greater", ["x", "c"], ["p"]), node("Where", ["p", "x", "c"], ["y"])]
    model = opened(nodes, [4], [4], {"c": 0.0})
    _, told = multipliers(model, *np.float32([[[1, -1, 2, -2]], [[-1, 1, 1, -1]], [[1, 1, 1, 1]]]), "rescale")
    assert told == ("Where: operands that select or count keep their value at the input (1 node)",)


def test_tokens_have_baselines_of_tokens(tmp_path):
    path = tiny.saved(
        tmp_path / "tokens.onnx",
        [node("Gather", ["words", "x"], ["e"]), node("Tanh", ["e"], ["t"]),
         node("ReduceMean", ["t", "axes"], ["m"], keepdims=0), node("MatMul", ["m", "w"], ["y"])],
        [tensor("x", ["N", 4], 7)], [tensor("y", ["N", 2])],
        {"words": drawn(R, 9, 5), "axes": np.int64([1]), "w": drawn(R, 5, 2)}, opset=20,
    )  # fmt: skip
    found = xaionnx.explain(Model.load(path), np.int64([[1, 2, 3, 4]]), "deep_lift", 0)
    assert found.values.shape == (1, 4, 5)
    assert_complete(found)


@pytest.mark.parametrize("kind", ["FLOAT16", "DOUBLE"])
def test_other_precisions(kind):
    """Softmax and Tanh between casts; values add up within the precision of the type."""
    inner = getattr(TensorProto, kind)
    nodes = [
        node("Cast", ["x"], ["h"], to=inner), node("Tanh", ["h"], ["t"]), node("Softmax", ["t"], ["s"]),
        node("Cast", ["s"], ["f"], to=TensorProto.FLOAT), node("MatMul", ["f", "w"], ["y"]),
    ]  # fmt: skip
    rng = np.random.default_rng(12)
    model = opened(nodes, [6], [2], {"w": drawn(rng, 6, 2)})
    found = xaionnx.explain(model, drawn(rng, 2, 6), DeepLift(baseline=0.1), 0)
    tolerance = {"DOUBLE": Tolerance.ORDER_ONE, "FLOAT16": Tolerance.FLOAT16}[kind]
    assert_close(found.diagnostics["completeness_gap"], 0, tolerance)


def test_finite_differences_have_no_rules():
    with pytest.raises(ParameterError, match="must be one of 'auto', 'graph'"):
        DeepLift(gradient="finite_differences")
    with pytest.raises(UnsupportedModelError, match="No rule"):
        xaionnx.explain("models/german_credit_forest.onnx", np.zeros((1, 20), np.float32), "deep_lift", 0)


def test_an_infinite_tensor_at_the_baseline_is_noticed():
    # 1 / (1 + (1 / x) ** 2) is finite where 1 / x is not.
    model = tiny.loaded(
        "g (float[N, 2] x) => (float[N, 1] y) "
        "{ r = Reciprocal(x) s = Mul(r, r) t = Add(s, one) u = Reciprocal(t) y = MatMul(u, w) }",
        one=[1.0],
        w=[[1.0], [2.0]],
    )
    found = xaionnx.explain(model, np.float32([[1, 2]]), "deep_lift", 0, baseline=0)
    assert any("do not add up" in warning for warning in found.warnings)
    shifted = xaionnx.explain(model, np.float32([[1, 2]]), "deep_lift", 0, baseline=0.5)
    np.testing.assert_allclose(shifted.values.sum(), shifted.prediction - shifted.baseline_prediction, rtol=1e-5)
