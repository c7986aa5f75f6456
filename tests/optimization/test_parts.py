"""Parametrisations, views, objectives and optimisers, against differences, transposes and the model's own numbers."""

import numpy as np
import pytest

from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.optimisers.adam import Adam
from xaionnx.optimisers.momentum import Momentum
from xaionnx.optimization import OBJECTIVES, Search
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.parametrisation import PARAMETRISATIONS, Canvas, correlated, decorrelated
from xaionnx.optimization.search import _VALUE, _Scene, roughness_slope
from xaionnx.optimization.views import View

LAYER = "/6/Relu_output_0"
SETTINGS = {
    "channel": {"layer": LAYER, "channel": 5},
    "neuron": {"layer": LAYER, "channel": 5, "row": 0, "column": 3},
    "spatial": {"layer": LAYER},
    "layer": {"layer": LAYER},
    "direction": {"layer": LAYER, "weights": np.arange(1, 33)},
    "class_score": {"label": 3},
}
# From the activations (32, 14, 14) of the layer and the logits.
BY_HAND = {
    "channel": lambda h, y: h[5].mean(),
    "neuron": lambda h, y: h[5, 0, 3],
    "spatial": lambda h, y: np.square(h[:, h.shape[1] // 2, h.shape[2] // 2]).mean(),
    "layer": lambda h, y: np.square(h).mean(),
    "direction": lambda h, y: np.tensordot(np.arange(1, 33) / np.linalg.norm(np.arange(1, 33)), h, 1).mean(),
    "class_score": lambda h, y: y[3],
}


def digits(count):
    return np.load("models/data/mnist_sample.npz")["images"][:count].astype(np.float32) / 255


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_is_the_number_that_it_says(name):
    model = trained("mnist_cnn")
    scene = _Scene.of(model, OBJECTIVES.configured(name, SETTINGS[name]), 1)
    x = digits(4)
    found = scene.judged.run({scene.name: x}, [_VALUE])[_VALUE][:, 0]
    outputs = model.with_outputs([LAYER]).run({scene.name: x})
    expected = [BY_HAND[name](h, y) for h, y in zip(outputs[LAYER], outputs["logits"], strict=True)]
    assert_close(found, np.array(expected), Tolerance.SIGNED_LAYERS)


def test_objectives_add_and_scale():
    model, x = trained("mnist_cnn"), digits(3)
    one, other = ClassScore(label=1), Channel(layer=LAYER, channel=2)
    alone = [_Scene.of(model, each, 1).judged.run({"pixels": x}, [_VALUE])[_VALUE] for each in (one, other)]
    both = _Scene.of(model, 2 * one - 0.5 * other, 1).judged.run({"pixels": x}, [_VALUE])[_VALUE]
    assert_close(both, 2 * alone[0] - 0.5 * alone[1], Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 10), (9, 11)])
@pytest.mark.parametrize("name", PARAMETRISATIONS.names())
def test_gradients_of_parametrisations_agree_with_differences(name, size, channels):
    parametrisation, canvas = PARAMETRISATIONS.configured(name, {}), Canvas(2, channels, *size)
    rng = np.random.default_rng(0)
    at = parametrisation.start(canvas, rng) * 30
    along, weights = rng.standard_normal(at.shape).astype(np.float32), rng.standard_normal(canvas.shape)
    slope = parametrisation.back(canvas, parametrisation.pictures(canvas, at), weights.astype(np.float32))
    step = np.float32(0.01)
    ends = [(parametrisation.pictures(canvas, at + s * step * along) * weights).sum() for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    scale = np.linalg.norm(slope) * np.linalg.norm(along)
    assert abs((slope * along).sum() - expected) / scale < 1e-3


@pytest.mark.parametrize("name", PARAMETRISATIONS.names())
def test_a_picture_survives_its_parameters(name):
    parametrisation, canvas = PARAMETRISATIONS.configured(name, {}), Canvas(1, 3, 16, 12)
    pictures = np.random.default_rng(1).uniform(0.05, 0.95, canvas.shape).astype(np.float32)
    found = parametrisation.pictures(canvas, parametrisation.from_pictures(canvas, pictures))
    np.testing.assert_allclose(found, pictures, atol=2e-4)


def test_colours_are_transformed_back():
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(correlated(decorrelated(x)), x, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_way_back_through_a_view_is_its_transpose(seed):
    rng = np.random.default_rng(seed)
    view = View.random((40, 37), (28, 30), rng, jitter=0.2, zoom=1.5, rotation=90)
    x, y = (
        rng.standard_normal((2, 3, 40, 37)).astype(np.float32),
        rng.standard_normal((2, 3, 28, 30)).astype(np.float32),
    )
    there, back = (view.crops(x) * y).sum(dtype=np.float64), (x * view.back(y)).sum(dtype=np.float64)
    assert there == pytest.approx(back, rel=1e-4)
    # Bilinear weights sum to 1, so that a gray canvas stays gray.
    np.testing.assert_allclose(view.crops(np.full((1, 1, 40, 37), 0.3, np.float32)), 0.3, rtol=1e-5)


def test_a_view_of_whole_pixels_is_a_crop():
    x = np.random.default_rng(0).uniform(size=(1, 1, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(View.at((20, 20), (10, 10)).crops(x), x[:, :, 5:15, 5:15], atol=1e-6)
    np.testing.assert_allclose(View.at((20, 20), (10, 10), shift=(2, -3)).crops(x), x[:, :, 7:17, 2:12], atol=1e-6)
    np.testing.assert_allclose(
        View.at((20, 20), (10, 10), angle=np.pi).crops(x), x[:, :, 5:15, 5:15][:, :, ::-1, ::-1], atol=1e-5
    )


def test_the_slope_of_roughness_agrees_with_differences():
    rng = np.random.default_rng(0)
    x, d = rng.uniform(size=(1, 2, 5, 6)).astype(np.float32), rng.standard_normal((1, 2, 5, 6)).astype(np.float32)

    def rough(s):
        return (np.square(np.diff(s, axis=2)).sum() + np.square(np.diff(s, axis=3)).sum()) / s.size

    expected = (rough(x + 0.01 * d) - rough(x - 0.01 * d)) / 0.02
    assert (roughness_slope(x) * d).sum() == pytest.approx(expected, rel=1e-3)


def test_adam_takes_the_steps_of_its_paper():
    """Algorithm 1 of Kingma and Ba, written out in float64."""
    rng, optimiser, state = np.random.default_rng(0), Adam(learning_rate=0.1, beta1=0.8, beta2=0.9), {}
    m = v = np.zeros(4)
    for t in range(1, 6):
        g = rng.standard_normal(4)
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        expected = 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
        np.testing.assert_allclose(optimiser.step(state, g.astype(np.float32)), expected, rtol=1e-4)


def test_momentum_adds_up_gradients():
    optimiser, state = Momentum(learning_rate=0.5, decay=0.5), {}
    steps = [optimiser.step(state, np.float32([g])) for g in (1, 1, -2)]
    np.testing.assert_allclose(np.concatenate(steps), [0.5, 0.75, -0.625])


@pytest.mark.parametrize(
    ("objective", "settings", "error", "words"),
    [
        ("channel", {}, ParameterError, "needs a layer"),
        ("channel", {"layer": "nothing"}, UnknownNameError, "nothing"),
        ("channel", {"layer": LAYER, "channel": 99}, UnknownNameError, "32 channels"),
        ("neuron", {"layer": LAYER, "row": 50}, UnknownNameError, "14 x 14 places"),
        ("class_score", {"label": 10}, UnknownNameError, "10 classes"),
        ("direction", {"layer": LAYER, "weights": np.ones(3)}, ParameterError, "32 channels"),
        ("direction", {"layer": LAYER, "weights": np.zeros(32)}, ParameterError, "not all of them 0"),
    ],
)
def test_what_does_not_fit_is_refused(objective, settings, error, words):
    with pytest.raises(error, match=words):
        Search(steps=1).run(trained("mnist_cnn"), OBJECTIVES.configured(objective, settings))


def test_models_that_read_no_pictures_are_refused():
    with pytest.raises(UnsupportedModelError, match="not a picture"):
        Search(steps=1).run(trained("german_credit_mlp"), ClassScore(label=0))


def test_a_unit_without_gradient_is_said():
    """The first layer's bias may keep a unit silent for every gray picture: then nothing points uphill."""
    silent = Channel(layer=LAYER, channel=0) * 0.0
    with pytest.raises(OutputError, match="is 0 at the start"):
        Search(steps=1).run(trained("mnist_cnn"), silent)
