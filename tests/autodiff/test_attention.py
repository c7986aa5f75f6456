"""Attention and RotaryEmbedding, expanded by their function bodies, against central differences."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from tests.autodiff.differences import COTANGENT, batch_error, built, either, gradient_name, widened
from tests.tiny import parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.graph.expand import expand
from xaionnx.runtime.model import Model

N, T, S, D = "N", 5, 4, 6


def attention(shapes, *, out=(N, 2, T, D), opset=23, kind=TensorProto.DOUBLE, kinds=None, **attributes):
    names = ["Q", "K", "V", "mask", "past_key", "past_value"]
    last = max(i for i, name in enumerate(names) if name in shapes)
    node = helper.make_node(
        "Attention", [name if name in shapes else "" for name in names[: last + 1]], ["y"], name="n", **attributes
    )
    values = [helper.make_tensor_value_info(n, (kinds or {}).get(n, kind), s) for n, s in shapes.items()]
    graph = helper.make_graph([node], "g", values, [helper.make_tensor_value_info("y", kind, list(out))])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def attention_error(shapes, wrt=None, **options):
    made = attention(shapes, **options)
    batched = {name for name, shape in shapes.items() if shape and shape[0] == N}
    sizes = {name: tuple(s for s in shape if s != N) for name, shape in shapes.items()}
    return batch_error(made, sizes, list(shapes) if wrt is None else wrt, batched=batched)


HEADS = {"Q": [N, 2, T, D], "K": [N, 2, S, D], "V": [N, 2, S, D]}
GROUPED = {"Q": [N, 6, T, D], "K": [N, 2, S, D], "V": [N, 2, S, 3]}
FLAT = {"Q": [N, T, 12], "K": [N, S, 12], "V": [N, S, 12]}


@pytest.mark.parametrize("attributes", [{}, {"is_causal": 1}, {"scale": 0.3}, {"softcap": 1.5}])
def test_attention_at_other_batches(attributes):
    attributes |= {"softmax_precision": TensorProto.DOUBLE}
    assert_close(attention_error(HEADS, **attributes), 0, Tolerance.DIFFERENCES)
    assert_close(attention_error(GROUPED, out=(N, 6, T, 3), **attributes), 0, Tolerance.DIFFERENCES)
    assert_close(
        attention_error(FLAT, out=(N, T, 12), q_num_heads=2, kv_num_heads=2, **attributes), 0, Tolerance.DIFFERENCES
    )


@pytest.mark.parametrize("mask", [[T, S], [1, 1, T, S], [N, 1, T, S], [N, 2, T, S]])
def test_attention_with_a_mask_that_is_added(mask):
    assert_close(
        attention_error({**HEADS, "mask": mask}, softmax_precision=TensorProto.DOUBLE), 0, Tolerance.DIFFERENCES
    )


def test_attention_with_a_past():
    past = {"past_key": [N, 2, 3, D], "past_value": [N, 2, 3, D]}
    assert_close(
        attention_error({**HEADS, **past}, is_causal=1, softmax_precision=TensorProto.DOUBLE), 0, Tolerance.DIFFERENCES
    )


def test_a_query_that_sees_nothing_leaves_the_other_gradients_finite():
    shapes = {**HEADS, "mask": [T, S]}
    made = attention(shapes, kinds={"mask": TensorProto.BOOL}, softmax_precision=TensorProto.DOUBLE)
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal([2 if s == N else s for s in shape]) for name, shape in HEADS.items()}
    mask = np.tri(T, S, dtype=bool)
    mask[2] = False
    feeds["mask"] = mask
    _, run = built(made, [feeds], list(HEADS))
    cotangent = rng.standard_normal((2, 2, T, D))
    y, *slopes = run({**feeds, COTANGENT: cotangent}, ["y", *map(gradient_name, HEADS)])
    assert np.array_equal(y[:, :, 2], np.zeros((2, 2, D)))
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert np.array_equal(slopes[0][:, :, 2], np.zeros((2, 2, D)))
    # The same as without that query.
    rest = [0, 1, 3, 4]
    fewer = {"Q": [N, 2, 4, D], "K": HEADS["K"], "V": HEADS["V"], "mask": [4, S]}
    smaller = attention(fewer, out=(N, 2, 4, D), kinds={"mask": TensorProto.BOOL}, softmax_precision=TensorProto.DOUBLE)
    part = feeds | {"Q": feeds["Q"][:, :, rest], "mask": mask[rest]}
    _, run = built(smaller, [part], ["K", "V"])
    expected = run({**part, COTANGENT: cotangent[:, :, rest]}, [gradient_name("K"), gradient_name("V")])
    assert_close(slopes[1], expected[0], Tolerance.FLOAT64)
    assert_close(slopes[2], expected[1], Tolerance.FLOAT64)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("share", [0, 4])
@pytest.mark.parametrize("flat", [False, True])
def test_rotary_embedding_at_other_batches(interleaved, share, flat):
    half = (share or 8) // 2
    shape = [N, T, 16] if flat else [N, 2, T, 8]
    shapes = {"x": shape, "cos": [N, T, half], "sin": [N, T, half]}
    attributes = {"interleaved": interleaved, "rotary_embedding_dim": share} | ({"num_heads": 2} if flat else {})
    node = helper.make_node("RotaryEmbedding", list(shapes), ["y"], name="n", **attributes)
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, own) for name, own in shapes.items()]
    graph = helper.make_graph([node], "g", values, [helper.make_tensor_value_info("y", TensorProto.DOUBLE, shape)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.checker.check_model(expand(made), full_check=True)
    sizes = {name: tuple(own[1:]) for name, own in shapes.items()}
    assert_close(batch_error(made, sizes, list(shapes)), 0, Tolerance.DIFFERENCES)


def test_a_model_with_rotary_attention_differentiates_in_onnxruntime(tmp_path):
    made = parsed(
        """g (float[N, 5, 16] x, float[N, 5, 4] cos, float[N, 5, 4] sin) => (float[N, 5, 16] y) {
          h = RotaryEmbedding<num_heads = 2>(x, cos, sin)
          a = Attention<q_num_heads = 2, kv_num_heads = 2, is_causal = 1>(h, h, x)
          scale = Constant<value = float[16] {1,2,1,2,1,2,1,2,1,2,1,2,1,2,1,2}>()
          y = RMSNormalization(a, scale) }""",
        opset=23,
        ir=10,
    )
    path = tmp_path / "rotary.onnx"
    onnx.save(made, path)
    built = gradient(Model.load(path, device="cpu"), "y", ["x", "a"])
    wide = widened(made)
    for node in wide.graph.node:
        if node.op_type == "Attention":
            node.attribute.append(helper.make_attribute("softmax_precision", TensorProto.DOUBLE))
    rng = np.random.default_rng(0)
    for count in (1, 5):
        shapes = {"x": (count, 5, 16), "cos": (count, 5, 4), "sin": (count, 5, 4)}
        feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        cotangent = rng.standard_normal((count, 5, 16)).astype(np.float32)
        _, slopes = built.run(feeds, cotangent)
        assert slopes["a"].shape == (count, 5, 16)
        run = either(expand(wide))
        direction = rng.standard_normal((count, 5, 16))
        double = {name: array.astype(np.float64) for name, array in feeds.items()}
        above, below = (
            np.sum(cotangent * run({**double, "x": double["x"] + s * 1e-6 * direction}, ["y"])[0]) for s in (1.0, -1.0)
        )
        expected = (above - below) / 2e-6
        size = np.linalg.norm(slopes["x"] * direction)
        assert_close(np.sum(slopes["x"] * direction), expected, Tolerance.DIFFERENCES, size)
