"""Absent parts of series: a straight line between their neighbours, and noise of the channel's deviation."""

import numpy as np
import pytest
from xaionnx_kernels import fills

import xaionnx
from models import planted
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.game import Game
from xaionnx.perturb.windows import WindowOcclusion
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(7)
FORMS = [((3, 40), "N C T"), ((40, 3), "N T F"), ((40,), "N T")]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16])
def test_the_fill_is_numpys_interpolation(dtype):
    x = (10 * RNG.normal(size=(2, 30, 3))).astype(dtype)
    present = RNG.random((20, 2, 30, 3)) < 0.3
    present[0] = False
    out = np.empty((20, *x.shape), dtype)
    fills.fill_interpolated(x, np.full_like(x, 5), present, out)
    for m, a, b in np.ndindex(20, 2, 3):
        here = np.flatnonzero(present[m, a, :, b])
        line = np.interp(np.arange(30), here, x[a, here, b].astype(float)) if len(here) else np.full(30, 5.0)
        wanted = np.rint(line) if np.issubdtype(dtype, np.integer) else line
        # A share of a step that rounds differs by one.
        atol = 1 if np.issubdtype(dtype, np.integer) else 1e-5 if dtype != np.float16 else 0.02
        np.testing.assert_allclose(out[m, a, :, b].astype(float), wanted, atol=atol)
        np.testing.assert_array_equal(out[m, a, here, b], x[a, here, b])


def series_game(shape, axes):
    model = planted.load(planted.linear(RNG.normal(size=(5, *shape)) / 5), axes=axes)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    (sample,) = model.samples({"x": x})
    return model, x, sample


def check_agreement(model, x, removal, codes):
    found = resolve([1, 3], model, {"x": x})
    values = [
        Game(model, found.selection.of_sample(0), removal, found.values[:, 0], applier_kind=kind).values(codes)
        for kind in ("host", "graph")
    ]
    assert_close(values[0], values[1], Tolerance.DEEP)
    assert np.ptp(values[0]) > 0


@pytest.mark.parametrize(("shape", "axes"), FORMS)
@pytest.mark.parametrize("features", ["segments:7", "channel_segments:5", "elements"])
def test_host_and_graph_agree(shape, axes, features):
    model, x, sample = series_game(shape, axes)
    players = Features.of(features).players(sample)
    baseline = Baseline.of("interpolate").draws(sample, ("x",), 0, may_interpolate=True)
    removal = Select(sample, players, baseline, frozenset({"x"}))
    codes = RNG.random((25, players.count)) < 0.5
    codes[0] = False
    check_agreement(model, x, removal, codes)


@pytest.mark.parametrize(("shape", "axes"), FORMS)
def test_windows_agree_on_host_and_in_the_graph(shape, axes):
    model, x, sample = series_game(shape, axes)
    baseline = Baseline.of("interpolate").draws(sample, ("x",), 0, may_interpolate=True)
    removal = WindowOcclusion(sample, Features.pixels().players(sample), baseline, 6, interpolated=True)
    check_agreement(model, x, removal, np.array([[0, start] for start in range(-5, 40, 3)], dtype=np.int32))


@pytest.mark.parametrize(("shape", "axes"), FORMS)
def test_a_straight_part_of_a_series_is_worth_nothing(shape, axes):
    """What is absent is put back by its neighbours."""
    model, _, _ = series_game(shape, axes)
    time = axes.split().index("T") - 1
    line = np.expand_dims(np.arange(40, dtype=np.float32), tuple(a for a in range(len(shape)) if a != time))
    x = np.broadcast_to(line, shape)[None].copy()
    for method, options in (
        ("feature_ablation", {"features": "segments:8"}),
        ("occlusion", {"window": 3, "stride": 1}),
    ):
        values = xaionnx.explain(model, x, method, 1, baseline="interpolate", **options).values[0]
        inner = np.moveaxis(values, time, 0)[5:35]
        np.testing.assert_allclose(inner, 0, atol=1e-4)


def test_neighbouring_absent_segments_are_one_gap_and_ends_are_held():
    model = planted.load(planted.linear(np.eye(6)), axes="N T")
    x = np.float32([[6, 1, 7, 3, 0, 5]])
    (sample,) = model.samples({"x": x})
    players = Features.elements().players(sample)
    baseline = Baseline.interpolate().draws(sample, ("x",), 0, may_interpolate=True)
    codes = np.array([[1, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], dtype=bool)
    out = {"x": np.empty((3, 6), np.float32)}
    Select(sample, players, baseline, frozenset({"x"})).fill(codes, slice(0, 1), out)
    np.testing.assert_allclose(out["x"], [[6, 5, 4, 3, 0, 0], [7, 7, 7, 3, 0, 5], [11 / 3] * 6], rtol=1e-6)


def test_the_record_and_the_caption_state_it():
    model, x, _ = series_game((3, 40), "N C T")
    result = xaionnx.explain(model, x, "kernel_shap", 1, features="segments:6", baseline="interpolate")
    assert result.provenance["parameters"]["baseline"] == {"kind": "Interpolate"}
    assert "baseline interpolate" in xaionnx.render.captions.made_by(result.sample(0))
    np.testing.assert_allclose(
        result.feature_values.sum(), result.prediction[0] - result.baseline_prediction[0], atol=1e-5
    )


def test_methods_without_present_neighbours_refuse_it():
    model, x, _ = series_game((3, 40), "N C T")
    for method in ("integrated_gradients", "rise", "sobol"):
        with pytest.raises(ParameterError, match="needs parts of input 'x' that are present"):
            xaionnx.explain(model, x, method, 1, baseline="interpolate")


def test_pictures_and_tokens_are_not_interpolated():
    model = planted.load(planted.linear(RNG.normal(size=(2, 3, 8, 8))))
    with pytest.raises(ParameterError, match="is for series, but input 'x' has the shape"):
        xaionnx.explain(model, np.ones((1, 3, 8, 8), np.float32), "feature_ablation", 0, baseline="interpolate")
    tokens = xaionnx.data.sample.Sample({"x": np.arange(5)}, "x", roles={"x": (xaionnx.graph.roles.Role.TOKEN,)})
    with pytest.raises(InputMismatchError, match="interpolation needs floats"):
        Baseline.interpolate().draws(tokens, ("x",), 0, may_interpolate=True)


def test_noise_has_the_mean_and_deviation_of_each_channel_and_is_seeded():
    model = planted.load(planted.linear(RNG.normal(size=(2, 2, 5000))), axes="N C T")
    x = np.stack([3 + RNG.normal(size=5000), -9 + 4 * RNG.normal(size=5000)])[None].astype(np.float32)
    (sample,) = model.samples({"x": x})
    (noise,) = Baseline.of("noise").draws(sample, ("x",), 0)["x"]
    np.testing.assert_allclose(noise.mean(axis=1), x[0].mean(axis=1), atol=0.3)
    np.testing.assert_allclose(noise.std(axis=1), x[0].std(axis=1), rtol=0.05)
    np.testing.assert_array_equal(noise, Baseline.of("noise").draws(sample, ("x",), 0)["x"][0])
    assert (noise != Baseline.of("noise").draws(sample, ("x",), 1)["x"][0]).any()
    assert Baseline.of("noise:4").draws(sample, ("x",), 0)["x"].shape == (4, 2, 5000)


def test_a_row_has_no_noise_of_its_columns():
    model = planted.load(planted.linear(RNG.normal(size=(2, 4))))
    with pytest.raises(ParameterError, match="columns are not alike"):
        xaionnx.explain(model, np.ones((1, 4), np.float32), "kernel_shap", 0, baseline="noise")
