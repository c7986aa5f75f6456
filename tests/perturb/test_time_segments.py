"""Segments of series as players: where they are, how they are named, and which are taken by default."""

import sys

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import Features, InputSpec
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.graph.roles import Role

RNG = np.random.default_rng(3)
ROLES = {
    "NT": (Role.TIME,),
    "NCT": (Role.CHANNEL, Role.TIME),
    "NTF": (Role.TIME, Role.FEATURE),
}


def sample(form, length=20, channels=3, spec=None, values=None):
    shape = {"NT": (length,), "NCT": (channels, length), "NTF": (length, channels)}[form]
    x = RNG.normal(size=shape).astype(np.float32) if values is None else values
    return Sample({"x": x}, "x", spec, roles={"x": ROLES[form]})


def rows(players, one, form):
    """The players as (C, T)."""
    labels = np.broadcast_to(players.maps["x"], one.array.shape)
    return labels.reshape(1, -1) if labels.ndim == 1 else labels.T if form == "NTF" else labels


@pytest.mark.parametrize("form", ROLES)
def test_segments_differ_by_one_step_and_cover_all_channels(form):
    one = sample(form)
    players = Features.of("segments:6").players(one)
    labels = rows(players, one, form)
    assert (labels == labels[0]).all()
    assert np.ptp(np.bincount(labels[0])) <= 1
    assert (np.diff(labels[0]) >= 0).all()
    assert players.names[:2] == ("steps 0-3", "steps 4-6")


@pytest.mark.parametrize("form", ["NCT", "NTF"])
def test_segments_of_each_channel_are_numbered_channel_by_channel(form):
    one = sample(form)
    players = Features.segments(4, by_channel=True).players(one)
    expected = np.arange(20) // 5 + 4 * np.arange(3)[:, None]
    np.testing.assert_array_equal(rows(players, one, form), expected)
    assert players.names[5] == "channel 1, 5-9"


@pytest.mark.parametrize("form", ROLES)
def test_change_points_are_where_the_series_changes(form):
    pytest.importorskip("ruptures")
    level = np.repeat([0.0, 5, 1, 9], [3, 7, 4, 6])
    noise = 0.1 * RNG.normal(size=(3, 20))
    values = (level + noise).astype(np.float32)
    values = values[0] if form == "NT" else values.T if form == "NTF" else values
    one = sample(form, values=values)
    players = Features.of("changepoints:4").players(one)
    labels = rows(players, one, form)
    np.testing.assert_array_equal(labels, np.broadcast_to(np.repeat(np.arange(4), [3, 7, 4, 6]), labels.shape))
    assert players.names == ("steps 0-2", "steps 3-9", "steps 10-13", "steps 14-19")


def test_each_channel_has_its_own_change_points():
    pytest.importorskip("ruptures")
    values = np.float32([[0] * 5 + [9] * 15, [2] * 12 + [-3] * 8])
    players = Features.changepoints(2, by_channel=True).players(sample("NCT", values=values))
    np.testing.assert_array_equal(players.maps["x"], [[0] * 5 + [1] * 15, [2] * 12 + [3] * 8])
    assert players.names[2] == "channel 1, 0-11"


def test_sound_is_cut_where_its_loudness_changes():
    pytest.importorskip("ruptures")
    loud = np.repeat([0.01, 1, 0.2], [4000, 8000, 4000])
    wave = (loud * RNG.normal(size=16000)).astype(np.float32)
    labels = Features.changepoints(3).players(sample("NT", values=wave)).maps["x"]
    np.testing.assert_allclose(np.flatnonzero(np.diff(labels)), [4000, 12000], atol=40)


def test_without_ruptures_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ruptures", None)
    with pytest.raises(ParameterError, match=r"needs the package ruptures.*pip install xaionnx\[series\]"):
        Features.changepoints(3).players(sample("NT"))


def test_names_have_the_times_and_channels_of_the_spec():
    spec = InputSpec(kind="series", rate=10, channel_names=("I", "II", "III"))
    names = Features.of("channel_segments:4").players(sample("NCT", spec=spec)).names
    assert names[0] == "I, 0.00-0.50 s"
    assert names[-1] == "III, 1.50-2.00 s"
    assert Features.channels().players(sample("NCT", spec=spec)).names == ("I", "II", "III")
    gaps = np.array([0] * 5 + [1] * 5 + [0] * 5 + [1] * 5)
    assert Features.of(gaps).players(sample("NCT", spec=spec)).names[0] == "0.00-0.50 s + 1.00-1.50 s"


@pytest.mark.parametrize(
    ("form", "length", "channels", "count"),
    [("NT", 16000, 1, 32), ("NT", 12, 1, 12), ("NTF", 24, 5, 120), ("NCT", 5000, 12, 120), ("NTF", 100, 80, 32)],
)
def test_the_players_of_a_series_are_segments_by_default(form, length, channels, count):
    """Not its steps, of which a waveform has thousands."""
    from xaionnx.explainers.kernel_shap import KernelShap

    players = KernelShap().players(sample(form, length, channels))
    assert players.count == count
    assert len(players.names) == count


def test_a_waveform_is_explained_within_the_budget_by_default():
    weights = np.zeros((2, 8000))
    weights[1, 4000:4250] = 0.01
    model = planted.load(planted.linear(weights), axes="N T")
    x = np.ones((1, 8000), np.float32)
    result = xaionnx.explain(model, x, "kernel_shap", 1)
    assert result.provenance["feature_names"][16] == "steps 4000-4249"
    np.testing.assert_allclose(result.feature_values[0], 2.5 * (np.arange(32) == 16), atol=1e-5)


def test_samples_with_other_change_points_have_names_of_their_own():
    pytest.importorskip("ruptures")
    model = planted.load(planted.linear(RNG.normal(size=(2, 20))), axes="N T")
    x = np.float32([[0] * 5 + [9] * 15, [0] * 12 + [9] * 8])
    result = xaionnx.explain(model, x, "exact_shapley", 1, features="changepoints:2")
    assert result.sample(0).feature_names == ("steps 0-4", "steps 5-19")
    assert result.sample(1).feature_names == ("steps 0-11", "steps 12-19")


def test_what_is_no_series_is_refused():
    picture = Sample({"x": np.zeros((1, 8, 8), np.float32)}, "x")
    for features in ("segments", "changepoints"):
        with pytest.raises(InputMismatchError, match=r"divides series, but input 'x' .* or use features='grid'"):
            Features.of(features).players(picture)
    with pytest.raises(ParameterError, match="A series of 20 steps has no 21 segments"):
        Features.of("segments:21").players(sample("NT"))


def test_a_picture_of_channels_and_time_has_segments_if_its_time_is_stated():
    """As electroencephalograms and spectrograms, over which convolutions run in both directions."""
    spec = InputSpec(kind="series", rate=100)
    eeg = Sample(
        {"x": RNG.normal(size=(1, 19, 200)).astype(np.float32)},
        "x",
        spec,
        roles={"x": (Role.CHANNEL, Role.SPACE, Role.TIME)},
    )
    players = Features.of("segments:4").players(eeg)
    np.testing.assert_array_equal(players.maps["x"].reshape(-1), np.arange(200) // 50)
    assert players.names == ("0.00-0.50 s", "0.50-1.00 s", "1.00-1.50 s", "1.50-2.00 s")
