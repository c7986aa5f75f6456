"""Files that onnxruntime optimised are explained as their source."""

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser
from onnxruntime.transformers import optimizer

import xaionnx
from models import planted
from tests.tiny import node, saved, tensor
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.cut import count_ops

LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def optimised(path, level, folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return folder / f"{level}.onnx"


METHODS = [
    ("saliency", {"absolute": False}),
    ("grad_cam", {}),
    ("layer_cam", {}),
    ("deep_lift", {}),
    ("guided_backprop", {}),
    ("lrp", {"composite": "epsilon_plus"}),
    ("lrp", {"composite": "epsilon_gamma_flat"}),
    ("lrp", {"composite": "alpha2_beta1"}),
]


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "methods"), [("digits_cnn", METHODS), ("mnist_cnn", METHODS)])
def test_nets_are_explained_as_their_source(name, methods, level, tmp_path):
    source = Model.load(f"models/{name}.onnx", device="cpu")
    model = Model.load(optimised(f"models/{name}.onnx", level, tmp_path), device="cpu")
    assert level == "basic" or any("." in op for op in count_ops(model.file.proto))
    assert not any("." in op for op in count_ops(model.graph))
    x = np.random.default_rng(0).uniform(size=(2, *source.input().shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(
        model.run(model.check(x))[model.output().name], source.run(source.check(x))[source.output().name]
    )
    for method, options in methods:
        ours, theirs = (xaionnx.explain(each, x, method, 3, **options).values for each in (model, source))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max(), err_msg=method)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("level", [*LEVELS, "transformers"])
def test_vision_transformers_are_explained_as_their_source(level, tmp_path):
    source, path = Model.load("models/mnist_vit.onnx", device="cpu"), "models/mnist_vit.onnx"
    if level == "transformers":
        fused = optimizer.optimize_model(path, model_type="bert", num_heads=0, hidden_size=0, opt_level=0)
        fused.save_model_to_file(str(tmp_path / "fused.onnx"))
        model = Model.load(tmp_path / "fused.onnx", device="cpu")
        assert "com.microsoft.SkipLayerNormalization" in count_ops(model.file.proto)
    else:
        model = Model.load(optimised(path, level, tmp_path), device="cpu")
    x = np.random.default_rng(0).uniform(size=(1, *source.input().shape[1:])).astype(np.float32)
    for method, options in (("saliency", {}), ("attention_rollout", {}), ("lrp", {"composite": "epsilon"})):
        ours, theirs = (xaionnx.explain(each, x, method, 3, **options).values for each in (model, source))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max(), err_msg=method)


WIDTH, HEADS, WORDS = 16, 2, 20


def weights_of_encoder():
    generator = np.random.default_rng(0)
    shapes = {
        "word": (WORDS, WIDTH), "place": (9, WIDTH), "kind": (2, WIDTH),
        "qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH),
        "up": (WIDTH, 32), "down": (32, WIDTH), "head": (WIDTH, 3), "scale": (WIDTH,), "shift": (WIDTH,),
        "b1": (WIDTH,),
        "b2": (32,), "b3": (WIDTH,), "bqkv": (3 * WIDTH,),
    }  # fmt: skip
    return {name: generator.normal(size=shape).astype(np.float32) / 3 for name, shape in shapes.items()}


ENDS = "(int32[N, T] ids, int32[N, T] kinds, int32[N, T] mask) => (float[N, 3] y)"
PLAIN = f"""g {ENDS} {{
  w = Gather(word, ids)  k = Gather(kind, kinds)  s = Add(w, k)
  shape = Shape(ids)  one = Constant<value_int = 1>()  zero = Constant<value_int = 0>()
  count = Gather(shape, one)  places = Range(zero, count, one)  p = Gather(place, places)
  e = Add(s, p)  x = LayerNormalization<epsilon = 1e-12>(e, scale, shift)
  third = Constant<value_ints = [{WIDTH}, {WIDTH}, {WIDTH}]>()
  qw, kw, vw = Split<axis = 1>(qkv, third)  qb, kb, vb = Split<axis = 0>(bqkv, third)
  heads = Constant<value_ints = [0, 0, {HEADS}, -1]>()
  q0 = MatMul(x, qw)  q1 = Add(q0, qb)  q2 = Reshape(q1, heads)  q3 = Transpose<perm = [0, 2, 1, 3]>(q2)
  k0 = MatMul(x, kw)  k1 = Add(k0, kb)  k2 = Reshape(k1, heads)  k3 = Transpose<perm = [0, 2, 3, 1]>(k2)
  v0 = MatMul(x, vw)  v1 = Add(v0, vb)  v2 = Reshape(v1, heads)  v3 = Transpose<perm = [0, 2, 1, 3]>(v2)
  a0 = MatMul(q3, k3)  root = Constant<value_float = {(WIDTH // HEADS) ** 0.5}>()  a1 = Div(a0, root)
  m0 = Cast<to = 1>(mask)  ones = Constant<value_float = 1.0>()  m1 = Sub(ones, m0)
  least = Constant<value_float = -10000.0>()  m2 = Mul(m1, least)
  axes = Constant<value_ints = [1, 2]>()  m3 = Unsqueeze(m2, axes)  a2 = Add(a1, m3)  a3 = Softmax<axis = -1>(a2)
  c0 = MatMul(a3, v3)  c1 = Transpose<perm = [0, 2, 1, 3]>(c0)  whole = Constant<value_ints = [0, 0, -1]>()
  c2 = Reshape(c1, whole)  o0 = MatMul(c2, out)  o1 = Add(o0, b1)  r1 = Add(o1, x)
  h = LayerNormalization<epsilon = 1e-12>(r1, scale, shift)
  u0 = MatMul(h, up)  u1 = Add(u0, b2)
  two = Constant<value_float = 1.4142135>()  g0 = Div(u1, two)  g1 = Erf(g0)  g2 = Add(g1, ones)  g3 = Mul(u1, g2)
  half = Constant<value_float = 0.5>()  g4 = Mul(g3, half)
  d0 = MatMul(g4, down)  d1 = Add(d0, b3)  r2 = Add(d1, h)
  z = LayerNormalization<epsilon = 1e-12>(r2, scale, shift)
  first = Gather<axis = 1>(z, zero)  y = MatMul(first, head) }}"""
FUSED = f"""g {ENDS} {{
  x, words = com.microsoft.EmbedLayerNormalization<epsilon = 1e-12>(
      ids, kinds, word, place, kind, scale, shift, mask)
  c2 = com.microsoft.Attention<num_heads = {HEADS}>(x, qkv, bqkv, words)
  o0 = MatMul(c2, out)
  h = com.microsoft.SkipLayerNormalization<epsilon = 1e-12>(o0, x, scale, shift, b1)
  u0 = MatMul(h, up)
  g4 = com.microsoft.BiasGelu(u0, b2)
  d0 = MatMul(g4, down)
  z = com.microsoft.SkipLayerNormalization<epsilon = 1e-12>(d0, h, scale, shift, b3)
  zero = Constant<value_int = 0>()
  first = Gather<axis = 1>(z, zero)  y = MatMul(first, head) }}"""


def test_an_encoder_of_text_is_explained_as_its_source():
    models = []
    for text in (PLAIN, FUSED):
        proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> {text}')
        held = weights_of_encoder()
        proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in held.items())
        models.append(planted.load(proto, device="cpu"))
    generator = np.random.default_rng(1)
    feeds = {name: generator.integers(0, most, (2, 7), dtype=np.int32) for name, most in (("ids", WORDS), ("kinds", 2))}
    feeds["mask"] = np.int32([[1] * 7, [1] * 5 + [0] * 2])
    methods = [("saliency", {"absolute": False}), ("deep_lift", {}), ("guided_backprop", {}), ("attention_rollout", {}),
               ("grad_cam", {}), ("occlusion", {})]  # fmt: skip
    methods += [("lrp", {"composite": name}) for name in ("epsilon", "epsilon_plus", "alpha2_beta1", "gamma")]
    for method, options in methods:
        found = [xaionnx.explain(model, feeds, method, 1, **options).values for model in models]
        theirs, ours = (each["ids"] if isinstance(each, dict) else each for each in found)
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max(), err_msg=method)


def test_layers_of_an_optimised_file_are_named_as_in_it(tmp_path):
    model = Model.load(optimised("models/mnist_cnn.onnx", "all", tmp_path), device="cpu")
    names = [each.output[0] for each in model.file.proto.graph.node if each.op_type == "Conv"]
    x = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    for name in names:
        assert model.with_outputs([name]).run(model.check(x), [name])[name].ndim == 4
        assert np.isfinite(xaionnx.explain(model, x, "layer_cam", 3, layer=name).values).all()


def test_an_op_without_plain_form_is_refused_by_name_with_the_reason(tmp_path):
    made = node("FusedGemm", ["x", "w"], ["y"], name="last", domain="com.microsoft", activation="ScaledTanh",
                activation_alpha=1.0, activation_beta=1.0)  # fmt: skip
    weights = {"w": np.ones((3, 2), np.float32)}
    path = saved(tmp_path / "m.onnx", [made], [tensor("x", ["N", 3])], [tensor("y", ["N", 2])], weights,
                 domains={"com.microsoft": 1})  # fmt: skip
    model = Model.load(path, device="cpu")
    x = np.ones((1, 3), np.float32)
    said = (
        r"^No rule for ONNX op 'com.microsoft.FusedGemm' \(node 'last': its activation 'ScaledTanh' has no plain "
        r"form\), on the path from 'x' to 'y'. Take the file from before onnxruntime optimised it, "
        r"or use a method without gradients: occlusion, rise, lime, kernel_shap.$"
    )
    with pytest.raises(UnsupportedModelError, match=said):
        xaionnx.explain(model, x, "lrp", 0)
    assert np.isfinite(xaionnx.explain(model, x, "kernel_shap", 0).values).all()
