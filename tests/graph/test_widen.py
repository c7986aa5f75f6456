"""Half precision is computed in float32, in the main graph and in bodies, and follows the rules of float32."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from tests.autodiff.differences import onnxruntime
from tests.tiny import loaded, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.widen import is_narrow, widen

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 4, 6)).astype(np.float32)
WEIGHTS = {
    "a": RNG.normal(size=(6, 5)), "b": RNG.normal(size=(5, 3)), "g": RNG.normal(size=6), "h": RNG.normal(size=6),
    "c": RNG.normal(size=4), "e": RNG.normal(size=4),
}  # fmt: skip
# Ops that onnxruntime expands, fuses or surrounds with casts in half precision.
NETS = {
    "softmax": "p = MatMul(x, a)  s = Softmax(p)  y = MatMul(s, b)",
    "log softmax": "p = MatMul(x, a)  s = LogSoftmax(p)  y = MatMul(s, b)",
    "attention": "t = Transpose <perm = [0, 2, 1]> (x)  p = MatMul(x, t)  s = Softmax(p)  v = MatMul(s, x)  "
    "q = MatMul(v, a)  y = MatMul(q, b)",
    "gelu": "p = MatMul(x, a)  s = Gelu(p)  y = MatMul(s, b)",
    "swish": "p = MatMul(x, a)  i = Sigmoid(p)  s = Mul(p, i)  y = MatMul(s, b)",
    "hard swish": "p = MatMul(x, a)  s = HardSwish(p)  y = MatMul(s, b)",
    "softplus": "p = MatMul(x, a)  s = Softplus(p)  y = MatMul(s, b)",
    "mish": "p = MatMul(x, a)  s = Mish(p)  y = MatMul(s, b)",
    "elu": "p = MatMul(x, a)  s = Elu(p)  y = MatMul(s, b)",
    "layer norm": "n = LayerNormalization(x, g, h)  p = MatMul(n, a)  r = Relu(p)  y = MatMul(r, b)",
    "group norm": "n = InstanceNormalization(x, c, e)  p = MatMul(n, a)  r = Relu(p)  y = MatMul(r, b)",
    "gate": "p = MatMul(x, a)  m = ReduceMean <keepdims = 1> (p, last)  i = HardSigmoid(m)  s = Mul(p, i)  "
    "y = MatMul(s, b)",
}
METHODS = (
    ("lrp", {"composite": "epsilon"}),
    ("lrp", {"composite": "epsilon_plus"}),
    ("deep_lift", {}),
    ("deep_lift", {"rule": "reveal_cancel"}),
    ("guided_backprop", {}),
    ("integrated_gradients", {"steps": 8}),
)


def net(name, kind):
    """The net in one precision, with the numbers of float16."""
    dtype = {"float": np.float32, "float16": np.float16}[kind]
    used = {k: v.astype(np.float16).astype(dtype) for k, v in WEIGHTS.items() if f", {k})" in NETS[name]
            or f", {k}," in NETS[name]}  # fmt: skip
    if "last" in NETS[name]:
        used["last"] = np.int64([2])
    text = f"g ({kind}[N, 4, 6] x) => ({kind}[N, 3] z) {{ {NETS[name]}  z = ReduceSum <keepdims = 0> (y, tokens) }}"
    return loaded(text, opset=20, tokens=np.int64([1]), **used)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("name", NETS)
def test_half_precision_follows_the_rules_of_single(name):
    single, half = net(name, "float"), net(name, "float16")
    x = X.astype(np.float16)
    for method, options in METHODS:
        wanted = xaionnx.explain(single, x.astype(np.float32), method, 0, **options)
        found = xaionnx.explain(half, x, method, 0, **options)
        assert found.values.dtype == np.float32
        size = np.linalg.norm(wanted.values)
        assert np.linalg.norm(found.values.astype(np.float32) - wanted.values) < 2e-3 * size, method
        assert found.provenance["approximations"] == wanted.provenance["approximations"]


def test_names_types_and_bodies():
    text = """g (float16[N, 3] x, bool c) => (float16[N, 3] y) {
      h = Mul(x, k)
      i = If (c) <
        then_branch = t () => (float16[N, 3] u) {
          f = Constant <value = float {0.5}> ()  w = CastLike(f, h)  d = Cast <to = 10> (w)  u = Mul(h, d) },
        else_branch = e () => (float16[N, 3] v) { v = Identity(h) }>
      f = Cast <to = 1> (i)  n = Cast <to = 10> (f)  y = Add(n, x) }"""
    model = parsed(text, opset=20, k=np.float16([2, 3, 4]))
    wide = widen(model)
    onnx.checker.check_model(wide, full_check=True)
    assert is_narrow(model)
    # Bodies that read the cast input are those of the same names.
    assert [value.name for value in wide.graph.output] == ["y"]
    kinds = {value.type.tensor_type.elem_type for value in (*wide.graph.input, *wide.graph.output)}
    assert kinds == {TensorProto.FLOAT16, TensorProto.BOOL, TensorProto.FLOAT}
    x = np.float16([[1, 2, 3]])
    for c in (True, False):
        feeds = {"x": x, "c": np.array(c)}
        (y,) = onnxruntime(wide)(feeds, ["y"])
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, onnxruntime(model)(feeds, ["y"])[0])


def test_what_is_not_narrow_is_returned():
    model = parsed("g (float[N, 3] x) => (float[N, 3] y) { y = Exp(x) }")
    assert widen(model) is model


def test_numbers_are_not_rounded_between_the_nodes():
    """In half precision 1 + 1 / 4096 is 1, and 300 * 300 infinite, with no gradient that could be used."""
    model = loaded("g (float16[N, 2] x) => (float16[N, 2] y) { s = Mul(x, x)  q = Sqrt(s)  y = Add(q, q) }", opset=20)
    x = np.float16([[300, 2]])
    _, found = gradient(model, "y", ["x"]).run({"x": x}, np.ones((1, 2), np.float32))
    assert_close(found["x"], [[2, 2]], Tolerance.FLOAT16)


def test_weights_in_external_files_are_cast(tmp_path):
    weights = RNG.normal(size=(3, 3)).astype(np.float16)
    proto = parsed("g (float16[N, 3] x) => (float16[N, 3] y) { m = MatMul(x, w)  y = Mul(m, m) }", opset=17)
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    model = Model.load(tmp_path / "m.onnx", device="cpu")
    x = np.float16([[0.5, -1, 2]])
    _, found = gradient(model, "y", ["x"]).run({"x": x}, np.ones((1, 3), np.float32))
    w = weights.astype(np.float64)
    assert_close(found["x"], 2 * (x @ w) @ w.T, Tolerance.FLOAT16)


def test_bfloat16_follows_too(tmp_path):
    proto = parsed(
        """g (bfloat16[N, 3] x) => (bfloat16[N, 3] y) {
      f = Cast <to = 1> (x)  s = Softmax(f)  n = Cast <to = 16> (s)  g = Cast <to = 1> (n)
      t = Cast <to = 1> (w)  p = Mul(g, t)  y = Cast <to = 16> (p) }""",
        opset=20,
    )
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, [3], [1.0, 2.0, 4.0]))
    onnx.save(proto, tmp_path / "m.onnx")
    x = np.float32([[0.5, -1, 2]])
    single = loaded("g (float[N, 3] x) => (float[N, 3] y) { s = Softmax(x)  y = Mul(s, w) }", w=np.float32([1, 2, 4]))
    for method in ("lrp", "deep_lift", "saliency"):
        found = xaionnx.explain(tmp_path / "m.onnx", x, method, 2)
        assert_close(found.values, xaionnx.explain(single, x, method, 2).values, Tolerance.FLOAT16)


@pytest.mark.parametrize("kind", [17, 18, 19, 20])
def test_floats_of_8_bits_between_casts_are_not_rounded(kind):
    model = loaded(
        f"""g (float[N, 3] x) => (float[N, 3] y) {{
          n = Cast <to = {kind}> (x)  f = Cast <to = 1> (n)  s = Softmax(f)  y = Mul(s, w) }}""",
        opset=20, w=np.float32([1, 2, 4]),
    )  # fmt: skip
    single = loaded("g (float[N, 3] x) => (float[N, 3] y) { s = Softmax(x)  y = Mul(s, w) }", w=np.float32([1, 2, 4]))
    x = np.float32([[0.53, -1.1, 2.07]])
    for method in ("lrp", "deep_lift", "saliency"):
        found = xaionnx.explain(model, x, method, 2)
        assert_close(found.values, xaionnx.explain(single, x, method, 2).values, Tolerance.OPERATIONS)
    assert found.diagnostics["gradient_prediction"] != found.prediction


def test_floats_of_8_bits_are_moved_too():
    model = loaded(
        f"""g (float[N, 4] x) => (float[N, 4] y) {{
          n = Cast <to = {TensorProto.FLOAT8E5M2}> (x)  r = Reshape(n, pairs)  t = Transpose <perm = [0, 2, 1]> (r)
          f = Cast <to = 1> (t)  q = Relu(f)  y = Reshape(q, rows) }}""",
        opset=21, pairs=np.array([-1, 2, 2]), rows=np.array([-1, 4]),
    )  # fmt: skip
    found = xaionnx.explain(model, np.float32([[1, 2, 3, 4]]), "saliency", 1)
    np.testing.assert_array_equal(found.values, [[0, 0, 1, 0]])


def test_floats_of_8_bits_that_an_op_computes_with_are_refused():
    model = loaded(
        f"""g (float[N, 4] x) => (float[N, 4] y) {{
          n = Cast <to = {TensorProto.FLOAT8E4M3FN}> (x)  d = DequantizeLinear(n, s)  y = Relu(d) }}""",
        opset=21, s=np.float32(0.5),
    )  # fmt: skip
    said = r"DequantizeLinear \(the node that makes 'd'\) reads floats of 8 bits that a Cast makes"
    with pytest.raises(UnsupportedModelError, match=said):
        gradient(model, "y", ["x"])


def rounded(text, **weights):
    """A net of floats, and one of float16 between casts, with the same numbers."""
    numbers = {name: w.astype(np.float16) if w.dtype.kind == "f" else w for name, w in weights.items()}
    wide = {name: w.astype(np.float32) if w.dtype.kind == "f" else w for name, w in numbers.items()}
    return loaded(text.format("float"), opset=20, **wide), loaded(text.format("float16"), opset=20, **numbers)


def test_maps_multiply_gradients_by_activations_of_single_precision():
    """Activations of the file itself are rounded by 2**-11, each at its own step."""
    single, half = rounded(
        """g (float[N, 1, 8, 8] x) => (float[N, 3] y) {{
          i = Cast <to = 1> (x)  h = CastLike(i, w)
          c = Conv <pads = [1, 1, 1, 1]> (h, w)  r = Relu(c)  d = Conv (r, v)  s = Sigmoid(d)  p = GlobalAveragePool(s)
          f = Flatten(p)  g = MatMul(f, m)  y = Cast <to = 1> (g) }}""",
        w=RNG.normal(size=(4, 1, 3, 3)), v=RNG.normal(size=(5, 4, 3, 3)), m=RNG.normal(size=(5, 3)),
    )  # fmt: skip
    x = RNG.normal(size=(2, 1, 8, 8)).astype(np.float16).astype(np.float32)
    for method in ("grad_cam", "layer_cam", "grad_cam_pp", "hi_res_cam"):
        for layer in ("r", "s"):
            found, wanted = (xaionnx.explain(one, x, method, 1, layer=layer).values for one in (half, single))
            assert found.dtype == np.float32
            assert_close(found, wanted, Tolerance.SIGNED_LAYERS, np.abs(wanted).max())
    # A method without gradients reads what the file itself computes.
    ours, theirs = (xaionnx.explain(one, x, "eigen_cam", 1, layer="r") for one in (half, single))
    assert np.abs(ours.maps["cam"].astype(np.float32) - theirs.maps["cam"]).max() > 0


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deep_lift", "lrp"])
def test_values_at_embeddings_and_layers_are_not_rounded(method):
    single, half = rounded(
        """g (int64[N, 5] x) => (float[N, 3] y) {{
          e = Gather(t, x)  a = MatMul(e, w)  b = Tanh(a)  s = ReduceMean <keepdims = 0> (b, k)
          m = MatMul(s, v)  y = Cast <to = 1> (m) }}""",
        t=RNG.normal(size=(7, 6)), w=RNG.normal(size=(6, 6)), v=RNG.normal(size=(6, 3)), k=np.int64([1]),
    )  # fmt: skip
    x = RNG.integers(0, 7, (2, 5))
    for layer in (None, "b"):
        found, wanted = (xaionnx.explain(one, x, method, 1, layer=layer) for one in (half, single))
        assert_close(found.values, wanted.values, Tolerance.SIGNED_LAYERS, np.abs(wanted.values).max())


def test_attention_is_read_in_single_precision():
    single, half = rounded(
        """g (float[N, 4, 6] x) => (float[N, 3] y) {{
          i = Cast <to = 1> (x)  h = CastLike(i, a)
          q = MatMul(h, a)  k = MatMul(h, b)  t = Transpose <perm = [0, 2, 1]> (k)  p = MatMul(q, t)  s = Softmax(p)
          v = MatMul(h, c)  o = MatMul(s, v)  r = ReduceMean <keepdims = 0> (o, l)  m = MatMul(r, d)
          y = Cast <to = 1> (m) }}""",
        a=RNG.normal(size=(6, 6)), b=RNG.normal(size=(6, 6)), c=RNG.normal(size=(6, 6)), d=RNG.normal(size=(6, 3)),
        l=np.int64([1]),
    )  # fmt: skip
    x = (X / 4).astype(np.float16).astype(np.float32)
    for method in ("attention_rollout", "attention_relevance"):
        found, wanted = (xaionnx.explain(one, x, method, 1).maps["tokens"] for one in (half, single))
        assert_close(found, wanted, Tolerance.SIGNED_SUMS, np.abs(wanted).max())


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deep_lift", "lrp", "input_x_gradient"])
def test_values_at_an_input_in_half_precision_are_not_rounded_to_it(method):
    # Slopes of 1e-9 are zero in float16, and 2,000 values of it do not add up to their sum.
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(2000, 1)).astype(np.float16)
    weight[0] = 1e-3
    x = rng.normal(size=(1, 2000)).astype(np.float16)
    text = "g ({}[N, 2000] x) => ({}[N, 1] y) {{ h = MatMul(x, w)  y = Mul(h, s) }}"
    half = loaded(text.format("float16", "float16"), w=weight, s=np.float16([1e-6]))
    single = loaded(text.format("float", "float"), w=weight.astype(np.float32), s=np.float32(np.float16([1e-6])))
    found = xaionnx.explain(half, {"x": x}, method).values
    expected = xaionnx.explain(single, {"x": x.astype(np.float32)}, method).values
    assert found.dtype == np.float32
    assert found[0, 0] != 0
    assert_close(found, expected, Tolerance.SIGNED_SUMS, np.abs(expected).max())
