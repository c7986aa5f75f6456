"""Adapt: the rewrites before a session is opened change neither the outputs nor the original graph."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import xaionnx
from tests import tiny
from tests.tiny import node, parsed, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.autodiff import gradient
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.adapt import adapt, free_batch
from xaionnx.graph.ending import ending
from xaionnx.graph.view import GraphView


def test_a_model_that_needs_nothing_stays_as_it_is():
    proto = tiny.model([node("Relu", ["x"], ["y"])], [tensor("x", ["N", 2])], [tensor("y", ["N", 2])])
    assert adapt(proto).graph is proto
    assert adapt(proto).labels is None


def zipped(labels, outputs=1):
    key = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    nodes = [node("Softmax", ["x"], ["p"])]
    nodes += [node("ZipMap", ["p"], [f"zip{i}"], domain="ai.onnx.ml", **{key: labels}) for i in range(outputs)]
    kind = helper.make_map_type_proto(
        TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64,
        helper.make_tensor_type_proto(TensorProto.FLOAT, []),
    )
    values = [helper.make_value_info(f"zip{i}", helper.make_sequence_type_proto(kind)) for i in range(outputs)]
    return tiny.model(nodes, [tensor("x", ["N", len(labels)])], values, domains={"ai.onnx.ml": 2})


@pytest.mark.parametrize(
    ("labels", "told"), [(["no", "yes", "für"], ("no", "yes", "für")), ([3, 1, 7], ("3", "1", "7"))]
)
def test_zipmap_gives_its_matrix_and_its_labels(labels, told):
    proto = zipped(labels)
    before = proto.SerializeToString()
    adapted = adapt(proto)
    assert adapted.labels == told
    assert proto.SerializeToString() == before
    onnx.checker.check_model(adapted.graph, full_check=True)
    assert [n.op_type for n in adapted.graph.graph.node] == ["Softmax", "Identity"]


def test_zipmap_in_a_model_that_runs(tmp_path):
    path = tmp_path / "zipped.onnx"
    path.write_bytes(zipped(["no", "yes"]).SerializeToString())
    model = Model.load(path)
    x = np.array([[0.0, 0.0], [0.0, np.log(3)]], np.float32)
    assert_close(model.run({"x": x})["zip0"], [[0.5, 0.5], [0.25, 0.75]], Tolerance.OPERATIONS)
    assert model.labels == ("no", "yes")


def several_heads(tmp_path, outputs, extra=""):
    """A net whose heads a and b are collected in the sequence s, with the outputs named in ``outputs``."""
    path = tmp_path / "heads.onnx"
    onnx.save(
        parsed(
            f"g (float[N, 3] x) => ({outputs}) {{ two = Constant<value = float[3, 2] {{1, 0, 0, 1, 0, 0}}>()"
            f"  a = MatMul(x, two)  b = Softmax(a)  s = SequenceConstruct(a, b) {extra} }}"
        ),
        path,
    )
    return Model.load(path)


def test_a_sequence_leaves_the_other_outputs_as_they_are(tmp_path):
    model = several_heads(tmp_path, "seq(float[N, 2]) s, float[N, 2] b")
    assert [info.name for info in model.outputs] == ["a", "b"]
    x = np.float32([[1, 2, 3], [3, 0, 1]])
    found = xaionnx.explain(model, x, "feature_ablation", Target.index(0, output="b"), baseline=0.0)
    share = 1 / (1 + np.exp(x[:, 1] - x[:, 0]))
    assert_close(found.values[:, 0], share - 1 / (1 + np.exp(x[:, 1])), Tolerance.OPERATIONS)
    slopes = xaionnx.explain(model, x, "saliency", Target.index(0, output="b"), absolute=False)
    assert_close(slopes.values[:, 0], share * (1 - share), Tolerance.OPERATIONS)


def test_the_elements_of_a_sequence_are_outputs_by_their_own_names(tmp_path):
    model = several_heads(tmp_path, "seq(float[N, 2]) s")
    x = np.float32([[1, 2, 3]])
    assert_close(model.run({"x": x})["a"], x[:, :2], Tolerance.OPERATIONS)
    assert xaionnx.explain(model, x, "feature_ablation", Target.index(1, output="a")).values.tolist() == [[0, 2, 0]]


def test_a_sequence_itself_is_refused(tmp_path):
    model = several_heads(tmp_path, "seq(float[N, 2]) s, float[N, 2] b")
    with pytest.raises(UnsupportedModelError, match=r"'s' has type seq\(tensor\(float\)\).*Name a tensor of numbers"):
        xaionnx.explain(model, np.ones((1, 3), np.float32), "occlusion", Target.index(0, output="s"))
    split = "parts = SplitToSequence(a)"
    with pytest.raises(UnsupportedModelError, match=r"'parts' has type seq\(tensor\(float\)\)"):
        several_heads(tmp_path, "seq(float[N, 2]) parts", split)
    assert [info.name for info in several_heads(tmp_path, "seq(float[N, 2]) parts, float[N, 2] a", split).outputs] == [
        "a"
    ]


def test_complex_numbers_beside_a_score_are_left_out():
    kind = helper.make_tensor_value_info("z", TensorProto.COMPLEX64, ["N", 2])
    proto = tiny.model([node("Relu", ["x"], ["y"])], [tensor("x", ["N", 2])], [tensor("y", ["N", 2]), kind])
    assert [value.name for value in adapt(proto).graph.graph.output] == ["y"]


def bfloat16(nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor(n, ["N", 2], TensorProto.BFLOAT16) for n in inputs],
        [tensor(n, ["N", 2], TensorProto.BFLOAT16) for n in outputs],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_bfloat16_is_fed_and_answered_as_float32(tmp_path):
    # The names that a cast would get are already used.
    weight = helper.make_tensor("x_bfloat16", TensorProto.FLOAT, [2], [1.0, 10.0])
    nodes = [
        node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        node("Mul", ["wide", "x_bfloat16"], ["y_bfloat16"]),
        node("Cast", ["y_bfloat16"], ["y"], to=TensorProto.BFLOAT16),
        node("Identity", ["y"], ["again"]),
    ]
    proto = bfloat16(nodes, ["x"], ["y", "again"], [weight])
    before = proto.SerializeToString()
    adapted = adapt(proto).graph
    assert proto.SerializeToString() == before
    onnx.checker.check_model(adapted, full_check=True)
    assert [v.name for v in (*adapted.graph.input, *adapted.graph.output)] == ["x", "y", "again"]
    path = tmp_path / "bfloat16.onnx"
    path.write_bytes(before)
    found = Model.load(path).run({"x": np.array([[1.5, 0.25], [-2.0, 3.0]], np.float32)})
    assert found["y"].tolist() == found["again"].tolist() == [[1.5, 2.5], [-2.0, 30.0]]
    assert found["y"].dtype == np.float32


def test_bfloat16_inside_the_branches_of_an_if_is_renamed_too():
    proto = parsed("""
        g (bfloat16[N, 2] x, bool c) => (bfloat16[N, 2] y) {
            y = If (c) <then_branch = t () => (bfloat16[N, 2] a) { a = Identity(x) },
                        else_branch = e () => (bfloat16[N, 2] b) { b = Neg(x) }>
        }""")
    adapted = adapt(proto).graph
    branches = [a.g for n in adapted.graph.node for a in n.attribute if a.type == onnx.AttributeProto.GRAPH]
    assert {branch.node[0].input[0] for branch in branches} == {"x_bfloat16"}
    onnx.checker.check_model(adapted)


def test_freeing_the_batch_touches_samples_alone():
    proto = tiny.model(
        [node("Add", ["x", "offset"], ["y"])],
        [tensor("x", [1, 3]), tensor("offset", [1, 3])],
        [tensor("y", [1, 3])],
    )
    free = free_batch(proto, ["x"], 1)
    dims = {v.name: v.type.tensor_type.shape.dim[0] for v in (*free.graph.input, *free.graph.output)}
    assert dims["x"].dim_param == dims["y"].dim_param == "N"
    assert dims["offset"].dim_value == 1
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("y = Softmax(x)", "Softmax"),
        ("a = Sigmoid(x)  b = Flatten(a)  y = Identity(b)", "Sigmoid"),
        ("a = Softmax(x)  y = Log(a)", "Log"),
        ("y = Identity(x)", None),
    ],
)
def test_the_op_that_a_tensor_ends_in(text, op):
    graph = parsed(f"g (float[N, 2] x) => (float[N, 2] y) {{ {text} }}")
    assert ending(GraphView(graph), "y") == op
    assert ending(GraphView(graph), "no such tensor") is None


def dilated(rank, **attributes):
    """A convolution and a rectifier, which onnxruntime fuses."""
    rng = np.random.default_rng(rank)
    weights = {"w": rng.standard_normal((4, 2, *[attributes["kernel_shape"][0]] * rank)).astype(np.float32)}
    nodes = [node("Conv", ["x", "w"], ["h"], **attributes), node("Relu", ["h"], ["y"])]
    return tiny.opened(nodes, [2, *[11] * rank], [4, *[None] * rank], weights)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("auto", "kernel", "stride", "dilation", "begin", "end"), [
    ("SAME_UPPER", 3, 1, 2, 2, 2),
    ("SAME_LOWER", 3, 1, 2, 2, 2),
    ("SAME_UPPER", 4, 1, 3, 4, 5),
    ("SAME_LOWER", 4, 1, 3, 5, 4),
    # Four windows with stride three reach over 9 + 4 * 3 + 1 = 22 entries, eleven more than there are.
    ("SAME_UPPER", 5, 3, 3, 5, 6),
    ("SAME_LOWER", 5, 3, 3, 6, 5),
    ("SAME_UPPER", 2, 3, 2, 0, 1),
])  # fmt: skip
def test_dilated_convolutions_with_automatic_pads_run_as_the_standard_defines(
    rank, auto, kernel, stride, dilation, begin, end
):
    common = {"kernel_shape": [kernel] * rank, "strides": [stride] * rank, "dilations": [dilation] * rank}
    ours = dilated(rank, auto_pad=auto, **common)
    explicit = dilated(rank, pads=[begin] * rank + [end] * rank, **common)
    x = np.random.default_rng(9).standard_normal((2, 2, *[11] * rank)).astype(np.float32)
    y, expected = (model.run({"x": x})["y"] for model in (ours, explicit))
    assert y.shape[2:] == (-(-11 // stride),) * rank
    assert_close(y, expected, Tolerance.SIGNED_SUMS)
    cotangent = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    slopes = [gradient(model, "y", ["x"]).run({"x": x}, cotangent)[1]["x"] for model in (ours, explicit)]
    assert_close(slopes[0], slopes[1], Tolerance.SIGNED_SUMS)


def test_automatic_pads_that_depend_on_a_free_size_stay():
    weights = [onnx.numpy_helper.from_array(np.ones((1, 1, 3), np.float32), "w")]
    nodes = [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", dilations=[2], strides=[2], kernel_shape=[3])]
    proto = tiny.model(nodes, [tensor("x", ["N", 1, "T"])], [tensor("y", ["N", 1, "t"])])
    proto.graph.initializer.extend(weights)
    assert [entry.name for entry in adapt(proto).graph.graph.node[0].attribute if entry.name == "auto_pad"]
