"""Branches of If that depend on the sample: each sample is explained by the graph of the branches that it takes."""

import numpy as np
import pytest
from onnx import parser

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff.gradient import gradient
from xaionnx.layers.branches import branch_groups
from xaionnx.layers.dry_run import DryRun

LABEL = "If: the branch that the sample takes (1 node)"
# A rise of the first feature leads to the first branch.
SIGNED = """g (float[N, 3] x) => (float[N, 2] y)
  <float[3, 2] w = {1, -2, 3, 0.5, -1, 2}, float zero = {0}, int64[1] first = {0}, int64[1] one = {1}> {
    lead = Slice(x, first, one, one)  c = ReduceSum <keepdims = 0> (lead)  up = Greater(c, zero)
    h = If (up) <
      then_branch = a () => (float[N, 3] p) { p = Exp(x) },
      else_branch = b () => (float[N, 3] q) <float[3] s = {1, 2, 3}> { t = Mul(x, x)  q = Mul(t, s) }>
    y = MatMul(h, w) }"""
W = np.float32([[1, -2], [3, 0.5], [-1, 2]])
X = np.float32([[0.5, -1, 0.2], [-0.4, 0.3, 1], [-1, 2, 0.1], [0.1, 0, 0.4]])
UP = X[:, 0] > 0
SLOPES = np.where(UP[:, None], np.exp(X), 2 * X * np.float32([1, 2, 3]))


def test_every_sample_has_the_slope_of_its_own_branch():
    model = loaded(SIGNED, opset=20)
    found = xaionnx.explain(model, X, "saliency", 1, absolute=False)
    assert_close(found.values, SLOPES * W[:, 1], Tolerance.SIGNED_SUMS)
    values = np.where(UP[:, None], np.exp(X), X**2 * np.float32([1, 2, 3])) @ W
    assert_close(found.prediction, values[:, 1], Tolerance.SIGNED_SUMS)
    assert found.diagnostics["gradient"] == "graph"
    assert found.provenance["branches"] == [{"up": "then" if up else "else"} for up in UP]
    assert found.provenance["approximations"] == [LABEL]
    # The condition, the prediction and the gradient.
    assert found.diagnostics["evaluations"] == [3] * 4
    assert found.diagnostics["gradients"] == [1] * 4


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "lrp", "deep_lift", "smooth_grad", "guided_ig"])
def test_a_batch_equals_its_samples_one_by_one(method):
    model = loaded(SIGNED, opset=20)
    together = xaionnx.explain(model, X, method, [0, 1])
    alone = [xaionnx.explain(model, X[n : n + 1], method, [0, 1]) for n in range(4)]
    assert_close(together.values, np.concatenate([one.values for one in alone], axis=1), Tolerance.SIGNED_LAYERS)
    assert_close(together.prediction, np.concatenate([one.prediction for one in alone], axis=1), Tolerance.SIGNED_SUMS)
    assert together.provenance["branches"] == [one.provenance["branches"][0] for one in alone]
    assert together.diagnostics["evaluations"] == [one.diagnostics["evaluations"][0] for one in alone]


def test_integrated_gradients_add_up_to_the_change_of_the_branch():
    model = loaded(SIGNED, opset=20)
    found = xaionnx.explain(model, X, "integrated_gradients", 0, baseline=0.0, steps=64)
    at_zero = np.where(UP, np.exp(0) * W[:, 0].sum(), 0)
    assert_close(found.baseline_prediction, at_zero, Tolerance.SIGNED_SUMS)
    assert_close(found.values.sum(axis=1), found.prediction - at_zero, Tolerance.SIGNED_LAYERS)


def test_the_top_class_is_that_of_each_sample():
    model = loaded(SIGNED, opset=20)
    found = xaionnx.explain(model, X, "input_x_gradient")
    values = np.where(UP[:, None], np.exp(X), X**2 * np.float32([1, 2, 3])) @ W
    top = values.argmax(axis=1)
    assert_close(found.prediction, values.max(axis=1), Tolerance.SIGNED_SUMS)
    assert_close(found.values, X * SLOPES * W[:, top].T, Tolerance.SIGNED_SUMS)


def test_removal_runs_every_row_by_itself():
    """A condition is one for all rows of a run, so rows cannot run together."""
    model = loaded(SIGNED, opset=20)
    found = xaionnx.explain(model, X, "feature_ablation", 0, baseline=0.0)

    def f(x):
        h = np.where(x[..., :1] > 0, np.exp(x), x**2 * np.float32([1, 2, 3]))
        return (h @ W)[..., 0]

    expected = np.stack([f(X) - f(np.where(np.arange(3) == column, 0, X)) for column in range(3)], axis=1)
    assert_close(found.values, expected, Tolerance.SIGNED_SUMS)


def test_explicit_differences_are_those_of_the_model_itself():
    model = loaded(SIGNED, opset=20)
    found = xaionnx.explain(model, X, "saliency", 0, absolute=False, gradient="finite_differences")
    assert found.diagnostics["gradient"] == "finite_differences"
    assert "branches" not in found.provenance
    assert_close(found.values, SLOPES * W[:, 0], Tolerance.DIFFERENCES_OF_FLOAT32)


def test_a_branch_within_a_branch_and_one_that_depends_on_another():
    model = loaded(
        """g (float[N, 2] x) => (float[N, 2] y) <float zero = {0}, float ten = {10}> {
          s = ReduceSum <keepdims = 0> (x)  up = Greater(s, zero)
          h = If (up) <
            then_branch = a () => (float[N, 2] p) {
              far = Greater(s, ten)
              p = If (far) <then_branch = c () => (float[N, 2] r) { r = Sin(x) },
                            else_branch = d () => (float[N, 2] t) { t = Exp(x) }> },
            else_branch = b () => (float[N, 2] q) { q = Neg(x) }>
          m = ReduceMax <keepdims = 0> (h)  high = Greater(m, ten)
          y = If (high) <then_branch = e () => (float[N, 2] u) { u = Mul(h, x) },
                         else_branch = f () => (float[N, 2] v) { v = Identity(h) }> }""",
        opset=20,
    )
    x = np.float32([[-1, 0.5], [0.5, 1], [3, 1], [8, 9]])
    slopes = np.stack([[-1, -1], np.exp(x[1]), np.exp(x[2]) * (1 + x[2]), np.cos(x[3])])
    found = xaionnx.explain(model, x, "saliency", xaionnx.Target.sum(), absolute=False)
    assert_close(found.values, slopes, Tolerance.SIGNED_SUMS)
    taken = [{name for name, branch in one.items() if branch == "then"} for one in found.provenance["branches"]]
    assert taken == [set(), {"up"}, {"up", "high"}, {"up", "far"}]


def test_a_branch_inside_a_function():
    model = planted.load(
        parser.parse_model("""<ir_version: 9, opset_import: ["" : 20, "own" : 1]>
        g (float[N, 2] x) => (float[N, 2] y) { h = own.either(x)  y = Mul(h, x) }
        <domain: "own", opset_import: ["" : 20]>
        either (a) => (b) {
          zero = Constant <value_float = 0.0> ()  s = ReduceSum <keepdims = 0> (a)  up = Greater(s, zero)
          b = If (up) <then_branch = p () => (float[N, 2] c) { c = Exp(a) },
                       else_branch = q () => (float[N, 2] d) { d = Neg(a) }> }"""),
        device="cpu",
    )
    x = np.float32([[1, 2], [-1, 0.5]])
    found = xaionnx.explain(model, x, "saliency", xaionnx.Target.sum(), absolute=False)
    assert_close(found.values, np.stack([np.exp(x[0]) * (1 + x[0]), -2 * x[1]]), Tolerance.SIGNED_SUMS)


RATED = """g (float[N, 3] x, int64 rate) => (float[N, 3] y) <int64 high = {16000}> {
  fast = Equal(rate, high)
  y = If (fast) <then_branch = a () => (float[N, 3] p) { p = Sin(x) },
                 else_branch = b () => (float[N, 3] q) { q = Mul(x, x) }> }"""


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_branch_by_an_input_that_samples_share(rate):
    model = loaded(RATED, opset=20)
    feeds = {"x": X, "rate": np.array(rate)}
    found = xaionnx.explain(model, feeds, "saliency", 1, absolute=False)
    slopes = np.zeros_like(X)
    slopes[:, 1] = (np.cos(X) if rate == 16000 else 2 * X)[:, 1]
    values = found.values["x"] if isinstance(found.values, dict) else found.values
    assert_close(values, slopes, Tolerance.SIGNED_SUMS)
    # It is the same on all paths that a method takes.
    assert found.provenance["approximations"] == []
    assert found.provenance["branches"] == [{"fast": "then" if rate == 16000 else "else"}] * 4


def test_samples_of_a_group_share_one_graph():
    model = loaded(SIGNED, opset=20)
    first, second = (branch_groups(model, {"x": X}) for _ in range(2))
    assert [group.rows.tolist() for group in first] == [[0, 3], [1, 2]]
    assert [one.model for one in first] == [one.model for one in second]
    slopes = gradient(first[0].model, "y", ["x"]).run({"x": X[UP]}, np.float32([[1, 0]] * 2))[1]["x"]
    assert_close(slopes, SLOPES[UP] * W[:, 0], Tolerance.SIGNED_SUMS)


def test_sizes_that_follow_from_values_count_as_values():
    """The number of entries above zero is a size, but it depends on the sample."""
    model = loaded(
        """g (float[N, 3] x) => (float[N, 3] y) <int64 one = {1}, float zero = {0}> {
          high = Greater(x, zero)  at = NonZero(high)  s = Shape(at)  count = Gather <axis = 0> (s, one)
          many = Greater(count, one)
          y = If (many) <then_branch = a () => (float[N, 3] p) { p = Exp(x) },
                         else_branch = b () => (float[N, 3] q) { q = Mul(x, x) }> }""",
        opset=20,
    )
    found = xaionnx.explain(model, X, "saliency", xaionnx.Target.sum(), absolute=False)
    many = (X > 0).sum(axis=1, keepdims=True) > 1
    assert_close(found.values, np.where(many, np.exp(X), 2 * X), Tolerance.SIGNED_SUMS)


def test_class_activation_maps_and_a_dry_run_see_the_branch():
    model = loaded(
        """g (float[N, 1, 6, 6] x) => (float[N, 2] y)
        <float zero = {0}, float[2, 3] w = {1, -1, 0.5, 2, 1, -2}, float[3, 1, 1, 1] k = {1, -1, 2}> {
          s = ReduceSum <keepdims = 0> (x)  up = Greater(s, zero)
          y = If (up) <
            then_branch = a () => (float[N, 2] p) {
              h = Conv(x, k)  r = Relu(h)  m = GlobalAveragePool(r)  f = Flatten(m)  p = Gemm <transB = 1> (f, w) },
            else_branch = b () => (float[N, 2] q) {
              h2 = Conv(x, k)  r2 = Abs(h2)  m2 = GlobalAveragePool(r2)  f2 = Flatten(m2)
              q = Gemm <transB = 1> (f2, w) }> }""",
        opset=20,
    )
    x = np.abs(np.random.default_rng(0).standard_normal((2, 1, 6, 6))).astype(np.float32)
    found = xaionnx.explain(model, x, "grad_cam", 0)
    # Channels x, -x and 2 x after the rectifier, with the weights 1, -1 and 0.5 of the class.
    assert_close(found.maps["cam"], x[:, 0] * 2 / 36, Tolerance.SIGNED_SUMS)
    assert found.provenance["seen_at"]["name"] == "r"
    with pytest.raises(xaionnx.errors.UnsupportedModelError, match="different branches"):
        xaionnx.explain(model, np.concatenate([x, -x]), "grad_cam", 0)
    assert DryRun.of(model).model is not model


INNER = """u = Unsqueeze(x, one1)  sh = Shape(u)  size = Gather(sh, one)  e = Equal(size, one)
    v = If(e) <then_branch = a () => (float[N, 1, T] p) { p = Identity(u) },
               else_branch = b () => (float[N, 1, T] q) { q = Neg(u) }>
    c = Conv<pads = [1, 1]>(v, w)  r = Relu(c)  m = GlobalAveragePool(r)  f = Flatten(m)  y = MatMul(f, d)"""
BY_SIZES = {
    "plain": f"g (float[N, T] x) => (float[N, 3] y) {{ {INNER} }}",
    "inside a branch": f"""g (float[N, T] x, int64 rate) => (float[N, 3] y) {{
        fast = Equal(rate, sixteen)
        y = If(fast) <
          then_branch = one () => (float[N, 3] y1) {{ {INNER.replace("y = ", "y1 = ")} }},
          else_branch = other () => (float[N, 3] y2) {{
            k = ReduceMean<keepdims = 1>(x, one1)  y2 = Concat<axis = 1>(k, k, k) }}> }}""",
}


@pytest.mark.parametrize("where", BY_SIZES)
def test_the_map_of_a_layer_after_branches_that_sizes_choose(where):
    """The result of an If holds the positions of the input once the branch is known; another size takes the other."""
    rng = np.random.default_rng(3)
    w, d = rng.normal(size=(5, 1, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    model = loaded(BY_SIZES[where], opset=18, w=w, d=d, one=np.array(1), one1=np.array([1]), sixteen=np.array(16))
    x = rng.normal(size=(2, 12)).astype(np.float32)
    feeds = {"x": x, "rate": np.array(16)} if where == "inside a branch" else {"x": x}
    found = xaionnx.explain(model, feeds, "grad_cam", 1, relu=False)
    padded = np.pad(x, ((0, 0), (1, 1)))
    rows = np.maximum(sum(padded[:, None, k : k + 12] * w[:, 0, k, None] for k in range(3)), 0)
    assert_close(found.values, (rows * d[:, 1, None]).sum(axis=1) / 12, Tolerance.SIGNED_LAYERS)
    assert ("branches" in found.provenance) == (where == "inside a branch")


def test_a_branch_that_the_number_of_samples_chooses_stays():
    model = loaded("""g (float[N, 3] x) => (float[N, 3] y) { n = Shape<end = 1>(x)  e = Equal(n, one)
        y = If(e) <then_branch = a () => (float[N, 3] p) { p = Exp(x) },
                   else_branch = b () => (float[N, 3] q) { q = Neg(x) }> }""", one=np.array([1]), opset=18)  # fmt: skip
    assert not branch_groups(model, {"x": X[:1]})
