"""Baseline: the values of each kind, in the dtype of the input, and equal for a sample alone and in a batch."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import xaionnx
from models import planted
from tests import tiny
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, InputSpec, Model
from xaionnx.data.axes import TensorAxes
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.graph.roles import Role
from xaionnx.perturb.element_types import value_range

RNG = np.random.default_rng(11)
PLANES = RNG.normal(size=(3, 12, 10)).astype(np.float32)
SPEC = {"mean": [10.0, 20.0, 30.0], "scale": [100.0, 50.0, 25.0]}


@pytest.fixture(params=["NCHW", "NHWC"])
def layout(request):
    return request.param


def laid(planes, layout):
    return planes if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def planes_of(x, layout):
    return x if layout == "NCHW" else np.moveaxis(x, -1, 0)


def put_in(given, layout="NCHW", spec=None, seed=0, planes=PLANES):
    """The draws (B, C, H, W) of a baseline."""
    one = Sample({"x": laid(planes, layout)}, "x", spec)
    draws = Baseline.of(given).draws(one, ("x",), seed)["x"]
    assert draws.dtype == planes.dtype
    return np.stack([planes_of(draw, layout) for draw in draws])


@pytest.mark.parametrize("with_spec", [True, False])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, np.zeros_like),
        ("zero", np.zeros_like),
        (0.25, lambda x: np.full_like(x, 0.25)),
        ("constant:-2", lambda x: np.full_like(x, -2)),
        ("0.5", lambda x: np.full_like(x, 0.5)),
        ("mean", lambda x: np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)),
        ("blur", lambda x: np.stack([gaussian_filter(p, 10, mode="nearest") for p in x])),
        ("blur:2", lambda x: np.stack([gaussian_filter(p, 2, mode="nearest") for p in x])),
    ],
)
def test_kinds_that_draw_nothing(layout, with_spec, given, expected):
    spec = InputSpec(layout=layout, **SPEC) if with_spec else None
    assert_close(put_in(given, layout, spec)[0], expected(PLANES), Tolerance.ORDER_ONE)


def test_black_and_white_are_what_the_spec_makes_of_them(layout):
    spec = InputSpec(layout=layout, **SPEC)
    for name, pixel in (("black", 0), ("white", 255)):
        expected = (pixel - np.array(SPEC["mean"])) / np.array(SPEC["scale"])
        wanted = np.broadcast_to(expected[:, None, None], PLANES.shape)
        assert_close(put_in(name, layout, spec)[0], wanted, Tolerance.OPERATIONS)


def test_the_farther_end_of_the_range(layout):
    spec = InputSpec(layout=layout, **SPEC)
    low, high = ((p - np.array(SPEC["mean"]))[:, None, None] / np.array(SPEC["scale"])[:, None, None] for p in (0, 255))
    expected = np.where(PLANES - low > high - PLANES, low, high)
    assert_close(put_in("max_distance", layout, spec)[0], expected, Tolerance.OPERATIONS)
    low, high = PLANES.min(), PLANES.max()
    expected = np.where(PLANES - low > high - PLANES, low, high)
    assert_close(put_in("max_distance", layout)[0], expected, Tolerance.OPERATIONS)


@pytest.mark.parametrize("with_spec", [True, False])
def test_noise_keeps_to_the_range_of_values(layout, with_spec):
    spec = InputSpec(layout=layout, **SPEC) if with_spec else None
    low, high = value_range(Sample({"x": laid(PLANES, layout)}, "x", spec), "x")
    if with_spec:
        low, high = (planes_of(np.broadcast_to(end, laid(PLANES, layout).shape), layout) for end in (low, high))
    uniform = put_in(Baseline.uniform(64), layout, spec)
    assert (uniform >= np.float32(low)).all()
    assert (uniform <= np.float32(high)).all()
    # 64 draws of 360 elements: four standard errors of a uniform mean.
    share = (uniform - low) / (high - low)
    assert abs(share.mean() - 0.5) < 4 * np.sqrt(1 / 12 / share.size)
    gaussian = put_in(Baseline.gaussian(0.001, 64), layout, spec)
    inside = (low + 0.01 * (high - low) < PLANES) & (high - 0.01 * (high - low) > PLANES)
    deviation = ((gaussian - PLANES) / (high - low))[:, inside]
    assert abs(deviation.mean()) < 4 * 0.001 / np.sqrt(deviation.size)
    assert abs(deviation.std() / 0.001 - 1) < 4 / np.sqrt(2 * deviation.size)


def test_a_shuffle_moves_whole_tiles_and_leaves_the_cut_ones(layout):
    shuffled = put_in("shuffle:4", layout)[0]
    assert not np.array_equal(shuffled, PLANES)
    np.testing.assert_array_equal(shuffled[:, :, 8:], PLANES[:, :, 8:])

    def tiles(x):
        return sorted(x[:, r : r + 4, c : c + 4].tobytes() for r in (0, 4, 8) for c in (0, 4))

    assert tiles(shuffled) == tiles(PLANES)


@pytest.mark.parametrize(("axes", "shape"), [("T F", (9, 3)), ("C D H W", (2, 4, 6, 7)), ("H W", (8, 9))])
def test_tiles_of_series_and_volumes_are_shuffled(axes, shape):
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    roles = TensorAxes.stated(axes).roles
    sample = Sample({"x": x}, "x", roles={"x": roles})
    places = [axis for axis, role in enumerate(roles) if role.counts_positions]
    (found,) = Baseline.shuffle(2).draws(sample, ("x",), 0)["x"]
    assert sorted(found.ravel()) == sorted(x.ravel())
    assert not np.array_equal(found, x)
    # Tiles stay whole: the corner of each says where all of it came from.
    order = [*places, *(axis for axis in range(len(shape)) if axis not in places)]
    moved, source = found.transpose(order), x.transpose(order)
    for tile in np.ndindex(*(shape[axis] // 2 for axis in places)):
        here = tuple(slice(2 * k, 2 * k + 2) for k in tile)
        value = moved[here].flat[0]
        origin = [int(where[0]) // 2 for where in np.nonzero(source == value)][: len(places)]
        np.testing.assert_array_equal(moved[here], source[tuple(slice(2 * k, 2 * k + 2) for k in origin)])


@pytest.mark.parametrize("name", ["uniform:3", "gaussian", "shuffle:4"])
def test_what_is_drawn_depends_on_the_seed_alone(layout, name):
    def drawn(seed=0, number=0, count=1, more=()):
        x = {"x": laid(PLANES, layout), **dict.fromkeys(more, np.zeros(2))}
        return Baseline.of(name).draws(Sample(x, "x", None, number, count), ("x",), seed)["x"]

    np.testing.assert_array_equal(drawn(), drawn(0, 4, 9, ("a", "b")))
    assert not np.array_equal(drawn(), drawn(1))


@pytest.mark.parametrize("method", ["feature_ablation", "occlusion", "rise"])
@pytest.mark.parametrize("baseline", ["gaussian", "uniform:2", "shuffle:4"])
def test_with_noise_too_a_batch_equals_its_samples_one_by_one(method, baseline):
    model = planted.load(planted.quadrants(12))
    x = RNG.random((3, 3, 12, 12)).astype(np.float32)
    options = {"feature_ablation": {"features": "grid"}, "occlusion": {"window": 4}, "rise": {"budget": 200}}[method]
    together = xaionnx.explain(model, x, method, 0, baseline=baseline, **options)
    for n in range(3):
        alone = xaionnx.explain(model, x[n : n + 1], method, 0, baseline=baseline, **options)
        assert_close(alone.values[0], together.values[n], Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.float16, np.float64, np.bool_])
@pytest.mark.parametrize("name", ["zero", "1", "mean", "blur:2", "uniform:3", "gaussian", "max_distance", "shuffle:4"])
def test_every_kind_in_every_type_of_number(layout, dtype, name):
    # The widest range of the type would overflow in the type's own arithmetic.
    planes = (PLANES > 0) if dtype == np.bool_ else np.clip(PLANES * 100, -120, 120).astype(dtype)
    if dtype == np.uint8:
        planes = np.clip(PLANES * 100 + 128, 0, 255).astype(dtype)
    drawn = put_in(name, layout, planes=planes).astype(np.float64)
    assert np.isfinite(drawn).all()
    assert drawn.min() >= min(0, planes.min())
    assert drawn.max() <= max(1, planes.max())
    if name == "mean" and dtype == np.uint8:
        np.testing.assert_array_equal(drawn[0, 0], np.rint(planes[0].mean(dtype=np.float64)))


def test_missing_values_do_not_spoil_the_range():
    one = Sample({"x": np.array([1.0, np.nan, 5.0, np.inf])}, "x", roles={"x": (Role.TIME,)})
    assert value_range(one, "x") == (1, 5)
    assert np.isfinite(Baseline.uniform(8).draws(one, ("x",), 0)["x"]).all()


def test_arrays_broadcast_or_hold_one_a_sample():
    x = np.zeros((3, 4, 5), np.float32)
    second = Sample({"x": x}, "x", None, 1, 2)

    def drawn(array):
        return Baseline.of(array).draws(second, ("x",), 0)["x"]

    plane, whole, each = RNG.random((4, 5)), RNG.random((3, 4, 5)), RNG.random((2, 3, 4, 5))
    np.testing.assert_array_equal(drawn(plane)[0], np.float32(np.broadcast_to(plane, x.shape)))
    np.testing.assert_array_equal(drawn(whole)[0], np.float32(whole))
    np.testing.assert_array_equal(drawn(each)[0], np.float32(each[1]))
    np.testing.assert_array_equal(drawn(whole[None])[0], np.float32(whole))
    rows = RNG.random((7, 3, 4, 5))
    np.testing.assert_array_equal(drawn(Baseline.background(rows)), np.float32(rows))


def test_several_inputs_each_with_its_own():
    one = Sample({"a": np.ones(2, np.float32), "b": np.ones(3, np.float32), "c": np.ones(1, np.float32)}, "a")
    given = {"a": Baseline.background(np.arange(8.0).reshape(4, 2)), "b": 5}
    drawn = Baseline.of(given).draws(one, ("a", "b", "c"), 0)
    assert drawn["a"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert drawn["b"].tolist() == [[5, 5, 5]] * 4
    assert drawn["c"].tolist() == [[0]] * 4
    uneven = {"a": Baseline.background(np.zeros((4, 2))), "b": Baseline.background(np.zeros((2, 3)))}
    with pytest.raises(InputMismatchError, match="differ in their number of rows: a 4, b 2"):
        Baseline.of(uneven).draws(one, ("a", "b"), 0)


def test_pictures_beside_a_table_are_known_by_name():
    one = Sample({"x": PLANES, "row": np.array([1.0, 3.0], np.float32)}, "x", InputSpec(**SPEC))
    with pytest.raises(ParameterError, match="The mean of the 2 columns of input 'row' is no baseline, since columns"):
        Baseline.of("mean").draws(one, ("x", "row"), 0)
    needed = r"baseline='blur' needs a picture, a series or a volume, but input 'row' has the shape"
    with pytest.raises(InputMismatchError, match=needed):
        Baseline.of("blur").draws(one, ("x", "row"), 0)
    with pytest.raises(ParameterError, match="A black or white baseline of input 'row' needs an InputSpec"):
        Baseline.of("black").draws(one, ("x", "row"), 0)


def test_the_mean_of_a_series_without_its_gaps():
    one = Sample({"x": np.float32([1, np.nan, 3])}, "x", InputSpec(kind="array"))
    assert Baseline.mean().draws(one, ("x",), 0)["x"].tolist() == [[2, 2, 2]]


def test_the_mean_of_a_sound_of_any_length():
    model = tiny.loaded("g (float[N,T] x) => (float[N,T] y) { y = Relu(x) }")
    result = xaionnx.explain(model, tiny.row(1, 2, 6), "feature_ablation", 2, baseline="mean")
    assert result.values.tolist() == [[0, 0, 3]]
    assert result.warnings == ()
    assert xaionnx.explain(model, tiny.row(1, 2, 6), "feature_ablation", 2).warnings == ()


def test_the_mean_of_a_signal_is_over_its_steps():
    text = """g (float[N,4] x) => (float[N,1] y) <int64[1] one = {1}, float[1,1,2] k = {1, 1}> {
        u = Unsqueeze(x, one)  c = Conv<kernel_shape = [2], strides = [2]>(u, k)  g1 = GlobalAveragePool(c)
        y = Flatten(g1) }"""
    result = xaionnx.explain(tiny.loaded(text), tiny.row(1, 2, 6, 7), "feature_ablation", 0, baseline="mean")
    np.testing.assert_allclose(result.values, [[-1.5, -1, 1, 1.5]])


def test_the_mean_over_axes_that_nobody_knows_is_refused():
    text = "g (float[N,2,3] x) => (float[N,6] y) { y = Flatten(x) }"
    with pytest.raises(InputMismatchError, match=r"baseline='mean' needs a picture, a series or a volume.*State them"):
        xaionnx.explain(tiny.loaded(text), np.ones((1, 2, 3), np.float32), "feature_ablation", 0, baseline="mean")


ROWS = np.float32([[1, 10], [2, np.nan], [9, 40]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [(Baseline.mean(ROWS), [4, 25]), (Baseline.median(ROWS), [2, 25]), (Baseline.background(ROWS), ROWS)],
)
def test_rows_of_data_and_their_averages(given, expected):
    one = Sample({"x": np.float32([5, 5])}, "x")
    np.testing.assert_array_equal(given.draws(one, ("x",), 0)["x"], np.atleast_2d(expected))


def test_a_column_without_any_value_stays_without_one():
    one = Sample({"x": np.float32([5, 5])}, "x")
    drawn = Baseline.mean(np.float32([[1, np.nan], [3, np.nan]])).draws(one, ("x",), 0)["x"]
    np.testing.assert_array_equal(drawn, [[2, np.nan]])


def test_rows_by_input_name():
    one = Sample({"x": np.float32([5, 5]), "z": np.int64([7])}, "x")
    rows = {"x": ROWS, "z": np.array([[1], [2], [4]])}
    drawn = Baseline.background(rows).draws(one, ("x", "z"), 0)
    np.testing.assert_array_equal(drawn["z"], [[1], [2], [4]])
    assert Baseline.mean(rows).draws(one, ("z",), 0)["z"].tolist() == [[2]]  # rounded, as the input is whole
    with pytest.raises(InputMismatchError, match="Rows of data are given for x, but not for input 'z'"):
        Baseline.background({"x": ROWS}).draws(one, ("x", "z"), 0)
    with pytest.raises(InputMismatchError, match=r"which does not fit input 'z' of shape \('N', 1\)"):
        Baseline.background(ROWS).draws(one, ("x", "z"), 0)


@pytest.mark.parametrize("name", ["rows.csv", "rows.npy", "rows.npz"])
def test_rows_of_a_file(tmp_path, name):
    rows = np.float32([[1, 10], [3, 20]])
    path = tmp_path / name
    {
        "csv": lambda: path.write_text("a,b\n1,10\n3,20\n"),
        "npy": lambda: np.save(path, rows),
        "npz": lambda: np.savez(path, x=rows),
    }[name[-3:]]()
    model = planted.load(planted.linear([[1.0, 1.0]]))
    x = np.float32([[0, 100]])
    # The mean over the rows of f(x) - f(x with a column of the row) is x less the mean of the column.
    for given in (f"background:{path}", f"mean:{path}", Baseline.background(path)):
        values = xaionnx.explain(model, x, "feature_ablation", 0, baseline=given).values
        np.testing.assert_allclose(values, [[-2, 85]])
    values = xaionnx.explain(model, x, "integrated_gradients", 0, baseline=f"median:{path}").values
    np.testing.assert_allclose(values, [[-2, 85]], rtol=1e-5)
    inner = IntegratedGradients(baseline=f"mean:{path}")
    smooth = xaionnx.explain(model, x, "smooth_grad", 0, inner=inner, noise=1e-6, draws=2)
    np.testing.assert_allclose(smooth.values, [[-2, 85]], rtol=1e-3)


def test_text_by_input_name():
    assert repr(Baseline.of("x=blur:3,row=0.5")) == repr(Baseline.of({"x": "blur:3", "row": 0.5}))
    for text in ("x=", "x=blur,row", "=1", "x=1,x=2"):
        with pytest.raises(
            ParameterError, match=r"'baseline' parameter by input must be written as 'NAME=VALUE,NAME=VALUE'"
        ):
            Baseline.of(text)


def test_strings_are_replaced_by_strings(tmp_path):
    model = Model.load(tiny.words(tmp_path / "words.onnx", "Add", 1, a=1, b=5))
    feeds = {"word": np.array([["b"], ["a"]]), "x": np.array([[2.0], [3.0]], np.float32)}
    found = xaionnx.explain(model, feeds, "feature_ablation", 0, baseline={"word": np.array("a"), "x": 1})
    assert found.values["word"].tolist() == [[4], [0]]
    assert found.values["x"].tolist() == [[1], [2]]
    with pytest.raises(ParameterError, match="Input 'word' contains strings, so its baseline must too"):
        xaionnx.explain(model, feeds, "feature_ablation", 0)
    # Every row of a run would meet it.
    with pytest.raises(ParameterError, match="Input 'word' contains strings"):
        xaionnx.explain_all(model, feeds, "feature_ablation", 0, to=tmp_path / "run")
    assert not [file for file in (tmp_path / "run").rglob("[!.]*") if file.is_file()]
    with pytest.raises(InputMismatchError, match=r"Input 'x' has type float32\. Its baseline must be a number"):
        xaionnx.explain(model, feeds, "feature_ablation", 0, baseline=np.array("a"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("blurr", "No baseline named 'blurr'. Nearest: blur."),
        ("blurr:3", "No baseline named 'blurr'. Nearest: blur."),
        ("zero:3", "The baseline 'zero' must be written as 'zero'. Got 'zero:3' instead."),
        ("blur:wide", "The baseline 'blur' must be written as 'blur' or 'blur:10'. Got 'blur:wide' instead."),
        ("blur:", "Got 'blur:' instead."),
        (
            "shuffle:2.5",
            "The baseline 'shuffle' must be written as 'shuffle' or 'shuffle:16'. Got 'shuffle:2.5' instead.",
        ),
        ("constant", "The baseline 'constant' must be written as 'constant:0.5'. Got 'constant' instead."),
        ("blur:0", r"The 'sigma' parameter of Baseline.blur must be a float in \(0, inf\). Got 0.0 instead."),
        ("uniform:0", r"The 'draws' parameter of Baseline.uniform must be an int in \[1, inf\). Got 0 instead."),
        ("gaussian:-1", r"The 'share' parameter of Baseline.gaussian must be a float in \(0, inf\). Got -1.0 instead."),
        ("shuffle:0", r"The 'tile' parameter of Baseline.shuffle must be an int in \[1, inf\). Got 0 instead."),
        (1 + 2j, "The 'baseline' parameter must be a number, a name, an array or a Baseline. Got"),
    ],
)
def test_what_is_no_baseline(given, message):
    with pytest.raises((ParameterError, UnknownNameError), match=message):
        Baseline.of(given)


@pytest.mark.parametrize(
    ("given", "x", "message"),
    [
        (
            np.zeros((4, 4)),
            PLANES,
            r"The baseline has the shape \(4, 4\), which does not fit input 'x' of shape",
        ),
        (
            np.zeros((5, *PLANES.shape)),
            PLANES,
            "The baseline has 5 samples for a batch of 2. Give one, or one per sample",
        ),
        (
            Baseline.background(np.zeros((4, 3))),
            PLANES,
            r"Background rows for input 'x' must have the shape \('B', 3, 12, 10\). Got \(4, 3\) instead.",
        ),
        ("shuffle:9", PLANES, "Tiles of 9 pixels leave nothing to shuffle in 12 by 10 pixels."),
        ("black", PLANES, "needs an InputSpec with the scale of pixels."),
        ("blur", PLANES[0, 0], "baseline='blur' needs a picture"),
        (0.5, np.zeros(3, np.int64), "Input 'x' has type int64, which cannot represent a baseline of 0.5."),
        (300, np.zeros(3, np.uint8), "Input 'x' has type uint8, which cannot represent a baseline of 300."),
        (-1, np.zeros(3, np.uint8), "cannot represent a baseline of -1."),
        (np.nan, np.zeros(3, np.int32), "cannot represent a baseline of nan."),
        ({"z": 0}, PLANES, "No input named 'z'. Known: x."),
    ],
)
def test_what_does_not_fit_the_input(given, x, message):
    with pytest.raises((InputMismatchError, ParameterError, UnknownNameError), match=message):
        Baseline.of(given).draws(Sample({"x": x}, "x", None, 0, 2), ("x",), 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"baseline": "blurr"}, "No baseline named 'blurr'. Nearest: blur."),
        ({"baseline": "blur:0"}, r"The 'sigma' parameter of Baseline.blur must be a float in \(0, inf\)"),
        ({"features": "grit"}, "No features named 'grit'. Nearest: grid."),
        ({"features": [0.5]}, "The 'features' parameter must be a name, Features, or an integer label map."),
    ],
)
def test_a_method_refuses_what_means_nothing_before_there_is_a_model(setting, message):
    with pytest.raises((ParameterError, UnknownNameError), match=message):
        xaionnx.discovery.method("lime")(**setting)


@pytest.mark.parametrize("name", ["gaussian", "uniform:2", "max_distance"])
def test_columns_of_a_table_have_no_range_in_common(name):
    """The age was set to the income."""
    model = planted.load(planted.linear([[1.0, 2.0]]))
    with pytest.raises(ParameterError, match=r"^The columns of input 'x' have no range in common for "):
        xaionnx.explain(model, np.float32([[40, 40_000]]), "feature_ablation", 0, baseline=name)
