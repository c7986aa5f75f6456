"""Every method, on models in which each role of an axis stands at each place: what is not read owes nothing."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.contracts.axes_zoo import CASES, states
from tests.contracts.test_explainers import fields, small
from tests.tolerances import Tolerance, assert_close
from xaionnx import discovery
from xaionnx.errors import XaionnxError
from xaionnx.render.words import made_by

METHODS = discovery.methods()
# Methods whose values are exactly zero where the model reads nothing, if their windows or players do not cross it.
EXACT = {
    "saliency", "input_x_gradient", "integrated_gradients", "guided_backprop", "deconvnet", "smooth_grad",
    "feature_ablation", "deep_lift", "lrp", "expected_gradients", "guided_ig",
}  # fmt: skip
# Values of layers and of tokens do not have the shape of the input.
BY_SHAPE = {
    "spectrogram without channels",
    "picture of 4 bands",
    "RNN, time first",
    "volume",
    "picture without samples",
    "series, channels last",
}


@pytest.fixture(scope="module")
def models():
    return {name: planted.load(case.proto) for name, case in CASES.items()}


def settings(method, case):
    """Small settings without a default that a row, a series or a volume does not take."""
    known = fields(method)
    chosen = {"budget": 300, "window": 2, "stride": 2, "grid": 2, "baseline": 0.0, "steps": 8, "draws": 4}
    if "features" in known:
        chosen["features"] = "elements"
    return {key: value for key, value in chosen.items() if key in known}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", sorted(EXACT & {*METHODS}))
def test_what_is_not_read_owes_nothing(models, method, name, count):
    case, model = CASES[name], models[name]
    if case.sample_axis is None and count > 1:
        pytest.skip("one sample")
    x = case.inputs(count)
    try:
        found = xaionnx.explain(model, x, method, 0, **settings(method, case))
    except XaionnxError as error:
        pytest.skip(str(error)[:60])
    assert found.values.shape == x.shape
    scores = tiny.run(case.proto, {"x": x})["y"]
    own = scores[0] if name == "scores before samples" else scores[:, 0]
    assert_close(found.prediction, own.ravel(), Tolerance.OPERATIONS)
    for n in range(count):
        values = np.abs(found.sample(n).values[0])
        assert values[case.seen].sum() > 0
        assert values[~case.seen].sum() == 0


@pytest.mark.parametrize("name", [name for name in CASES if name != "scores before samples"])
def test_windows_run_along_the_positions(models, name):
    case = CASES[name]
    x = case.inputs(1)
    found = xaionnx.explain(models[name], x, "occlusion", 0, window=2, stride=2, baseline=0.0)
    assert found.values.shape == x.shape
    values = np.abs(found.sample(0).values[0])
    assert values[~case.seen].sum() == 0
    assert values[case.seen].sum() > 0
    positions = models[name].samples({"x": found.samples_first().values})[0].positions()
    # A window covers every channel at its positions.
    assert np.ptp(values, axis=positions.values).max() == 0 if positions.values else True


@pytest.mark.parametrize("method", [m for m in METHODS if m not in EXACT])
@pytest.mark.parametrize("name", sorted(BY_SHAPE))
def test_any_other_method_finds_the_place_or_refuses(models, method, name):
    case, model = CASES[name], models[name]
    x = case.inputs(1)
    more = settings(method, case)
    if {"rows", "donors", "patterns"} & fields(method).keys() and name == "RNN, time first":
        pytest.skip("data of any length")
    try:
        found = xaionnx.explain(model, x, small(method, model, **more), 0)
    except XaionnxError as error:
        pytest.skip(str(error)[:60])
    values = found.sample(0).values
    if isinstance(values, dict) or np.shape(values)[1:] != case.shape:
        return  # a layer
    strength = np.abs(values[0])
    assert np.isfinite(strength).all()
    if strength.any():
        assert strength[case.seen].mean() >= strength[~case.seen].mean()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "feature_ablation", "lime", "occlusion"])
def test_states_belong_to_their_samples(method, count):
    proto, feeds = states(count)
    found = xaionnx.explain(planted.load(proto), feeds, method, 0, **settings(method, None))
    assert_close(found.prediction, tiny.run(proto, feeds)["y"][:, 0], Tolerance.OPERATIONS)
    assert found.provenance["axes"]["h"].startswith("layer (LSTM 'hn'), sample")


def centred():
    text = """g (float[D, 3] x) => (float[D, 2] y) {
      m = ReduceMean<axes = [0], keepdims = 1>(x)  d = Sub(x, m)  y = MatMul(d, w) }"""
    return planted.load(tiny.parsed(text, w=np.array([[1, 0], [0, 1], [1, 1]], np.float32)))


def test_rows_that_see_each_other_are_one_sample():
    x = np.array([[1, 2, 3], [4, 0, 1], [0, 5, 2]], np.float32)
    model = centred()
    with pytest.raises(XaionnxError, match="depends on the other rows, so the rows together are one sample"):
        xaionnx.explain(model, x, "feature_ablation", 0, baseline=0.0)
    found = xaionnx.explain(model, x, "saliency", xaionnx.Target.index((1, 0)), absolute=False)
    third = 1 / 3
    expected = [[-third, 0, -third], [2 * third, 0, 2 * third], [-third, 0, -third]]
    assert found.values.shape == x.shape
    assert found.provenance["rows"] == "joint"
    assert_close(found.values, np.array(expected), Tolerance.OPERATIONS)


def test_rows_may_be_explained_alone():
    x = np.array([[1, 2, 3], [4, 0, 1]], np.float32)
    model = centred()
    alone = xaionnx.Model.load(model.path, "cpu", rows="alone")
    assert xaionnx.explain(alone, x, "feature_ablation", 0, baseline=0.0).prediction.tolist() == [0, 0]


def test_one_row_needs_no_probe():
    x = np.array([[1, 2, 3]], np.float32)
    assert xaionnx.explain(centred(), x, "feature_ablation", 0, baseline=0.0).prediction.tolist() == [0]


def test_a_guess_from_sizes_is_told():
    model = planted.load(planted.linear(np.ones((1, 3, 6, 6))))
    found = xaionnx.explain(model, np.ones((1, 3, 6, 6), np.float32), "occlusion", 0, window=3, baseline=0.0)
    assert found.provenance["guessed_axes"] == ["x"]
    assert "axes of x guessed from sizes" in made_by(found)
    stated = planted.load(planted.linear(np.ones((1, 3, 6, 6))), axes="N C H W")
    found = xaionnx.explain(stated, np.ones((1, 3, 6, 6), np.float32), "occlusion", 0, window=3, baseline=0.0)
    assert "guessed_axes" not in found.provenance
