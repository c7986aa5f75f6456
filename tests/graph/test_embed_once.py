"""Look-ups of the same tokens are written as one, and compute the same."""

import numpy as np
import pytest

from tests.tiny import loaded, normal, parsed, run
from tests.tolerances import Tolerance, assert_close
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.saliency import Saliency
from xaionnx.graph.embed_once import embed_once
from xaionnx.layers.embeddings import embeddings

E, K = normal(10, 4), normal(4, 3)
IDS = np.array([[1, 2, 3, 0, 9], [4, 5, 7, 1, 2]], dtype=np.int64)
BYTES = {"Q": np.arange(40, dtype=np.uint8).reshape(10, 4), "s": np.float32(0.1), "z": np.uint8(7)}
# Rows read in the order of the tokens and with time first; both are joined again.
QUANTISED = """q = Gather(Q, ids)  a = DequantizeLinear(q, s, z)
  r = Transpose<perm = [1, 0, 2]>(q)  b = DequantizeLinear(r, s, z)"""
TURNED = "a = Gather(E, ids)  t = Transpose<perm = [1, 0]>(ids)  b = Gather(E, t)"
HEAD = """m = ReduceMean<axes = [1], keepdims = 0>(a)  n = ReduceMax<axes = [0], keepdims = 0>(b)
  f = Tanh(m)  g = Add(f, n)  y = MatMul(g, K)"""
ALONE = "n = ReduceMax<axes = [0], keepdims = 0>(b)  y = MatMul(n, K)"
WEIGHTS = {"E": E, "K": K, **BYTES}


def text(nodes, head=HEAD):
    return f"g (int64[N, 5] ids) => (float[N, 3] y) {{ {nodes}  {head} }}"


@pytest.mark.parametrize("nodes", [QUANTISED, TURNED])
def test_a_second_reading_is_a_transposition_of_the_first(nodes):
    proto = parsed(text(nodes), **WEIGHTS)
    once = embed_once(proto)
    ops = [node.op_type for node in once.graph.node]
    assert ops.count("Gather") == ops.count("Transpose") == 1
    assert ops.count("DequantizeLinear") <= 1
    np.testing.assert_array_equal(run(once, {"ids": IDS})["y"], run(proto, {"ids": IDS})["y"])


@pytest.mark.parametrize("nodes", [QUANTISED, TURNED])
def test_both_readings_count(nodes):
    model = loaded(text(nodes), **WEIGHTS)
    assert embeddings(model) == ("a",)
    rows = E[IDS] if nodes is TURNED else (BYTES["Q"][IDS] - np.float32(7)) * np.float32(0.1)
    mean = rows.mean(axis=1, dtype=np.float64)
    slope = np.repeat(((1 - np.tanh(mean) ** 2) * K[:, 2])[:, None] / 5, 5, axis=1)
    for n in range(2):
        for d in range(4):
            slope[n, rows[n, :, d].argmax(), d] += K[d, 2]
    assert_close(Saliency(absolute=False).attribute(model, IDS, 2).values, slope, Tolerance.LAYERS)


def test_no_two_nodes_have_one_name():
    proto = parsed(
        text("q = Gather(Q, ids)  r = Transpose<perm = [1, 0, 2]>(q)  b = DequantizeLinear(r, s, z)", ALONE), **WEIGHTS
    )
    for node in proto.graph.node:
        node.name = node.op_type
    once = embed_once(proto)
    names = [node.name for node in once.graph.node]
    assert len(set(names)) == len(names) == 5
    np.testing.assert_array_equal(run(once, {"ids": IDS})["y"], run(proto, {"ids": IDS})["y"])


def test_a_reading_whose_shape_alone_is_used_is_no_embedding():
    nodes = QUANTISED + "  k = Shape(a)  i = ConstantOfShape(k)  j = ReduceSum<keepdims = 0>(i)"
    head = "n = ReduceMax<axes = [0], keepdims = 0>(b)  g = Mul(n, j)  y = MatMul(g, K)"
    model = loaded(text(nodes, head), **WEIGHTS)
    assert embeddings(model) == ("a",)
    found = InputXGradient().attribute(model, IDS, 2)
    assert_close(found.values.sum(axis=(1, 2)), found.prediction, Tolerance.SUMS)


@pytest.mark.parametrize(
    "nodes",
    [
        # Another table, another axis, a scale for each column, no rows of a table: nothing to join.
        "a = Gather(E, ids)  t = Transpose<perm = [1, 0]>(ids)  b = Gather(F, t)",
        """a = Gather(E, ids)  t = Transpose<perm = [1, 0]>(ids)  c = Gather<axis = 1>(G, t)
        b = Transpose<perm = [1, 2, 0]>(c)""",
        """q = Gather(Q, ids)  a = DequantizeLinear(q, s, z)
        r = Transpose<perm = [1, 0, 2]>(q)  b = DequantizeLinear<axis = 2>(r, v, w)""",
    ],
)
def test_other_readings_stay(nodes):
    weights = {"F": normal(10, 4, seed=1), "G": E.T.copy(), "v": normal(4) ** 2, "w": np.full(4, 7, np.uint8)}
    proto = parsed(text(nodes), **WEIGHTS, **weights)
    assert embed_once(proto) is proto
