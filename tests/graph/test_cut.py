"""Derived models give the outputs of the whole model, and their inner tensors equal those of ONNX's reference
evaluator.
"""

import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, TypeProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from tests.tiny import parsed, run
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import ModelFileError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.cut import (
    count_ops,
    cut,
    expose,
)
from xaionnx.graph.serialize import to_bytes
from xaionnx.graph.view import GraphView, topological_order
from xaionnx.loading import read_model


@pytest.fixture(scope="module")
def conv_net() -> onnx.ModelProto:
    """Two convolutions, a residual connection around the second, a pooling, a classifier."""
    model = parsed("""
        net (float[N, 2, 8, 8] x) => (float[N, 3] p)
        {
            c1 = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1, 1, 1, 1]> (r1, w2)
            s = Add (c2, r1)
            g = GlobalAveragePool (s)
            f = Flatten (g)
            z = Gemm (f, w3, b3)
            p = Softmax (z)
        }""")
    rng = np.random.default_rng(0)
    for name, shape in {"w1": (4, 2, 3, 3), "b1": (4,), "w2": (4, 4, 3, 3), "w3": (4, 3), "b3": (3,)}.items():
        values = rng.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return model


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(1).normal(size=(2, 2, 8, 8)).astype(np.float32)


def session(content, folder=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    data = content if isinstance(content, bytes) else content.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def declared(model):
    """The model as ``onnx.checker`` requires it: nodes in order, types of outputs declared."""
    derived = onnx.ModelProto()
    derived.CopyFrom(model)
    derived.graph.ClearField("node")
    derived.graph.node.extend(topological_order(model.graph))
    return onnx.shape_inference.infer_shapes(derived)


class TestExpose:
    def test_every_tensor_agrees_with_the_reference(self, conv_net, picture):
        names = list(GraphView(conv_net).tensor_names)
        assert names == ["x", "c1", "r1", "c2", "s", "g", "f", "z", "p"]
        derived = expose(conv_net, names)
        answers = run(derived, {"x": picture})
        assert list(answers) == ["p", "x", "c1", "r1", "c2", "s", "g", "f", "z"]
        expected = dict(zip(answers, ReferenceEvaluator(derived).run(None, {"x": picture}), strict=True))
        for name in names:
            assert_close(answers[name], expected[name], Tolerance.DEEP)
        assert_close(answers["p"], run(conv_net, {"x": picture})["p"], Tolerance.DEEP)

    def test_passes_the_checker_once_types_are_inferred(self, conv_net):
        derived = declared(expose(conv_net, ["r1", "z"]))
        onnx.checker.check_model(derived, full_check=True)
        dims = [d.dim_param or d.dim_value for d in derived.graph.output[1].type.tensor_type.shape.dim]
        assert dims == ["N", 4, 8, 8]

    def test_original_is_untouched(self, conv_net):
        before = conv_net.SerializeToString(deterministic=True)
        expose(conv_net, ["r1"])
        cut(conv_net, ["r1"], ["z"])
        assert conv_net.SerializeToString(deterministic=True) == before

    def test_integer_and_contrib_tensors_need_no_declared_type(self):
        model = parser.parse_model("""
            <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
            g (float[N, 3] x) => (float[N, 3] y) {
                h = com.microsoft.FastGelu (x)
                k = ArgMax <axis = 1> (h)
                c = Cast <to = 1> (k)
                y = Add (h, c) }""")
        x = np.array([[1, 3, 2]], np.float32)
        answers = run(expose(model, ["h", "k"]), {"x": x})
        assert answers["k"].dtype == np.int64
        np.testing.assert_array_equal(answers["k"], [[1]])
        np.testing.assert_array_equal(answers["y"], answers["h"] + 1)

    def test_weight(self, conv_net, picture):
        np.testing.assert_array_equal(
            run(expose(conv_net, ["b3"]), {"x": picture})["b3"], numpy_helper.to_array(conv_net.graph.initializer[4])
        )

    def test_unknown_name(self, conv_net):
        with pytest.raises(UnknownNameError, match=r"^No tensor named 'relu1'. Nearest: r1"):
            expose(conv_net, ["relu1"])


class TestCut:
    @pytest.mark.parametrize("at", ["c1", "r1", "s", "g", "f", "z"])
    def test_second_part_continues_the_first(self, conv_net, picture, at):
        inner = run(expose(conv_net, [at]), {"x": picture})
        head = cut(conv_net, ["x"], [at])
        tail = cut(conv_net, [at], ["p"])
        assert len(head.graph.node) + len(tail.graph.node) == len(conv_net.graph.node)
        assert [value.name for value in tail.graph.input] == [at]
        assert_close(run(head, {"x": picture})[at], inner[at], Tolerance.DEEP)
        assert_close(run(tail, {at: inner[at]})["p"], inner["p"], Tolerance.DEEP)
        for part in (head, tail):
            onnx.checker.check_model(declared(part), full_check=True)

    def test_only_needed_weights_remain(self, conv_net):
        part = cut(conv_net, ["r1"], ["g"])
        assert [tensor.name for tensor in part.graph.initializer] == ["w2"]

    def test_a_connection_around_the_cut_keeps_its_input(self, conv_net, picture):
        part = cut(conv_net, ["c2"], ["z", "p"])
        assert [value.name for value in part.graph.input] == ["c2", "x"]
        assert [node.output[0] for node in part.graph.node] == ["c1", "r1", "s", "g", "f", "z", "p"]
        inner = run(expose(conv_net, ["c2", "z"]), {"x": picture})
        answers = run(part, {"c2": inner["c2"], "x": picture})
        assert list(answers) == ["z", "p"]
        assert_close(answers["z"], inner["z"], Tolerance.DEEP)

    def test_weight_as_input(self, conv_net, picture):
        part = cut(conv_net, ["b3", "x"], ["z"])
        assert "b3" not in {tensor.name for tensor in part.graph.initializer}
        bias = np.array([0, 0, 5], np.float32)
        shifted = run(part, {"b3": bias, "x": picture})["z"] - run(part, {"b3": 0 * bias, "x": picture})["z"]
        assert_close(shifted, [bias, bias], Tolerance.DEEP)

    def test_one_of_two_outputs_of_a_node(self):
        model = parsed("""
            g (float[N, 4] x) => (float[N, 2] y) { a, b = Split <axis = 1> (x)  y = Sub (a, b) }""")
        part = cut(model, ["a"], ["y"])
        assert [value.name for value in part.graph.input] == ["a", "x"]
        assert list(part.graph.node[0].output) == ["a_uncut", "b"]
        onnx.checker.check_model(part, full_check=True)
        x, a = np.arange(4, dtype=np.float32)[None], np.array([[10, 10]], np.float32)
        np.testing.assert_array_equal(run(part, {"a": a, "x": x})["y"], [[8, 7]])

    def test_what_a_body_takes_from_outside_is_needed(self):
        then = helper.make_graph([helper.make_node("Add", ["h", "w"], ["t"])], "then", [], [_any("t")])
        inner = helper.make_graph([helper.make_node("Neg", ["h"], ["e"])], "inner", [], [_any("e")])
        nested = helper.make_node("If", ["c"], ["e2"], then_branch=inner, else_branch=inner)
        other = helper.make_graph([nested], "else", [], [_any("e2")])
        model = helper.make_model(
            helper.make_graph(
                [
                    helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other),
                    helper.make_node("Exp", ["x"], ["h"]),
                    helper.make_node("Neg", ["x"], ["unused"]),
                ],
                "g",
                [_any("x", ("N",)), helper.make_tensor_value_info("c", TensorProto.BOOL, ())],
                [_any("y")],
                [numpy_helper.from_array(np.float32(1), "w")],
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        assert list(GraphView(model).tensor_names) == ["x", "c", "h", "y", "unused"]
        assert count_ops(model) == {"If": 2, "Neg": 3, "Add": 1, "Exp": 1}
        assert list(count_ops(model)) == ["Neg", "If", "Add", "Exp"]
        whole = cut(model, ["x", "c"], ["y"])
        assert [node.op_type for node in whole.graph.node] == ["Exp", "If"]
        part = cut(model, ["h"], ["y"])
        assert [value.name for value in part.graph.input] == ["h", "c"]
        h = np.array([2, 3], np.float32)
        np.testing.assert_array_equal(run(part, {"h": h, "c": np.array(True)})["y"], [3, 4])
        np.testing.assert_array_equal(run(part, {"h": h, "c": np.array(False)})["y"], [-2, -3])

    def test_old_file_that_lists_weights_among_inputs(self):
        model = parsed(
            """
            g (float[2] w, float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}> { h = Relu(x)  y = Add(h, w) }""",
            opset=8,
            ir=3,
        )
        part = cut(model, ["h"], ["y"])
        assert [value.name for value in part.graph.input] == ["h"]
        np.testing.assert_array_equal(run(part, {"h": np.zeros((1, 2), np.float32)})["y"], [[1, 2]])

    def test_type_that_is_known_only_at_run_time(self):
        model = parser.parse_model("""
            <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
            g (float[N, 3] x) => (float[N, 3] y) { h = com.microsoft.FastGelu (x)  y = Relu (h) }""")
        with pytest.raises(UnsupportedModelError) as caught:
            cut(model, ["h"], ["y"])
        assert str(caught.value) == (
            "The type of tensor 'h' is not known before the model runs, so it cannot become an input. "
            "Give its type, or cut at an earlier or later tensor."
        )
        kind = TypeProto()
        kind.tensor_type.elem_type = TensorProto.FLOAT
        part = cut(model, ["h"], ["y"], {"h": kind})
        np.testing.assert_array_equal(run(part, {"h": -np.ones((1, 3), np.float32)})["y"], [[0, 0, 0]])

    def test_wrong_calls(self, conv_net):
        with pytest.raises(UnknownNameError, match=r"^No tensor named 'cc1'. Nearest: c1\.$"):
            cut(conv_net, ["cc1"], ["p"])
        with pytest.raises(
            ParameterError, match=r"^The 'inputs' parameter of cut must name each tensor once\. Got 'x' t"
        ):
            cut(conv_net, ["x", "x"], ["p"])
        with pytest.raises(
            ParameterError, match=r"^The 'outputs' parameter of cut must name at least one tensor\. Got n"
        ):
            cut(conv_net, ["x"], [])


class TestExternalData:
    @pytest.fixture
    def source(self, tmp_path, conv_net):
        folder = tmp_path / "model"
        folder.mkdir()
        copy = onnx.ModelProto()
        copy.CopyFrom(conv_net)
        onnx.save(copy, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        return read_model(folder / "m.onnx")

    def test_weights_stay_where_they_are(self, source, conv_net, picture, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # a folder that is neither the model's nor has a w.bin
        content = to_bytes(expose(source.proto, ["r1"]), source)
        assert len(content) < 1500  # the weights alone are 900 bytes
        assert not any(tensor.HasField("raw_data") for tensor in source.proto.graph.initializer)
        opened = session(content, source.path.parent)
        assert_close(
            opened.run(["r1"], {"x": picture})[0],
            run(expose(conv_net, ["r1"]), {"x": picture})["r1"],
            Tolerance.DEEP,
        )
        part = to_bytes(cut(source.proto, ["r1"], ["p"]), source)
        inner = run(expose(conv_net, ["r1"]), {"x": picture})
        assert_close(session(part, source.path.parent).run(["p"], {"r1": inner["r1"]})[0], inner["p"], Tolerance.DEEP)

    def test_foreign_location_is_refused(self, source, conv_net):
        strange = expose(source.proto, ["r1"])
        strange.graph.initializer[0].external_data[0].value = "other.bin"
        with pytest.raises(ModelFileError) as caught:
            to_bytes(strange, source)
        assert str(caught.value) == (
            f"{source.path}: external data 'other.bin' do not belong to this model. Derive from its own file."
        )


def test_what_stands_before_and_behind_a_tensor(conv_net):
    assert GraphView(conv_net).descendants(["r1"]) == {"c2", "s", "g", "f", "z", "p"}
    assert GraphView(conv_net).descendants(["c2", "f"]) == {"s", "g", "z", "p"}
    assert GraphView(conv_net).descendants(["w3"]) == {"z", "p"}
    assert GraphView(conv_net).ancestors(["c2"]) == {"x", "w1", "b1", "w2", "c1", "r1", "c2"}
    assert GraphView(conv_net).ancestors(["w1"]) == {"w1"}


def test_shapes_for_inputs_of_some_sizes():
    """Free sizes get the given values, also after a Reshape that reads them; the rest stays unknown."""
    model = parsed("""
        net (float[N, 2, H, W] x, float[N, K] beside) => (float[A, B, C] y)
        <int64[1] first = {2}, int64[1] end = {4}, int64[1] all = {-1}, int64[1] two = {2}> {
            sizes = Shape (x)
            some = Slice (sizes, first, end)
            shape = Concat <axis = 0> (all, two, some)
            again = Reshape (x, shape)
            r = Relu (again)
            rows = NonZero (beside)
            y = ReduceSum <keepdims = 0> (r, two)
        }""")
    found = GraphView(model).shapes({"x": (1, 2, 6, 8)})
    assert found["r"][1:] == (2, 6, 8)
    assert found["beside"] == (None, None)
    assert found["rows"] == (2, None)
    assert GraphView(model).shapes({})["r"] == (None, 2, None, None)
    # The given sizes are not written into the model.
    assert model.graph.input[0].type.tensor_type.shape.dim[2].dim_param == "H"


def test_chain_of_20_000_nodes():
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(20_000)]
    graph = helper.make_graph(nodes[::-1], "g", [_any("t0", ("N",))], [_any("t20000", ("N",))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    start = time.process_time()
    assert [node.output[0] for node in topological_order(model.graph)[:2]] == ["t1", "t2"]
    part = cut(model, ["t5000"], ["t15000"])
    assert len(part.graph.node) == 10_000
    assert len(expose(model, ["t7"]).graph.output) == 2
    assert time.process_time() - start < 5  # 0.3 s on an idle machine


def _any(name, shape=None):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
