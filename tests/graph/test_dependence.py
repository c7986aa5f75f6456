"""Element dependence against what changes when each element of an input is changed."""

import numpy as np
import pytest

from tests import tiny
from tests.tiny import normal
from xaionnx.graph.dependence import DependenceWalk
from xaionnx.graph.view import GraphView

MAP = "float[N, 4, 6, 6] x"
# The graph, and the weights it uses.
CASES = {
    "joined": (f"{MAP}", "a = Relu(x)  b = Tanh(x)  y = Concat<axis = 2>(a, b)", {}),
    "one half": ("float[N, 6, 4] x", "a, b = Split<axis = 1>(x)  y = Tanh(b)", {}),
    "slice": (f"{MAP}", "y = Slice(x, s, e, a, t)", {"s": [1, -1], "e": [4, -6], "a": [1, 3], "t": [2, -2]}),
    "row": (f"{MAP}", "y = Gather<axis = 2>(x, i)", {"i": [[1, -1]]}),
    "turned": (f"{MAP}", "y = Transpose<perm = [0, 2, 3, 1]>(x)", {}),
    "flat": (f"{MAP}", "y = Reshape(x, s)", {"s": [0, 2, -1]}),
    "flattened": (f"{MAP}", "y = Flatten(x)", {}),
    "wider": ("float[N, 1, 3] x", "y = Expand(x, s)", {"s": [1, 4, 3]}),
    "tiles": ("float[N, 2, 3] x", "y = Tile(x, s)", {"s": [1, 2, 2]}),
    "border": ("float[N, 2, 3] x", "y = Pad(x, s)", {"s": [0, 1, 2, 0, 0, 1]}),
    "mirrored": ("float[N, 2, 4] x", "y = Pad<mode = \"reflect\">(x, s)", {"s": [0, 0, 2, 0, 0, 1]}),
    "softmax": ("float[N, 3, 4] x", "y = Softmax<axis = 1>(x)", {}),
    "normal": ("float[N, 3, 4] x", "y = LayerNormalization(x, g)", {"g": normal(4)}),
    "mean": (f"{MAP}", "y = ReduceMean<axes = [2], keepdims = 0>(x)", {}),
    "kept mean": (f"{MAP}", "y = ReduceMean<axes = [1]>(x)", {}),
    "running": ("float[N, 3, 4] x", "y = CumSum(x, a)", {"a": 2}),
    "rows": ("float[N, 3, 4] x", "y = MatMul(x, w)", {"w": normal(4, 5)}),
    "columns": ("float[N, 3, 4] x", "t = Transpose<perm = [0, 2, 1]>(x)  y = MatMul(w, t)", {"w": normal(2, 4)}),
    "einsum": ("float[N, 3, 4] x", "y = Einsum<equation = \"nij,kj->nki\">(x, w)", {"w": normal(5, 4)}),
    "einsum of all": ("float[N, 3, 1] x", "y = Einsum<equation = \"...ij,jk\">(x, w)", {"w": normal(4, 5)}),
    "gemm": ("float[N, 4] x", "y = Gemm<transB = 1>(x, w, b)", {"w": normal(5, 4), "b": normal(5)}),
    "conv": (f"{MAP}", "y = Conv<pads = [1, 0, 0, 1], strides = [2, 1]>(x, w)", {"w": normal(3, 4, 3, 2)}),
    "same": (f"{MAP}", "y = Conv<auto_pad = \"SAME_UPPER\", strides = [2, 2]>(x, w)", {"w": normal(3, 4, 3, 3)}),
    "dilated": (f"{MAP}", "y = Conv<dilations = [2, 2]>(x, w)", {"w": normal(3, 4, 2, 2)}),
    "groups": (f"{MAP}", "y = Conv<group = 2>(x, w)", {"w": normal(4, 2, 1, 1)}),
    "up": (f"{MAP}", "y = ConvTranspose<strides = [2, 2], pads = [1, 0, 0, 1]>(x, w)", {"w": normal(4, 2, 3, 3)}),
    "pool": (f"{MAP}", "y = AveragePool<kernel_shape = [2, 3], strides = [2, 1]>(x)", {}),
    "whole": (f"{MAP}", "y = GlobalAveragePool(x)", {}),
    "nearest": (f"{MAP}", "y = Resize<mode = \"nearest\">(x, \"\", r)", {"r": np.float32([1, 1, 2, 2])}),
    "linear": (f"{MAP}", "y = Resize<mode = \"linear\">(x, \"\", r)", {"r": np.float32([1, 1, 1.5, 0.5])}),
    "deep": (f"{MAP}", "y = DepthToSpace<blocksize = 2>(x)", {}),
    "blocks": (f"{MAP}", "y = SpaceToDepth<blocksize = 2>(x)", {}),
    "gate": (f"{MAP}", "m = GlobalAveragePool(x)  s = Sigmoid(m)  y = Mul(x, s)", {}),
    "sizes": (f"{MAP}", "n = Shape(x)  z = Reshape(w, n)  y = Add(x, z)", {"w": normal(1, 4, 6, 6)}),
    "table": (f"{MAP}", "a = Slice(x, s, e, a1)  y = Where(c, a, n)",
              {"s": [0], "e": [2], "a1": [1], "c": np.array([[True], [False], [True]] * 2), "n": np.float32(0)}),
}  # fmt: skip
# These read more than their product of axes, or an interval around the position.
LOOSE = {"gate", "deep", "blocks", "running", "mirrored", "nearest", "linear", "table"}


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("case", CASES)
def test_the_elements_that_change_an_output(case):
    given, nodes, weights = CASES[case]
    weights = {name: np.asarray(w, dtype=np.int64) if isinstance(w, list | int) else w for name, w in weights.items()}
    proto = tiny.parsed(f"g ({given}) => (float[N, M] y) {{ {nodes} }}", **weights)
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    sizes = [1, *(dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:])]
    x = normal(*sizes)
    base = tiny.run(proto, {"x": x})["y"]
    changed = np.zeros((base.size, x.size), dtype=bool)
    for element in range(x.size):
        other = x.copy()
        other.flat[element] += 3.0
        changed[:, element] = (tiny.run(proto, {"x": other})["y"] != base).ravel()
    walk = DependenceWalk(GraphView(proto), {"x": sizes})
    for element in range(0, base.size, 1 + base.size // 40):
        found = walk.back({"y": np.array([element])}).elements.get("x", ())
        seen = np.zeros(sizes, dtype=bool)
        if found is None:
            seen[:] = True
        elif found:
            axes = [np.ones(size, bool) if axis is None else axis for axis, size in zip(found, sizes, strict=True)]
            seen[np.ix_(*axes)] = True
        true = changed[element].reshape(sizes)
        assert not (true & ~seen).any(), element
        if case not in LOOSE:
            assert (true == seen).all(), element


def test_a_choice_by_values_is_told():
    certain = GraphView(tiny.parsed("g (float[N, 4] x) => (float[N, 2] y) { y = Slice(x, s, e, a) }",
                                    s=np.array([0]), e=np.array([2]), a=np.array([1])))  # fmt: skip
    assert DependenceWalk(certain, {"x": (1, 4)}).back({"y": None}).certain
    text = "g (float[N, 4] x) => (float[N, 2] y) { y, i = TopK(x, k) }"
    best = DependenceWalk(GraphView(tiny.parsed(text, k=np.array([2]))), {"x": (1, 4)})
    assert not best.back({"y": np.array([0])}).certain


def test_outputs_of_a_node_that_are_not_read_do_not_count():
    text = """g (float[N, 4] x) => (float[N, 2] y, float[N, 2] z) {
      a, b = Split<axis = 1>(x)  y = Relu(a)  z = Relu(b) }"""
    walk = DependenceWalk(GraphView(tiny.parsed(text)), {"x": (1, 4)})
    assert sorted(walk.back({"y": None}).elements) == ["a", "x", "y"]


def test_a_tensor_of_unknown_shape_counts_as_a_whole():
    text = "g (float[N, T] x) => (float[N, M] y) { a = Relu(x)  y = Concat<axis = 1>(a, a) }"
    found = DependenceWalk(GraphView(tiny.parsed(text)), {"x": (1, 3)}).back({"y": np.array([4])})
    assert found.counts("a") == (-1, 1)
    unknown = DependenceWalk(GraphView(tiny.parsed(text)), {}).back({"y": np.array([4])})
    assert unknown.counts("a") is None


def test_one_number_a_sample():
    view = GraphView(tiny.parsed("g (float[N, 3] x) => (float[N] y) { y = ReduceSum <keepdims = 0> (x, a) }",
                                 a=np.int64([1])))  # fmt: skip
    found = DependenceWalk(view, {"x": [1, 3]}).back({"y": np.array([[0]])})
    assert set(found.elements) >= {"x"}
