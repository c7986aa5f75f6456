"""Outputs with other axes than the file declares are explained as they are."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import normal, parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.errors import ParameterError
from xaionnx.explainers.saliency import Saliency
from xaionnx.graph.output_shapes import untold_ranks

K = normal(8, 5)
WIDTH = 6
# Each column of a picture is a frame; the scores of its classes are (T, 1, 5), declared as (1, T).
FRAMES = """t = Transpose<perm = [3, 0, 1, 2]>(x)  p = Squeeze(t, third)  s = MatMul(p, K)  y = {end}(s)"""
# Ends after which the number of axes is not known, and is known.
ENDS = {"untold": "Reshape(s, sizes)", "told": "Tanh(s)"}


def read(end, lead="1"):
    sizes = "h = Shape(s)  n = NonZero(h)  e = Shape(n)  m = ReduceMax<keepdims = 0>(e)  sizes = Slice(h, o, w)"
    text = f"""g (float[{lead}, 1, 8, W] x) => (float[1, seqlen] y) {{
      t = Transpose<perm = [3, 0, 1, 2]>(x)  p = Squeeze(t, two)  s = MatMul(p, K)
      {sizes}  y = {ENDS[end]} }}"""
    weights = {"K": K, "two": np.array([2]), "o": np.array([0]), "w": np.array([9])}
    return parsed(text.replace("n = NonZero(h)  e = Shape(n)  m = ReduceMax<keepdims = 0>(e)  ", ""), **weights)


@pytest.fixture(params=ENDS)
def proto(request):
    return read(request.param)


X = normal(1, 1, 8, WIDTH)


def test_frames_and_classes_are_found_by_a_run(proto):
    model = planted.load(proto, device="cpu")
    with pytest.warns(UserWarning, match="'y' of .* is declared as .* but has 3 axes"):
        found = Saliency(absolute=False).attribute(model, X, Target.index((4, 2)))
    scores = np.einsum("hw,hk->wk", X[0, 0], K)
    slope = np.zeros_like(X)
    slope[0, 0, :, 4] = K[:, 2] * (1 if "Reshape" in str(proto.graph.node[-1]) else 1 - np.tanh(scores[4, 2]) ** 2)
    assert_close(found.values, slope, Tolerance.SIGNED_LAYERS)


def test_text_of_frames(proto):
    model = planted.load(proto, device="cpu")
    with pytest.warns(UserWarning, match="declared"):
        found = xaionnx.explain(model, X, "saliency", Target.path())
    assert "path" in found.target[0]
    assert found.values.shape == X.shape


def test_stated_axes_are_believed(proto, tmp_path):
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = Model.load(tmp_path / "m.onnx", device="cpu", axes={"y": "T N K"})
    assert model.output("y").shape[0] == 1 or len(model.output("y").shape) == 3
    assert model.run({"x": X})["y"].shape == (1, WIDTH, 5)


def test_declared_axes_that_the_graph_confirms_need_no_run():
    from xaionnx.graph.view import GraphView

    assert untold_ranks(GraphView(parsed("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"))) == set()


def test_samples_on_the_second_axis_of_an_output_without_a_declared_shape():
    proto = parsed(
        """g (float[T, N, 3] x) => (float[T, N, 2] y) {
          h = RNN<hidden_size = 2>(x, w, r)  s = Squeeze(h, one)  y = Tanh(s) }""",
        w=normal(1, 2, 3), r=normal(1, 2, 2), one=np.array([1]),
    )  # fmt: skip
    x, target = normal(4, 2, 3), Target.index((3, 1))
    declared = xaionnx.explain(planted.load(proto), x, "saliency", target)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    found = xaionnx.explain(planted.load(proto), x, "saliency", target)
    assert found.values.shape == x.shape
    assert np.abs(found.values).all()
    np.testing.assert_array_equal(found.values, declared.values)


@pytest.mark.parametrize(("axes", "count"), [("T N", 2), ("N T", 2), ("T N F K", 4), ("K", 1)])
@pytest.mark.parametrize("lead", ["1", "N"])
@pytest.mark.parametrize("end", ENDS)
def test_another_number_of_axes_than_an_output_has_is_refused(end, lead, axes, count):
    with pytest.raises(ParameterError, match=rf"Output 'y' of .* has 3 axes, \(.*\), but {count} (is|are) stated"):
        planted.load(read(end, lead), device="cpu", axes={"y": axes})


@pytest.mark.parametrize(("axes", "count"), [("T N", 2), ("N T", 2)])
def test_axes_that_only_a_run_shows_are_held_against_the_stated_ones(axes, count):
    text = "g (float[N, 6] x) => (float[A, B] y) { few = Compress(sizes, kept)  y = Reshape(x, few) }"
    proto = parsed(text, sizes=np.array([1, 7, 2, 3]), kept=np.array([True, False, True, True]))
    model = planted.load(proto, device="cpu", axes={"y": axes})
    with pytest.raises(ParameterError, match=rf"has 3 axes, \(1, 2, 3\), but {count} are stated"):
        xaionnx.explain(model, normal(1, 6), "saliency", Target.index((1, 2)))


def test_samples_that_a_false_declaration_names_second_are_looked_for_in_the_true_axes():
    text = "g (float[batch, 6] x) => (float[time, batch] y) { few = Compress(sizes, kept)  y = Reshape(x, few) }"
    proto = parsed(text, sizes=np.array([1, 7, 2, 3]), kept=np.array([True, False, True, True]))
    x = normal(1, 6)
    with pytest.warns(UserWarning, match="declared as .* but has 3 axes"):
        found = Saliency(absolute=False).attribute(planted.load(proto, device="cpu"), x, Target.index((1, 2)))
    assert_close(found.prediction, x[:, 5], Tolerance.OPERATIONS)
    assert found.values.tolist() == [[0, 0, 0, 0, 0, 1]]
