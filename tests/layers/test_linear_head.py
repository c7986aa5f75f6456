"""Which heads have a class activation map, decided from the graph, for compiling and for explaining."""

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.compilation.files import agree
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target, compilation
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.cam import Cam

X = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
GLOBAL = [node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"], ["f"])]
HEAD = node("Gemm", ["f", "v"], ["y"])


def opened(path, head, features=5, outputs=4, opset=17, **weights):
    """A convolution and ReLU 'r', (N, 5, 8, 8), with a head of its own."""
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(5, 3, 3, 3)), "v": rng.normal(size=(features, outputs)), **weights}
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1] * 4), node("Relu", ["c"], ["r"]), *head]
    held = {k: np.asarray(v, np.int64 if np.asarray(v).dtype.kind == "i" else np.float32) for k, v in weights.items()}
    shapes = [tensor("x", ["N", 3, 8, 8])], [tensor("y", ["N", outputs])]
    return Model.load(tiny.saved(path / "m.onnx", nodes, *shapes, held, opset))


def refused(model, match):
    """Refused by both faces (compile and explain) with the same message."""
    for face in (lambda: xaionnx.explain(model, X, "cam", 0, layer="r"), lambda: compile_cam(model)):
        with pytest.raises(UnsupportedModelError, match=match):
            face()


def compile_cam(model):
    return compilation.compile(model, Cam(layer="r"), 0)


NORM = node("BatchNormalization", ["f", "s", "b", "m", "var"], ["n"], epsilon=0.01)
STATISTICS = {
    name: np.random.default_rng(number).uniform(0.5, 2, 5) * sign
    for number, (name, sign) in enumerate([("s", -1), ("b", 1), ("m", 1), ("var", 1)])
}
K1 = np.random.default_rng(2).normal(size=(5, 5, 1, 1))
HEADS = {
    "global": ([*GLOBAL, HEAD], {}),
    "window of the whole map": (
        [node("AveragePool", ["r"], ["p"], kernel_shape=[8, 8]), node("Flatten", ["p"], ["f"]), HEAD],
        {},
    ),
    "tiles, then their mean": (
        [
            node("AveragePool", ["r"], ["t"], kernel_shape=[4, 2], strides=[4, 2]),
            node("GlobalAveragePool", ["t"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            HEAD,
        ],
        {},
    ),
    "windows axis by axis": (
        [
            node("AveragePool", ["r"], ["t"], kernel_shape=[8, 1]),
            node("AveragePool", ["t"], ["p"], kernel_shape=[1, 8]),
            node("Flatten", ["p"], ["f"]),
            HEAD,
        ],
        {},
    ),
    "axis by axis": (
        [
            node("ReduceMean", ["r"], ["one"], axes=[2], keepdims=0),
            node("ReduceMean", ["one"], ["f"], axes=[-1], keepdims=0),
            HEAD,
        ],
        {},
    ),
    "flat places": (
        [node("Reshape", ["r", "row"], ["t"]), node("ReduceMean", ["t"], ["f"], axes=[2], keepdims=0), HEAD],
        {"row": [0, 5, -1]},
    ),
    "channels turned last": (
        [
            node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]),
            node("MatMul", ["t", "m"], ["s"]),
            node("ReduceMean", ["s"], ["f"], axes=[1, 2], keepdims=0),
            HEAD,
        ],
        {"m": K1[:, :, 0, 0]},
    ),
    "scores by place": (
        [
            node("Conv", ["r", "k"], ["t"]),
            node("Mul", ["t", "scale"], ["s"]),
            node("Sub", ["one", "s"], ["u"]),
            node("GlobalAveragePool", ["u"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            HEAD,
        ],
        {"k": K1, "scale": K1[:1].reshape(1, 5, 1, 1), "one": np.ones((1, 5, 8, 8))},
    ),
    "normalized behind the pooling": ([*GLOBAL, NORM, node("Gemm", ["n", "v"], ["y"])], STATISTICS),
    "normalized maps": (
        [
            node("BatchNormalization", ["r", "s", "b", "m", "var"], ["n"]),
            node("GlobalAveragePool", ["n"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            HEAD,
        ],
        STATISTICS,
    ),
    "a form read from the map": (
        [
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Shape", ["p"], ["s"]),
            node("Gather", ["s", "first"], ["n"], axis=0),
            node("Concat", ["n", "free"], ["to"], axis=0),
            node("Reshape", ["p", "to"], ["f"]),
            node("Div", ["f", "two"], ["q"]),
            node("Gemm", ["q", "v"], ["y"]),
        ],
        {"first": [0], "free": [-1], "two": 2.0},
    ),
}


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("head", HEADS)
def test_the_mean_of_the_map_is_the_score_behind_every_pooling_over_all_places(tmp_path, head):
    nodes, weights = HEADS[head]
    model = opened(tmp_path, nodes, **weights)
    found = xaionnx.explain(model, X, "cam", [0, 3], layer="r")
    # The minuend of a subtraction counts as a bias.
    bias = model.run({"x": np.zeros_like(X)})["y"][:, [0, 3]].T
    assert_close(found.maps["cam"].mean((-2, -1)), found.prediction - bias, Tolerance.DEEP)
    agree(model, {"x": X}, Cam(layer="r"), 3)


def test_axes_may_be_an_input_of_the_reduction(tmp_path):
    head = [node("ReduceMean", ["r", "axes"], ["f"], keepdims=0), HEAD]
    model = opened(tmp_path, head, opset=18, axes=[2, 3])
    found = xaionnx.explain(model, X, "cam", 1, layer="r")
    assert_close(found.maps["cam"].mean((-2, -1)), found.prediction, Tolerance.LAYERS)
    rows = opened(tmp_path, [node("ReduceMean", ["r", "axes"], ["e"], keepdims=0), node("Flatten", ["e"], ["f"]), HEAD],
                  40, opset=18, axes=[2])  # fmt: skip
    refused(rows, "no global pooling follows layer 'r'")


@pytest.mark.parametrize(
    ("head", "features", "weights"),
    [
        ([node("AveragePool", ["r"], ["p"], kernel_shape=[4, 4], strides=[4, 4])], 20, {}),
        ([node("AveragePool", ["r"], ["t"], kernel_shape=[3, 3], strides=[1, 1]),
          node("GlobalAveragePool", ["t"], ["p"])], 5, {}),
        ([node("AveragePool", ["r"], ["t"], kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4),
          node("GlobalAveragePool", ["t"], ["p"])], 5, {}),
        ([node("Conv", ["r", "k"], ["t"], pads=[1] * 4), node("GlobalAveragePool", ["t"], ["p"])], 5,
         {"k": np.ones((5, 5, 3, 3))}),
        ([node("Mul", ["r", "where"], ["t"]), node("GlobalAveragePool", ["t"], ["p"])], 5,
         {"where": np.random.default_rng(3).normal(size=(8, 8))}),
        ([node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]), node("GlobalAveragePool", ["t"], ["p"])], 8, {}),
        ([node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]), node("MatMul", ["t", "m"], ["s"]),
          node("GlobalAveragePool", ["s"], ["p"])], 8, {"m": np.random.default_rng(3).normal(size=(8, 8))}),
        ([node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]), node("Reshape", ["t", "to"], ["s"]),
          node("ReduceMean", ["s"], ["p"], axes=[2], keepdims=0)], 8, {"to": [0, 8, 40]}),
    ],
)  # fmt: skip
def test_places_that_do_not_count_alike_are_refused_by_both_faces(tmp_path, head, features, weights):
    model = opened(tmp_path, [*head, node("Flatten", ["p"], ["f"]), HEAD], features, **weights)
    refused(model, r"no global pooling follows layer 'r' of m.onnx. Use grad_cam or hi_res_cam")


def test_a_normalization_gives_each_channel_its_factor(tmp_path):
    """By hand: w_k = scale_k / sqrt(var_k + epsilon) * v_k."""
    model = opened(tmp_path, [*GLOBAL, NORM, node("Gemm", ["n", "v"], ["y"])], **STATISTICS)
    found = xaionnx.explain(model, X, "cam", 2, layer="r", relu=False)
    v = np.random.default_rng(1)
    v.normal(size=(5, 3, 3, 3))
    weights = STATISTICS["s"] / np.sqrt(STATISTICS["var"] + 0.01) * v.normal(size=(5, 4))[:, 2]
    held = model.with_outputs(["r"]).run({"x": X}, ["r"])["r"]
    assert_close(found.maps["cam"], np.einsum("k,nkhw->nhw", weights, held), Tolerance.DEEP)


@pytest.mark.parametrize(
    ("opset", "made", "mode"),
    [(17, ["n", "mean", "spread"], {"training_mode": 1}), (13, ["n", "mean", "spread", "mean1", "spread1"], {})],
)
def test_a_normalization_by_the_batch_is_not_linear(tmp_path, opset, made, mode):
    norm = node("BatchNormalization", ["f", "s", "b", "m", "var"], made, **mode)
    head = [*GLOBAL, norm, node("Gemm", ["n", "v"], ["y"])]
    refused(opened(tmp_path, head, opset=opset, **STATISTICS), "but BatchNormalization follows layer 'r'")


def test_a_normalization_along_the_places_is_refused(tmp_path):
    turned = [
        node("Reshape", ["r", "row"], ["e"]),
        node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
        node("BatchNormalization", ["t", "s", "b", "m", "var"], ["n"]),
        node("ReduceMean", ["n"], ["f"], axes=[1], keepdims=0),
        HEAD,
    ]
    wide = {name: np.tile(array, 13)[:64] for name, array in STATISTICS.items()}
    refused(opened(tmp_path, turned, **wide, row=[0, 5, -1]), "no global pooling follows layer 'r'")


def test_what_is_divided_by_is_not_linear(tmp_path):
    head = [*GLOBAL, node("Div", ["one", "f"], ["q"]), node("Gemm", ["q", "v"], ["y"])]
    refused(opened(tmp_path, head, one=1.0), "but Div follows layer 'r'")
    twice = [*GLOBAL, node("Mul", ["f", "f"], ["q"]), node("Gemm", ["q", "v"], ["y"])]
    refused(opened(tmp_path, twice), "but Mul follows layer 'r'")


def test_of_a_model_that_answers_probabilities_the_logits_are_named(tmp_path):
    head = [*GLOBAL, node("Gemm", ["f", "v"], ["z"]), node("Softmax", ["z"], ["y"])]
    model = opened(tmp_path, head)
    refused(model, r"but Softmax follows layer 'r' of m.onnx. Read the target from 'z', .* output='z'\.")
    found = xaionnx.explain(model, X, "cam", Target.index(0, output="z"), layer="r")
    assert_close(found.maps["cam"].mean((-2, -1)), found.prediction, Tolerance.LAYERS)


def test_of_a_table_no_map_is_promised(tmp_path):
    model = Model.load(tiny.linear(tmp_path / "table.onnx", np.ones((4, 2))))
    with pytest.raises(UnsupportedModelError) as refusal:
        xaionnx.explain(model, np.ones((1, 4), np.float32), "cam", 0, layer="x")
    assert "grad_cam" not in str(refusal.value)
