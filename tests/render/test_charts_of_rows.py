"""Charts of rows: the picture is measured, its texts are whole and apart, and the ink lies where the values are."""

import dataclasses

import matplotlib.collections
import matplotlib.pyplot
import numpy as np
import pytest

from tests.render.figures import Figures, boxes, faults, listen, texts, words
from xaionnx import Explanation
from xaionnx.data.display import rows_of
from xaionnx.errors import DataError, ParameterError, UnknownNameError
from xaionnx.render import additive, beeswarm, charts, heatmap, page, tables
from xaionnx.render.themes import THEMES

LONG = "number of people being liable to provide maintenance for {} and more"


def table(count=1, columns=5, name="column {}", values=None, numbers=None, *, rng=None, **given):
    """Shapley values of rows that add up from a base value of 0.25; the same in each call without a generator."""
    rng = np.random.default_rng(0) if rng is None else rng
    values = rng.normal(size=(count, columns)) if values is None else np.asarray(values, np.float64)
    numbers = rng.normal(size=values.shape) * 100 if numbers is None else numbers
    names = [name.format(i) for i in range(values.shape[1])]
    fields = {
        "baseline_prediction": np.full(len(values), 0.25),
        "display": {"x": rows_of(numbers, names, ["months"] * len(names))},
        "provenance": {"value_kind": "contribution", "model": "credit.onnx"},
        **given,
    }
    prediction = 0.25 + values.sum(axis=1)
    return Explanation("tree_shap", values, np.array(["good (1)"] * len(values)), prediction, **fields)


@pytest.fixture
def figures(monkeypatch):
    return Figures(monkeypatch)


TABLES = {
    "two columns": lambda rng: table(rng=rng, columns=2),
    "twenty columns": lambda rng: table(rng=rng, columns=20),
    "two hundred columns": lambda rng: table(rng=rng, columns=200),
    "long names": lambda rng: table(rng=rng, columns=30, name=LONG),
    "one long word": lambda rng: table(rng=rng, columns=3, name="x" * 200 + "{}"),
    "ties": lambda rng: table(rng=rng, values=np.ones((1, 6))),
    "zeros": lambda rng: table(rng=rng, values=np.zeros((1, 6))),
    "negative": lambda rng: table(rng=rng, values=-rng.uniform(size=(1, 6))),
    "one column": lambda rng: table(rng=rng, columns=1),
    "missing": lambda rng: table(rng=rng, columns=4, numbers=np.full((1, 4), np.nan)),
    "tiny": lambda rng: table(rng=rng, values=rng.normal(size=(1, 6)) * 1e-12),
    "huge": lambda rng: table(rng=rng, values=rng.normal(size=(1, 6)) * 1e9),
    "of all sizes": lambda rng: table(rng=rng, values=10.0 ** np.arange(-6, 6)[None]),
    "errors": lambda rng: table(rng=rng, columns=8, standard_error=np.full((1, 8), 0.2)),
    "a formula": lambda rng: table(rng=rng, columns=4, name="$x_{}$ & \\alpha"),
    "another script": lambda rng: table(rng=rng, columns=4, name="Ürün sayısı / количество {}\n"),
}


def several(one, rng, count=40):
    """The same columns in several rows."""
    values = np.asarray(one.values)
    shuffled = np.concatenate([values, values * rng.normal(size=(count - 1, values.shape[1]))])
    display = one.display["x"]
    numbers = np.repeat(display.array, count, axis=0)
    return dataclasses.replace(
        one,
        values=shuffled,
        target=np.repeat(one.target, count),
        prediction=0.25 + shuffled.sum(axis=1),
        baseline_prediction=np.full(count, 0.25),
        standard_error=None,
        display={"x": dataclasses.replace(display, array=numbers)},
    )


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["waterfall", "force", "bar"])
def test_texts_of_one_row_are_whole_and_apart(figures, rng, kind, name):
    TABLES[name](rng).plot(0, kind=kind)
    assert faults(figures.last()) == []


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("kind", ["beeswarm", "heatmap", "bar", "dependence"])
def test_texts_of_many_rows_are_whole_and_apart(figures, rng, kind, name):
    several(TABLES[name](rng), rng).plot(kind, theme="dark")
    assert faults(figures.last()) == []


@pytest.mark.parametrize(
    ("size", "base"),
    [(1.0, 0.25), (1e5, 0.25), (-1e9, 0.25), (1e-12, 0.25), (1e-3, 1e3), (0.01, 250_000.3), (1.0, 1e6)],
)
@pytest.mark.parametrize("kind", ["waterfall", "heatmap", "dependence"])
def test_numbers_of_an_axis_are_apart_from_each_other_and_from_all_else(figures, kind, size, base):
    values = np.outer(np.linspace(0.1, 2, 40), np.arange(1, 7)) * size
    given = {"baseline_prediction": np.full(40, base), "numbers": base + values}
    rows = dataclasses.replace(table(values=values, name=LONG, **given), prediction=base + values.sum(axis=1))
    rows.plot(kind=kind) if kind != "waterfall" else rows.plot(39, kind=kind)
    assert faults(figures.last()) == []
    # There is an axis: two numbers at least.
    assert sum(text.replace("−", "").replace(",", "")[:1].isdigit() for text in words(figures.last())) > 2


def test_a_base_value_of_zero_is_drawn_outside_of_the_predictions(figures):
    rows = table(values=np.ones((3, 2)) * [[1], [2], [3]], baseline_prediction=np.zeros(3))
    dataclasses.replace(rows, prediction=np.array([2.0, 4.0, 6.0])).plot("heatmap")
    assert "base" in words(figures.last())


@pytest.mark.parametrize("columns", [2, 12, 60])
def test_texts_of_interactions_are_whole_and_apart(figures, columns, rng):
    pairs = rng.normal(size=(3, columns, columns))
    one = table(3, columns, LONG, maps={"interactions": pairs + pairs.swapaxes(1, 2)})
    for draw in (lambda: one.plot(1, kind="interaction"), lambda: one.plot("interaction")):
        draw()
        assert faults(figures.last()) == []


def test_the_kind_is_that_of_the_record(monkeypatch):
    drawn = []
    for kind in ("waterfall", "beeswarm", "bar", "force"):
        owner = __import__(f"xaionnx.render.pictures.{kind}", fromlist=["x"])
        for function in {"waterfall", "beeswarm", "bars", "mean_bars", "force"} & set(vars(owner)):
            body = getattr(owner, function)
            monkeypatch.setattr(
                owner, function, lambda *a, body=body, name=function, **k: drawn.append(name) or body(*a, **k)
            )
    rows = table(4)
    rows.plot()
    rows.plot(3)
    rows.sample(2).plot()
    rows.plot(3, kind="bar")
    rows.plot("bar")
    table(baseline_prediction=None).plot()
    table(baseline_prediction=np.array([9.0])).plot()
    assert drawn == ["beeswarm", "waterfall", "waterfall", "bars", "mean_bars", "bars", "bars"]


def test_a_kind_is_named_first_or_by_keyword():
    rows = table(4)
    np.testing.assert_array_equal(np.asarray(rows.plot("heatmap")), np.asarray(rows.plot(kind="heatmap")))
    with pytest.raises(ParameterError, match="given twice, as 'heatmap' and 'bar'"):
        rows.plot("heatmap", kind="bar")
    with pytest.raises(UnknownNameError, match=r"No picture kind named 'beeswarn'\. Nearest: beeswarm"):
        rows.plot("beeswarn")
    with pytest.raises(ParameterError, match="A picture of the kind 'beeswarm' needs several rows"):
        table(1).plot("beeswarm")
    with pytest.raises(ParameterError, match="'theme' parameter of a picture must be one of 'light', 'dark'"):
        rows.plot(theme="solarized")


def test_a_label_has_the_value_beside_the_name(figures):
    one = table(values=[[2.0, -1.0]], numbers=np.array([[48.0, 1169.0]]), name="duration_{}")
    one.plot(0, kind="bar")
    assert {"duration 0: 48 months", "duration 1: 1,169 months", "+2", "−1"} <= set(words(figures.last()))


def test_steps_lead_from_the_base_value_to_the_prediction(figures):
    one = table(values=[[2.0, -0.5, 0.1]])
    one.plot()
    figure = figures.last()
    (axes,) = figure.axes
    steps = [patch.get_xy() for patch in axes.patches]
    ends = [(float(points[0, 0]), float(points[2, 0])) for points in steps]
    np.testing.assert_allclose(ends, [(0.25, 2.25), (2.25, 1.75), (1.75, 1.85)])
    assert [patch.get_facecolor()[0] > patch.get_facecolor()[2] for patch in axes.patches] == [True, False, True]
    said = words(figure)
    assert {"base value", "0.25", "prediction", "1.85", "+2", "−0.5", "+0.1"} <= set(said)
    # From top to bottom: base value, the strongest first, prediction.
    height = {" ".join(one.get_text().split()): box.y0 for one, box in boxes(figure).items()}
    order = ("base value", f"column 0: {shown(one, 0)}", f"column 1: {shown(one, 1)}", "prediction")
    places = [height[text] for text in order]
    assert places == sorted(places, reverse=True)


def shown(one, column):
    return one.shown_values(0)[column]


def test_the_rest_of_a_waterfall_is_one_step_and_a_gap_is_said(figures):
    values = np.array([[5.0, 4, 3, 2, 1, 1, 1]])
    one = dataclasses.replace(table(values=values), prediction=np.array([17.5]))
    one.plot(0, kind="waterfall", top=3)
    said = words(figures.last())
    assert "4 other features" in said
    assert "+5" in said
    assert "not explained (gap)" in said
    assert "+0.25" in said
    (axes,) = figures.last().axes
    assert len(axes.patches) == 3 + 1 + 1


def test_parts_of_a_force_plot_fill_the_line_from_both_sides_of_the_prediction(figures):
    one = table(values=[[2.0, -0.5, 1.0]])
    one.plot(0, kind="force")
    axes = figures.last().axes[0]
    spans = sorted((p.get_xy()[:, 0].min(), p.get_xy()[:, 0].max()) for p in axes.patches)
    prediction = 2.75
    np.testing.assert_allclose(spans, [(prediction - 3, prediction - 2), (prediction - 2, prediction), (2.75, 3.25)])


def dots(figure):
    return [c for axes in figure.axes for c in axes.collections if isinstance(c, matplotlib.collections.PathCollection)]


@pytest.mark.parametrize(
    ("columns", "missing", "said"),
    [
        (3, False, ""),
        (3, True, "words, or missing"),
        (40, False, "sum of others"),
        (40, True, "words, or missing; sum of others"),
    ],
)
def test_the_legend_names_only_the_gray_dots_that_there_are(figures, columns, missing, said, rng):
    numbers = rng.normal(size=(30, columns))
    numbers[3] = np.nan if missing else numbers[3]
    table(30, columns, numbers=numbers).plot("beeswarm")
    told = [text.get_text() for text in figures.last().texts]
    assert [text for text in told if "missing" in text or text == "sum of others"][-1:] == [said] * bool(said)


def test_dots_lie_at_their_values_with_the_colour_of_the_feature(figures):
    values = np.array([[1.0, 0.1], [-2.0, 0.0], [3.0, 0.2], [0.5, 0.3]])
    numbers = np.array([[10.0, np.nan], [20.0, np.nan], [30.0, np.nan], [np.nan, np.nan]])
    rows = table(values=values, numbers=numbers)
    rows.plot("beeswarm")
    first, second = dots(figures.last())[:2]
    # Dots without a number lie under the others.
    np.testing.assert_allclose(first.get_offsets()[:, 0], [0.5, 1.0, -2.0, 3.0])
    gray = np.array(THEMES["light"].plain) / 255
    colours = first.get_facecolors()[:, :3]
    np.testing.assert_allclose(colours[0], gray)
    assert len(np.unique(colours[1:], axis=0)) == 3
    np.testing.assert_allclose(second.get_facecolors()[:, :3], np.tile(gray, (4, 1)))


def test_dots_of_one_place_lie_apart_within_their_row():
    x = np.zeros(101)
    y = beeswarm.spread(x, 15)
    assert len(np.unique(y)) == 101
    assert np.abs(y).max() <= 15
    alone = beeswarm.spread(np.arange(5) * 100.0, 15)
    np.testing.assert_array_equal(alone, np.zeros(5))


def test_the_weakest_features_are_summed_in_one_row_of_dots(figures):
    values = np.concatenate([np.ones((9, 3)) * [5, 4, 3], np.full((9, 7), 0.1)], axis=1)
    table(values=values).plot("beeswarm", top=3)
    assert "sum of 7 others" in words(figures.last())
    np.testing.assert_allclose(dots(figures.last())[3].get_offsets()[:, 0], 0.7)


def test_many_rows_are_drawn_in_part_and_the_caption_says_so(monkeypatch, figures):
    captions = []
    whole = page.whole
    monkeypatch.setattr(page, "whole", lambda *given: captions.append(given[4]) or whole(*given))
    rows = table(5000, 4)
    rows.plot("beeswarm")
    assert "2,000 of 5,000 rows are drawn, chosen at random." in captions[-1].notes
    assert len(dots(figures.last())[0].get_offsets()) == 2000
    # Means and order are those of all rows.
    mean = charts.number_words(float(np.abs(rows.values).mean(axis=0).max()))
    assert mean in words(figures.last())
    rows.plot("heatmap")
    assert "480 of 5,000 rows are drawn, chosen at random." in captions[-1].notes


def test_rows_of_different_classes_are_said():
    rows = dataclasses.replace(table(3), target=np.array(["good", "bad", "good"]))
    from xaionnx.render.headings import class_of_rows
    from xaionnx.render.readings import mixed_targets
    from xaionnx.render.tables import table_of

    assert mixed_targets(rows.target) == (
        "Each row explains its own class: good in 2 rows, bad in 1 row; give a target to explain one in all."
    )
    assert class_of_rows(rows, table_of(rows, 0)) == "the class of each row · 3 rows"


def test_mean_bars_are_as_long_as_the_mean_sizes(figures):
    values = np.array([[1.0, 0.2], [-3.0, 0.2]])
    table(values=values).plot("bar")
    (axes,) = figures.last().axes
    widths = [patch.get_width() for patch in axes.patches]
    np.testing.assert_allclose(widths, [0.5, 0.2, 1.5, 0.0])


def test_similar_rows_are_side_by_side():
    rng = np.random.default_rng(1)
    group = rng.permutation(np.repeat([0, 1, 2], 20))
    values = np.eye(3)[group] * 5 + rng.normal(size=(60, 3)) * 0.1
    order = heatmap.clustered(values)
    assert (np.diff(group[order]) != 0).sum() == 2


def test_the_partner_of_a_feature_is_the_one_that_it_interacts_with(figures, rng):
    numbers = rng.normal(size=(400, 4))
    values = np.stack([numbers[:, 0] * numbers[:, 2], numbers[:, 1] * 0.1, numbers[:, 2] * 0.1, numbers[:, 3] * 0.1], 1)
    rows = table(values=values, numbers=numbers)
    rows.plot("dependence")
    assert any(text.startswith("colour: column 2") for text in words(figures.last()))
    pairs = np.zeros((400, 4, 4))
    pairs[:, 0, 3] = pairs[:, 3, 0] = 1
    dataclasses.replace(rows, maps={"interactions": pairs}).plot("dependence")
    assert any(text.startswith("colour: column 3") for text in words(figures.last()))
    rows.plot("dependence", feature="column 3")
    assert "column 3 in months" in words(figures.last())
    with pytest.raises(ParameterError, match=r"Got 'column 33' instead\. Nearest: 'column 3'"):
        rows.plot("dependence", feature="column 33")


def test_words_and_missing_values_have_places_of_their_own(figures):
    display = rows_of(np.array([[0.0, 1], [1, np.nan], [1, 2], [0, 3]]), ["home", "age"], [], {"home": ["rent", "own"]})
    rows = table(values=np.ones((4, 2)) * [2, 1], display={"x": display})
    rows.plot("dependence")
    assert {"rent", "own"} <= set(words(figures.last()))
    rows.plot("dependence", feature="age")
    assert "missing" in words(figures.last())
    assert sum(len(each.get_offsets()) for each in dots(figures.last())) == 4


def test_circles_have_the_area_and_colour_of_interactions(figures):
    pairs = np.array([[[0.0, 2.0, 0.0], [2.0, 0.0, -1.0], [0.0, -1.0, 0.0]]])
    table(1, 3, maps={"interactions": pairs}).plot(0, kind="interaction")
    circles = dots(figures.last())[0]
    sizes = circles.get_sizes().reshape(3, 3)
    # The feature of the strongest interactions comes first.
    assert sizes[0, 1] == pytest.approx(2 * sizes[0, 2])
    assert sizes[1, 2] == 0
    red, blue = circles.get_facecolors()[[1, 2]]
    assert red[0] > red[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_is_of_its_theme(theme):
    image = np.asarray(table(3).plot("beeswarm", theme=theme))
    paper = np.array(THEMES[theme].paper)
    for corner in (image[0, 0], image[-1, -1], image[0, -1], image[len(image) // 2, 2]):
        np.testing.assert_array_equal(corner, paper)
    assert (image == paper).all(axis=2).mean() > 0.7


def test_a_theme_ends_with_its_picture():
    rows = table(3)
    before = np.asarray(rows.plot())
    rows.plot(theme="dark")
    with pytest.raises(ParameterError):
        rows.plot("map", theme="dark")
    np.testing.assert_array_equal(np.asarray(rows.plot()), before)


def test_no_figure_stays_open():
    table(3).plot("beeswarm")
    assert matplotlib.pyplot.get_fignums() == []


def test_details_are_in_the_caption_when_asked_for():
    rows = table(3)
    assert rows.plot("beeswarm", details=True).height > rows.plot("beeswarm").height


def test_rows_that_are_not_finite_are_named():
    values = np.ones((3, 2))
    values[1, 0] = np.nan
    with pytest.raises(DataError, match="in 1 rows, such as row 1, and cannot be drawn"):
        table(values=values).plot()


def test_numbers_in_the_texts_are_not_formulas(figures):
    table(columns=3, name="price in $ or $US {}").plot(0, kind="bar")
    assert all("$" in one.get_text() for one in texts(figures.last()) if "price" in one.get_text())
    assert additive.WATERFALL_TOP < tables.TOP


def test_a_notebook_says_that_all_rows_are_drawn():
    assert "All 4 rows; .plot(0) draws the first alone." in table(4)._repr_html_()
    assert "All 1 rows" not in table(1)._repr_html_()
    for count in (1, 2):
        assert "No picture: The tree_shap values hold NaN" in table(values=np.full((count, 3), np.nan))._repr_html_()


def test_a_unit_that_the_name_says_is_not_repeated(figures):
    rows = table(4)
    display = dataclasses.replace(rows.display["x"], names=tuple(f"{i} months" for i in range(5)))
    dataclasses.replace(rows, display={"x": display}).plot("dependence", feature="1 months")
    assert "1 months" in words(figures.last())


def test_long_names_that_differ_at_their_ends_are_told_apart(figures, rng):
    pairs = rng.normal(size=(1, 4, 4))
    name = "number of people being liable to provide maintenance for {}"
    table(1, 4, name, maps={"interactions": pairs}).plot(0, kind="interaction")
    names = [text for text in words(figures.last()) if text.startswith("number")]
    assert len(names) == 8
    assert {text[-1] for text in names} == set("0123")


def test_a_part_of_a_name_is_not_written_for_the_name(figures):
    table(values=[[-3.0, -1.0]], name=LONG).plot(0, kind="force")
    assert {"1", "2"} <= set(words(figures.last()))
    assert not any(text.startswith("number") and "maintenance" not in text for text in words(figures.last()))


def padded():
    """Two samples, of which the second has two features of three."""
    values = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, np.nan]])
    pairs = np.full((2, 3, 3), np.nan)
    pairs[0] = [[1, 0.5, 0], [0.5, -2, 0.25], [0, 0.25, 0.5]]
    pairs[1, :2, :2] = [[3, -1], [-1, 1]]
    return Explanation(
        "shapley_interactions",
        np.zeros((2, 3)),
        np.array(["y", "y"]),
        np.ones(2),
        feature_values=values,
        features=np.array([[0, 1, 2], [0, 0, 1]]),
        maps={"interactions": pairs},
        provenance={"value_kind": "contribution"},
    )


def test_interactions_of_samples_with_other_features_are_drawn_one_by_one(figures):
    padded().plot(1, kind="interaction")
    assert {"feature 0", "feature 1"} <= set(words(figures.last()))
    assert "feature 2" not in words(figures.last())
    with pytest.raises(
        ParameterError, match=r"features of the 2 samples differ, so that their interactions have no mean"
    ):
        padded().plot("interaction")


def test_mean_interactions_have_the_colour_of_their_direction(figures):
    pairs = np.zeros((4, 3, 3))
    pairs[:, 0, 1] = pairs[:, 1, 0] = [1, 1, -1, -1]
    pairs[:, 0, 2] = pairs[:, 2, 0] = -1
    table(4, 3, maps={"interactions": pairs}).plot("interaction")
    colours = figures.last().axes[0].collections[0].get_facecolors()[:, :3].reshape(3, 3, 3)
    sizes = figures.last().axes[0].collections[0].get_sizes().reshape(3, 3)
    blue = (colours[..., 2] > colours[..., 0] + 0.3) & (sizes > 0)
    red = (colours[..., 0] > colours[..., 2] + 0.3) & (sizes > 0)
    assert blue.sum() == 2
    assert not red.any()
    assert (sizes > 0).sum() == 4


def test_a_matrix_of_many_interactions_has_its_legend(figures):
    pairs = np.random.default_rng(0).normal(size=(3, 40, 40)) * 1e5
    table(3, 40, LONG, maps={"interactions": pairs + pairs.swapaxes(1, 2)}).plot("interaction", top=40)
    assert faults(figures.last()) == []


def test_a_notebook_has_the_numbers_of_the_strongest_features():
    rows = table(4, 12)
    page = rows._repr_html_()
    assert page.count("<tr>") == 1 + 8 + 1
    assert "4 more: .to_frame()" in page
    first = rows[1]
    strongest = int(np.abs(first.values[0]).argmax())
    row = first._repr_html_().split("<tbody>")[1].split("</tr>")[0]
    assert first.feature_names[strongest] in row
    assert charts.signed(float(first.values[0, strongest])).split(" ")[0] in row


def test_the_bars_of_a_rule_are_its_conditions(figures, monkeypatch):
    said = listen(monkeypatch)
    names = ["job_type = none", "2 < age_in_years <= 5", "rent <= 3"]
    told = {"rule": ["2 < age_in_years <= 5"], "precision": [0.96], "coverage": [0.2]}
    one = dataclasses.replace(
        table(1, 3),
        method="anchors",
        values=np.array([[0.0, 1.0, 0.0]]),
        diagnostics=told | {"precision_bounds": [[[0.93, 0.98]]]},
        provenance={"value_kind": "importance", "feature_names": names},
    )
    one.plot(0, kind="bar")
    assert "2 < age in years <= 5" in words(figures.last())
    assert not any("job" in text or "rent" in text for text in words(figures.last()))
    text = " ".join(said)
    assert "If 2 < age in years <= 5, the prediction is the same in 96 % of neighbours" in text
    assert "It leaves 2 of 3 features open." in text
    assert "longer the bar" not in text


def test_rounding_errors_are_no_bars(figures):
    one = dataclasses.replace(table(1, 3), values=np.array([[0.5, 4e-19, -0.25]]))
    one.plot(0, kind="bar")
    assert "0" in words(figures.last())
    assert not any("e" in text and "feature" not in text for text in words(figures.last()))
