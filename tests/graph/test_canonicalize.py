"""Models as they occur in files: old opsets, functions, weights anywhere, odd types and shapes; all differentiated."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from tests.tiny import loaded, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, explain
from xaionnx.autodiff import gradient
from xaionnx.errors import ModelFileError, UnsupportedModelError
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.opset import OPSET, convert_opset
from xaionnx.graph.probe import probe
from xaionnx.runtime.session import simplified

X = np.float32([[0.5, -1.0, 2.0], [0.1, 0.2, -0.3]])


def slope(model, out="y", wrt="x", x=X, **others):
    """The gradient of the sum of ``out`` with respect to ``wrt``."""
    feeds = {"x": x, **others}
    found = gradient(model, out, [wrt], sample=feeds)
    info = found.model.input(found.cotangent)
    shape = (len(x), *info.shape[1:])
    answer, slopes = found.run(feeds, np.ones(shape, info.dtype))
    tolerance = Tolerance.SUMS if x.itemsize > 2 else Tolerance.FLOAT16
    assert_close(answer, model.with_outputs([out]).run(feeds, [out])[out], tolerance)
    return slopes[wrt]


@pytest.mark.parametrize("opset", range(7, 24))
def test_opsets(opset):
    """Ops whose attributes became inputs in later opsets: Clip, Unsqueeze, ReduceSum, Slice, Dropout."""
    axes = opset >= 13
    model = loaded(
        f"""g (float[N, 3] x) => (float[N, 1] y) <float low = {{0}}, float high = {{1}}, int64[1] one = {{1}},
          int64[1] two = {{2}}, int64[1] nought = {{0}}> {{
          c = {"Clip(x, low, high)" if opset >= 11 else "Clip <min = 0.0, max = 1.0> (x)"}
          s = {"Slice(c, nought, two, one)" if opset >= 10 else "Slice <starts = [0], ends = [2], axes = [1]> (c)"}
          m = Mul(s, s)
          u = {"Unsqueeze(m, one)" if axes else "Unsqueeze <axes = [1]> (m)"}
          r = {"ReduceSum(u, two)" if axes else "ReduceSum <axes = [2]> (u)"}
          d = {"Dropout(r)" if opset >= 12 else "Dropout <ratio = 0.5> (r)"}
          y = {"Squeeze(d, two)" if axes else "Squeeze <axes = [2]> (d)"} }}""",
        opset=opset,
    )
    inside = (X > 0) & (X < 1) & [True, True, False]
    assert_close(slope(model), np.where(inside, 2 * X, 0), Tolerance.OPERATIONS)
    form = canonicalize(model.file.proto, ["m"], simplified)
    assert form.opset_import[0].version == max(opset, OPSET)
    assert {"m", "y"} <= {value.name for value in form.graph.output}


def test_nodes_in_any_order(tmp_path):
    """onnxruntime runs files whose nodes are not in topological order, as some converters write them."""
    text = "g (float[N, 3] x) => (float[N, 3] y) { a = Mul(x, x)  b = Sin(a)  y = Add(b, x) }"
    ordered = loaded(text)
    turned = onnx.load(ordered.path)
    nodes = list(turned.graph.node)[::-1]
    del turned.graph.node[:]
    turned.graph.node.extend(nodes)
    onnx.save(turned, tmp_path / "turned.onnx")
    found = slope(Model.load(tmp_path / "turned.onnx", device="cpu"))
    np.testing.assert_array_equal(found, slope(ordered))
    assert_close(found, 2 * X * np.cos(X * X) + 1, Tolerance.SUMS)


def test_half_precision_passes_through_the_tensors_that_are_named():
    """The tensor between two ops keeps its name and stays on the path, though it becomes one of float32."""
    text = "g (float16[N, 3] x) => (float16[N, 3] y) { a = Sin(x)  b = Softplus(a)  y = Mul(b, b) }"
    model, x = loaded(text), X.astype(np.float16)
    form = canonicalize(model.file.proto, ["a"], simplified)
    assert [node.op_type for node in form.graph.node] == ["Cast", "Sin", "Softplus", "Mul"]
    a = np.sin(X)
    wanted = 2 * np.log1p(np.exp(a)) / (1 + np.exp(-a))
    assert_close(slope(model, wrt="a", x=x), wanted, Tolerance.FLOAT16)
    assert_close(slope(model, x=x), wanted * np.cos(X), Tolerance.FLOAT16)


def test_weights_among_the_inputs():
    """As files of IR version 3 have them; the explained input is not the first."""
    model = loaded(
        "g (float[3] w, float[N, 3] x) => (float[N, 3] y) <float[3] w = {1, 2, 3}> { m = Mul(x, x)  y = Mul(m, w) }",
        opset=8,
        ir=3,
    )
    assert_close(slope(model), 2 * X * [1, 2, 3], Tolerance.OPERATIONS)
    assert [info.name for info in gradient(model, "y", ["x"]).model.inputs] == ["x", "cotangent"]


def test_functions_with_attributes(tmp_path):
    text = """<ir_version: 9, opset_import: ["" : 17, "own" : 1]>
      g (float[N, 3] x) => (float[N, 3] y) { h = own.scaled <factor = 3.0> (x)  y = own.scaled <factor = 2.0> (h) }
      <domain: "own", opset_import: ["" : 17]>
      scaled <factor> (a) => (b) { f = Constant <value_float : float = @factor> ()  q = Mul(a, a)  b = Mul(q, f) }"""
    onnx.save(parser.parse_model(text), tmp_path / "model.onnx")
    model = Model.load(tmp_path / "model.onnx", device="cpu")
    assert_close(slope(model), 2 * 9 * 4 * X**3, Tolerance.SUMS)
    assert_close(slope(model, "h"), 6 * X, Tolerance.OPERATIONS)


def test_weights_in_external_files(tmp_path):
    """The written file refers to the same location, and contains none of the weights."""
    weights = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    proto = parsed("""g (float[N, 3] x) => (float[N, 3] y) { m = MatMul(x, w)  y = Mul(m, m) }""", opset=11)
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    model = Model.load(tmp_path / "m.onnx", device="cpu")
    assert_close(slope(model), 2 * (X @ weights) @ weights.T, Tolerance.SUMS)
    (tensor,) = (t for t in gradient(model, "y", ["x"]).model.graph.graph.initializer if t.name == "w")
    assert tensor.data_location == TensorProto.EXTERNAL
    assert tensor.external_data[0].value == "w.bin"


@pytest.mark.parametrize("opset", [9, 12, 20])
def test_weights_as_constants_and_sparse_ones(tmp_path, opset):
    values = helper.make_tensor("s", TensorProto.FLOAT, [2], [2.0, 5.0])
    places = helper.make_tensor("s_at", TensorProto.INT64, [2], [0, 2])
    proto = parsed(
        """g (float[N, 3] x) => (float[N, 3] y) {
          w = Constant <value = float[3] {1, 2, 3}> ()  a = Mul(x, w)  b = Mul(a, x)  y = Mul(b, s) }""",
        opset=opset,
    )
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [3]))
    onnx.save(proto, tmp_path / "m.onnx")
    model = Model.load(tmp_path / "m.onnx", device="cpu")
    assert_close(slope(model), 2 * X * [1, 2, 3] * [2, 0, 5], Tolerance.OPERATIONS)


@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"), [("double", "f8", Tolerance.FLOAT64), ("float16", "f2", Tolerance.FLOAT16)]
)
def test_other_floats(kind, dtype, tolerance):
    model = loaded(f"g ({kind}[N, 3] x) => ({kind}[N, 3] y) {{ e = Exp(x)  y = Mul(e, x) }}")
    x = X.astype(dtype)
    found = slope(model, x=x)
    # Small slopes would be zero in half precision.
    assert found.dtype == np.promote_types(x.dtype, np.float32)
    exact = x.astype(float)
    assert_close(found, np.exp(exact) * (1 + exact), tolerance)


def test_bfloat16(tmp_path):
    """Inputs and weights in bfloat16, which onnxruntime casts on the CPU; inputs are fed as float32."""
    proto = parsed("""g (bfloat16[N, 3] x) => (float[N, 3] y) {
          a = Cast <to = 1> (x)  b = Cast <to = 1> (w)  m = Mul(a, b)  y = Mul(m, a) }""")
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, [3], [1.0, 2.0, 4.0]))
    onnx.save(proto, tmp_path / "model.onnx")
    model = Model.load(tmp_path / "model.onnx", device="cpu")
    x = np.float32([[0.5, -1.0, 2.0], [0.25, 0.125, -3.0]])  # which bfloat16 represents exactly
    np.testing.assert_array_equal(slope(model, x=x), 2 * x * [1, 2, 4])


def test_one_sample_and_free_sizes():
    fixed = loaded("g (float[1, 3] x) => (float[1, 3] y) { e = Exp(x)  y = Mul(e, x) }")
    assert_close(slope(fixed), np.exp(X) * (1 + X), Tolerance.SUMS)
    free = loaded("g (float[N, T] x) => (float[N, T] y) { y = Softmax(x) }")
    assert gradient(free, "y", ["x"], sample={"x": X}).model is gradient(free, "y", ["x"], sample={"x": X + 1}).model
    assert (
        gradient(free, "y", ["x"], sample={"x": X[:, :2]}).model
        is not gradient(free, "y", ["x"], sample={"x": X}).model
    )


def test_inputs_that_play_no_part():
    model = loaded(
        """g (float[N, 3] x, float[N, 2] unread, int64[N, 1] ids) => (float[N, 3] y) {
          f = Cast <to = 1> (ids)  e = Mul(x, x)  y = Mul(e, f) }""",
    )
    others = {"unread": np.ones((2, 2), np.float32), "ids": np.int64([[2], [3]])}
    assert_close(slope(model, **others), 2 * X * others["ids"], Tolerance.OPERATIONS)
    with pytest.raises(UnsupportedModelError, match="'y' does not depend on 'unread'"):
        gradient(model, "y", ["x", "unread"])
    with pytest.raises(UnsupportedModelError, match=r"'ids' .* is not a float tensor"):
        gradient(model, "y", ["ids"])


def test_explaining_leaves_out_inputs_that_play_no_part():
    """An unused extra input is left out; an unused explained input is refused."""
    text = """g (float[N, 3] x, float[N, 2] unread) => (float[N, 3] y) { y = Mul(x, x) }"""
    found = explain(loaded(text), {"x": X, "unread": np.ones((2, 2), np.float32)}, method="saliency", target=1)
    assert_close(found.values, np.abs(2 * X) * [0, 1, 0], Tolerance.OPERATIONS)
    text = """g (float[N, 2] unread, float[N, 3] x) => (float[N, 3] y) { y = Mul(x, x) }"""
    model = loaded(text)
    with pytest.raises(UnsupportedModelError, match="does not depend on 'unread'"):
        explain(model, {"x": X, "unread": np.ones((2, 2), np.float32)}, method="saliency", target=1)


def test_tensors_that_are_none():
    """Sequences inside a graph are ignored; as outputs they are left out."""
    inside = "e = Exp(x)  s = SequenceConstruct(x, e)  n = SequenceLength(s)  y = Mul(e, x)"
    model = loaded(f"g (float[N, 3] x) => (float[N, 3] y, int64 n) {{ {inside} }}")
    assert_close(slope(model), np.exp(X) * (1 + X), Tolerance.SUMS)
    with pytest.raises(UnsupportedModelError, match=r"'n' .* is not a float tensor"):
        gradient(model, "n", ["x"])
    beside = loaded(f"g (float[N, 3] x) => (float[N, 3] y, seq(float[N, 3]) s) {{ {inside} }}")
    assert_close(slope(beside), np.exp(X) * (1 + X), Tolerance.SUMS)


def test_an_output_listed_twice():
    with pytest.raises(ModelFileError, match="output 'y' is listed twice"):
        loaded("g (float[N, 3] x) => (float[N, 3] y, float[N, 3] y) { y = Exp(x) }")


def test_empty_tensors_and_scalars():
    model = loaded(
        """g (float[N, 3] x) => (float[N, 3] y) <float two = {2}, int64[1] zero = {0}, int64[1] one = {1}> {
          none = Slice(x, zero, zero, one)  all = Concat <axis = 1> (none, x)  p = Pow(all, two)
          s = ReduceSum <keepdims = 0> (none)  y = Add(p, s) }""",
    )
    assert_close(slope(model), 2 * X, Tolerance.OPERATIONS)


def test_the_output_is_the_input():
    """Directly, and through Identity; both have the gradient 1."""
    model = loaded("g (float[N, 3] x) => (float[N, 3] y, float[N, 3] z) { y = Identity(x)  z = Exp(x) }")
    np.testing.assert_array_equal(slope(model), np.ones_like(X))
    np.testing.assert_array_equal(slope(model, "x"), np.ones_like(X))


def test_names_survive():
    """Tensors that folding would fuse or drop are kept if they are requested."""
    model = parsed(
        """g (float[N, 2, 4, 4] x) => (float[N, 3, 4, 4] y)
        <float[3, 2, 1, 1] w = {1, 2, 3, 4, 5, 6}, float[3] s = {1, 2, 3}, float[3] b = {0, 1, 0},
         float[3] m = {0, 0, 1}, float[3] v = {1, 1, 2}> {
          c = Conv(x, w)  n = BatchNormalization(c, s, b, m, v)  i = Identity(n)  y = Relu(i) }""",
        opset=12,
    )
    free = canonicalize(model, [], simplified)
    kept = canonicalize(model, ["c", "n", "i"], simplified)
    assert [node.op_type for node in free.graph.node] == ["Conv", "Relu"]
    assert {"c", "n", "i", "y"} <= {name for node in kept.graph.node for name in node.output}


def test_a_probe_tells_sizes_types_and_constants():
    model = parsed("""g (float[N, 3] x) => (float[N, 3] y) <int64[1] one = {1}> {
          s = Shape(x)  f = Gather <axis = 0> (s, one)  k = Cast <to = 1> (f)  q = SequenceConstruct(x)
          t = ReduceSum <keepdims = 0> (x)  e = Mul(x, k)  y = Add(e, t) }""")

    def run(shown, feeds, names):
        return ReferenceEvaluator(shown).run(list(names), dict(feeds))

    facts = probe(model, [{"x": np.ones((n, 3), np.float32)} for n in (2, 3)], run)
    assert facts.shapes["e"] == (None, 3)
    assert facts.sizes["e"] == (3, 3)
    assert facts.shapes["t"] == ()
    assert facts.dtypes["s"] == np.int64
    assert "q" not in facts.shapes
    # The number of samples is not a constant, nor is a sum over the input, though its shape is ().
    assert facts.constants.keys() == {"f", "k"}
    np.testing.assert_array_equal(facts.constants["k"], [3])


def test_what_stands_beside_a_product_is_no_bias_of_it():
    """A varying summand is separated from a Gemm, even if onnxruntime fuses it; a bias stays in the Gemm."""
    rng = np.random.default_rng(0)
    w, v, b = (rng.standard_normal(size).astype(np.float32) for size in ((3, 3), (3, 3), 3))
    text = """g (float[N, 3] x) => (float[N, 3] y) {
      s = Sin(x)  a = Gemm <alpha = 2.0, transB = 1> (x, w, s)  m = MatMul(a, v)  c = Add(m, s)  y = Gemm(c, w, b) }"""
    form = canonicalize(parsed(text, w=w, v=v, b=b), [], simplified)
    assert [node.op_type for node in form.graph.node if node.op_type != "Sin"] == ["Gemm", "Add", "Gemm", "Add", "Gemm"]
    (y,) = ReferenceEvaluator(form).run(None, {"x": X})
    s = np.sin(X)
    assert_close(y, ((2 * X @ w.T + s) @ v + s) @ w + b, Tolerance.SIGNED_LAYERS)


def test_the_converter_is_given_small_constants_alone(monkeypatch):
    """It copies what it is given several times; large weights come back as they were."""
    given, whole = [], onnx.version_converter.convert_version

    def convert(proto, to):
        given.append(proto.ByteSize())
        return whole(proto, to)

    monkeypatch.setattr(onnx.version_converter, "convert_version", convert)
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    shown = np.ones((40, 64), np.float32)
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 11]>
        g (float[N, 64] x) => (float[N, 1] y, float[40, 64] shown)
        <int64[1] low = {0}, int64[1] high = {1}, int64[1] axis = {1}> {
            h = MatMul(x, w)
            y = Slice(h, low, high, axis)
        }""")
    model.graph.initializer.extend([numpy_helper.from_array(values, "w"), numpy_helper.from_array(shown, "shown")])
    converted = convert_opset(model)
    assert given[0] < values.nbytes + shown.nbytes
    assert [value.name for value in converted.graph.input] == ["x"]
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in converted.graph.initializer}
    np.testing.assert_array_equal(weights["w"], values)
    np.testing.assert_array_equal(weights["shown"], shown)
