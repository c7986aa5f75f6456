"""Where graphs embed tokens: through casts, shifts, quantised tables, one-hot rows and transposed tables."""

import numpy as np
import pytest

from tests import tiny
from tests.tiny import normal
from xaionnx.graph.lookups import joined_embedding, token_inputs, token_lookups
from xaionnx.graph.view import GraphView

E = normal(10, 4)
BYTES = {"Q": np.arange(40, dtype=np.uint8).reshape(10, 4), "s": np.float32(0.1), "z": np.uint8(7)}
ROWS = {"last": np.array([2]), "lines": np.arange(10)}
CASES = {
    "plain": ("int64[N, 5] ids", "e = Gather(E, ids)", {"E": E}),
    "floats cast": ("float[N, 5] ids", "i = Cast<to = 6>(ids)  e = Gather(E, i)", {"E": E}),
    "floats rounded": ("float[N, 5] ids", "r = Floor(ids)  i = Cast<to = 7>(r)  e = Gather(E, i)", {"E": E}),
    "wrapped around": (
        "int32[N, 5] ids",
        "low = Less(ids, o)  up = Add(ids, v)  i = Where(low, up, ids)  e = Gather(E, i)",
        {"E": E, "o": np.int32(0), "v": np.int32(10)},
    ),
    "wrapped around by products": (
        "int32[N, 5] ids",
        """f = Cast<to = 1>(ids)  low = Less(f, o)  high = Not(low)  up = Add(ids, v)  l = Cast<to = 6>(low)
        h = Cast<to = 6>(high)  a = Mul(l, up)  b = Mul(ids, h)  i = Add(a, b)  e = Gather(E, i)""",
        {"E": E, "o": np.float32(0), "v": np.int32(10)},
    ),
    "wrapped around as floats": (
        "float[N, 5] ids",
        """low = Less(ids, o)  l = Cast<to = 1>(low)  up = Mul(l, v)  s = Add(ids, up)  i = Cast<to = 6>(s)
        e = Gather(E, i)""",
        {"E": E, "o": np.float32(0), "v": np.float32(10)},
    ),
    "out of the vocabulary": (
        "int64[N, 5] ids",
        """b = GreaterOrEqual(ids, v)  n = Not(b)  k = Cast<to = 7>(n)  i = Mul(ids, k)  e = Gather(E, i)""",
        {"E": E, "v": np.int64(10)},
    ),
    "hashed": ("int64[N, 5] ids", "i = Mod(ids, v)  e = Gather(E, i)", {"E": E, "v": np.int64(10)}),
    "quantised": ("int64[N, 5] ids", "q = Gather(Q, ids)  e = DequantizeLinear(q, s, z)", BYTES),
    "quantised by hand": (
        "int64[N, 5] ids",
        "q = Gather(Q, ids)  e = Cast<to = 1>(q)  d = Sub(e, f)  m = Mul(d, s)",
        BYTES | {"f": np.float32(7)},
    ),
    "one-hot": (
        "int64[N, 5] ids",
        "e = OneHot(ids, depth, ends)",
        {"depth": np.array(10), "ends": np.float32([0, 1])},
    ),
    "compared": (
        "int32[N, 5] ids",
        "i = Cast<to = 7>(ids)  c = Unsqueeze(i, last)  b = Equal(c, lines)  e = Cast<to = 1>(b)",
        ROWS,
    ),
    "renumbered": (
        "int64[N, 5] ids",
        "i = Gather(map, ids)  e = Gather(E, i)",
        {"E": E, "map": np.arange(10)[::-1].copy()},
    ),
    "columns": (
        "int64[N, 5] ids",
        "c = Gather<axis = 1>(E, ids)  e = Transpose<perm = [1, 2, 0]>(c)",
        {"E": E.T.copy()},
    ),
    "time first": (
        "int64[N, 5] ids",
        "t = Transpose<perm = [1, 0]>(ids)  r = Gather(E, t)  e = Transpose<perm = [1, 0, 2]>(r)",
        {"E": E},
    ),
    "flat": (
        "int64[N, 5] ids",
        "t = Reshape(ids, flat)  r = Gather(E, t)  e = Reshape(r, block)",
        {"E": E, "flat": np.array([-1]), "block": np.array([-1, 5, 4])},
    ),
    "a mask beside it": (
        "int64[N, 5] ids",
        "b = Equal(ids, o)  n = Not(b)  mask = Cast<to = 1>(n)  e = Gather(E, ids)",
        {"E": E, "o": np.array(0)},
    ),
    "by n-dimensional indices": (
        "int64[N, 5] ids",
        "i = Unsqueeze(ids, last)  e = GatherND(E, i)",
        {"E": E, "last": np.array([2])},
    ),
}


def view(given, nodes, weights, end="e"):
    return GraphView(tiny.parsed(f"g ({given}) => (float[N, M, D] y) {{ {nodes}  y = Tanh({end}) }}", **weights))


@pytest.mark.parametrize("case", CASES)
def test_the_first_floats_of_the_tokens(case):
    given, nodes, weights = CASES[case]
    graph = view(given, nodes, weights)
    assert token_lookups(graph, "ids").embeddings == ("e",)
    if given.startswith("float"):
        assert token_inputs(graph, ["ids"]) == {"ids"}


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        # The number itself is used too, or alone.
        ("i = Cast<to = 6>(ids)  r = Gather(E, i)  w = Unsqueeze(ids, last)  e = Mul(r, w)", ("r",)),
        ("e = Mul(ids, ids)", ()),
        ("b = Less(ids, o)  f = Cast<to = 1>(b)  e = Mul(ids, f)  d = Exp(e)", ()),
        # A mask alone is no embedding.
        ("b = Equal(ids, o)  e = Cast<to = 1>(b)", ()),
    ],
)
def test_floats_that_are_numbers_too(nodes, found):
    graph = view("float[N, 5] ids", nodes, {"E": E, "last": np.array([2]), "o": np.float32(0)})
    assert token_lookups(graph, "ids").embeddings == found
    assert token_inputs(graph, ["ids"]) == frozenset()


def test_several_embeddings_are_one_where_they_are_joined():
    weights = {"E": E, "F": normal(10, 4, seed=1), "two": np.float32(2)}
    both = "a = Gather(E, ids)  b = Gather(F, ids)  c = Mul(b, two)  e = Add(a, c)"
    graph = view("int64[N, 5] ids", both, weights)
    assert token_lookups(graph, "ids").embeddings == ("a", "b")
    assert joined_embedding(graph, "ids", ["a", "b"]) == "e"
    apart = view("int64[N, 5] ids", both.replace("Mul(b, two)", "MatMul(b, w)"), weights | {"w": normal(4, 4)})
    assert joined_embedding(apart, "ids", ["a", "b"]) is None
    read = view("int64[N, 5] ids", both + "  d = Tanh(a)  f = Add(d, e)", weights, "f")
    assert joined_embedding(read, "ids", ["a", "b"]) is None


def test_a_column_each_has_its_own_table():
    nodes = """a, b = Split<axis = 1>(ids)  i = Cast<to = 7>(a)  k = Cast<to = 7>(b)
      p = Gather(E, i)  q = Gather(F, k)  e = Concat<axis = 2>(p, q)"""
    graph = view("float[N, 2] ids", nodes, {"E": E, "F": normal(3, 6)})
    assert token_inputs(graph, ["ids"]) == {"ids"}
    assert joined_embedding(graph, "ids", token_lookups(graph, "ids").embeddings) == "e"
