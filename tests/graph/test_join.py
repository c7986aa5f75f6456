"""Joining graphs: connections, names, types and op sets, against the parts run one after another."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests import tiny
from tests.tiny import parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.join import Part, connections, join
from xaionnx.graph.opsets import same_opsets
from xaionnx.graph.parts import parts_of

X = np.float32([[1, -2, 3], [0.5, 2, -1]])


def parts(*texts, **weights):
    named = {}
    for number, text in enumerate(texts):
        name = "abcdef"[number]
        named[name] = text if isinstance(text, onnx.ModelProto) else parsed(text, **weights)
    return [Part(name, name * 64, proto) for name, proto in named.items()]


def joined(*texts, connect=None, **weights):
    found = parts(*texts, **weights)
    proto = join(found, connections(found, connect or {}))
    onnx.checker.check_model(proto, full_check=True)
    return proto


DOUBLED = "g (float[N, 3] x) => (float[N, 3] y) { h = Add(x, x)  y = Relu(h) }"
SQUARED = "g (float[N, 3] x) => (float[N, 3] y) { h = Mul(x, x)  y = Neg(h) }"


def test_a_chain_of_files_with_the_same_names():
    proto = joined(DOUBLED, SQUARED, DOUBLED)
    assert_close(tiny.run(proto, {"x": X})["c/y"], np.maximum(-8 * np.maximum(X, 0) ** 2, 0), Tolerance.OPERATIONS)
    assert [value.name for value in proto.graph.input] == ["x"]
    assert [value.name for value in proto.graph.output] == ["c/y"]
    assert [n.output[0] for n in proto.graph.node] == ["h", "y", "b/h", "b/y", "c/h", "c/y"]
    assert parts_of(proto) == [{"name": name, "sha256": name * 64} for name in "abc"]
    assert proto.graph.name == "a+b+c"


def test_the_parts_are_not_changed():
    found = parts(DOUBLED, SQUARED)
    before = [part.proto.SerializeToString() for part in found]
    join(found, connections(found, {}))
    assert [part.proto.SerializeToString() for part in found] == before


def test_several_inputs_and_outputs_go_where_their_names_say():
    first = "g (float[N, 3] x, float[N, 3] z) => (float[N, 3] u, float[N, 3] v) { u = Add(x, z)  v = Sub(x, z) }"
    second = "g (float[N, 3] v, float[N, 3] u, float[N, 3] x) => (float[N, 3] y) { p = Mul(u, x)  y = Sub(p, v) }"
    proto = joined(first, second)
    assert [value.name for value in proto.graph.input] == ["x", "z", "b/x"]
    found = tiny.run(proto, {"x": X, "z": 2 * X, "b/x": X + 1})
    assert_close(found["y"], 3 * X * (X + 1) + X, Tolerance.OPERATIONS)
    # By hand the other way round, and to an input of the first model's name.
    proto = joined(first, second, connect={"b:v": "u", "b:x": "v"})
    assert [value.name for value in proto.graph.input] == ["x", "z", "b/u"]
    found = tiny.run(proto, {"x": X, "z": 2 * X, "b/u": X + 1})
    assert_close(found["y"], (X + 1) * -X - 3 * X, Tolerance.OPERATIONS)


def test_outputs_that_nothing_reads_stay_those_of_the_last_part_first():
    first = "g (float[N, 3] x) => (float[N, 3] mean, float[N, 2] other) { mean = Abs(x)  other = MatMul(x, w) }"
    proto = joined(first, SQUARED, w=np.ones((3, 2)))
    assert [value.name for value in proto.graph.output] == ["y", "other"]
    found = tiny.run(proto, {"x": X})
    assert_close(found["y"], -(X**2), Tolerance.OPERATIONS)
    assert_close(found["other"], np.tile(X.sum(axis=1, keepdims=True), 2), Tolerance.OPERATIONS)


def test_a_part_can_read_any_earlier_one():
    last = "g (float[N, 3] p, float[N, 3] q) => (float[N, 3] r) { r = Add(p, q) }"
    proto = joined(DOUBLED, SQUARED, last, connect={"p": "a:y", "q": "b:y"})
    owed = 2 * np.maximum(X, 0) - 4 * np.maximum(X, 0) ** 2
    assert_close(tiny.run(proto, {"x": X})["r"], owed, Tolerance.OPERATIONS)


def test_what_passes_through_a_part():
    through = "g (float[N, 3] x) => (float[N, 3] y, float[N, 3] x) { y = Neg(x) }"
    proto = joined(DOUBLED, through)
    found = tiny.run(proto, {"x": X})
    assert_close(found["b/y"], -2 * np.maximum(X, 0), Tolerance.OPERATIONS)
    assert_close(found["y"], 2 * np.maximum(X, 0), Tolerance.OPERATIONS)


def test_names_inside_branches_and_loops():
    branch = """g (float[N, 3] x) => (float[N, 3] y) {
        s = ReduceSum(x)  c = Greater(s, zero)
        y = If (c) <then_branch = t () => (float[N, 3] h) { h = Mul(x, two) },
                    else_branch = e () => (float[N, 3] k) { k = Sub(x, two) }> }"""
    proto = joined(branch, branch, zero=np.float32(0), two=np.float32(2))
    for x in (X, -X):
        once = branched(x)
        assert_close(tiny.run(proto, {"x": x})["b/y"], branched(once), Tolerance.OPERATIONS)


def branched(x):
    return x * 2 if x.sum() > 0 else x - 2


def test_floats_of_another_width_are_converted():
    half = "g (float16[N, 3] x) => (float16[N, 3] y) { y = Add(x, x) }"
    proto = joined(DOUBLED, half)
    found = tiny.run(proto, {"x": X})["b/y"]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, 4 * np.maximum(X, 0))


def test_functions_of_one_name_and_two_meanings():
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    g (float[N, 3] x) => (float[N, 3] y) {{ y = own.f(x) }}
    <domain: "own", opset_import: ["" : 17]> f (a) => (b) {{ b = {op}(a, a) }}"""
    protos = [onnx.parser.parse_model(text.format(op=op)) for op in ("Add", "Mul", "Add")]
    proto = joined(*protos)
    assert len(proto.functions) == 2
    assert_close(tiny.run(proto, {"x": X})["c/y"], 2 * (2 * X) ** 2, Tolerance.OPERATIONS)


def test_op_sets_in_which_all_ops_are_the_same_are_only_renumbered():
    old, new = parsed(DOUBLED, opset=14), parsed(SQUARED, opset=17)
    found = same_opsets([old, new], ["a", "b"])
    assert [proto.opset_import[0].version for proto in found] == [17, 17]
    assert [node.op_type for node in found[0].graph.node] == ["Add", "Relu"]
    assert found[1] is new
    assert old.opset_import[0].version == 14


def test_op_sets_in_which_ops_differ_are_converted():
    """Up to opset 12 the axes of a squeeze are an attribute, from 13 an input; softmax flattens before 13."""
    text = '<ir_version: 7, opset_import: ["" : 11]> g (float[N, 3] x) => (float[N, 3] y) {'
    old = onnx.parser.parse_model(f"{text} u = Unsqueeze<axes = [1]>(x)  s = Squeeze<axes = [1]>(u)  y = Softmax(s) }}")
    for pair in ([old, parsed(SQUARED)], [parsed(SQUARED), old]):
        proto = joined(*pair)
        assert proto.opset_import[0].version == 17
        middle = -(X**2) if pair[0] is not old else X
        soft = np.exp(middle) / np.exp(middle).sum(axis=1, keepdims=True)
        owed = soft if pair[0] is not old else -(soft**2)
        assert_close(tiny.run(proto, {"x": X})["b/y"], owed, Tolerance.OPERATIONS)


def test_op_sets_that_cannot_be_brought_together_are_refused():
    protos = [parsed(DOUBLED), parsed(SQUARED)]
    for version, proto in enumerate(protos, start=1):
        proto.opset_import.append(helper.make_opsetid("own", version))
        proto.graph.node[0].domain = "own"
    with pytest.raises(UnsupportedModelError, match=r"a uses version 1 of own, and another model 2.*Export both"):
        same_opsets(protos, ["a", "b"])
    text = '<ir_version: 7, opset_import: ["" : 11]> g (float[N, 3] x) => (float[N, 3] y) {'
    body = "c = Constant<value = bool {1}>()  y = If (c) <then_branch = t () => (float[N, 3] h) { h = Softmax(x) }, "
    old = onnx.parser.parse_model(f"{text} {body} else_branch = e () => (float[N, 3] k) {{ k = Neg(x) }}> }}")
    with pytest.raises(UnsupportedModelError, match=r"a uses version 11 of the ONNX op set, and another model 17"):
        joined(old, SQUARED)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (
            "g (float[N, 4] x) => (float[N, 4] y) { y = Neg(x) }",
            r"'y' \(N, 3\) float, fits an input of b, 'x'",
        ),
        ("g (float[N, 3, 1] x) => (float[N, 3, 1] y) { y = Neg(x) }", "Put a model in between"),
        ("g (int64[N, 3] x) => (int64[N, 3] y) { y = Neg(x) }", r"'x' \(N, 3\) int64"),
    ],
)
def test_what_does_not_fit_is_refused(second, message):
    with pytest.raises(UnsupportedModelError, match=message):
        joined(DOUBLED, second)


def test_a_connection_that_does_not_fit_says_why():
    wider = "g (float[N, 4] x) => (float[N, 4] y) { y = Neg(x) }"
    message = r"Output 'y' \(N, 3\) float of a does not fit input 'x' \(N, 4\) float of b: axis 1 has 3 entries, not 4"
    with pytest.raises(UnsupportedModelError, match=message):
        joined(DOUBLED, wider, connect={"b:x": "a:y"})


def test_connections_that_are_wrong():
    two = "g (float[N, 3] p, float[N, 3] q) => (float[N, 3] r) { r = Add(p, q) }"
    with pytest.raises(ParameterError, match=r"More than one output of a, .* or input of b, .* fits"):
        joined(DOUBLED, two)
    with pytest.raises(UnknownNameError, match="No input named 'pp'"):
        joined(DOUBLED, two, connect={"pp": "y"})
    with pytest.raises(UnknownNameError, match="No output named 'w'"):
        joined(DOUBLED, two, connect={"p": "w"})
    with pytest.raises(ParameterError, match=r"Several models have an input 'x'\. Name one of 'a:x', 'b:x'"):
        joined(DOUBLED, SQUARED, connect={"x": "a:y"})
    with pytest.raises(ParameterError, match="which does not come before it"):
        joined(DOUBLED, SQUARED, connect={"a:x": "b:y"})
    with pytest.raises(ParameterError, match="No model reads an output of b"):
        joined(DOUBLED, SQUARED, two, connect={"p": "a:y"})
    with pytest.raises(ParameterError, match="At least two models are needed"):
        joined(DOUBLED)


def test_a_part_that_takes_one_sample_makes_the_model_take_one():
    one = "g (float[1, 3] x) => (float[1, 3] y) { y = Neg(x) }"
    proto = joined(DOUBLED, SQUARED, one)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 3]
    assert joined(one, DOUBLED).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_weights_listed_among_the_inputs_are_none():
    old = parsed(DOUBLED, w=np.ones(3))
    old.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    assert [value.name for value in joined(SQUARED, old).graph.input] == ["x"]


@pytest.mark.parametrize(
    "entry", ["{", "[1, 2]", '[{"sha256": "0"}]', '[{"name": "a", "sha256": 3}]', "3", "[" * 99_999]
)
def test_a_damaged_entry_names_no_parts(entry):
    model = parsed("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }")
    helper.set_model_props(model, {"xaionnx.parts": entry})
    assert parts_of(model) == []
