"""Attention rollout and attention relevance of transformers, for all forms of their graphs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from models import planted
from tests.oracles import attention as oracle
from tests.tiny import loaded, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.attention_relevance import AttentionRelevance
from xaionnx.explainers.attention_rollout import AttentionRollout
from xaionnx.graph.landmarks import attentions
from xaionnx.graph.view import GraphView
from xaionnx.layers.dry_run import DryRun

T, D, HEADS, K, LAYERS = 5, 4, 2, 3, 2
DRAW = np.random.default_rng(8)
WEIGHTS = [tuple(DRAW.normal(size=(D, D)) * 0.7 for _ in range(3)) for _ in range(LAYERS)]
HEAD = DRAW.normal(size=(D, K))
X = DRAW.normal(size=(3, T, D)).astype(np.float32)
FORMS = ("heads", "rows", "einsum", "masked", "op", "second")


class Written:
    """Nodes and constants of a graph."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs.split(), [output], name=output, **attributes))
        return output

    def number(self, name, values):
        self.constants[name] = np.array(values, dtype=np.int64)

    def mixed(self, form, n, q, k, v):
        """The values of layer n, mixed by attention."""
        node = self.node
        if form == "op":
            return node("Attention", f"{q} {k} {v}", f"mixed_{n}", scale=1.0)
        if form == "einsum":
            node("Einsum", f"{q} {k}", f"scores_{n}", equation="bqhd,bkhd->bhqk")
            node("Softmax", f"scores_{n}", f"attention_{n}", axis=-1)
            return node("Einsum", f"attention_{n} {v}", f"mixed_{n}", equation="bhqk,bkhd->bhqd")
        if form == "rows":
            q, k, v = (node("Reshape", f"{name} rowed", f"{name}_rows") for name in (q, k, v))
        flipped = [0, 2, 1] if form == "rows" else [0, 1, 3, 2]
        node("Transpose", k, f"{k}_flipped", perm=flipped)
        scores = node("MatMul", f"{q} {k}_flipped", f"scores_{n}")
        if form == "masked":
            scores = node("Add", f"{scores} mask", f"seen_{n}")
        node("Softmax", scores, f"attention_{n}", axis=-1)
        mixed = node("MatMul", f"attention_{n} {v}", f"mixed_{n}")
        return node("Reshape", f"{mixed} apart", f"apart_{n}") if form == "rows" else mixed


def encoder(form, read="first"):
    """The encoder of the oracle as a graph: (N, T, D) to (N, K).

    ``heads`` have their own axis; in ``rows`` they share the batch axis; ``masked`` adds a mask computed from another
    input; ``op`` is the Attention of opset 23; ``second`` has the batch after the tokens.
    """
    written = Written()
    node, number, constants = written.node, written.number, written.constants
    constants["head"] = HEAD
    number("parted", [0, 0, HEADS, D // HEADS])
    number("joined", [0, 0, D])
    number("rowed", [-1, T, D // HEADS])
    number("apart", [-1, HEADS, T, D // HEADS])
    number("token", {"first": 0, "last": -1}.get(read, 0))
    number("from", [1])
    number("to", [2**40])
    along = 0 if form == "second" else 1
    number("axes", [along])
    constants["one"] = np.float32(1)
    constants["large"] = np.float32(-1e4)
    x = node("Transpose", "x", "turned", perm=[1, 0, 2]) if form == "second" else "x"
    there, back = ([1, 2, 0, 3], [2, 0, 1, 3]) if form == "second" else ([0, 2, 1, 3], [0, 2, 1, 3])
    if form == "masked":
        node("Unsqueeze", "keep far", "wide")
        number("far", [1, 2])
        node("Sub", "one wide", "gone")
        node("Mul", "gone large", "mask")
    for n, parts in enumerate(WEIGHTS):
        for key, weights in zip("qkv", parts, strict=True):
            constants[f"{key}{n}"] = weights
            node("MatMul", f"{x} {key}{n}", f"{key}_{n}")
            node("Reshape", f"{key}_{n} parted", f"{key}_parted_{n}")
            turned = form != "einsum"
            if turned:
                node("Transpose", f"{key}_parted_{n}", f"{key}_heads_{n}", perm=there)
        q, k, v = (f"{key}_{'heads' if turned else 'parted'}_{n}" for key in "qkv")
        mixed = written.mixed(form, n, q, k, v)
        node("Transpose", mixed, f"ordered_{n}", perm=back)
        node("Reshape", f"ordered_{n} joined", f"branch_{n}")
        x = node("Add", f"{x} branch_{n}", f"tokens_{n}")
    if read == "rest":
        x = node("Slice", f"{x} from to axes", "rest")
    if read in ("mean", "rest"):
        node("ReduceMean", f"{x} axes", "read", keepdims=0)
    else:
        node("Gather", f"{x} token", "read", axis=along)
    node("MatMul", "read head", "y")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", T, D])]
    if form == "masked":
        inputs.append(helper.make_tensor_value_info("keep", TensorProto.FLOAT, ["N", T]))
    held = [
        numpy_helper.from_array(np.asarray(a) if np.asarray(a).dtype == np.int64 else np.float32(a), name)
        for name, a in constants.items()
    ]
    graph = helper.make_graph(
        written.nodes,
        f"encoder_{form}_{read}",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", K])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return planted.load(model)


def feeds(form):
    return {"x": X, "keep": np.ones((3, T), np.float32)} if form == "masked" else X


def found(form, explainer, read="first", target=None):
    result = explainer.attribute(encoder(form, read), feeds(form), target)
    values = result.values["x"] if isinstance(result.values, dict) else result.values
    np.testing.assert_array_equal(values, np.broadcast_to(result.maps["tokens"][..., None], values.shape).astype("f4"))
    return result


def held(n):
    return oracle.encoder(X[n].astype(np.float64), WEIGHTS, HEADS)[1]


def slopes(n, target, rows, step=1e-6):
    """df/dA of each layer, (heads, T, T), by differences of the oracle; the head averages ``rows``."""

    def score(shift):
        return (oracle.encoder(X[n].astype(np.float64), WEIGHTS, HEADS, shift)[0][rows].mean(axis=0) @ HEAD)[target]

    result = np.zeros((LAYERS, HEADS, T, T))
    for place in np.ndindex(result.shape):
        shift = np.zeros_like(result)
        shift[place] = step
        result[place] = (score(shift) - score(-shift)) / (2 * step)
    return result


READ = {"first": [0], "last": [T - 1], "mean": list(range(T)), "rest": list(range(1, T))}


@pytest.mark.parametrize("form", FORMS)
def test_rollout_is_the_product_of_the_layers_in_any_form_of_graph(form):
    result = found(form, AttentionRollout())
    for n in range(3):
        assert_close(result.maps["tokens"][n], oracle.rollout(held(n))[0], Tolerance.SIGNED_SUMS)
    assert_close(result.maps["tokens"].sum(axis=1), 1, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("discard", [0.0, 0.3, 0.9])
def test_rollout_fuses_heads_and_discards_the_smallest(heads, discard):
    result = found("heads", AttentionRollout(heads=heads, discard=discard))
    for n in range(3):
        expected = oracle.rollout(held(n), heads, discard)[0]
        assert_close(result.maps["tokens"][n], expected, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("form", FORMS)
def test_relevance_follows_positive_attention_times_gradient_in_any_form_of_graph(form):
    result = found(form, AttentionRelevance(), target=[0, 2])
    for t, target in enumerate((0, 2)):
        for n in range(3):
            expected = oracle.relevance(held(n), slopes(n, target, [0]))[0] - np.eye(T)[0]
            assert_close(result.maps["tokens"][t, n], expected, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("form", ["heads", "rows", "second"])
@pytest.mark.parametrize("read", READ)
def test_the_tokens_that_the_head_reads_are_found(form, read):
    rows = READ[read]
    rolled = found(form, AttentionRollout(), read)
    end = "/heads" if form == "rows" else ""
    assert rolled.provenance["attention"] == {"layers": [f"attention_{n}{end}" for n in (0, 1)], "read": rows}
    assert_close(rolled.maps["tokens"][1], oracle.rollout(held(1))[rows].mean(axis=0), Tolerance.SIGNED_SUMS)
    result = found(form, AttentionRelevance(), read, target=1)
    expected = (oracle.relevance(held(1), slopes(1, 1, rows)) - np.eye(T))[rows].mean(axis=0)
    assert_close(result.maps["tokens"][1], expected, Tolerance.SIGNED_SUMS)


def test_the_row_can_be_chosen():
    result = found("heads", AttentionRollout(row="mean"))
    assert_close(result.maps["tokens"][0], oracle.rollout(held(0)).mean(axis=0), Tolerance.SIGNED_SUMS)
    assert found("heads", AttentionRollout(row="first"), "last").provenance["attention"]["read"] == [0]


def test_rollout_tells_no_classes_apart_and_relevance_does():
    rolled = found("heads", AttentionRollout(), target=[0, 1]).values
    np.testing.assert_array_equal(rolled[0], rolled[1])
    relevant = found("heads", AttentionRelevance(), target=[0, 1]).values
    assert np.abs(relevant[0] - relevant[1]).max() > 0.1


def test_patches_become_a_map_over_the_picture():
    x = np.random.default_rng(1).normal(size=(2, 3, 12, 12)).astype(np.float32)
    model = planted.load(planted.attending())
    result = AttentionRollout().attribute(model, x)
    layers = [f"attention_{n}" for n in (1, 2)]
    shown = model.with_outputs(layers).run({"x": x}, layers)
    for n in range(2):
        rolled = oracle.rollout([shown[name][n].astype(np.float64) for name in layers])[0, 1:].reshape(3, 3)
        assert_close(result.maps["tokens"][n], rolled, Tolerance.SIGNED_SUMS)
        # Values are interpolated linearly between the centres of patches, and constant beyond the outermost ones.
        places = (np.arange(12) + 0.5) / 4 - 0.5
        rows = np.stack([np.interp(places, range(3), column) for column in rolled.T], axis=1)
        expected = np.stack([np.interp(places, range(3), row) for row in rows])
        large = result.values[n]
        assert_close(large[1], expected, Tolerance.SIGNED_SUMS)
        np.testing.assert_array_equal(large[0], large[2])


def test_attention_within_windows_is_refused():
    # Two windows of 4 tokens each, as in Swin.
    text = """g (float[N, 8, 4] x) => (float[N, 4] y) <int64[4] parted = {-1, 1, 4, 4}, int64[3] joined = {-1, 8, 4}> {
      windows = Reshape(x, parted)
      k = Transpose <perm = [0, 1, 3, 2]> (windows)
      scores = MatMul(windows, k)
      a = Softmax(scores)
      mixed = MatMul(a, windows)
      tokens = Reshape(mixed, joined)
      y = ReduceMean <axes = [1], keepdims = 0> (tokens) }"""
    model = loaded(text)
    for kind in (AttentionRollout, AttentionRelevance):
        with pytest.raises(UnsupportedModelError, match=r"Attention 'a' of .* is taken within windows or groups"):
            kind().attribute(model, np.ones((2, 8, 4), np.float32), 0)


def test_attention_that_pools_is_refused():
    text = """g (float[N, 6, 4] x) => (float[N, 4] y) <float[4, 4] w = {1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1}> {
      q = ReduceMean <axes = [1]> (x)
      asked = MatMul(q, w)
      k = Transpose <perm = [0, 2, 1]> (x)
      scores = MatMul(asked, k)
      a = Softmax(scores)
      mixed = MatMul(a, x)
      y = ReduceMean <axes = [1], keepdims = 0> (mixed) }"""
    model = loaded(text)
    with pytest.raises(UnsupportedModelError, match=r"leads from 1 to 6 tokens"):
        AttentionRollout().attribute(model, np.ones((2, 6, 4), np.float32), 0)


def test_models_without_attention_are_refused():
    model = Model.load("models/mnist_cnn.onnx")
    with pytest.raises(UnsupportedModelError, match=r"mnist_cnn.onnx has no attention "):
        xaionnx.explain(model, np.zeros((1, 1, 28, 28), np.float32), "attention_rollout")
    with pytest.raises(UnsupportedModelError, match=r"mnist_cnn.onnx has no attention "):
        AttentionRelevance().validate(DryRun.of(model))
    assert AttentionRelevance().validate(DryRun.of(encoder("op")))["gradient"] == "graph"


def fused_attention(op, inputs, weights=None, before=(), **stated):
    node = helper.make_node(op, inputs, ["a"], "fused_0", domain="com.microsoft", num_heads=2, **stated)
    end = helper.make_node("ReduceMean", ["a"], ["y"], axes=[1], keepdims=0)
    graph = helper.make_graph(
        [*before, node, end],
        "fused",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", T, D])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return planted.load(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def test_fused_attention_is_followed_like_plain_attention():
    model = fused_attention("MultiHeadAttention", ["x", "x", "x"])
    ours = AttentionRollout().attribute(model, X).values
    split = X.reshape(len(X), T, 2, D // 2).transpose(0, 2, 1, 3)
    powers = np.exp(split @ split.transpose(0, 1, 3, 2) / np.sqrt(D // 2))
    shares = (powers / powers.sum(-1, keepdims=True)).mean(1)
    wanted = (0.5 * np.eye(T) + 0.5 * shares).mean(1)
    np.testing.assert_allclose(ours[..., 0] / ours[..., 0].sum(1, keepdims=True), wanted, rtol=1e-4)


def test_fused_attention_without_plain_form_is_refused_by_name():
    weights = {"w": np.ones((D, 32), np.float32), "length": np.int32([T - 1]), "total": np.array(T, np.int32)}
    wide = helper.make_node("MatMul", ["x", "w"], ["q"])
    inputs = ["q", "q", "q", "", "", "length", "total"]
    model = fused_attention("GroupQueryAttention", inputs, weights, [wide], kv_num_heads=2, smooth_softmax=1)
    with pytest.raises(UnsupportedModelError, match=r"op com.microsoft.GroupQueryAttention \(node 'fused_0'\)"):
        AttentionRollout().attribute(model, X[:1])


def test_a_mask_that_is_computed_is_no_second_product():
    proto = encoder("masked").file.proto
    assert [layer.weights for layer in attentions(GraphView(proto))] == ["attention_0", "attention_1"]
    assert attentions(GraphView(proto), ["tokens_0"]) == attentions(GraphView(proto))[:1]


def test_attention_between_rounded_numbers_is_found():
    model = parsed(
        """g (float[N, 4, 2] x) => (float[N, 4, 2] y)
        <float s = {0.01}, uint8 z = {128}, float r = {0.004}, uint8 o = {0}> {
          xq = QuantizeLinear(x, s, z)  h = DequantizeLinear(xq, s, z)
          k = Transpose<perm = [0, 2, 1]>(h)  scores = MatMul(h, k)
          sq = QuantizeLinear(scores, s, z)  sd = DequantizeLinear(sq, s, z)
          a = Softmax(sd)
          aq = QuantizeLinear(a, r, o)  ad = DequantizeLinear(aq, r, o)
          y = MatMul(ad, h) }"""
    )
    (layer,) = attentions(GraphView(model))
    assert layer.weights == "a"
