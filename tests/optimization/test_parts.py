"""Parametrisations, views, objectives and optimisers, against differences, transposes and the model's own numbers."""

import numpy as np
import onnx
import onnx.parser
import pytest
from scipy import ndimage, optimize

from tests.tiny import loaded, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError, ZeroGradientError
from xaionnx.optimisers import SHORT_OPTIMISERS
from xaionnx.optimisers.adam import Adam
from xaionnx.optimisers.fista import Fista
from xaionnx.optimisers.lbfgs import Lbfgs
from xaionnx.optimisers.momentum import Momentum
from xaionnx.optimization import OBJECTIVES, Search
from xaionnx.optimization.objectives.channel import Channel
from xaionnx.optimization.objectives.class_score import ClassScore
from xaionnx.optimization.objectives.diversity import Diversity
from xaionnx.optimization.parametrisation import PARAMETRISATIONS, Canvas, correlated, decorrelated
from xaionnx.optimization.parametrisations.generator import Generator
from xaionnx.optimization.scene import Scene
from xaionnx.optimization.search import roughness, roughness_slope
from xaionnx.optimization.views import Moves, View

LAYER = "/6/Relu_output_0"
PICTURE = np.load("models/data/mnist_sample.npz")["images"][7:8].astype(np.float32) / 255
SETTINGS = {
    "channel": {"layer": LAYER, "channel": 5},
    "neuron": {"layer": LAYER, "channel": 5, "row": 0, "column": 3},
    "spatial": {"layer": LAYER},
    "layer": {"layer": LAYER},
    "direction": {"layer": LAYER, "weights": np.arange(1, 33)},
    "class_score": {"label": 3},
    "inversion": {"layer": LAYER, "picture": PICTURE},
    "caricature": {"layer": LAYER, "picture": PICTURE},
    "diversity": {"layer": LAYER},
    "interpolation": {"layer": LAYER, "channel": 5, "second": 9},
    "total_variation": {"power": 1.5},
    "norm": {"power": 6},
    "blur": {"sigma": 2},
}
T = np.linspace(0, 1, 4)
# A generator has tests of its own.
EXACT = [name for name in PARAMETRISATIONS.names() if name != "generator"]


def of_picture(model):
    return model.with_outputs([LAYER]).run({"pixels": PICTURE}, [LAYER])[LAYER][0]


def gram_cosines(h):
    grams = np.einsum("nchw,ndhw->ncd", h, h).reshape(len(h), -1)
    unit = grams / np.linalg.norm(grams, axis=1, keepdims=True)
    return unit @ unit.T


def blur_loss(s):
    return np.square(s - ndimage.gaussian_filter(s, (0, 2, 2), mode="nearest")).mean()


def variation(s, power):
    down, right = np.diff(s, axis=1)[:, :, :-1], np.diff(s, axis=2)[:, :-1]
    return ((down**2 + right**2) ** (power / 2)).mean()


# From pictures (4, 1, 28, 28), activations (4, 32, 14, 14) of the layer, those of one more picture, and logits.
BY_HAND = {
    "channel": lambda s, h, h0, y: h[:, 5].mean((1, 2)),
    "neuron": lambda s, h, h0, y: h[:, 5, 0, 3],
    "spatial": lambda s, h, h0, y: np.square(h[:, :, h.shape[2] // 2, h.shape[3] // 2]).mean(1),
    "layer": lambda s, h, h0, y: np.square(h).mean((1, 2, 3)),
    "direction": lambda s, h, h0, y: np.einsum(
        "c,nchw->nhw", np.arange(1, 33) / np.linalg.norm(np.arange(1, 33)), h
    ).mean((1, 2)),
    "class_score": lambda s, h, h0, y: y[:, 3],
    "inversion": lambda s, h, h0, y: -np.square(h - h0).sum((1, 2, 3)) / np.square(h0).sum(),
    "caricature": lambda s, h, h0, y: np.array(
        [(one * h0).mean() * max((one * h0).sum() / np.sqrt((one**2).sum() * (h0**2).sum()), 0.1) ** 2 for one in h]
    ),
    "diversity": lambda s, h, h0, y: -(gram_cosines(h).sum(1) - 1) / 3,
    "interpolation": lambda s, h, h0, y: (1 - T) * h[:, 5].mean((1, 2)) + T * h[:, 9].mean((1, 2)),
    "total_variation": lambda s, h, h0, y: np.array([variation(one, 1.5) for one in s]),
    "norm": lambda s, h, h0, y: np.abs(2 * s - 1).__pow__(6).mean((1, 2, 3)),
    "blur": lambda s, h, h0, y: np.array([blur_loss(one) for one in s]),
}


def digits(count):
    return np.load("models/data/mnist_sample.npz")["images"][:count].astype(np.float32) / 255


def whole(scene):
    """The view of all of a canvas that is as large as what the model reads, and the pictures on it."""
    return View.at(scene.size, scene.size)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_an_objective_is_the_number_that_it_says(name):
    model, x = trained("mnist_cnn"), digits(4)
    scene = Scene.of(model, OBJECTIVES.configured(name, SETTINGS[name]), 4)
    outputs = model.with_outputs([LAYER]).run({"pixels": x})
    expected = BY_HAND[name](x.astype(float), outputs[LAYER].astype(float), of_picture(model), outputs["logits"])
    assert_close(scene.value(whole(scene), x), expected, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_gradients_of_objectives_agree_with_differences(name):
    model, rng = trained("mnist_cnn"), np.random.default_rng(3)
    scene = Scene.of(model, OBJECTIVES.configured(name, SETTINGS[name]), 4)
    x = (0.2 + 0.6 * digits(4) + 0.05 * rng.uniform(size=(4, 1, 28, 28))).astype(np.float32)
    _, slope = scene.gradient(whole(scene), x)
    # Along the gradient itself the difference is large against rounding and the kinks of the model.
    along = slope / np.linalg.norm(slope)
    step = np.float32(0.001)
    ends = [scene.value(whole(scene), x + s * step * along).sum() for s in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx((slope * along).sum(), rel=0.02)


def test_objectives_add_and_scale():
    model, x = trained("mnist_cnn"), digits(4)
    one, other = ClassScore(label=1), Diversity(layer=LAYER)
    alone = [scene.value(whole(scene), x) for scene in (Scene.of(model, each, 4) for each in (one, other))]
    scene = Scene.of(model, 2 * (one - 0.5 * other) - one, 4)
    assert_close(scene.value(whole(scene), x), alone[0] - alone[1], Tolerance.SIGNED_LAYERS)


def test_arrays_of_other_numbers_are_other_objectives():
    """A graph is kept until another objective is asked for, and long arrays have the same short representation."""
    model, x = trained("mnist_cnn"), digits(1)
    weights = [np.eye(32)[0], np.eye(32)[1]]
    scenes = [Scene.of(model, OBJECTIVES.configured("direction", {"layer": LAYER, "weights": w}), 1) for w in weights]
    assert scenes[0].value(whole(scenes[0]), x) != scenes[1].value(whole(scenes[1]), x)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 10), (9, 11)])
@pytest.mark.parametrize("name", EXACT)
def test_gradients_of_parametrisations_agree_with_differences(name, size, channels):
    parametrisation, canvas = PARAMETRISATIONS.configured(name, {}), Canvas(2, channels, *size)
    rng = np.random.default_rng(0)
    at = parametrisation.start(canvas, rng) * 30
    along, weights = rng.standard_normal(at.shape).astype(np.float32), rng.standard_normal(canvas.shape)
    slope = parametrisation.back(canvas, at, parametrisation.pictures(canvas, at), weights.astype(np.float32))
    step = np.float32(0.01)
    ends = [(parametrisation.pictures(canvas, at + s * step * along) * weights).sum() for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    scale = np.linalg.norm(slope) * np.linalg.norm(along)
    assert abs((slope * along).sum() - expected) / scale < 1e-3


def test_the_gradient_of_a_generator_agrees_with_differences():
    generator = Generator(model="models/mnist_vae_decoder.onnx", prior=0.3)
    canvas = generator.canvas(Canvas(2, 1, 32, 32))
    assert canvas == Canvas(2, 1, 28, 28)
    rng = np.random.default_rng(0)
    z = generator.start(canvas, rng)
    pictures = generator.pictures(canvas, z)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    weights, along = (
        rng.standard_normal(canvas.shape).astype(np.float32),
        rng.standard_normal(z.shape).astype(np.float32),
    )
    slope = generator.back(canvas, z, pictures, weights)
    ends = [(generator.pictures(canvas, z + s * np.float32(0.01) * along) * weights).sum() for s in (1, -1)]
    assert (slope * along).sum() == pytest.approx((ends[0] - ends[1]) / 0.02, rel=0.02)
    lost, steep = generator.penalty(z)
    np.testing.assert_allclose(lost, 0.15 * (z**2).sum(1), rtol=1e-6)
    np.testing.assert_allclose(steep, 0.3 * z, rtol=1e-6)


@pytest.mark.parametrize(
    ("factor", "offset", "channels"), [(2.0, -1.0, "first"), (255.0, 0.0, "first"), (1.0, 0.0, "last")]
)
def test_generators_of_other_ranges_and_layouts_draw_the_same(tmp_path, factor, offset, channels):
    """GANs end in tanh, Keras puts channels last: the picture from 0 to 1 is the same."""
    proto = onnx.load("models/mnist_vae_decoder.onnx")
    name = proto.graph.output[0].name
    perm = [0, 2, 3, 1] if channels == "last" else [0, 1, 2, 3]
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,1,28,28] x) => (float[N,{"28,28,1" if channels == "last" else "1,28,28"}] y)
        <float f = {{{factor}}}, float o = {{{offset}}}>
        {{ a = Mul(x, f)  b = Add(a, o)  y = Transpose <perm = {perm}> (b) }}"""
    other = Model.join(
        "models/mnist_vae_decoder.onnx", onnx.parser.parse_model(text), connect={"x": name}, path=tmp_path / "g.onnx"
    )
    z = np.random.default_rng(0).standard_normal((2, other.input().shape[1]), dtype=np.float32)
    canvas = Canvas(2, 1, 28, 28)
    first = Generator(model="models/mnist_vae_decoder.onnx")
    weights = np.random.default_rng(1).standard_normal(canvas.shape).astype(np.float32)
    generator = Generator(model=other)
    assert generator.canvas(Canvas(2, 1, 32, 32)) == canvas
    pictures = generator.pictures(canvas, z)
    np.testing.assert_allclose(pictures, first.pictures(canvas, z), atol=1e-5)
    np.testing.assert_allclose(
        generator.back(canvas, z, pictures, weights), first.back(canvas, z, pictures, weights), rtol=1e-3, atol=1e-4
    )


def test_what_is_no_generator_is_refused():
    with pytest.raises(UnsupportedModelError, match="not pictures of one or three channels"):
        Generator(model="models/german_credit_mlp.onnx").canvas(Canvas(1, 1, 32, 32))
    with pytest.raises(UnsupportedModelError, match="draws 1 channels, and the model reads 3"):
        Generator(model="models/mnist_vae_decoder.onnx").canvas(Canvas(1, 3, 32, 32))
    with pytest.raises(ParameterError, match="code of a given picture is not known"):
        Search(steps=1, parametrisation="generator:models/mnist_vae_decoder.onnx").run(
            trained("mnist_cnn"), ClassScore(label=1), PICTURE
        )


@pytest.mark.parametrize("name", EXACT)
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
    view = View.random((40, 37), (28, 30), rng, Moves(0.2, 1.5, 90, reflect=seed % 2 == 0))
    x, y = (
        rng.standard_normal((2, 3, 40, 37)).astype(np.float32),
        rng.standard_normal((2, 3, 28, 30)).astype(np.float32),
    )
    linear = view.crops(x) - view.crops(np.zeros_like(x))
    there, back = (linear * y).sum(dtype=np.float64), (x * view.back(y)).sum(dtype=np.float64)
    assert there == pytest.approx(back, rel=1e-4)
    # Bilinear weights sum to 1, so that a gray canvas stays gray.
    gray = 0.3 if view.reflect else 0.5
    np.testing.assert_allclose(view.crops(np.full((1, 1, 40, 37), gray, np.float32)), gray, rtol=1e-5)


def test_a_view_of_whole_pixels_is_a_crop():
    x = np.random.default_rng(0).uniform(size=(1, 1, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(View.at((20, 20), (10, 10)).crops(x), x[:, :, 5:15, 5:15], atol=1e-6)
    np.testing.assert_allclose(View.at((20, 20), (10, 10), shift=(2, -3)).crops(x), x[:, :, 7:17, 2:12], atol=1e-6)
    np.testing.assert_allclose(
        View.at((20, 20), (10, 10), angle=np.pi).crops(x), x[:, :, 5:15, 5:15][:, :, ::-1, ::-1], atol=1e-5
    )


def test_padding_is_gray_beyond_the_border():
    black = np.zeros((1, 1, 6, 6), np.float32)
    seen = View.at((6, 6), (10, 10), reflect=False).crops(black)[0, 0]
    assert (seen[2:8, 2:8] == 0).all()
    assert (seen[0] == 0.5).all()
    assert (seen[:, -1] == 0.5).all()


def test_the_slope_of_roughness_agrees_with_differences():
    rng = np.random.default_rng(0)
    x, d = rng.uniform(size=(1, 2, 5, 6)).astype(np.float32), rng.standard_normal((1, 2, 5, 6)).astype(np.float32)

    assert roughness(x)[0] == pytest.approx(
        (np.square(np.diff(x, axis=2)).sum() + np.square(np.diff(x, axis=3)).sum()) / x.size
    )
    expected = (roughness(x + 0.01 * d) - roughness(x - 0.01 * d))[0] / 0.02
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


def test_ascent_follows_the_gradient_alone():
    optimiser, state = SHORT_OPTIMISERS.read("ascent:0.5"), {}
    steps = [optimiser.step(state, np.float32([g])) for g in (1, 1, -2)]
    np.testing.assert_allclose(np.concatenate(steps), [0.5, 0.5, -1])


def climbed(optimiser, value, gradient, start, calls):
    x, state = np.array(start, dtype=float), {}
    for _ in range(calls):
        x = x + optimiser.step(state, gradient(x), value(x))
    return x


def test_lbfgs_finds_the_optima_that_scipy_finds():
    """Rosenbrock's valley in 6 dimensions, from several starts side by side."""
    starts = np.random.default_rng(0).uniform(-1.5, 1.5, (5, 6))
    found = climbed(
        Lbfgs(),
        lambda x: -np.array([optimize.rosen(one) for one in x]),
        lambda x: -np.array([optimize.rosen_der(one) for one in x]),
        starts,
        300,
    )
    scipys = [optimize.minimize(optimize.rosen, one, jac=optimize.rosen_der, method="L-BFGS-B").x for one in starts]
    np.testing.assert_allclose(found, scipys, atol=1e-3)


def test_lbfgs_treats_each_problem_by_itself():
    rng = np.random.default_rng(1)
    a, starts = rng.uniform(0.1, 10, (3, 4)), rng.standard_normal((3, 4))
    together = climbed(Lbfgs(), lambda x: -(a * x**4).sum(1), lambda x: -4 * a * x**3, starts, 12)
    for n in range(3):
        b, start = a[n : n + 1], starts[n : n + 1]
        alone = climbed(Lbfgs(), lambda x, b=b: -(b * x**4).sum(1), lambda x, b=b: -4 * b * x**3, start, 12)
        np.testing.assert_allclose(together[n : n + 1], alone, rtol=1e-12)


def test_lbfgs_ends_where_neither_its_pairs_nor_the_gradient_lead_uphill():
    """-max(x'Ax, 1), with a slope on the plateau too: each way is tried once, and then no other step is taken."""
    x, curvature, state, tried = np.array([[3.0, 1.0], [0.1, 0.1]]), np.array([1.0, 4.0]), {}, []
    for _ in range(150):
        x = x + Lbfgs().step(state, -2 * curvature * x, -np.maximum((curvature * x * x).sum(1), 1))
        tried.append(x)
    assert state["ended"].all()
    # The first got to the plateau by its pairs, and the second began on it.
    values = [-np.maximum((curvature * one * one).sum(1), 1) for one in tried]
    np.testing.assert_array_equal(values[-1], -1)
    last = [max(n for n in range(149) if (tried[n] != tried[-1])[k].any()) for k in range(2)]
    # A length of 1 is halved 34 times to 1e-10.
    assert last[1] < 40 < last[0] < 110


def test_lbfgs_needs_values():
    with pytest.raises(ParameterError, match="compares values"):
        Lbfgs().step({}, np.ones((1, 2)))


def test_fista_solves_the_lasso_whose_solution_is_a_soft_threshold():
    """For f = -c (x - a)^2 / 2 the maximum of f - shrink |x| is soft(a, shrink / c)."""
    a, curvature = np.array([[3.0, -0.2, 0.5, -2.0]]), np.array([[1.0, 0.5, 0.02, 0.1]])
    found = climbed(Fista(shrink=0.01), lambda x: None, lambda x: -curvature * (x - a), np.zeros((1, 4)), 400)
    expected = np.sign(a) * np.maximum(np.abs(a) - 0.01 / curvature, 0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fista_is_faster_than_the_gradient():
    curvature = np.array([[1.0, 0.001]])
    start = np.ones((1, 2))
    fast, slow = (
        climbed(optimiser, lambda x: None, lambda x: -curvature * x, start, 200)
        for optimiser in (Fista(), SHORT_OPTIMISERS.read("ascent:1"))
    )
    assert (curvature * fast**2).sum() < 0.01 * (curvature * slow**2).sum()


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
        ("inversion", {"layer": LAYER}, ParameterError, "needs a picture"),
        ("caricature", {"picture": PICTURE}, ParameterError, "needs a layer"),
        ("diversity", {"layer": LAYER}, ParameterError, "'count' of 2 or more"),
    ],
)
def test_what_does_not_fit_is_refused(objective, settings, error, words):
    with pytest.raises(error, match=words):
        Search(steps=1).run(trained("mnist_cnn"), OBJECTIVES.configured(objective, settings))


def test_models_that_read_no_pictures_are_refused():
    with pytest.raises(UnsupportedModelError, match="not a picture"):
        Search(steps=1).run(trained("german_credit_mlp"), ClassScore(label=0))


def test_a_class_whose_name_is_a_number_is_found_by_its_name():
    spec = InputSpec(kind="picture", name="x", layout="NCHW", size=(8, 8), labels=("0", "180", "90"))
    assert [spec.class_number(given) for given in ("180", "90", 2, "2", "0", " 90 ")] == [1, 2, 2, 2, 0, 2]


@pytest.mark.parametrize(
    "end", ["y = Softmax(z)", "p = Softmax(z) y = Identity(p)", "p = Sigmoid(z) q = Identity(p) y = Identity(q)"]
)
def test_the_score_of_a_class_is_ahead_of_the_activation_at_the_end(end):
    """Some exports end in an Identity that gives the output its name."""
    model = loaded(f"""g (float[N, 1, 8, 8] x) => (float[N, 2] y) <float three = {{3}}> {{
        m = GlobalAveragePool(x)  a = Flatten(m)  b = Mul(a, three)  z = Concat<axis = 1>(a, b) {end} }}""")
    scene = Scene.of(model, ClassScore(label=1), 1)
    pictures = np.full((1, 1, *scene.size_of_canvas), 0.5, np.float32)
    np.testing.assert_allclose(scene.value(scene.middle(), pictures), 1.5, rtol=1e-5)


def test_sums_are_said_as_sums():
    a, b = ClassScore(label=3), ClassScore(label=8)
    assert repr(-a) == f"- {a!r}"
    assert repr(a - 0.5 * b + 2 * (a - b)) == f"({a!r} - (0.5 * {b!r})) + (2 * ({a!r} - {b!r}))"


def test_a_unit_without_gradient_is_said():
    """The first layer's bias may keep a unit silent for every gray picture: then nothing points uphill."""
    silent = Channel(layer=LAYER, channel=0) * 0.0
    with pytest.raises(ZeroGradientError, match="is 0 at the start"):
        Search(steps=1).run(trained("mnist_cnn"), silent)


def test_a_gradient_that_is_nan_on_the_way_names_the_step():
    """sqrt(1 - mean): the first step goes beyond the end of its range."""
    model = loaded(
        """g (float[N, 1, 8, 8] x) => (float[N, 2] y) <float end = {0.52}> {
        m = GlobalAveragePool(x)  d = Sub(end, m)  r = Sqrt(d)  n = Neg(r)  a = Flatten(n)
        y = Concat<axis = 1>(a, a) }"""
    )
    search = Search(steps=5, parametrisation="pixels", optimiser="ascent:50", jitter=0, zoom=1, rotation=0)
    with pytest.raises(OutputError, match="NaN or infinity at step 2"):
        search.run(model, ClassScore(label=0))
