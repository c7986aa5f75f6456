"""CEM, adversarial distance and Goyal against closed forms, and on digits."""

import numpy as np
import pytest

from models import planted
from tests.tiny import loaded, trained
from xaionnx import Model
from xaionnx.errors import DataError, OutputError, ParameterError, UnsupportedModelError
from xaionnx.optimization import counterfactual
from xaionnx.optimization.counterfactuals.cem import Cem
from xaionnx.optimization.counterfactuals.goyal import Goyal


def two_classes(weights, bias):
    """Outputs (0, w'x + b): the second class leads where w'x + b > 0."""
    size = len(weights)
    return loaded(
        f"g (float[N,{size}] x) => (float[N,2] z) {{ s = MatMul(x, w)  a = Add(s, b)  n = Sub(a, a)"
        "  z = Concat<axis = 1>(n, a) }",
        w=np.float32(weights)[:, None],
        b=np.float32([bias]),
    )


def digits():
    data = np.load("models/data/mnist_sample.npz")
    return data["images"][:, 0], data["labels"]


@pytest.mark.parametrize(("beta", "c", "expected"), [(0.1, 2, (0.17, 0.61)), (1.0, 2, (0.0, 2 / 3)), (0.1, 0.2, None)])
def test_a_pertinent_negative_has_the_closed_form(beta, c, expected):
    """Margin 2 - d1 - 3 d2: c .2 ends at (.05, .25), which is not valid."""
    model = two_classes([1, 3], -2)
    x = np.zeros((1, 2), np.float32)
    search = Cem(pertinent="negative", beta=beta, c=c, searches=1, steps=1500, rate=0.02, nothing=0.0)
    found = counterfactual(model, x, search)
    assert found.valid == (expected is not None)
    if expected is not None:
        np.testing.assert_allclose(found.found, expected, atol=6e-3)
        assert (found.before, found.after) == ("0", "1")
        assert found.distance == pytest.approx(sum(expected), abs=6e-3)
    else:
        grown = counterfactual(model, x, Cem(pertinent="negative", beta=beta, c=c, searches=2, steps=1500, nothing=0.0))
        assert grown.valid
        np.testing.assert_allclose(grown.found, (0.17, 0.61), atol=6e-3)


def test_a_pertinent_positive_has_the_closed_form():
    """Margin 1 - d1 - 3 d2 within x = (1, 1)."""
    model = two_classes([1, 3], -1)
    search = Cem(pertinent="positive", c=1, searches=1, steps=1500, nothing=0.0)
    found = counterfactual(model, np.ones((1, 2), np.float32), search)
    assert found.valid
    np.testing.assert_allclose(found.found, (0.07, 0.31), atol=6e-3)
    assert (found.before, found.after) == ("1", "1")
    assert "already these parts are 1" in str(found)


def test_a_prior_draws_towards_what_its_autoencoder_knows(tmp_path):
    """A(z) = (z1, 0) charges gamma for d2: with gamma 100 the first column moves alone, from 2 - d1 to the border."""
    import onnx

    keep = loaded("g (float[N,2] x) => (float[N,2] y) { y = Mul(x, k) }", k=np.float32([1, 0]))
    place = tmp_path / "prior.onnx"
    onnx.save(keep.graph, place)
    model = two_classes([1, 1], -2)
    x = np.zeros((1, 2), np.float32)
    free = counterfactual(model, x, Cem(pertinent="negative", c=5, steps=400, searches=2, nothing=0.0))
    np.testing.assert_allclose(free.found, (1, 1), atol=0.02)
    # min d1^2 + (1 + gamma) d2^2 on d1 + d2 = 2: d2 = 2 / (2 + gamma) where beta is 0.
    drawn = counterfactual(
        model,
        x,
        Cem(pertinent="negative", beta=0.0, c=30, searches=2, steps=1000, nothing=0.0, prior=str(place), gamma=8.0),
    )
    np.testing.assert_allclose(drawn.found, (1.8, 0.2), atol=0.03)


def test_a_four_becomes_a_nine_that_an_autoencoder_of_digits_knows():
    """Dhurandhar et al. 2018, figure 1: what a four lacks is the stroke that closes it at its top."""
    prior = Model.join("models/mnist_vae_encoder.onnx", "models/mnist_vae_decoder.onnx")
    four = np.load("models/data/mnist_sample.npz")["images"][16:17].astype(np.float32) / 255
    settings = {"pertinent": "negative", "margin": 5, "searches": 4, "steps": 150}
    plain, drawn = (
        counterfactual(trained("mnist_cnn"), four, "cem", **settings, **more)
        for more in ({}, {"prior": prior, "gamma": 3})
    )
    gaps = [
        float(np.square(one.found - prior.run({"pixels": one.found[None]})["image"][0]).sum()) for one in (plain, drawn)
    ]
    assert (drawn.before, drawn.after) == ("4", "9")
    assert drawn.valid
    assert gaps[1] < gaps[0] / 2
    added = (drawn.found - four[0])[0]
    # Rows and columns between the tips of the two upright strokes.
    assert added[4:8, 13:20].mean() > 3 * added.mean()
    assert drawn.provenance["parameters"]["gamma"] == 3


def test_a_prior_that_is_no_autoencoder_is_refused():
    with pytest.raises(UnsupportedModelError, match="autoencoder"):
        counterfactual(
            trained("mnist_cnn"), digits()[0][:1], "cem", prior="models/mnist_cnn.onnx", pertinent="negative", steps=1
        )


def test_what_is_absent_and_what_suffices_for_a_four():
    images, labels = digits()
    four = images[labels == 4][:1]
    negative, positive = counterfactual(trained("mnist_cnn"), four, "cem", steps=120, searches=4)
    assert negative.valid
    assert positive.valid
    assert negative.before == positive.before == positive.after == "4"
    assert negative.after != "4"
    assert (negative.found >= negative.original - 1e-6).all(), "ink is only added"
    assert (positive.found <= positive.original + 1e-6).all(), "ink is only left out"
    assert np.abs(positive.found - positive.found.min()).sum() < np.abs(four / 255).sum() / 2
    assert list(negative.pictures) == ["input, 4", f"pertinent negative, {negative.after}"]


@pytest.mark.parametrize(("norm", "expected"), [("l2", 1 / np.sqrt(5)), ("linf", 1 / 3)])
def test_the_distance_of_a_linear_model_is_the_score_by_the_norm_of_its_weights(norm, expected):
    model = planted.load(planted.linear([[1.0, 2.0]], -1.0))
    found = counterfactual(model, np.zeros((1, 2), np.float32), "adversarial_distance", to=0.0, norm=norm)
    assert found.valid
    assert found.distance == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_nearest_of_several_classes_is_not_that_of_the_highest_score(norm):
    """Outputs (0, w'x - 1): the class with the higher output is farther away, as its weights are small."""
    weights = np.array([[0, 0], [0.1, 0.1], [3, 1]])
    bias = np.array([0, -0.5, -1])
    model = loaded(
        "g (float[N,2] x) => (float[N,3] z) { s = MatMul(x, w)  z = Add(s, b) }",
        w=weights.T.astype(np.float32),
        b=bias.astype(np.float32),
    )
    found = counterfactual(model, np.zeros((1, 2), np.float32), "adversarial_distance", norm=norm)
    expected = 1 / (np.sqrt(10) if norm == "l2" else 4)
    assert (found.before, found.after) == ("0", "2")
    assert found.distance == pytest.approx(expected, rel=2e-4)


def test_the_nearest_point_of_a_curved_border():
    """The ellipse x1^2 + x2^2 / 4 = 1, beside the nearest of many of its points."""
    model = (
        planted.load(planted.polynomial(2, {(0, 0): 1.0, (1, 1): 0.25}))
        if False
        else loaded(
            "g (float[N,2] x) => (float[N,1] y) { q = Mul(x, x)  y = MatMul(q, w) }", w=np.float32([[1], [0.25]])
        )
    )
    angles = np.linspace(0, 2 * np.pi, 200_001)
    start = np.float32([[0.5, 0.2]])
    border = np.stack([np.cos(angles), 2 * np.sin(angles)], axis=1)
    nearest = np.linalg.norm(border - start, axis=1).min()
    found = counterfactual(model, start, "adversarial_distance", to=1.0, steps=200)
    assert found.valid
    assert found.distance == pytest.approx(nearest, rel=2e-3)


def test_the_border_of_a_digit_is_within_white_and_black():
    model, images = trained("mnist_cnn"), digits()[0]
    found = counterfactual(model, images[:6], "adversarial_distance")
    assert all(one.valid and one.before != one.after for one in found)
    for one in found:
        assert one.found.min() >= one.original.min() - 1e-6
        moved = (one.found - one.original).astype(np.float64)
        assert one.distance == pytest.approx(np.sqrt((moved**2).sum()), rel=1e-5)
        # It is the border: a thousandth less does not change the answer.
        short = one.original + (0.999 * moved).astype(np.float32)
        outputs = model.run({model.input().name: short[None]})[model.output().name]
        assert str(outputs[0].argmax()) == one.before


def cells_model():
    """Cells (1, 2, 3, 4) of a 2 x 2 map, scored by (1, 1, -1, -1) against 0."""
    return loaded(
        "g (float[N,1,2,2] x) => (float[N,2] z) { m = Relu(x)  f = Flatten(m)  s = MatMul(f, w)  n = Sub(s, s)"
        " z = Concat<axis = 1>(n, s) }",
        w=np.float32([[1], [1], [-1], [-1]]),
    )


QUERY, OTHER = np.float32([1, 2, 3, 4]).reshape(1, 1, 2, 2), np.float32([5, 0, 1, 2]).reshape(1, 1, 2, 2)


def test_the_cells_of_the_published_case():
    """Score -4; best single edits: cell 0 by 0 and cell 3 by 1, both 0: the lowest counts. Two edits, score 4."""
    found = counterfactual(cells_model(), QUERY, Goyal(layer="m"), to=1, distractor=OTHER)
    cells, scores = found.provenance["cells"], found.provenance["scores"]
    assert cells == [[0, 0], [3, 1]]
    assert scores == pytest.approx([0, 4], abs=1e-6)
    assert found.valid
    assert (found.before, found.after) == ("0", "1")
    # Each cell is used once on either side.
    assert len({i for i, _ in cells}) == len({j for _, j in cells}) == 2


def test_the_relaxed_search_finds_cells_without_trying_them_all():
    found = counterfactual(cells_model(), QUERY, Goyal(layer="m", method="relaxed"), to=1, distractor=OTHER)
    assert found.valid
    assert found.provenance["cells"][0] in ([0, 0], [3, 1])  # a tie


@pytest.mark.parametrize("method", ["exhaustive", "relaxed"])
def test_a_four_becomes_a_nine_by_few_cells(method):
    images, labels = digits()
    four, nine = images[labels == 4][0], images[labels == 9][0]
    found = counterfactual(trained("mnist_cnn"), four, "goyal", distractor=nine, method=method, steps=40)
    assert found.valid
    assert (found.before, found.after) == ("4", "9")
    assert len(found.provenance["cells"]) <= 4
    assert [title.split(",")[0] for title in found.pictures] == ["input", "other", "pasted"]


@pytest.mark.parametrize(
    ("search", "settings", "words"),
    [
        ("goyal", {}, "needs one 'distractor'"),
        ("cem", {"to": 3}, "takes no 'to'"),
        ("cem", {"background": np.zeros((2, 2), np.float32)}, "takes no 'background'"),
        ("adversarial_distance", {"distractor": OTHER}, "takes no 'distractor'"),
        ("wachter", {}, "needs the wanted class, as in to=1"),
    ],
)
def test_what_a_search_does_not_take_is_refused(search, settings, words):
    with pytest.raises(ParameterError, match=words):
        counterfactual(trained("mnist_cnn"), digits()[0][:1], search, **settings)


def test_a_layer_that_is_bypassed_is_refused():
    model = loaded(
        "g (float[N,1,2,2] x) => (float[N,2] z) { m = Relu(x)  a = Add(m, x)  f = Flatten(a)  z = MatMul(f, w) }",
        w=np.ones((4, 2), np.float32),
    )
    with pytest.raises(UnsupportedModelError, match="no connection bypasses"):
        counterfactual(model, QUERY, Goyal(layer="m"), to=1, distractor=OTHER)


def test_trees_have_no_gradient_to_follow():
    model = trained("german_credit_forest")
    rows = model.read("models/data/german_credit.csv").arrays[model.input().name][:1]
    for search in ("cem", "adversarial_distance"):
        with pytest.raises(UnsupportedModelError, match="no gradient"):
            counterfactual(model, rows, search)


@pytest.mark.parametrize("search", ["cem", "adversarial_distance"])
def test_what_is_not_finite_is_refused(search):
    model = two_classes([1.0, 2.0], 0.5)
    with pytest.raises(DataError, match="has NaN or infinity"):
        counterfactual(model, np.float32([[np.nan, 1]]), search)
    root = loaded("g (float[N,2] x) => (float[N,2] z) { z = Sqrt(x) }")
    with pytest.raises(OutputError, match="returns NaN or infinity"):
        counterfactual(root, np.float32([[-1, 1]]), search)


def test_no_input_has_no_distance():
    """At a weight of 1e-9 nothing is added."""
    model, x = two_classes([1.0, 1.0], 5.0), np.ones((1, 2), np.float32)
    found = counterfactual(model, x, "cem", pertinent="negative", c=1e-9, searches=1, steps=2)
    assert (found.valid, found.distance) == (False, np.inf)


@pytest.mark.parametrize(("wanted", "words"), [({}, "the other picture is one too"), ({"to": "4"}, "the wanted class")])
def test_two_pictures_of_one_class_have_no_cells_to_change(wanted, words):
    pictures, labels = digits()
    fours = np.flatnonzero(labels == 4)
    with pytest.raises(DataError, match=f"is 4 already, and .*{words}"):
        counterfactual(trained("mnist_cnn"), pictures[fours[0]], "goyal", distractor=pictures[fours[1]], **wanted)
