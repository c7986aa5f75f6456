"""Pictures of time series: coloured pixels and captions."""

import numpy as np
import pytest

from tests.render.figures import Figures, faults, listen, words
from xaionnx import Explanation, render
from xaionnx.data.display import Display
from xaionnx.data.time_axis import TimeAxis
from xaionnx.errors import DataError, ParameterError
from xaionnx.render.series_rows import _course
from xaionnx.render.series_rows import strongest_of as _strongest_of

STEPS = 40


@pytest.fixture
def figures(monkeypatch):
    return Figures(monkeypatch)


def explained(values, value_kind="contribution", **given):
    one = np.asarray(values, np.float64)[None]
    return Explanation(
        "grad_cam", one, np.array(["beat (1)"]), np.array([4.2]), provenance={"value_kind": value_kind}, **given
    )


def at(*steps, channels=1, value=1.0, length=STEPS):
    values = np.zeros((channels, length))
    values[:, list(steps)] = value
    return values


def flat(values):
    """A signal without finite numbers, drawn as a line in the middle of its row."""
    return np.zeros(np.shape(values))


def coloured(image, red=True):
    """The red and the blue pixels, left of the colour bar."""
    pixels = np.asarray(image).astype(int)[:, :1024]
    first, last = (0, 2) if red else (2, 0)
    return pixels[..., first] - pixels[..., last] > 60


def span(image, red=True):
    columns = np.flatnonzero(coloured(image, red).any(axis=0))
    return columns.min(), columns.max() + 1


def said(monkeypatch, draw):
    """The sentences of a caption."""
    texts = listen(monkeypatch)
    draw()
    return " ".join(texts)


def test_a_series_without_channels_is_drawn_as_one_of_a_single_channel():
    values, signal = at(3, 4), np.sin(np.arange(STEPS))
    alone = [render.series(explained(values[0]), array) for array in (signal, signal[None])]
    whole = render.series(explained(values), signal[None], names=[""])
    assert [one.tobytes() for one in alone] == [whole.tobytes()] * 2
    kept = explained(values[0], display={"x": Display("series", signal[None].astype(np.float32))})
    assert render.picture(kept).tobytes() == whole.tobytes()
    with pytest.raises(DataError, match=r"must have the shape of the values, \(1, 40\)"):
        render.series(explained(values[0]), signal[:-1])


def test_a_step_is_coloured_at_its_own_place_in_time():
    left, right = (span(render.series(explained(at(step)), flat(at(0)))) for step in (0, STEPS - 1))
    one = (right[1] - left[0]) / STEPS
    for step in (3, 17, 30):
        begin, end = span(render.series(explained(at(step)), flat(at(0))))
        assert abs(begin - (left[0] + step * one)) <= 1.5
        assert abs(end - begin - one) <= 2


def test_the_largest_value_is_the_reddest_and_negative_ones_are_blue():
    values = at(5, value=0.3) + at(20) + at(30, value=-1.0)
    image = render.series(explained(values), flat(values), percentile=100)
    pixels = np.asarray(image).astype(int)
    row = pixels[np.flatnonzero(coloured(image).any(axis=1))[5], :1024]
    reddest = int((row[:, 0] - row[:, 2]).argmax())
    begin, end = span(render.series(explained(at(20)), flat(values)))
    assert begin - 1 <= reddest < end
    expected = span(render.series(explained(at(30)), flat(values)))
    assert np.abs(np.subtract(span(image, red=False), expected)).max() <= 1
    assert not coloured(render.series(explained(values), flat(values), sign="positive"), red=False).any()


def test_each_channel_is_coloured_by_its_own_values():
    values = at(channels=3)
    values[2, 10] = 1
    upper, lower = (
        np.flatnonzero(coloured(render.series(explained(values[order]), flat(values))).any(axis=1))
        for order in ([2, 0, 1], [0, 1, 2])
    )
    row = upper.max() + 1 - upper.min()
    assert lower.min() - upper.min() == pytest.approx(2 * (row + 6), abs=6)
    assert lower.max() + 1 - lower.min() == pytest.approx(row, abs=1)


def test_channels_may_stand_last():
    values = np.random.default_rng(0).normal(size=(2, STEPS))
    signal = np.random.default_rng(1).normal(size=(2, STEPS))
    first = render.series(explained(values), signal)
    last = render.series(explained(values.T), signal.T, channel=1)
    assert first.tobytes() == last.tobytes()


def test_of_many_channels_the_map_has_a_row_each():
    values = at(channels=80)
    values[:40, 5] = 1
    image = render.series(explained(values), flat(values))
    rows = np.flatnonzero(coloured(image).any(axis=1))
    whole = np.flatnonzero(coloured(render.series(explained(at(5, channels=80)), flat(values))).any(axis=1))
    # The map of 400 pixels lies below the lines, coloured in its upper half; values that are equal for all channels lie
    # behind the lines.
    assert len(rows) == pytest.approx(200, abs=2)
    assert len(whole) >= 200
    assert rows.min() > whole.max()


def test_no_step_of_a_long_series_is_lost():
    long = at(70_001, value=2.0, length=100_000)
    image = render.series(explained(long), flat(long))
    begin, end = span(image)
    left, right = span(render.series(explained(np.ones((1, 4))), np.zeros((1, 4)), sign="absolute"))
    assert begin == pytest.approx(left + 0.70001 * (right - left), abs=2)
    assert end - begin <= 3
    values = np.array([[1.0, -3.0, 2.0, 0.5, 0.0]])
    assert _strongest_of(values, 2).tolist() == [[-3.0, 2.0, 0.0]]
    times, course = _course(values, 2)
    assert times.tolist() == [0.5, 0.5, 2.5, 2.5, 4.0, 4.0]
    assert course.tolist() == [[-3.0, 1.0, 0.5, 2.0, 0.0, 0.0]]


def test_the_caption_says_what_is_drawn(monkeypatch):
    one = explained(at(3, channels=2), diagnostics={"evaluations": [2]})
    words = said(monkeypatch, lambda: render.series(one, flat(at(0, channels=2)), percentile=100))
    assert words == (
        "beat (1) · score 4.2 The redder a part, the more it raises the prediction. The line of each channel has its "
        "own scale. grad cam"
    )
    detailed = render.style_of("light", details=True)
    words = said(monkeypatch, lambda: render.series(one, flat(at(0, channels=2)), percentile=100, style=detailed))
    assert words == (
        "beat (1) · score 4.2 The redder a part, the more it raises the prediction. The line of each channel has its "
        "own scale. Colour scale: from 0 to 1, the largest of the values. The values are the same for all channels. "
        "grad cam\N{NO-BREAK SPACE}· 2 evaluations"
    )
    many = said(monkeypatch, lambda: render.series(explained(at(3, channels=65, length=900)), np.zeros((65, 900))))
    assert "The lines of all 65 channels are drawn over each other. Of every 2 steps the strongest value" in many
    nothing = said(monkeypatch, lambda: render.series(explained(at()), flat(at())))
    assert "No part raises the prediction: every value is zero, so nothing is coloured." in nothing


def test_a_rate_changes_the_words_of_time_alone():
    values = at(3)
    steps, seconds = (render.series(explained(values), flat(values), rate=rate) for rate in (None, 4.0))
    assert np.array_equal(coloured(steps), coloured(seconds))
    assert steps.tobytes() != seconds.tobytes()


def test_the_strongest_features_alone_may_be_drawn():
    values = at(3) + at(30, value=0.6)
    labels = np.arange(STEPS)[None, None]
    one = explained(values, features=labels, feature_values=values)
    both, first = (span(render.series(one, flat(values), top=top, percentile=100)) for top in (2, 1))
    assert first[0] == both[0]
    assert first[1] < both[1]
    with pytest.raises(ParameterError, match="The 'top' parameter of series needs a method that worked on features"):
        render.series(explained(values), flat(values), top=1)


def test_a_batch_and_gaps_in_the_signal():
    values = np.stack([at(3), at(30)])
    both = Explanation("rise", values, np.array(["a", "a"]), np.ones(2))
    signal = np.random.default_rng(0).normal(size=values.shape)
    second = Explanation("rise", values[1:], np.array(["a"]), np.ones(1))
    assert render.series(both, signal, sample=1).tobytes() == render.series(second, signal[1]).tobytes()
    gap = np.where(np.arange(STEPS) < 20, np.nan, signal[1])
    assert span(render.series(second, gap)) == span(render.series(second, signal[1]))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"signal": np.zeros((1, 7))}, DataError, r"signal must have the shape of the values, \(1, 40\)"),
        ({"signal": np.full((1, STEPS), "a")}, DataError, "signal must have the shape of the values"),
        ({"names": ["a", "b"]}, DataError, "There are 2 names for 1 channels"),
        ({"channel": 2}, ParameterError, "The 'channel' parameter of series must be 0 or 1. Got 2 instead"),
        ({"rate": 0}, ParameterError, "The 'rate' parameter of series must be a float in"),
        ({"explanation": explained(at(3) * np.nan)}, DataError, "The grad_cam values hold NaN or infinity at 40 of 40"),
        ({"explanation": explained(np.zeros((3, 4, 4)))}, DataError, r"\('N', 3, 4, 4\), which is not a series"),
        ({"sign": "both"}, ParameterError, "The 'sign' parameter of series"),
    ],
)
def test_what_is_no_series_is_refused(given, error, words):
    given = {"explanation": explained(at(3)), "signal": flat(at(3)), **given}
    with pytest.raises(error, match=words):
        render.series(**given)


def test_of_several_inputs_one_is_named():
    several = Explanation("rise", {"x": at(3)[None], "y": at(20)[None]}, np.array(["a"]), np.ones(1))
    with pytest.raises(ParameterError, match=r"has values for x, y\. Name the one to draw"):
        render.series(several, flat(at(3)))
    first, second = (span(render.series(several, flat(at(3)), input=name)) for name in "xy")
    assert first[1] < second[0]


def test_the_values_of_a_layer_are_no_series_of_the_input():
    told = {"layer": {"name": "r2", "axes": "CT", "grid": None, "before": 0}}
    one = Explanation("grad_cam", at(3)[None], np.array(["a"]), np.ones(1), provenance=told)
    with pytest.raises(DataError, match="The grad_cam values are those of layer 'r2', not of the series"):
        render.series(one, flat(at(3)))


def test_segments_are_divided_by_lines_in_each_row(monkeypatch):
    labels = np.repeat([[0, 1], [2, 3]], STEPS // 2, axis=1)[None]
    one = explained(at(3, channels=2), features=labels, feature_values=np.ones((1, 4)))
    cuts = []
    monkeypatch.setattr("matplotlib.axes.Axes.axvline", lambda self, place, **_: cuts.append(place))
    render.series(one, flat(at(channels=2)), rate=10)
    assert cuts == [pytest.approx((STEPS // 2 - 0.5) / 10)] * 2


def test_names_and_times_are_those_of_the_record(figures):
    values = at(3, channels=2)
    shown = Display(
        "series", flat(values)[None], ("load", "solar radiation"), 0, step=1.0, unit="h", start="2024-03-01 12:00"
    )
    render.picture(explained(values, display={"x": shown}))
    assert {"load", "solar radiation", "time", "03-02 00:00"} <= set(words(figures.last()))


def numbers(axes):
    """The texts of a vertical axis, as numbers."""
    return [float(tick.get_text().replace("−", "-").replace(",", "")) for tick in axes.get_yticklabels()]


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize(
    ("size", "shift"),
    [
        (1, 0),
        (1e-12, 0),
        (1e-5, 0),
        (1000, 0),
        (-2e4, 0),
        (1e9, 0),
        (1, 1e6),
        (1, 123456789),
        (1e-3, 1000),
        (1e-7, 1e9),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_each_row_has_numbers_at_their_heights_apart_from_all_else(figures, rng, channels, size, shift):
    names = [f"acceleration along the x axis of sensor {i}" for i in range(channels)]
    signal = rng.normal(size=(channels, STEPS)) * size + shift
    render.series(explained(rng.normal(size=signal.shape)), signal, names=names)
    assert faults(figures.last()) == []
    for axes in figures.last().axes:
        low, high = axes.get_ylim()
        assert len(numbers(axes)) >= 2
        np.testing.assert_allclose(numbers(axes), axes.get_yticks(), rtol=0, atol=0.01 * (high - low))
        assert all(low < number < high for number in numbers(axes))


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("name", ["ab{}", "acceleration along the x axis of left foot, sensor {}", "x" * 300 + "{}"])
@pytest.mark.parametrize("channels", [1, 8, 30, 80])
def test_names_of_channels_are_whole_apart_and_told_apart(figures, rng, channels, name):
    names = [name.format(i) for i in range(channels)]
    values = rng.normal(size=(channels, STEPS))
    render.series(explained(values), values * 1e5, names=names)
    assert faults(figures.last()) == []
    if 1 < channels <= 64:
        shown = [text for text in words(figures.last()) if text[:2] == name[:2]]
        assert len(shown) == len(set(shown)) == channels


@pytest.mark.parametrize("rate", [8000, 1e9])
def test_frequencies_stand_apart_from_their_name(figures, rate):
    render.series(explained(np.zeros((1, 4000))), np.sin(np.arange(4000.0))[None] * 1e9, rate=rate)
    assert faults(figures.last()) == []
    assert "kHz" in words(figures.last())
    assert len(numbers(figures.last().axes[-1])) >= 2


@pytest.mark.parametrize("length", [1, 2, 14, 20, 24, 300])
def test_steps_are_whole_numbers(figures, length):
    render.series(explained(at(0, length=length)), np.zeros((1, length)))
    (axes,) = figures.last().axes
    texts = [tick.get_text() for tick in axes.get_xticklabels()]
    assert texts
    assert all(text.isdigit() for text in texts)


@pytest.mark.parametrize("time", [TimeAxis(1e-6, "s"), TimeAxis(1e9, "s"), TimeAxis(0.001, "s", 1.7e9)])
def test_times_are_written_in_full_below_the_rows(figures, time):
    render.series(explained(at(3)), flat(at(3)), time=time)
    (axes,) = figures.last().axes
    assert faults(figures.last()) == []
    shown = [(place, tick.get_text()) for place, tick in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)]
    written = [(place, float(text.replace("−", "-").replace(",", ""))) for place, text in shown if text]
    assert len(written) >= 2
    for place, number in written:
        assert number == pytest.approx(place, abs=0.01 * time.step)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("start", ["2024-03-01", "2024-12-31 23:11"])
@pytest.mark.parametrize("unit", ["ms", "s", "min", "h", "d", "week"])
@pytest.mark.parametrize("length", [2, 12, 40, 101])
def test_dates_differ_and_are_apart(figures, start, unit, length):
    render.series(explained(at(0, length=length)), np.zeros((1, length)), time=TimeAxis(1, unit, start))
    (axes,) = figures.last().axes
    texts = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_text()]
    assert texts
    assert len(set(texts)) == len(texts)
    assert faults(figures.last()) == []


def test_short_steps_with_dates_stand_at_their_times(figures):
    # A step of 22.68 microseconds is no whole number of them.
    render.series(explained(at(0, length=44_100)), np.zeros((1, 44_100)), time=TimeAxis(1 / 44_100, "s", "2024-03-01"))
    axes = figures.last().axes[-1]
    marks = dict(zip((tick.get_text() for tick in axes.get_xticklabels()), axes.get_xticks(), strict=True))
    assert marks["00:00:00.800"] == pytest.approx(0.8 * 44_100, abs=1)


def test_the_words_of_a_spectrogram_hold_in_both_themes(monkeypatch):
    tone = np.sin(np.arange(4000.0))[None]
    said_of = said(monkeypatch, lambda: render.series(explained(np.zeros((1, 4000))), tone, rate=8000))
    assert "Below: the spectrogram, in the colour of the line where a frequency is loud." in said_of


def test_sound_has_a_spectrogram_dark_where_it_is_loud(monkeypatch):
    from matplotlib.axes import Axes

    rate, count, images = 8000, 8000, []
    original = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, x, **k: (images.append((x, k)), original(self, x, **k))[1])
    tone = np.sin(2 * np.pi * 1000 * np.arange(count) / rate)[None]
    one = explained(np.zeros((1, count)))
    plain = render.series(one, tone, rate=rate, spectrogram=False)
    assert len(images) == 1
    drawn = render.series(one, tone, rate=rate)
    assert drawn.height > plain.height + 150
    pixels, options = images[-1]
    begin, end, lowest, highest = options["extent"]
    assert (lowest, highest) == (0, 4)
    assert (begin, end) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.05))
    assert options["origin"] == "lower"
    assert pixels.mean(axis=(1, 2)).argmin() / len(pixels) * highest == pytest.approx(1, abs=0.1)
    # A slow series is no sound.
    assert render.series(one, tone, rate=100).height == plain.height
