"""Sheets: a panel a method, a row a photo."""

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.errors import DataError, ParameterError
from xaionnx.render import colour_bars, headings, readings
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, pixel_map
from xaionnx.render.painting import Look


def made(n=1, side=30, method="occlusion", seed=0, **provenance):
    values = np.random.default_rng(seed).normal(size=(n, 3, side, side))
    target = np.array([f"class {i}" for i in range(n)])
    return Explanation(method, values, target, np.arange(n) + 0.5, provenance={"parameters": provenance})


def photos(n=1, side=30):
    return np.random.default_rng(9).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_a_row_for_each_photo_and_a_column_for_each_method():
    one = render.sheet([made(1), made(1, method="rise")], photos(1), side=120)
    three = render.sheet([made(3), made(3, method="rise")], photos(3), side=120)
    assert one.width == three.width
    assert three.height > one.height + 2 * 120
    two = render.sheet([made(3), made(3, method="rise")], photos(3), side=120, samples=[2, 0])
    assert one.height + 120 < two.height < three.height


def test_many_methods_are_wrapped():
    many = [made(method=f"method_{i}", seed=i) for i in range(7)]
    wrapped = render.sheet(many, photos()[0], side=120)
    wide = render.sheet(many, photos()[0], side=120, columns=8)
    assert wide.width > wrapped.width * 1.7
    assert wide.height < wrapped.height


def test_each_panel_holds_its_own_photo():
    sheet = np.asarray(render.sheet([made(2)], photos(2), side=120))
    for photo in photos(2):
        large = photo.repeat(4, axis=0).repeat(4, axis=1)
        tops = [
            top for top in range(sheet.shape[0] - 120) if np.array_equal(sheet[top : top + 120, 14 : 14 + 120], large)
        ]
        assert len(tops) == 1


def test_a_large_photo_is_reduced_to_the_panel():
    photo = np.zeros((900, 1200, 3), np.uint8)
    values = np.zeros((1, 1, 90, 120))
    one = Explanation("rise", values, np.array(["a"]), np.array([1.0]))
    assert render.sheet([one], photo, side=300).width < 3 * 400


def test_methods_of_one_name_are_told_apart():
    records = [made(window=8, baseline="zero"), made(window=16, baseline="zero"), made(method="rise")]
    assert headings.method_titles(records) == ["occlusion, window 8", "occlusion, window 16", "rise"]


def test_panels_of_one_method_and_kind_share_a_scale(monkeypatch):
    scales, bar = [], colour_bars.colour_bar

    def heard(style, swatches, low, high, *of, **how):
        scales.append((low, high))
        return bar(style, swatches, low, high, *of, **how)

    monkeypatch.setattr(colour_bars, "colour_bar", heard)
    two = made(2)
    two.values[1] *= 10
    render.sheet([two, made(2, method="rise")], photos(2), side=100)
    alike, others = scales[0::2], scales[1::2]
    assert alike[0] == alike[1]
    assert others[0] == others[1] != alike[0]
    assert alike[0][1] == np.percentile(np.abs(two.values.sum(axis=1)), 99)


def test_the_caption_of_a_sheet_says_which_scales_are_shared():
    def line(*methods):
        drawn = []
        scales = {method: scale_of(np.ones(4), "auto", 99, "sheet") for method in methods}
        for method in methods:
            one = made(method=method)
            drawn.append(readings.Drawn(method, one, scales[method], pixel_map(one, Extent(30, 30))))
        return readings.shared_reading(drawn, 99, Look())[-1]

    own = "Each picture has its own colour scale, which ends at the 99th percentile of the sizes of its values."
    assert own in line("occlusion", "rise")
    shared = "Pictures of one method share a colour scale, which ends at the 99th percentile of the sizes of the values"
    assert shared in line("occlusion", "rise", "rise")


def test_equal_calls_make_equal_bytes():
    assert render.sheet([made()], photos()).tobytes() == render.sheet([made()], photos()).tobytes()


def test_refusals():
    with pytest.raises(ParameterError, match="must be one or more Explanations in a list"):
        render.sheet([], photos())
    with pytest.raises(DataError, match=r"must be of the same samples\. Got 1, 2 samples\."):
        render.sheet([made(1), made(2)], photos())
    with pytest.raises(ParameterError, match=r"'side' parameter of sheet must be an int in \[100, inf\). Got 50"):
        render.sheet([made()], photos(), side=50)
    with pytest.raises(ParameterError, match=r"'columns' parameter of sheet must be an int in \[1, inf\) or None"):
        render.sheet([made()], photos(), columns=0)
    with pytest.raises(ParameterError, match=r"'sample' parameter of sheet must be an int in \[0, 0\]. Got 4"):
        render.sheet([made()], photos(), samples=[4])
    with pytest.raises(ParameterError, match="must name at least one sample"):
        render.sheet([made()], photos(), samples=[])


def test_sheets_follow_the_theme():
    dark = render.style_of("dark")
    image = np.asarray(render.sheet([made(2)], photos(2), side=100, style=dark))
    assert (image[0, 0] == dark.paper).all()
