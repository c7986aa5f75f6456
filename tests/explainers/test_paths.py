"""Methods along curved paths, and XRAI, against published numbers, closed forms and slow oracles."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.segmentation import felzenszwalb

import xaionnx
from models import planted
from tests.oracles import guided_ig as guided_oracle
from tests.oracles import xrai as xrai_oracle
from tests.tiny import loaded, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, InputSpec, Model
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.explainers._gradients.paths import add_up
from xaionnx.explainers._gradients.regions import SIDE, rank, ranking, segments
from xaionnx.explainers.blur_ig import BlurIG
from xaionnx.explainers.guided_ig import GuidedIG
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.xrai import XRAI


@pytest.fixture(scope="module")
def digit():
    return gaussian_filter(np.random.default_rng(0).normal(size=(2, 1, 28, 28)), (0, 0, 2, 2)).astype(np.float32) * 5


@pytest.fixture(scope="module")
def mixing():
    """A smooth model of 12 columns whose gradient varies."""
    rng = np.random.default_rng(6)
    return loaded(
        "g (float[N, 12] x) => (float[N, 2] y) { h = MatMul(x, a)  t = Tanh(h)  y = MatMul(t, b) }",
        a=rng.normal(size=(12, 8)) / 2, b=rng.normal(size=(8, 2)),
    )  # fmt: skip


SQUARES = "g (float[N, 2] x) => (float[N, 1] y) { s = Mul(x, x)  y = MatMul(s, a) }"


def test_guided_ig_of_the_nets_of_others():
    linear = planted.load(planted.linear([[2.0, 1.0]]))
    found = xaionnx.explain(linear, row(10, 5), GuidedIG(baseline=row(-1, -3)[0]), 0)
    assert_close(found.values, [[22, 8]], Tolerance.SUMS)
    squares = loaded(SQUARES, a=[[2.0], [1.0]])
    found = xaionnx.explain(squares, row(3, 3), GuidedIG(), 0)
    assert_close(found.values, [[18, 9]], Tolerance.LAYERS)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.ORDER_ONE)
    assert found.diagnostics["gradients"] == [201]


@pytest.mark.parametrize(("fraction", "max_dist"), [(0.25, 0.02), (0.1, 0.3), (0.5, 1.0), (1.0, 0.1)])
def test_guided_ig_takes_the_path_of_the_paper(mixing, fraction, max_dist):
    """Several samples, targets and baselines at once, each along its own path."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 12)).astype(np.float32)
    starts = rng.normal(size=(3, 12)).astype(np.float32)
    x[0, 3] = starts[:, 3] = 0.5  # the baseline equals the input
    kind = GuidedIG(steps=20, fraction=fraction, max_dist=max_dist, baseline=Baseline.background(starts))
    found = xaionnx.explain(mixing, x, kind, [1, 0])
    for t, k in enumerate((1, 0)):
        for n in range(2):
            owed = np.zeros(12)
            for start in starts:

                def gradient(z, k=k):
                    return xaionnx.explain(mixing, z[None].astype(np.float32), "saliency", k, absolute=False).values[0]

                z = guided_oracle.path(gradient, start, x[n], 20, fraction, max_dist)
                slopes = np.stack([gradient(point) for point in z])
                owed += ((slopes[1:] + slopes[:-1]) / 2 * np.diff(z, axis=0)).sum(axis=0) / 3
            assert_close(found.values[t, n], owed, Tolerance.DEEP)
    gap = found.values.sum(axis=2) - (found.prediction - found.baseline_prediction)
    assert_close(np.array(found.diagnostics["completeness_gap"]).T, gap, Tolerance.DEEP)


def test_guided_ig_on_a_straight_path_is_integrated_gradients(mixing):
    x = np.random.default_rng(8).normal(size=(2, 12)).astype(np.float32)
    straight = xaionnx.explain(mixing, x, GuidedIG(max_dist=0.0, steps=16), 0).values
    whole = xaionnx.explain(mixing, x, IntegratedGradients(rule="trapezoid", steps=17), 0).values
    assert_close(straight, whole, Tolerance.ORDER_ONE)


def test_guided_ig_moves_late_what_has_a_large_gradient():
    """On (x1^2 + 3 x2^2)^2 the gradients are as x1 to 3 x2: a free path keeps 3 x2 = x1 until x1 reaches the input."""
    model = loaded("g (float[N, 2] x) => (float[N, 1] y) { s = Mul(x, x)  p = MatMul(s, a)  y = Mul(p, p) }",
                    a=[[1.0], [3.0]])  # fmt: skip
    straight = xaionnx.explain(model, row(1, 1), GuidedIG(max_dist=0.0), 0).values[0]
    free = xaionnx.explain(model, row(1, 1), GuidedIG(max_dist=1.0), 0).values[0]
    assert_close(straight, [4, 12], Tolerance.QUOTIENTS)
    # The integral of 4 p x1 over x1, where p = x1^2 + x1^2 / 3.
    np.testing.assert_allclose(free, [4 / 3, 16 - 4 / 3], atol=0.02)


def slow_blur_ig(model, x, axes, steps, max_sigma, target):
    """The paper's sum with differences of neighbouring pixels for the gradient, one scale at a time."""
    total = np.zeros(x.shape)
    for k in range(steps):
        sharp, soft = (
            gaussian_filter(x.astype(float), max_sigma * ((k + more) / steps) ** 2, axes=axes, mode="reflect")
            if k + more
            else x.astype(float)
            for more in (0, 1)
        )
        middle = ((sharp + soft) / 2).astype(np.float32)[None]
        slope = xaionnx.explain(model, middle, "saliency", target, absolute=False).values[0]
        total += slope * (sharp - soft)
    return total


def test_blur_ig_of_pictures(digits, digit):
    found = xaionnx.explain(digits, digit, BlurIG(steps=12, max_sigma=9.0), [3, 5])
    for t, k in enumerate((3, 5)):
        for n in range(2):
            slow = slow_blur_ig(digits, digit[n], (1, 2), 12, 9.0, k)
            np.testing.assert_allclose(found.values[t, n], slow, atol=1e-3 * np.abs(slow).max())
    blurred = gaussian_filter(digit.astype(float), 9.0, axes=(2, 3), mode="reflect").astype(np.float32)
    assert_close(found.baseline_prediction[0], digits.run({"pixels": blurred})["logits"][:, 3], Tolerance.LAYERS)
    gap = found.values.sum(axis=(2, 3, 4)) - (found.prediction - found.baseline_prediction)
    assert_close(np.array(found.diagnostics["completeness_gap"]).T, gap, Tolerance.DEEP)
    fine = xaionnx.explain(digits, digit, BlurIG(steps=200), [3, 5]).diagnostics["relative_gap"]
    assert np.max(fine) < 0.02


@pytest.mark.parametrize(("shape", "axes", "roles"), [((9,), (0,), "N T"), ((2, 9), (1,), "N F T"),
                                                      ((4, 5, 3), (0, 1), None), ((3, 4, 5), (1, 2), None),
                                                      ((2, 3, 4, 5), (1, 2, 3), "N C D H W")],
                         ids=["series", "channels of a series", "NHWC", "NCHW", "volume"])  # fmt: skip
def test_blur_ig_blurs_along_neighbours(shape, axes, roles):
    rng = np.random.default_rng(9)
    w, x = rng.normal(size=shape), rng.normal(size=(1, *shape)).astype(np.float32)
    model = planted.load(planted.linear(w[None]), axes=roles)
    found = xaionnx.explain(model, x, BlurIG(max_sigma=2.0, steps=3), 0)
    # For a linear model the attribution is w times the part that the blur removes, with any number of steps.
    blurred = gaussian_filter(x[0].astype(float), 2.0, axes=axes, mode="reflect")
    assert_close(found.values[0], w * (x[0] - blurred), Tolerance.ORDER_ONE)
    assert_close(found.diagnostics["completeness_gap"], 0, Tolerance.DEEP)


@pytest.mark.parametrize(
    ("shape", "roles", "said"),
    [
        ((6,), None, "'x' is a row of a table, whose columns are no neighbours. Use integrated_gradients"),
        ((6, 1), None, "neither the graph nor names of dimensions say which axes are positions"),
        ((2, 9), None, "neither the graph nor names of dimensions say which axes are positions"),
        ((3, 1, 1), "N C H W", "'x' has a single position"),
    ],
)
def test_blur_ig_refuses_what_has_no_neighbours(shape, roles, said):
    model = planted.load(planted.linear(np.ones((1, *shape))), axes=roles)
    with pytest.raises(InputMismatchError, match=said):
        xaionnx.explain(model, np.ones((1, *shape), np.float32), "blur_ig")


def test_blur_ig_refuses_a_table():
    model = Model.load("models/german_credit_mlp.onnx")
    width = model.input().shape[1]
    with pytest.raises(InputMismatchError, match=r"BlurIG needs a picture, a series or a volume, but .* of a table"):
        xaionnx.explain(model, np.zeros((1, width), np.float32), "blur_ig")


def regions_of(rng, cells, count):
    """Overlapping runs of cells that cover all of them."""
    starts = rng.integers(0, cells - 5, count)
    return [np.arange(s, min(cells, s + rng.integers(3, 15))) for s in starts] + [np.arange(cells)]


@pytest.mark.parametrize("smallest", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_xrai_grows_as_the_slow_one_does(seed, smallest):
    rng = np.random.default_rng(seed)
    mass = rng.normal(size=60)
    regions = regions_of(rng, 60, 12)[: 12 if seed % 2 else 13]  # half of them leave cells without a region
    order, density = rank(regions, mass, np.ones(60), smallest)
    slow = xrai_oracle.grown([set(region.tolist()) for region in regions], mass, smallest)
    assert_close(density[order], slow, Tolerance.FLOAT64_SOLVED)
    assert set(order) == set(range(len(density)))


def blocks():
    """A picture of four flat squares, 64 pixels wide."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32], picture[:32, 32:], picture[32:, :32] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    return picture


def test_segments_reach_over_their_edges_and_cover_all():
    with Image.open("models/photos/cat.png") as photo:
        picture = np.asarray(photo.convert("RGB").resize((SIDE, SIDE)))
    found = segments(picture)
    assert set(np.concatenate(found).tolist()) == set(range(SIDE * SIDE))
    expected = []
    for scale in (50, 100, 150, 250, 500, 1200):
        labels = felzenszwalb(picture, scale=scale, sigma=0.8, min_size=150)
        expected += [np.flatnonzero(distance_transform_edt(labels != label) <= 5) for label in np.unique(labels)]
    assert len(found) == len(expected) > 100
    for mine, slow in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.sort(mine), slow)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["max", "sum"])
def test_xrai_finds_the_square_that_is_read(layout, channels):
    spec = InputSpec(layout=layout, size=(64, 64), scale=255.0)
    x = spec.to_tensor([blocks()])
    weights = np.zeros((1, 64, 64, 3))
    weights[0, :32, 32:] = 1  # the green square
    model = planted.load(planted.linear(weights if layout == "NHWC" else weights.transpose(0, 3, 1, 2)), spec=spec)
    found = xaionnx.explain(model, x, XRAI(channels=channels), 0)
    values = found.values[0][0] if layout == "NCHW" else found.values[0][..., 0]
    assert found.values.shape == x.shape
    assert (found.values[0].min(axis=0 if layout == "NCHW" else 2) == values).all()  # all channels alike
    labels = np.broadcast_to(found.features, x.shape)[0]
    np.testing.assert_array_equal(found.values[0], found.feature_values[0].astype(np.float32)[labels])
    # Black and white baselines on a linear model: the attribution of a pixel is w (x - (black + white) / 2).
    owed = (blocks() / 255 - 0.5)[:32, 32:].astype(float)
    owed = owed.max(axis=2) if channels == "max" else owed.sum(axis=2)
    if channels == "max":
        assert (values[4:28, 36:60] > 0.3).all()
        np.testing.assert_allclose(values[2:28, 38:62].mean(), owed.mean(), rtol=0.15)
        assert (np.abs(values[40:, :24]) < 0.05).all()
    else:
        # Green gets a low sum over black and white: two dark channels outweigh the bright one, and it is added last.
        assert values[4:28, 36:60].max() < values[40:, :24].min()
    assert found.diagnostics["relative_gap"][0] < 1e-3
    assert found.diagnostics["regions"] == [found.feature_values.shape[1]]


def test_xrai_ranks_the_map_of_any_method(digits, digit):
    found = xaionnx.explain(digits, digit, XRAI(inner="occlusion"), [3, 5])
    plain = xaionnx.explain(digits, digit, "occlusion", [3, 5])
    pictures = digits.spec.to_pictures(digit)
    for n in range(2):
        labels, density = ranking(pictures[n], plain.values[:, n, 0], 50)
        assert_close(found.values[:, n, 0], density[:, labels], Tolerance.SUMS)
        # The mean over the pixels of a region, so that the sum over the picture is kept.
        assert_close(found.values[:, n].sum(), plain.values[:, n].sum(), Tolerance.QUOTIENTS)
    assert found.provenance["parameters"]["inner"]["kind"] == "Occlusion"


@pytest.mark.parametrize(("axes", "shape"), [("N H W", (32, 48)), ("N C D H W", (1, 12, 16, 20)),
                                             ("N D H W C", (12, 16, 20, 2)), ("N D H W", (12, 70, 20))])  # fmt: skip
def test_xrai_finds_the_block_that_is_read(axes, shape):
    """In pictures without channels and in volumes; the longer of them is resized."""
    channels = [axes.split().index("C") - 1] if "C" in axes else []
    block = np.zeros([size for axis, size in enumerate(shape) if axis not in channels], bool)
    block[tuple(slice(size // 4, size // 2) for size in block.shape)] = True
    wide = np.broadcast_to(np.expand_dims(block, channels), shape)
    model = planted.load(planted.linear(wide[None].astype(float)), axes=axes)
    x = (0.1 + wide)[None].astype(np.float32)
    found = xaionnx.explain(model, x, XRAI(), 0)
    values = found.values[0].mean(axis=tuple(channels))
    assert values[block].mean() > 4 * values[~block].mean()
    assert block.ravel()[values.argmax()]
    labels = np.broadcast_to(found.features[0], shape)
    assert np.unique(labels).tolist() == [*range(found.diagnostics["regions"][0])]


def test_xrai_refuses_what_is_no_picture(mixing):
    with pytest.raises(InputMismatchError, match=r"XRAI divides pictures and volumes .*'x' .*is \(N, 12\) float32"):
        xaionnx.explain(mixing, np.zeros((1, 12), np.float32), "xrai")
    with pytest.raises(ParameterError, match="The 'inner' parameter of XRAI must be the name of a method other"):
        XRAI(inner=XRAI())
    with pytest.raises(UnknownNameError, match="No method named 'occlusio'"):
        XRAI(inner="occlusio")


def test_a_jump_at_the_baseline_is_told_from_too_few_steps():
    """x over its largest number does not change along the path from zero, where a guard against 0 / 0 gives 0."""
    text = """g (float[N, 3] x) => (float[N, 1] y) { m = ReduceMax<axes = [1], keepdims = 1>(x)  z = Equal(m, o)
      q = Div(x, m)  h = Where(z, o, q)  y = MatMul(h, w) }"""
    w = np.float32([[1], [2], [3]])
    model, x = loaded(text, o=np.float32(0), w=w), np.float32([[0.5, 1, 2]])
    found = xaionnx.explain(model, x, "integrated_gradients", 0)
    change = float((x / 2 @ w)[0, 0])
    assert_close(found.diagnostics["jump_at_baseline"], [change], Tolerance.OPERATIONS)
    assert "more steps hardly help" in found.warnings[0]
    away = xaionnx.explain(model, x, "integrated_gradients", 0, baseline=0.1)
    assert "jump_at_baseline" not in away.diagnostics
    assert away.warnings == ()


@pytest.mark.parametrize("targets", [[0, 1, 2], [0, 2]])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_sums_along_paths_have_the_same_order_for_any_batch(size, targets):
    which, number = np.array(targets), np.repeat([0, 1, 3], [17, 20, 23])
    parts = np.random.default_rng(0).normal(size=(len(which), len(number), 5))
    expected = np.zeros((3, 4, 5))
    for place, point in enumerate(number):
        expected[which, point] += parts[:, place]
    total = np.zeros((3, 4, 5))
    for start in range(0, len(number), size):
        rows = slice(start, start + size)
        add_up(total, which, number[rows], parts[:, rows])
    np.testing.assert_array_equal(total, expected)
