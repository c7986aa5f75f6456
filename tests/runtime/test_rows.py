"""Files whose number of rows is fixed inside the graph, though their inputs are declared free."""

import numpy as np
import pytest

import xaionnx
from tests.counting import rows_run
from tests.tiny import loaded
from xaionnx import Model, Target
from xaionnx.errors import UnsupportedModelError

RNG = np.random.default_rng(6)
WEIGHT = RNG.normal(size=(4, 3)).astype(np.float32)


def of_two_rows():
    """A mask of two rows was a constant of the trace, and sizes of it came into a Reshape."""
    text = "g (float[b, 4] x) => (float[b, 3] y) { h = Reshape(x, n)  m = Mul(h, k)  y = MatMul(m, w) }"
    return loaded(text, n=np.array([2, 4]), k=np.float32([[1], [2]]), w=WEIGHT)


@pytest.mark.parametrize("method", ["saliency", "feature_ablation", "lime"])
@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_rows_is_refused_with_the_number_that_runs(method, count):
    with pytest.raises(
        UnsupportedModelError, match=rf"does not run on {count} rows?, but on 2 \(Reshape .*Give 2 rows"
    ):
        xaionnx.explain(of_two_rows(), RNG.normal(size=(count, 4)).astype(np.float32), method, 0)


def test_as_many_rows_as_the_graph_takes_are_one_sample():
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    found = xaionnx.explain(of_two_rows(), x, "saliency", Target.index((1, 2)), absolute=False)
    np.testing.assert_allclose(found.values.reshape(2, 4), [np.zeros(4), 2 * WEIGHT[:, 2]], rtol=1e-5)


def test_a_row_that_fails_by_itself_is_not_taken_for_another_number_of_rows():
    model = loaded("g (int64[b, 2] t) => (float[b, 2, 3] y) { y = Gather(e, t) }", e=WEIGHT)
    with pytest.raises(UnsupportedModelError, match="indices element out of data bounds") as caught:
        xaionnx.explain(model, np.array([[0, 1], [9, 1]]), "feature_ablation", Target.index((0, 0)))
    assert "but on" not in str(caught.value)


def test_an_output_of_unknown_rank_names_as_many_roles_as_it_has_axes():
    # Nobody knows how many sizes a Slice to a computed end leaves, so the output is taken for that of one sample.
    text = """g (float[2, 4] x) => (float[] y) { sh = Shape(x)  nz = NonZero(sh)  q = Shape(nz)
      m = ReduceMax<keepdims = 1>(q)  sz = Slice(sh, z, m)  t = Reshape(x, sz)  y = Tanh(t) }"""
    model = loaded(text, z=np.array([0]))
    model.file.proto.graph.output[0].type.tensor_type.ClearField("shape")
    path = model.path.with_name("unknown.onnx")
    path.write_bytes(model.file.proto.SerializeToString())
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    with pytest.raises(UnsupportedModelError, match=r"with axes=\{'y': 'N class'\}"):
        xaionnx.explain(Model.load(path, "cpu"), x, "occlusion", Target.index((1, 1)))
    found = xaionnx.explain(Model.load(path, "cpu", axes={"y": "N class"}), x, "saliency", 1, absolute=False)
    np.testing.assert_allclose(found.values, (1 - np.tanh(x) ** 2) * np.float32([0, 1, 0, 0]), rtol=1e-5)


def test_rows_found_apart_among_more_are_not_probed_again_among_fewer(monkeypatch):
    model = loaded("g (float[b, 4] x) => (float[b, 3] y) { h = MatMul(x, w)  y = Tanh(h) }", w=WEIGHT)
    x = RNG.normal(size=(8, 4)).astype(np.float32)
    ran = rows_run(monkeypatch)
    for count, probes in ((3, True), (8, True), (5, False), (2, False)):
        ran.clear()
        assert model.probed({"x": x[:count]}, ["y"]) is model
        assert bool(ran) == probes, count


def test_a_probe_that_fails_says_nothing_of_fewer_rows():
    text = "g (int64[b, 2] t) => (float[b, 2, 3] y) { h = Gather(e, t)  m = ReduceMean<axes = [0]>(h)  y = Sub(h, m) }"
    model = loaded(text, e=WEIGHT)
    tokens = np.array([[9, 9], [0, 1], [2, 3], [1, 1], [2, 0]])
    assert model.probed({"t": tokens}, ["y"]).axes.rows != "joint"
    assert model.probed({"t": tokens[1:4]}, ["y"]).axes.rows == "joint"
