"""Every method, on models in which each role of an axis stands at each place: what is not read owes nothing."""

import zlib

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.contracts.axes_cells import KINDS, MODELS, kept_results, refusal, result
from tests.contracts.axes_zoo import ZOO, states
from tests.tolerances import Tolerance, assert_close
from xaionnx import discovery
from xaionnx.errors import XaionnxError
from xaionnx.render.captions import made_by

METHODS = discovery.methods()
# Models of which each method explains a few by default, others for each method.
FEW = 4


@pytest.fixture(scope="module")
def models():
    return {name: planted.load(ZOO[name].proto) for name in MODELS}


def chosen(method):
    """A few models for a method, the same in every run."""
    rng = np.random.default_rng(zlib.crc32(method.encode()))
    return [(name, int(rng.integers(1, 3))) for name in rng.permutation(MODELS)[:FEW]]


def test_every_method_and_model_has_a_kept_result():
    kept = kept_results()
    assert list(kept) == sorted(METHODS)
    assert {*MODELS} == {*ZOO}
    for method, row in kept.items():
        assert list(row) == [*MODELS]
        for name, found in row.items():
            assert found in ("number", "zero", "largest", "spread", "refused"), (method, name)
            assert (found == "refused") == (refusal(method, name) is not None), (method, name)


def test_few_cells_are_less_than_exact():
    kinds = [found for row in kept_results().values() for found in row.values() if found != "refused"]
    assert kinds.count("spread") <= 62
    assert kinds.count("number") >= 290
    assert len(kinds) >= 1140


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize(("method", "name", "count"), [(m, *one) for m in METHODS for one in chosen(m)])
def test_a_method_finds_what_a_model_reads_or_refuses(method, name, count):
    assert_as_kept(method, name, result(method, name, count))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_model_by_every_method(method):
    for name in MODELS:
        for count in (1, 2):
            assert_as_kept(method, name, result(method, name, count))


def assert_as_kept(method, name, found):
    """The kept result is that of two samples: one alone may be as good or better."""
    kept = kept_results()[method][name]
    assert found in KINDS, (method, name, found)
    assert KINDS.index(found) >= KINDS.index(kept) > 0, (method, name, found)
    assert (found == "refused") == (kept == "refused"), (method, name, found)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "scores before samples" and not ZOO[name].tokens])
def test_windows_run_along_the_positions(models, name):
    case = ZOO[name]
    feeds, x = case.feeds(1), case.inputs(1)
    target = xaionnx.Target.index(case.target)
    given = feeds if len(feeds) > 1 else x
    found = xaionnx.explain(models[name], given, "occlusion", target, window=2, stride=2, baseline=0.0)
    assert found.values.shape == x.shape
    values = np.abs(found.sample(0).values[0])
    # Three steps that are read share a window with one that is not.
    assert values[~case.seen].sum() == 0 or name == "RNN, scores by step, time first"
    assert values[case.seen].sum() > 0
    others = {key: array for key, array in feeds.items() if key != "x"}
    positions = models[name].samples({"x": found.samples_first().values, **others})[0].positions()
    # A window covers every channel at its positions.
    assert np.ptp(values, axis=positions.values).max() == 0 if positions.values else True


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "feature_ablation", "lime", "occlusion"])
def test_states_belong_to_their_samples(method, count):
    proto, feeds = states(count)
    settings = {"window": 2, "stride": 2} if method == "occlusion" else {}
    found = xaionnx.explain(planted.load(proto), feeds, method, 0, **settings)
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


@pytest.mark.parametrize("shape", [(3, 6, 3), (1, 6, 1), (3, 6, 1), (1, 6, 3)])
def test_sizes_that_fit_two_layouts_are_no_guess(shape):
    model = planted.load(planted.linear(np.ones((1, *shape))))
    x = np.ones((1, *shape), np.float32)
    with pytest.raises(XaionnxError, match="State them, for example with axes='N C H W'"):
        xaionnx.explain(model, x, "occlusion", 0, window=2, baseline=0.0)
    stated = planted.load(planted.linear(np.ones((1, *shape))), axes="N H W C")
    assert xaionnx.explain(stated, x, "occlusion", 0, window=1, baseline=0.0).values.shape == x.shape


def test_whole_numbers_that_nothing_looks_up_are_no_tokens():
    text = """g (int64[N, 6] x) => (float[N, 2] y) {
        f = Cast<to = 1>(x)  u = Unsqueeze(f, one)  r = Relu(u)  s = Squeeze(r, one)  y = MatMul(s, w) }"""
    model = planted.load(tiny.parsed(text, one=np.array([1]), w=np.ones((6, 2), np.float32)))
    with pytest.raises(XaionnxError, match=r"need a picture, a series or tokens, and 'x', .* is none of these"):
        xaionnx.explain(model, np.arange(6)[None], "grad_cam", 0)


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
