"""Whether rows see each other, found whatever the rows are, and what is explained then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from xaionnx_cli.app import main

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Target
from xaionnx.errors import InputMismatchError, ParameterError, UnsupportedModelError

Array = np.ndarray[Any, Any]

CENTRED = """g (float[N, 3] x) => (float[N, 1] y) {
    m = ReduceMean <axes = [0], keepdims = 1> (x)
    d = Sub(x, m)
    y = MatMul(d, w) }"""
SQUARED = """g (float[N, 3] x) => (float[N, 1] y) {
    m = ReduceMean <axes = [0], keepdims = 1> (x)
    d = Mul(x, m)
    y = MatMul(d, w) }"""
THIRD = """g (float[N, 3] x) => (float[N, 1] y) {
    a = MatMul(x, w)
    third = Slice(a, two, three, zero)
    sum = ReduceSum(third, zero)
    y = Add(a, sum) }"""
WEIGHTS = {"w": [[1.0], [2.0], [-1.0]], "two": np.array([2]), "three": np.array([3]), "zero": np.array([0])}


def drawn(*shape: int) -> Array:
    return np.random.default_rng([0, *shape]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        (CENTRED, np.concatenate([drawn(1, 3), drawn(1, 3), drawn(2, 3)])),
        (SQUARED, np.repeat(drawn(1, 3), 3, axis=0)),
        (THIRD, drawn(4, 3)),
    ],
    ids=["two equal rows first", "all rows equal", "a row beyond the second"],
)
def test_rows_that_see_each_other_are_found(text, x):
    proto = tiny.parsed(text, **WEIGHTS)
    model = planted.load(proto, device="cpu")
    with pytest.raises(ParameterError, match="depends on the other rows"):
        xaionnx.explain(model, x, "feature_ablation", 0, baseline=0.0)
    result = xaionnx.explain(model, x, "feature_ablation", Target.index((1, 0)), baseline=0.0)
    own = tiny.run(proto, {"x": x})["y"]
    np.testing.assert_allclose(result.prediction, own[1], rtol=1e-5)
    for row in range(len(x)):
        changed = x.copy()
        changed[row, 1] = 0
        drop = own[1, 0] - tiny.run(proto, {"x": changed})["y"][1, 0]
        np.testing.assert_allclose(result.values[row, 1], drop, atol=1e-5)


@pytest.mark.parametrize("target", [None, 0, 2, Target.margin(0, 1), Target.probability(0)])
@pytest.mark.parametrize("method", ["saliency", "feature_ablation"])
def test_a_class_is_no_row(target, method):
    model = planted.load(tiny.parsed(CENTRED, **WEIGHTS), device="cpu")
    with pytest.raises(ParameterError, match=r"name the row in the target.*Target\.index\(\(0, 0\)\)"):
        xaionnx.explain(model, drawn(3, 3), method, target)


def test_classes_of_a_set_are_classes():
    proto = tiny.parsed(
        "g (float[N, 3] x) => (float[1, 2] y) { m = ReduceMax <axes = [0], keepdims = 1> (x) y = MatMul(m, w) }",
        w=[[1.0, 0.0], [2.0, 1.0], [-1.0, 3.0]],
    )
    x = drawn(2, 3)
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "saliency", 1, absolute=False)
    assert result.prediction == pytest.approx(tiny.run(proto, {"x": x})["y"][:, 1])
    best = np.arange(2)[:, None] == x.argmax(axis=0)
    np.testing.assert_allclose(result.values, best * [0, 1, 3], atol=1e-6)


def test_rounding_of_large_sums_is_not_taken_for_rows_that_see_each_other():
    """A score that is what is left of large terms differs in its last digits with the number of rows."""

    def rounded(rows: dict[str, Array]) -> dict[str, Array]:
        return {"y": rows["x"] + np.float32(4e-6 * len(rows["x"]))}

    from xaionnx.runtime.rows import probe_rows

    assert not probe_rows(rounded, {"x": np.array([[6.0], [4e-5], [1.4]], np.float32)}, ["y"], []).joint

    def centred(rows: dict[str, Array]) -> dict[str, Array]:
        return {"y": rows["x"] - np.float32(4e-6) * rows["x"].mean(axis=0)}

    assert probe_rows(centred, {"x": np.array([[6.0], [4e-5], [1.4]], np.float32)}, ["y"], []).joint == ("y",)


def test_rows_that_see_each_other_a_little_are_one_sample():
    """Attention between rows of which each mostly sees itself, 6e-4 of the answer apart."""
    x = np.diag(np.float32([2.75, 2.8, 2.85]))
    proto = tiny.parsed(
        """g (float[N, 3] x) => (float[N, 2] y) {
          t = Transpose<perm = [1, 0]>(x)  s = MatMul(x, t)  a = Softmax<axis = 1>(s)
          z = MatMul(a, x)  y = MatMul(z, w) }""",
        w=[[1.0, 2.0], [-1.0, 1.0], [0.5, 3.0]],
    )
    model = planted.load(proto, device="cpu")
    alone = np.concatenate([model.run({"x": x[n : n + 1]})["y"] for n in range(2)])
    apart = np.abs(alone - tiny.run(proto, {"x": x[:2]})["y"]).max(axis=1) / np.abs(alone).max(axis=1)
    assert 1e-5 < apart.max() < 1e-3
    result = xaionnx.explain(model, x, "saliency", Target.index((2, 1)), absolute=False)
    assert result.prediction == pytest.approx(tiny.run(proto, {"x": x})["y"][2:, 1])


def test_the_parts_of_a_graph_are_one_sample():
    """Nodes and edges are as many as they are, and no samples: the message says how to state it."""
    proto = tiny.parsed(
        """g (float[nodes, 2] x, int64[2, edges] ends, float[edges] weight) => (float[nodes, 1] y) {
            from = Gather(ends, zero)
            to = Gather(ends, one)
            sent = Gather(x, from)
            l = Unsqueeze(weight, last)
            weighed = Add(sent, l)
            index = Unsqueeze(to, last)
            wide = Tile(index, twice)
            z = ScatterElements <axis = 0, reduction = "add"> (x, wide, weighed)
            y = MatMul(z, w) }""",
        opset=18,
        zero=np.array(0), one=np.array(1), last=np.array([1]), twice=np.array([1, 2]), w=[[1.0], [2.0]],
    )  # fmt: skip
    x = {"x": drawn(4, 2), "ends": np.array([[0, 1, 2], [1, 3, 3]]), "weight": drawn(3) + 3}
    with pytest.raises(InputMismatchError, match=r"differ in their number of samples.*pass rows='joint'"):
        xaionnx.explain(planted.load(proto, device="cpu"), x, "feature_ablation", Target.index((3, 0)))
    model = planted.load(proto, device="cpu", rows="joint")
    result = xaionnx.explain(model, x, "feature_ablation", Target.index((3, 0)), baseline=0.0)
    own = tiny.run(proto, x)["y"][3, 0]
    assert result.prediction == pytest.approx([own])
    for name, place in (("x", (2, 1)), ("weight", (1,))):
        changed = {key: array.copy() for key, array in x.items()}
        changed[name][place] = 0
        drop = own - tiny.run(proto, changed)["y"][3, 0]
        assert result.values[name][place] == pytest.approx(drop, abs=1e-5)
        assert abs(drop) > 1e-2


BAKED_IN = {
    "a second input": """g (int64[N, T] ids, float[2, 7] valid) => (float[N, 3] y) {
        e = Gather(emb, ids)  n = Shape(ids)  v = Reshape(valid, n)  u = Unsqueeze(v, last)
        k = Mul(e, u)  m = ReduceMean<axes = [1], keepdims = 0>(k)  y = MatMul(m, w) }""",
    "a constant shape": """g (float[N, 7] x) => (float[N, 3] y) {
        r = Reshape(x, sizes)  a = Relu(r)  f = Flatten(a)  y = MatMul(f, wide) }""",
}


@pytest.mark.parametrize("method", ["saliency", "feature_ablation"])
@pytest.mark.parametrize("where", BAKED_IN)
def test_rows_of_a_file_for_two_rows_are_explained_each_by_itself(where, method):
    rng = np.random.default_rng(5)
    weights = {"emb": rng.normal(size=(9, 4)), "w": rng.normal(size=(4, 3)), "wide": rng.normal(size=(7, 3))}
    sizes = {"last": np.array([2]), "sizes": np.array([2, 7, 1])}
    proto = tiny.parsed(BAKED_IN[where], **{name: w.astype(np.float32) for name, w in weights.items()}, **sizes)
    valid = np.float32([[1] * 7, [1, 1, 1, 1, 0, 0, 0]])
    x = {"ids": np.arange(14).reshape(2, 7) % 9, "valid": valid}
    feeds = {"x": drawn(2, 7)} if where == "a constant shape" else x
    model = planted.load(proto, device="cpu")
    found = xaionnx.explain(model, feeds, method, 2)
    np.testing.assert_allclose(found.prediction, tiny.run(proto, feeds)["y"][:, 2], rtol=1e-5)
    together = xaionnx.explain(planted.load(proto, device="cpu", rows="joint"), feeds, method, Target.index((1, 2)))
    joint = together.values.reshape(found.values.shape)
    np.testing.assert_allclose(found.values[1], joint[1], rtol=1e-4, atol=1e-6)
    assert found.provenance["fixed_batch"] == 2
    if where == "a constant shape":
        one = xaionnx.explain(model, {"x": feeds["x"][1:]}, method, 2)
        np.testing.assert_array_equal(one.values, found.values[1:])
        three = xaionnx.explain(model, {"x": np.concatenate([feeds["x"], feeds["x"][:1]])}, method, 2)
        np.testing.assert_array_equal(three.values, found.values[[0, 1, 0]])


PLACES = {
    "depends on the other rows": "g (float[3, 4] x) => (float[3, 2] y) { m = ReduceMean <axes = [0], keepdims = 1> (x) "
    "d = Sub(x, m)  y = MatMul(d, w) }",
    "depends on its place among them": "g (float[3, 4] x) => (float[3, 2] y) { d = Mul(x, k)  y = MatMul(d, w) }",
}


@pytest.mark.parametrize("method", ["saliency", "feature_ablation", "integrated_gradients"])
@pytest.mark.parametrize("why", PLACES)
def test_rows_of_a_fixed_number_that_are_no_samples(why, method, tmp_path):
    proto = tiny.parsed(PLACES[why], w=drawn(4, 2), k=np.float32([[1], [2], [3]]))
    model, x = planted.load(proto, device="cpu"), drawn(3, 4)
    settings = {} if method == "saliency" else {"baseline": 0.0}
    for count in (1, 2, 4):
        with pytest.raises(UnsupportedModelError, match=f"takes 3 rows of 'x' in each run, .* for a row {why}"):
            xaionnx.explain(model, np.resize(x, (count, 4)), method, 0, **settings)
    with pytest.raises(ParameterError, match=f"takes 3 in each run, and what it returns for a row {why}.*Target.index"):
        xaionnx.explain(model, x, method, 0, **settings)
    with pytest.raises(UnsupportedModelError, match="rows='joint'"):
        xaionnx.explain(planted.load(proto, device="cpu", rows="alone"), x, method, 0, **settings)
    found = xaionnx.explain(model, x, method, Target.index((2, 1)), **settings)
    np.testing.assert_allclose(found.prediction, tiny.run(proto, {"x": x})["y"][2, 1], rtol=1e-5)
    np.save(tmp_path / "x.npy", x)
    shown = CliRunner().invoke(main, ["explain", method, str(model.path), str(tmp_path / "x.npy"), "--target", "1"])
    assert shown.exit_code != 0
    assert f"takes 3 in each run, and what it returns for a row {why}" in " ".join(shown.output.split())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("declared", ["3", "N"])
def test_any_number_of_rows_is_explained_in_runs_of_a_fixed_number(declared, count):
    """A row gets the same values beside others, in a run that copies fill up, and in a second run."""
    text = f"""g (float[{declared}, 2, 4] x) => (float[3, 2] y) {{
        r = Reshape(x, sizes)  a = Tanh(r)  y = MatMul(a, w) }}"""
    w = drawn(8, 2)
    proto = tiny.parsed(text, sizes=np.array([3, 8]), w=w)
    x, model = drawn(7, 2, 4)[:count], planted.load(proto, device="cpu")
    slopes = xaionnx.explain(model, x, "saliency", 1, absolute=False)
    flat = x.reshape(count, 8)
    np.testing.assert_allclose(
        slopes.values.reshape(count, 8), (1 - np.tanh(flat) ** 2) * w[:, 1], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(slopes.prediction, np.tanh(flat) @ w[:, 1], rtol=1e-4, atol=1e-6)
    removed = xaionnx.explain(model, x, "feature_ablation", 1, baseline=0.0)
    np.testing.assert_allclose(removed.values.reshape(count, 8), np.tanh(flat) * w[:, 1], rtol=1e-4, atol=1e-6)
    assert removed.provenance["fixed_batch"] == slopes.provenance["fixed_batch"] == 3


REPEATED = {
    "Tile": "q = Tile(query, times)  y = Mul(h, q)",
    "Expand": "q = Expand(query, sizes)  y = Mul(h, q)",
    "a constant": "y = Mul(h, queries)",
}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("places", [2, 3, 20])
@pytest.mark.parametrize("op", REPEATED)
def test_a_query_that_is_repeated_for_a_batch_does_not_repeat_the_samples(op, places, count):
    """Exports of detection transformers repeat queries for the batch of the export: one row then gives as many."""
    query, w = drawn(1, 3), drawn(4, 3)
    constants = {"times": np.array([places, 1]), "sizes": np.array([places, 3]), "query": query}
    text = f"""g (float[N, 4] x) => (float[N, 3] y) {{
        a = MatMul(x, w)  h = Tanh(a)  {REPEATED[op]} }}"""
    proto = tiny.parsed(text, w=w, queries=np.repeat(query, places, axis=0), **constants)
    model, x = planted.load(proto, device="cpu"), drawn(5, 4)[:count]
    removed = xaionnx.explain(model, x, "feature_ablation", 2, baseline=0.0)
    right = np.tanh(x @ w[:, 2]) * query[0, 2]
    np.testing.assert_allclose(removed.prediction, right, rtol=1e-4)
    for column in range(4):
        changed = x.copy()
        changed[:, column] = 0
        drop = right - np.tanh(changed @ w[:, 2]) * query[0, 2]
        np.testing.assert_allclose(removed.values[:, column], drop, rtol=1e-4, atol=1e-6)
    slopes = xaionnx.explain(model, x, "saliency", 2, absolute=False).values
    expected = (1 - np.tanh(x @ w[:, 2]) ** 2)[:, None] * query[0, 2] * w[:, 2]
    np.testing.assert_allclose(slopes, expected, rtol=1e-4, atol=1e-6)


def test_an_axis_of_samples_that_a_single_row_loses_is_no_row_that_sees_others():
    """The pool may leave one position or several, so that the Squeeze has to stay."""
    text = """g (float[N, 4, H, W] x) => (float[K] y) {
      q = AveragePool<kernel_shape = [5, 5]>(x)  s = Squeeze(q)  y = MatMul(s, w) }"""
    model = planted.load(tiny.parsed(text, w=drawn(4, 3)), device="cpu")
    with pytest.raises(ParameterError, match="as on several \\(output 'y' loses the axis of samples\\)"):
        xaionnx.explain(model, drawn(3, 4, 5, 5), "saliency", 0)


def test_nodes_of_a_graph_whose_edges_lead_far_are_one_sample():
    """The model runs on all nodes, and on no part of them."""
    proto = tiny.parsed(
        """g (float[V, 2] x, int64[2, E] ends) => (float[V, 1] y) {
            from = Gather <axis = 0> (ends, zero)
            to = Gather <axis = 0> (ends, one)
            sent = Gather <axis = 0> (x, from)
            index = Unsqueeze(to, last)
            wide = Tile(index, twice)
            z = ScatterElements <axis = 0, reduction = "add"> (x, wide, sent)
            y = MatMul(z, w) }""",
        opset=18,
        zero=np.array(0), one=np.array(1), last=np.array([1]), twice=np.array([1, 2]), w=[[1.0], [2.0]],
    )  # fmt: skip
    x = {"x": drawn(20, 2), "ends": np.array([[0, 19, 3], [19, 1, 18]])}
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "feature_ablation", Target.index((1, 0)), baseline=0)
    expected = np.zeros((20, 2), np.float32)
    expected[[1, 19]] = x["x"][[1, 19]] * [1, 2]
    np.testing.assert_allclose(result.values, expected[None] if result.values.ndim == 3 else expected, atol=1e-5)


def test_a_number_for_a_whole_vector_says_how_to_state_that_it_is_one_sample():
    proto = tiny.parsed(
        "g (float[3] x) => (float y) { a = Mul(x, w) y = ReduceSum <keepdims = 0> (a) }", w=[1.0, 2.0, -1.0]
    )
    x = np.ones(3, np.float32)
    with pytest.raises(UnsupportedModelError, match=r"for example with axes=\{'x': '-'\}"):
        xaionnx.explain(planted.load(proto, device="cpu"), x, "saliency")
    stated = planted.load(proto, device="cpu", axes={"x": "-"})
    found = xaionnx.explain(stated, x, "saliency", absolute=False)
    np.testing.assert_allclose(found.values, [1, 2, -1])
