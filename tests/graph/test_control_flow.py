"""If, Loop, Scan and sequences in models: the gradient is correct, or the refusal names the op."""

import functools

import numpy as np
import pytest

from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph import unroll

# Central differences in float64: rounding divided by the step, and curvature.
STEP = 1e-6
# The opset with the latest versions of If, Loop and Scan.
loaded = functools.partial(tiny.loaded, opset=20)


def check(model, shape, out="y", wrt="x", seed=0):
    """Compare gradients of one and five samples with central differences along random directions; return the graph."""
    rng = np.random.default_rng(seed)
    sample = {"x": rng.standard_normal((1, *shape))}
    found = gradient(model, out, [wrt], sample=sample)
    for count in (1, 5):
        x, direction = rng.standard_normal((2, count, *shape))
        cotangent = rng.standard_normal(model.run({"x": x}, [out])[out].shape)
        answer, slopes = found.run({"x": x}, cotangent)
        assert_close(answer, model.run({"x": x}, [out])[out], Tolerance.FLOAT64)
        above, below = (np.sum(cotangent * model.run({"x": x + s * STEP * direction}, [out])[out]) for s in (1, -1))
        expected = (above - below) / (2 * STEP)
        size = 1 + np.linalg.norm(slopes[wrt])
        assert_close(np.sum(slopes[wrt] * direction), expected, Tolerance.DIFFERENCES, size)
        assert np.any(slopes[wrt])
    return found.model.graph.graph


def ops(graph):
    return [node.op_type for node in graph.node]


def test_the_branch_follows_from_the_sizes():
    """As exporters write squeeze and reshape: a branch for each rank."""
    model = loaded(
        """g (double[N, T] x) => (double[N, T] y) <int64 three = {3}, int64 one = {1}> {
          s = Shape(x)  t = Gather <axis = 0> (s, one)  long = Greater(t, three)
          y = If (long) <
            then_branch = a () => (double[N, T] ya) { p = Exp(x)  ya = Mul(p, x) },
            else_branch = b () => (double[N, T] yb) { q = Mul(x, x)  yb = Mul(q, x) }> }""",
    )
    x = np.float64([[1, 2, 3]])
    _, slopes = gradient(model, "y", ["x"], sample={"x": x}).run({"x": x}, np.ones_like(x))
    assert_close(slopes["x"], 3 * x**2, Tolerance.FLOAT64)
    # A sample of another size gets another graph, with the other branch.
    x = np.float64([[1, 2, 3, 4]])
    _, slopes = gradient(model, "y", ["x"], sample={"x": x}).run({"x": x}, np.ones_like(x))
    assert_close(slopes["x"], np.exp(x) * (1 + x), Tolerance.FLOAT64)


def test_tensors_of_a_branch_keep_their_names():
    model = loaded(
        """g (double[N, 3] x) => (double[N, 3] y) <bool go = {1}> {
          h = Neg(x)
          m = If (go) <
            then_branch = a () => (double[N, 3] out) <double[3] w = {1, 2, 3}> { inner = Exp(h)  out = Mul(inner, w) },
            else_branch = b () => (double[N, 3] out) { out = Identity(x) }>
          y = Sin(m) }""",
    )
    graph = check(model, (3,))
    made = {name for node in graph.node for name in node.output}
    assert {"h", "inner", "m", "y"} <= made
    assert "If" not in ops(graph)


def test_a_branch_that_passes_something_through():
    model = loaded(
        """g (double[N, 3] x) => (double[N, 3] y) <bool go = {0}> {
          h = Exp(x)
          m, n = If (go) <
            then_branch = a () => (double[N, 3] o, double[N, 3] p) { o = Neg(h)  p = Neg(o) },
            else_branch = b () => (double[N, 3] o2, double[N, 3] o2b) { o2 = Sin(h)  o2b = Identity(o2) }>
          y = Mul(m, n) }""",
    )
    check(model, (3,))


@pytest.mark.parametrize("opset", [11, 13, 16, 21])
def test_a_loop_with_states_stacks_and_outer_values(opset):
    unsqueeze = "u = Unsqueeze <axes = [1]> (h2)" if opset < 13 else "u = Unsqueeze(h2, one)"
    model = loaded(
        f"""g (double[N, 3] x) => (double[N, 3] y, double[4, N, 1, 3] all)
        <int64 n = {{4}}, bool go = {{1}}, double[3] w = {{1, -2, 3}}, int64[1] one = {{1}}> {{
          start = Sin(x)
          last, all = Loop <body = b (int64 i, bool c, double[N, 3] h) => (bool c2, double[N, 3] h2, double[N, 1, 3] u)
          <double[3] scale = {{0.5, 0.25, 0.5}}> {{
            c2 = Identity(c)  f = Cast <to = 11> (i)  a = Mul(h, w)  s = Mul(a, scale)
            g1 = Sin(s)  g2 = Add(g1, x)  h2 = Add(g2, f)  {unsqueeze} }}> (n, go, start)
          t = ReduceSum <keepdims = 0> (all, axes0)  y0 = Mul(last, x)
          axes0 = Constant <value_ints = [0, 2]> ()
          y = Add(y0, t) }}"""
        if opset >= 13
        else f"""g (double[N, 3] x) => (double[N, 3] y, double[4, N, 1, 3] all)
        <int64 n = {{4}}, bool go = {{1}}, double[3] w = {{1, -2, 3}}> {{
          start = Sin(x)
          last, all = Loop <body = b (int64 i, bool c, double[N, 3] h) => (bool c2, double[N, 3] h2, double[N, 1, 3] u)
          <double[3] scale = {{0.5, 0.25, 0.5}}> {{
            c2 = Identity(c)  f = Cast <to = 11> (i)  a = Mul(h, w)  s = Mul(a, scale)
            g1 = Sin(s)  g2 = Add(g1, x)  h2 = Add(g2, f)  {unsqueeze} }}> (n, go, start)
          t = ReduceSum <axes = [0, 2], keepdims = 0> (all)  y0 = Mul(last, x)  y = Add(y0, t) }}""",
        opset=opset,
    )
    graph = check(model, (3,))
    assert "Loop" not in ops(graph)
    made = {name for node in graph.node for name in node.output}
    assert {"g1/0", "g1/3", "last", "all/as_in_file"} <= made  # the samples of the output are moved to the front


def test_a_while_loop_that_counts():
    """As converters from TensorFlow write them: no trip count, a condition on a counter, and a sequence of results."""
    model = loaded(
        """g (double[N, T, 2] x) => (double[N, 2] y) <int64 zero = {0}, int64 one = {1}, double[2] w = {0.5, -0.5}> {
          s = Shape(x)  t = Gather <axis = 0> (s, one)  go = Less(zero, t)
          x0 = Gather <axis = 1> (x, zero)
          k, y = Loop <body = b (int64 i, bool c, int64 k0, double[N, 2] h) => (bool c2, int64 k1, double[N, 2] h2) {
            k1 = Add(k0, one)  c2 = Less(k1, t)  xt = Gather <axis = 1> (x, k0)
            m = Mul(h, w)  a = Add(m, xt)  h2 = Tanh(a) }> ("", go, zero, x0) }""",
    )
    # onnxruntime has Tanh in float64.
    graph = check(model, (6, 2))
    assert ops(graph).count("Tanh") == 6


def test_how_many_steps_depends_on_the_numbers():
    text = """g (double[N, 2] x) => (double[N, 2] y) <int64 n = {9}, bool go = {1}, double big = {50}> {
          e = Exp(x)
          y = Loop <body = b (int64 i, bool c, double[N, 2] h) => (bool c2, double[N, 2] h2) {
            h2 = Add(h, x)  m = ReduceMax <keepdims = 0> (h2)  c2 = Less(m, big) }> (n, go, e) }"""
    model = loaded(text)
    with pytest.raises(UnsupportedModelError, match=r"'Loop' \(node .*number of steps depends on the values of the in"):
        gradient(model, "y", ["x"])
    # Tensors before it still have a gradient.
    _, slopes = gradient(model, "e", ["x"]).run({"x": np.zeros((1, 2))}, np.ones((1, 2)))
    assert_close(slopes["x"], 1, Tolerance.FLOAT64)


def test_which_branch_depends_on_the_numbers():
    model = loaded(
        """g (double[N, 2] x) => (double[N, 2] y) <double zero = {0}> {
          m = ReduceMax <keepdims = 0> (x)  c = Less(m, zero)  h = Exp(x)
          y = If (c) < then_branch = a () => (double[N, 2] p) { p = Neg(h) },
                       else_branch = b () => (double[N, 2] q) { q = Exp(h) } > }""",
    )
    with pytest.raises(UnsupportedModelError, match=r"'If' .*its branch depends on the values.* from 'x' to 'y'"):
        gradient(model, "y", ["x"])


def test_how_many_samples_decides():
    model = loaded(
        """g (double[N, 2] x) => (double[N, 2] y) <int64 zero = {0}, int64 two = {2}> {
          s = Shape(x)  n = Gather <axis = 0> (s, zero)  c = Less(two, n)
          y = If (c) < then_branch = a () => (double[N, 2] p) { p = Neg(x) },
                       else_branch = b () => (double[N, 2] q) { q = Exp(x) } > }""",
    )
    with pytest.raises(UnsupportedModelError, match="on the number of samples"):
        gradient(model, "y", ["x"])


def test_too_many_steps():
    model = loaded(
        """g (double[N, 2] x) => (double[N, 2] y, double[N, 2] z) <int64 n = {30000}, bool go = {1}> {
          z = Exp(x)
          y = Loop <body = b (int64 i, bool c, double[N, 2] h) => (bool c2, double[N, 2] h2) {
            c2 = Identity(c)  h2 = Sin(h) }> (n, go, z) }""",
    )
    assert unroll.LARGEST < 30_000
    with pytest.raises(UnsupportedModelError, match=r"its 30,000 steps would take 60,000 nodes"):
        gradient(model, "y", ["x"])
    check(model, (2,), "z")


def test_a_loop_that_does_not_read_the_input_stays():
    """It is not unrolled, since no gradient passes through it."""
    model = loaded(
        """g (double[N, T] x) => (double[N, T] y) <bool go = {1}, double one = {1}, int64 axis = {1}> {
          s = Shape(x)  n = Gather <axis = 0> (s, axis)
          total = Loop <body = b (int64 i, bool c, double a) => (bool c2, double a2) {
            c2 = Identity(c)  f = Cast <to = 11> (i)  a1 = Add(a, f)  a2 = Sqrt(a1) }> (n, go, one)
          m = Mul(x, total)  y = Mul(m, x) }""",
    )
    assert "Loop" in ops(check(model, (4,)))


def test_nested():
    """A loop in a loop whose inner branch depends on the step, and uses values of all outer scopes."""
    model = loaded(
        """g (double[N, 2] x) => (double[N, 2] y) <int64 n = {3}, int64 m = {2}, bool go = {1}, int64 one = {1}> {
          y = Loop <body = outer (int64 i, bool c, double[N, 2] h) => (bool c2, double[N, 2] h2) {
            c2 = Identity(c)  s = Sin(h)
            odd = Equal(i, one)
            k = Loop <body = inner (int64 j, bool d, double[N, 2] v) => (bool d2, double[N, 2] v2) {
              d2 = Identity(d)  first = Less(j, one)
              v2 = If (odd) <
                then_branch = a () => (double[N, 2] p) { e = Cos(v)  p = Add(e, s) },
                else_branch = b () => (double[N, 2] q) {
                  q = If (first) < then_branch = aa () => (double[N, 2] pp) { pp = Mul(v, x) },
                                   else_branch = bb () => (double[N, 2] qq) { e = Mul(v, s)  qq = Sub(e, x) }> }>
            }> (m, go, h)
            h2 = Add(k, s) }> (n, go, x) }""",
    )
    graph = check(model, (2,))
    assert not {"If", "Loop"} & set(ops(graph))


def test_no_steps():
    model = loaded(
        """g (double[N, 2] x) => (double[N, 2] y) <int64 n = {0}, bool go = {1}> {
          h = Exp(x)
          l = Loop <body = b (int64 i, bool c, double[N, 2] v) => (bool c2, double[N, 2] v2) {
            c2 = Identity(c)  v2 = Sin(v) }> (n, go, h)
          y = Mul(l, x) }""",
    )
    check(model, (2,))


@pytest.mark.parametrize("directions", [(0, 0, 0, 0), (1, 0, 0, 1), (0, 1, 1, 0)])
@pytest.mark.parametrize("axes", [(1, 2, 0, 1), (1, -2, -1, 0)])
def test_scan(directions, axes):
    """Two inputs scanned along different axes, two scan outputs, a state, and a value from outside."""
    a, b, c, d = axes
    e, f, g, h = directions
    stacked = {0: "double[3, N, 2]", 1: "double[N, 3, 2]", -1: "double[N, 2, 3]"}
    model = loaded(
        f"""g (double[N, 3, 2] x) => (double[N, 2] y, {stacked[c]} p, {stacked[d]} q) {{
          start = ReduceSum <keepdims = 0> (x, axis)  axis = Constant <value_ints = [1]> ()
          z0 = Sin(x)  z1 = Unsqueeze(z0, axis)
          last, p, q = Scan <num_scan_inputs = 2, scan_input_axes = [{a}, {b}], scan_output_axes = [{c}, {d}],
            scan_input_directions = [{e}, {f}], scan_output_directions = [{g}, {h}],
            body = b (double[N, 2] s, double[N, 2] u, double[N, 1, 2] v0) => (double[N, 2] t, double[N, 2] p0,
              double[N, 2] q0) {{
                v = Squeeze(v0, axis)  m = Mul(s, u)  k = Cos(m)  w = Mul(k, v)  t = Add(w, start)
                p0 = Mul(t, u)  q0 = Sin(v) }}> (start, x, z1)
          y = Sin(last) }}""",
    )
    for out in ("y", "p", "q") if c > 0 or d > 0 else ("y",):
        if model.output(out).shape[0] == "N" or out == "y":
            assert "Scan" not in ops(check(model, (3, 2), out, seed=sum(directions)))


def test_the_first_scan_is_refused():
    model = loaded(
        """g (float[N, 3, 2] x) => (float[N, 2] y) <float[1, 2] zero = {0, 0}, int64[3] to = {0, 1, 2}> {
          s = ReduceSum <axes = [1], keepdims = 0> (x)
          y, q = Scan <num_scan_inputs = 1, body = b (float[2] a, float[2] u) => (float[2] c, float[2] p)
            { c = Add(a, u)  p = Identity(c) }> ("", s, x) }""",
        opset=8,
    )
    with pytest.raises(UnsupportedModelError, match="'Scan' of opset 8"):
        gradient(model, "y", ["x"])


def test_sequences_that_a_loop_fills():
    model = loaded(
        """g (double[N, 4, 2] x) => (double[N, 4, 2] y) <int64 n = {4}, bool go = {1}, int64 last = {-1},
          int64 zero = {0}> {
          empty = SequenceEmpty <dtype = 11> ()
          s = SplitToSequence <axis = 1, keepdims = 0> (x)
          filled = Loop <body = b (int64 i, bool c, seq(double[N, 2]) l) => (bool c2, seq(double[N, 2]) l2) {
            c2 = Identity(c)  e = SequenceAt(s, i)  f = Sin(e)  g1 = Mul(f, e)
            l2 = SequenceInsert(l, g1) }> (n, go, empty)
          short = SequenceErase(filled, zero)
          end = SequenceAt(short, last)
          long = SequenceInsert(short, end, zero)
          cat = ConcatFromSequence <axis = 1, new_axis = 1> (long)
          count = SequenceLength(long)  k = Cast <to = 11> (count)
          y = Mul(cat, k) }""",
    )
    graph = check(model, (4, 2))
    assert not [op for op in ops(graph) if "Sequence" in op or op == "Loop"]


def test_sequences_in_pieces_of_other_sizes():
    model = loaded(
        """g (double[N, 5] x) => (double[N, 5] y) <int64[2] sizes = {2, 3}, int64 two = {2}, int64 one = {1}> {
          a = SplitToSequence <axis = 1> (x, sizes)  b = SplitToSequence <axis = -1> (x, two)
          a1 = SequenceAt(a, one)  a0 = SequenceAt(a, zero)  zero = Constant <value_int = 0> ()
          aa = SequenceConstruct(a1, a0)  ac = ConcatFromSequence <axis = 1> (aa)
          bc = ConcatFromSequence <axis = 1> (b)  m = Mul(ac, bc)  y = Sin(m) }""",
    )
    check(model, (5,))


def test_a_map_over_a_sequence():
    model = loaded(
        """g (double[N, 4] x) => (double[N, 4] y) <int64 two = {2}> {
          a = SplitToSequence <axis = 1> (x, two)
          b, unread = SequenceMap <body = f (double[N, K] e, double[N, 4] all) => (double[N, K] o, double[N, 4] q)
            { m = Mul(e, e)  o = Sin(m)  q = Neg(all) }> (a, x)
          y = ConcatFromSequence <axis = 1> (b) }""",
    )
    check(model, (4,))


def test_optionals():
    model = loaded(
        """g (double[N, 4] x) => (double[N, 4] y) {
          e = Exp(x)  o = Optional(e)  has = OptionalHasElement(o)
          v = If (has) < then_branch = a () => (double[N, 4] p) { p = OptionalGetElement(o) },
                         else_branch = b () => (double[N, 4] q) { q = Neg(x) } >
          y = Mul(v, x) }""",
    )
    check(model, (4,))
