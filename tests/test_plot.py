"""A result draws itself from its displays, also after saving and loading."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Explanation, Features, InputSpec, Model, render
from xaionnx.errors import ParameterError

DIGITS = np.load("models/data/mnist_sample.npz")["images"].reshape(-1, 28, 28)[:3].astype(np.uint8)
CREDIT = "models/german_credit_mlp.onnx"


def drawn(image):
    return np.asarray(image)


@pytest.fixture(scope="module")
def digits():
    return xaionnx.explain("models/mnist_cnn.onnx", DIGITS, "saliency", [3, 5])


def test_a_map_lies_over_what_the_model_saw(digits):
    photo = np.repeat(DIGITS[2][..., None], 3, axis=2)
    told = render.overlay(digits, photo, sample=2, target=1)
    np.testing.assert_array_equal(drawn(digits.plot(2, 1)), drawn(told))
    np.testing.assert_array_equal(drawn(digits.sample(2, 1).plot()), drawn(told))
    absolute = render.overlay(digits, photo, sample=2, sign="absolute", original=True)
    np.testing.assert_array_equal(drawn(digits.plot(2, sign="absolute", original=True)), drawn(absolute))


def test_it_does_after_it_was_saved_and_loaded(digits, tmp_path):
    again = Explanation.load(digits.save(tmp_path / "e.npz"))
    np.testing.assert_array_equal(drawn(again.plot(1)), drawn(digits.plot(1)))
    table = xaionnx.explain(CREDIT, "models/data/german_credit_sample.csv", "feature_ablation")
    again = Explanation.load(table.save(tmp_path / "t.npz"))
    assert dataclasses.asdict(again.display["features"]).keys() == dataclasses.asdict(table.display["features"]).keys()
    np.testing.assert_array_equal(drawn(again.plot(4)), drawn(table.plot(4)))


def test_the_display_is_no_part_of_the_document_and_of_the_hashes(digits):
    assert "display" not in digits.to_dict()
    bare = dataclasses.replace(digits, display={})
    assert bare.provenance == digits.provenance
    assert repr(bare) == repr(digits)


def test_what_was_not_kept_is_drawn_as_bars_or_over_a_given_photo(digits):
    bare = dataclasses.replace(digits, display={})
    np.testing.assert_array_equal(drawn(bare.plot()), drawn(render.bars(bare, top=20)))
    photo = np.zeros((28, 28, 3), np.uint8)
    np.testing.assert_array_equal(drawn(bare.plot(photo=photo)), drawn(render.overlay(bare, photo)))
    with pytest.raises(ParameterError, match=r"The 'sample' parameter of picture must be an int in \[0, 2\]\. Got 3"):
        digits.plot(3)


def test_the_record_keeps_its_own_copy(digits):
    x = np.random.default_rng(0).normal(size=(1, 20)).astype(np.float32)
    found = xaionnx.explain(CREDIT, x, "saliency")
    x[:] = 0
    assert found.display["features"].array.any()


def test_bars_have_the_names_of_columns(monkeypatch):
    labels = []
    body = render.bar_chart._draw_bars

    def drawn_with(style, row, order):
        labels.append([row.names[i] for i in order])
        return body(style, row, order)

    monkeypatch.setattr(render.bar_chart, "_draw_bars", drawn_with)
    model = Model.load(CREDIT, "cpu")
    x = model.read("models/data/german_credit_sample.csv").arrays["features"][:2]
    found = xaionnx.explain(model, x, "saliency")
    for draw in (lambda: found.plot(0), lambda: render.bars(found)):
        draw()
        assert set(labels.pop()) == set(model.spec.columns)
    found = xaionnx.explain(model, x, "feature_ablation", features=Features.columns([[0, 1], [2, 3, 4, 5]]))
    found.plot(1)
    columns = model.spec.columns
    (shown,) = labels
    assert len(shown) == 16
    assert {f"{columns[0]} + {columns[1]}", f"{columns[2]} + {columns[3]} and 2 more", columns[6]} <= set(shown)
    order = np.argsort(-np.abs(found.feature_values[1]), kind="stable")
    # Players are numbered by their first column: two groups, then the others one by one.
    names = [f"{columns[0]} + {columns[1]}", f"{columns[2]} + {columns[3]} and 2 more", *columns[6:]]
    assert shown == [names[player] for player in order]


@pytest.mark.parametrize("last", [False, True])
def test_a_series_is_drawn_behind_its_lines(last):
    shape = ["N", 40, 2] if last else ["N", 2, 40]
    nodes = [
        tiny.node("Conv", ["in", "k"], ["z"], pads=[1, 1]),
        tiny.node("ReduceMean", ["z"], ["y"], axes=[2], keepdims=0),
    ]
    op, given = ("Transpose", {"perm": [0, 2, 1]}) if last else ("Identity", {})
    nodes.insert(0, tiny.node(op, ["x"], ["in"], **given))
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(size=(3, 2, 3)).astype(np.float32)}
    model = planted.load(tiny.model(nodes, [tiny.tensor("x", shape)], [tiny.tensor("y", ["N", 3])], weights))
    x = rng.normal(size=(2, *shape[1:])).astype(np.float32)
    found = xaionnx.explain(model, x, "input_x_gradient", 1)
    assert found.display["x"].channel == int(last)
    told = render.series(found, x, channel=int(last), sample=1)
    np.testing.assert_array_equal(drawn(found.plot(1)), drawn(told))


def test_of_several_inputs_the_picture_is_drawn_over():
    picture = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)
    shown = xaionnx.explain(planted.load(planted.quadrants(12)), picture, "occlusion", 0, window=4)
    both = dataclasses.replace(
        shown,
        values={"age": np.ones((1, 1)), "image": shown.values},
        display={"age": xaionnx.data.display.rows_of(np.ones((1, 1))), "image": shown.display["x"]},
        feature_values=None,
        features=None,
    )
    told = render.overlay(both, shown.display["x"].picture(), input="image")
    np.testing.assert_array_equal(drawn(both.plot(input="image")), drawn(told))


def test_a_notebook_shows_picture_text_and_warnings(digits):
    page = digits._repr_html_()
    data = re.search(r'src="data:image/png;base64,([^"]+)"', page).group(1)
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    np.testing.assert_array_equal(drawn(image), drawn(digits.plot()))
    assert "Explanation by saliency of mnist_cnn.onnx, 3 samples, 2 targets" in page
    assert "Sample 0 of 3; .plot(sample=1) draws the next. Target 0 of 2; .plot(target=1) draws the next." in page


def test_a_notebook_shows_what_cannot_be_drawn_as_text():
    one = Explanation("a<b>", np.array([[np.nan, 1.0]]), np.array(["y"]), np.ones(1))
    page = one._repr_html_()
    assert "a&lt;b&gt;" in page
    assert "No picture: The a&lt;b&gt; values hold NaN or infinity" in page
    assert "<img" not in page


def test_a_spec_is_not_needed_to_see_a_picture():
    model = Model.load("models/mnist_cnn.onnx", "cpu", spec=InputSpec(kind="array"))
    x = DIGITS[:1, None].astype(np.float32)
    assert xaionnx.explain(model, x, "saliency").display["pixels"].size == (28, 28)
    assert Model.load("models/mnist_cnn.onnx", "cpu").read(DIGITS).arrays["pixels"].shape == (3, 1, 28, 28)
