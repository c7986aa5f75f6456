"""What axes mean: words of the user, names of dimensions, and sources that contradict each other."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from xaionnx import InputSpec
from xaionnx.data.axes import TensorAxes, named_role
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.roles import Role

GRU = "g (float[{}] x) => (float[1, M, 4] s) {{ a, s = GRU<hidden_size = 4>(x, w, r) }}"
rng = np.random.default_rng(0)
WEIGHTS = {"w": rng.normal(size=(1, 12, 3)).astype(np.float32), "r": rng.normal(size=(1, 12, 4)).astype(np.float32)}


def gru(dims, **options):
    return planted.load(tiny.parsed(GRU.format(dims), **WEIGHTS), **options)


@pytest.mark.parametrize("text", ["N T F", "n,t,f", "NTF", "sample time feature", " batch, time , feature"])
def test_letters_and_words(text):
    assert TensorAxes.stated(text).roles == (Role.SAMPLE, Role.TIME, Role.FEATURE)


def test_words_that_are_no_role():
    with pytest.raises(UnknownNameError, match=r"No role of an axis named 'tim'\. Nearest: time"):
        TensorAxes.stated("N tim F")
    with pytest.raises(ParameterError, match="at most one sample axis"):
        TensorAxes.stated("N N F")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("batch", Role.SAMPLE), ("N", Role.SAMPLE), ("batch_size", Role.SAMPLE), ("unk__12", Role.UNKNOWN),
        ("s77", Role.UNKNOWN), ("sequence_length", Role.TOKEN), ("time", Role.TIME), ("frames", Role.TIME),
        ("height", Role.SPACE), ("num_classes", Role.CLASS), ("num_boxes", Role.BOX), ("channels", Role.CHANNEL),
        (None, Role.UNKNOWN), (7, Role.UNKNOWN),
    ],
)  # fmt: skip
def test_names_of_dimensions(name, role):
    assert named_role(name) is role


def test_a_name_that_the_graph_contradicts_is_refused_with_both():
    x = np.zeros((5, 2, 3), np.float32)
    message = "axis 0 is sample by its name 'batch', but time by GRU 'a'"
    with pytest.raises(UnsupportedModelError, match=message):
        xaionnx.explain(gru("batch, T, 3"), x, "saliency", xaionnx.Target.index((0, 0)))


def test_a_statement_that_the_graph_contradicts_is_refused_with_both():
    message = r"axis 0 is sample by its statement \(stated\), but time by GRU 'a'.* axes='time sample feature'"
    with pytest.raises(UnsupportedModelError, match=message):
        gru("A, B, 3", axes="N T F")
    with pytest.raises(UnsupportedModelError, match=r"axis 0 is sample by its statement"):
        gru("T, N, 3", axes="N T F")
    with pytest.raises(ParameterError, match=r"has 3 axes, \(A, B, 3\), but 2 are stated: sample time"):
        gru("A, B, 3", axes="N T")
    with pytest.raises(UnknownNameError, match="'z'"):
        gru("A, B, 3", axes={"z": "N T F"})


def test_a_spec_states_axes(tmp_path):
    spec = InputSpec(kind="array", axes="T N F")
    assert gru("A, B, 3", spec=spec).axes.of("x").words() == "time sample feature"
    (tmp_path / "spec.toml").write_text('[input]\nkind = "array"\naxes = "T N F"\n')
    assert InputSpec.read(tmp_path / "spec.toml") == spec


def test_a_layout_that_the_convolution_contradicts_is_refused():
    text = "g (float[N, 3, 8, 8] x) => (float[N, 2, 6, 6] y) { y = Conv(x, k) }"
    made = tiny.parsed(text, k=np.ones((2, 3, 3, 3), np.float32))
    model = planted.load(made, spec=InputSpec(layout="NHWC", size=(3, 8)))
    with pytest.raises(
        UnsupportedModelError, match=r"space by its statement \(spec layout NHWC\), but channel by Conv"
    ):
        model.axes.of("x")


def test_what_nothing_shows_is_asked_for():
    model = planted.load(planted.linear(np.ones((1, 4, 5))))
    x = np.ones((1, 4, 5), np.float32)
    with pytest.raises(InputMismatchError, match="neither the graph nor names of dimensions say which axes"):
        xaionnx.explain(model, x, "occlusion", 0, window=2)
    stated = planted.load(planted.linear(np.ones((1, 4, 5))), axes="N T F")
    assert np.ptp(xaionnx.explain(stated, x, "occlusion", 0, window=2).values, axis=2).max() == 0


def test_an_output_without_an_axis_of_samples_is_that_of_one_sample():
    text = "g (float[N, 6] x) => (float[M] y) { s = ReduceSum(x, zero)  y = Squeeze(s, zero) }"
    model = planted.load(tiny.parsed(text, zero=np.array([0], np.int64)))
    found = xaionnx.explain(model, np.arange(6, dtype=np.float32)[None], "feature_ablation", 4, baseline=0.0)
    assert found.target.tolist() == ["y[4]"]
    assert found.values.tolist() == [[0, 0, 0, 0, 4, 0]]


def one_channel(unsqueezed: int, sides: str = "8, 8"):
    rank = sides.count(",") + 1
    text = f"""g (float[1, {sides}] x) => (float[1, 2] y) {{
      u = Unsqueeze(x, at)  c = Conv(u, k)  r = Relu(c)
      p = ReduceMean<axes = [{", ".join(map(str, range(2, rank + 2)))}], keepdims = 0>(r)  y = MatMul(p, v) }}"""
    kernel = rng.normal(size=(4, 1, *[3] * rank)).astype(np.float32)
    weights = {"k": kernel, "v": rng.normal(size=(4, 2)).astype(np.float32), "at": np.array([unsqueezed])}
    return tiny.parsed(text, **weights)


@pytest.mark.parametrize("sides", ["8, 8", "5, 6, 7"])
@pytest.mark.parametrize(("unsqueezed", "first"), [(0, "channel"), (1, "sample")])
def test_the_graph_says_whether_a_first_axis_of_size_1_is_a_channel(sides, unsqueezed, first):
    proto = one_channel(unsqueezed, sides)
    model = planted.load(proto)
    shape = (1, *map(int, sides.split(",")))
    assert model.axes.of("x").words() == " ".join([first, *["space"] * (len(shape) - 1)])
    x = rng.normal(size=shape).astype(np.float32)
    own = tiny.run(proto, {"x": x})["y"][0]
    for method in ("occlusion", "rise", "grad_cam"):
        settings = {"window": 3, "stride": 3, "baseline": 0.0} if method == "occlusion" else {}
        found = xaionnx.explain(model, x, method, 1, **settings)
        assert found.values.shape == x.shape
        np.testing.assert_allclose(found.prediction, own[1:], rtol=1e-5)
        if method == "occlusion":
            changed = x.copy()
            changed[(0, *[slice(0, 3)] * (len(shape) - 1))] = 0
            drop = own[1] - tiny.run(proto, {"x": changed})["y"][0, 1]
            np.testing.assert_allclose(found.values[(0,) * len(shape)], drop, atol=1e-5)
    assert xaionnx.explain(model, x, "saliency").prediction == pytest.approx(own.max())


def test_a_table_beside_a_picture_of_one_channel_belongs_to_the_same_sample():
    text = """g (float[1, 3] t, float[1, 8, 8] x) => (float[1, 2] y) {
      u = Unsqueeze(x, at)  c = Conv(u, k)  p = ReduceMean<axes = [2, 3], keepdims = 0>(c)
      a = MatMul(p, v)  b = MatMul(t, w)  y = Add(a, b) }"""
    weights = {"k": rng.normal(size=(4, 1, 3, 3)), "v": rng.normal(size=(4, 2)), "w": rng.normal(size=(3, 2))}
    proto = tiny.parsed(text, at=np.array([0]), **{name: w.astype(np.float32) for name, w in weights.items()})
    feeds = {"t": rng.normal(size=(1, 3)).astype(np.float32), "x": rng.normal(size=(1, 8, 8)).astype(np.float32)}
    found = xaionnx.explain(planted.load(proto), feeds, "input_x_gradient", 1)
    assert found.prediction == pytest.approx(tiny.run(proto, feeds)["y"][:, 1])
    assert sum(found.values[name].sum() for name in feeds) == pytest.approx(found.prediction[0], rel=1e-4)


def test_a_reshape_answers_as_an_unsqueeze_wherever_the_channel_of_a_single_picture_is():
    """[1, 6, 8] reshaped to [1, 1, 6, 8] does not show which axis of size 1 is which; no map depends on it."""
    rng = np.random.default_rng(0)
    weights = {
        "k": rng.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "l": rng.normal(size=(4 * 6 * 8, 2)).astype(np.float32),
        "flat": np.array([1, -1]),
    }
    heads = {
        "Reshape(x, to)": {"to": np.array([1, 1, 6, 8])},
        "Unsqueeze(x, at)": {"at": np.array([0])},
        "Unsqueeze(x, at) ": {"at": np.array([1])},
    }
    x = rng.normal(size=(1, 6, 8)).astype(np.float32)
    body = "c = Conv<pads = [1, 1, 1, 1]>(u, k)  r = Relu(c)  f = Reshape(r, flat)  y = MatMul(f, l)"
    options = {"saliency": {}, "occlusion": {"window": 2}, "rise": {"budget": 40}, "grad_cam": {}, "lime": {}}
    for method, given in options.items():
        found = [
            xaionnx.explain(
                tiny.loaded(f"g (float[1, 6, 8] x) => (float[1, 2] y) {{ u = {head}  {body} }}", **weights, **own),
                x,
                method,
                1,
                **given,
            ).values
            for head, own in heads.items()
        ]
        assert found[0].any()
        assert found[0].shape == x.shape
        np.testing.assert_allclose(found[1], found[0], rtol=1e-5, err_msg=method)
        np.testing.assert_allclose(found[2], found[0], rtol=1e-5, err_msg=method)
