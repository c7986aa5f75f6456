"""Charts of one row whose values add up to the change from a base value: waterfall and force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from PIL import Image

from xaionnx.explanation import Explanation
from xaionnx.render import charts, fonts, page
from xaionnx.render.colours import number_words
from xaionnx.render.layers import layer_of
from xaionnx.render.result_page import sample_page
from xaionnx.render.tables import Row, check_top, row_of
from xaionnx.render.themes import LIGHT, Colour, Style, hexadecimal
from xaionnx.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WATERFALL_TOP: Final = 15
"""Steps of a waterfall if 'top' is not given; the rest is one more."""

# Half the thickness of a step, the length of its point, and the gap to its number, in pixels.
_HALF: Final = 10
_POINT: Final = 7
_APART: Final = 6
# A gap of this share of the largest value is rounding error, and a larger one up to this share is drawn as a step.
_ROUNDING: Final = 1e-3
_CLOSES: Final = 0.05


@final
@dataclass(frozen=True, eq=False)
class Step:
    """One step from the base value to the prediction."""

    label: tuple[str, ...]
    value: float
    error: float | None = None
    plain: bool = False

    def colour(self, style: Style) -> Colour:
        """Red up, blue down; grey if it is not a feature."""
        if self.plain:
            return style.plain
        return style.up if self.value >= 0 else style.down


def has_base(one: Explanation) -> bool:
    """Whether there is a base value from which the values of a row lead to the prediction."""
    base = one.baseline_prediction
    return (
        base is not None
        and bool(np.isfinite(base).all())
        and one.value_kind in ("contribution", None)
        and layer_of(one) is None
        and one.provenance.get("adds_up_to") is None
    )


def adds_up(one: Explanation) -> bool:
    """Whether the values of a row add up to the change from the base value, to a twentieth of it."""
    if not has_base(one):
        return False
    row = row_of(one, 0, 0, "waterfall") if _is_drawable(one) else None
    return row is not None and abs(_gap(row)) <= _CLOSES * max(float(np.abs(row.values).max()), 1e-30)


def _is_drawable(one: Explanation) -> bool:
    return one.feature_values is not None or not isinstance(one.values, dict) or len(one.values) == 1


def _base(row: Row) -> float:
    assert row.one.baseline_prediction is not None  # has_base
    return float(row.one.baseline_prediction[0])


def _gap(row: Row) -> float:
    """What the values lack of the change from the base value to the prediction."""
    return float(row.one.prediction[0]) - _base(row) - float(row.values.sum())


def steps_of(row: Row, top: int) -> list[Step]:
    """The strongest features, the rest as one step, and what the values lack of the change, if it can be seen."""
    order = row.order
    # A rest of one feature takes as much room as the feature itself.
    top = top if len(order) > top + 1 else len(order)
    steps = [
        Step(
            charts.label(row.names[i], row.shown[i]),
            float(row.values[i]),
            None if row.errors is None else float(row.errors[i]),
        )
        for i in order[:top]
    ]
    if len(order) > top:
        rest = order[top:]
        steps.append(Step(charts.label(f"{len(rest)} other {row.parts}"), float(row.values[rest].sum())))
    gap = _gap(row)
    if abs(gap) > _ROUNDING * max(float(np.abs(row.values).max()), abs(_base(row)), 1e-30):
        steps.append(Step(charts.label("not explained (gap)"), gap, plain=True))
    return steps


def _notes(row: Row, steps: list[Step]) -> tuple[list[str], list[str]]:
    notes = [
        f"From the base value {number_words(_base(row))} to the prediction "
        f"{number_words(float(row.one.prediction[0]))}: red raises it, blue lowers it."
    ]
    details = []
    if any(step.plain for step in steps):
        notes.append("Gray: what the values lack of the change.")
    if any(step.error for step in steps):
        details.append("±: one standard error.")
    return notes, details


def waterfall(
    explanation: Explanation,
    *,
    sample: int = 0,
    target: int = 0,
    top: int = WATERFALL_TOP,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of the steps from the base value to the prediction of one row, the largest first.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples, with a ``baseline_prediction``.
    sample, target : int
    top : int
        The largest number of features; the rest is summed in one step.

    Raises
    ------
    DataError
        There are no values, or some are not finite.
    ParameterError
        There is no such sample or target, or ``top`` is not a positive int.
    """
    check_top(top, "waterfall")
    row = row_of(explanation, sample, target, "waterfall")
    steps = steps_of(row, top)
    notes, details = _notes(row, steps)
    with page.FIGURES:
        body = page.figure_picture(_waterfall(style, row, steps))
    return sample_page(style, row.one, body, notes, details)


def _waterfall(style: Style, row: Row, steps: list[Step]) -> Figure:
    base, prediction = _base(row), float(row.one.prediction[0])
    labels = [charts.label("base value"), *(step.label for step in steps), charts.label("prediction")]
    rows = charts.Rows(tuple(labels))
    starts = base + np.concatenate([[0.0], np.cumsum([step.value for step in steps])])
    ends = [number_words(base), *(charts.signed(step.value, step.error) for step in steps), number_words(prediction)]
    figure, axes = charts.rows_chart(style, rows, strong=(0, len(labels) - 1))
    wide = float(axes.bbox.width)
    rises = prediction >= base
    low, high = charts.limits_around(_room(steps, starts, ends, rises), wide)
    charts.number_axis(style, axes, low, high)
    unit = (high - low) / wide
    faint, ink = hexadecimal(style.faint), hexadecimal(style.ink)
    centres = rows.centres
    axes.vlines(base, centres[0], rows.height, color=faint, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
    for number_, (step, centre) in enumerate(zip(steps, centres[1:-1], strict=True)):
        start, end = starts[number_], starts[number_ + 1]
        axes.fill(*_arrow(start, end, centre, unit), color=hexadecimal(step.colour(style)), linewidth=0, zorder=3)
        axes.vlines(start, centres[number_], centre, color=faint, linewidth=0.8, zorder=2)
        axes.vlines(end, centre, centres[number_ + 2], color=faint, linewidth=0.8, zorder=2)
        if step.error:
            axes.errorbar(
                end, centre, xerr=step.error, fmt="none", ecolor=ink, elinewidth=1.1, capsize=3, capthick=1.1, zorder=4
            )
        right = step.value >= 0
        reach = max(start, end) + (step.error or 0) if right else min(start, end) - (step.error or 0)
        _tell(style, axes, ends[number_ + 1], reach, centre, right=right)
    for value, centre, text, after in zip(
        (base, prediction), (centres[0], centres[-1]), (ends[0], ends[-1]), (not rises, rises), strict=True
    ):
        axes.plot([value], [centre], marker="o", markersize=6, color=ink, zorder=5)
        _tell(style, axes, text, value, centre, right=after, bold=True)
    return figure


def _room(steps: list[Step], starts: Floats, ends: list[str], rises: bool) -> list[tuple[float, float, float]]:
    """The places of an axis with the pixels that numbers take before and after them."""
    wide = [charts.text_width(text, bold=True) + 2 * _APART + 6 for text in ends]
    places: list[tuple[float, float, float]] = [(float(starts[0]), *((wide[0], 10) if rises else (10, wide[0])))]
    places.append((float(starts[-1]), *((10, wide[-1]) if rises else (wide[-1], 10))))
    for number, step in enumerate(steps):
        error = step.error or 0.0
        low, high = sorted(starts[number : number + 2])
        right = step.value >= 0
        places.append((float(low) - (0 if right else error), 10 if right else wide[number + 1], 0))
        places.append((float(high) + (error if right else 0), 0, wide[number + 1] if right else 10))
    return places


def _tell(style: Style, axes: Axes, text: str, x: float, y: float, *, right: bool, bold: bool = False) -> None:
    """Write a number beside a place, at its right or left."""
    axes.annotate(
        text,
        (x, y),
        ((_APART + 3) * (1 if right else -1), 0),
        textcoords="offset pixels",
        ha="left" if right else "right",
        va="center_baseline",
        color=hexadecimal(style.ink),
        fontproperties=fonts.plot_font(9.5, bold),
        # The dotted line of the base value ends at the number.
        bbox={"facecolor": hexadecimal(style.paper), "edgecolor": "none", "pad": 1.0},
        zorder=6,
    )


def _arrow(start: float, end: float, y: float, unit: float) -> tuple[Floats, Floats]:
    """The outline of a bar with a point at its end; a bar shorter than the point is the point alone."""
    head = min(_POINT * unit, abs(end - start)) * (1 if end >= start else -1)
    x = np.array([start, end - head, end, end - head, start])
    return x, y + _HALF * np.array([-1.0, -1.0, 0.0, 1.0, 1.0])


def force(
    explanation: Explanation,
    *,
    sample: int = 0,
    target: int = 0,
    top: int = 10,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of the values of one row on one line: red ones push the prediction up from the left, blue ones down.

    Parameters
    ----------
    explanation, sample, target
        As for :func:`waterfall`.
    top : int
        The largest number of features that are named; the rest is one part of each colour.
    """
    check_top(top, "force")
    row = row_of(explanation, sample, target, "force")
    notes, details = _notes(row, steps_of(row, top))
    with page.FIGURES:
        body = page.figure_picture(_force(style, row, top))
    return sample_page(style, row.one, body, notes, details)


def _parts(row: Row, top: int) -> tuple[list[Step], list[Step]]:
    """The parts that raise and that lower the prediction, the strongest first; the rest of each is one part."""
    order = row.order
    named, rest = order[:top], order[top:]
    sides: tuple[list[Step], list[Step]] = ([], [])
    for i in named:
        if row.values[i]:
            sides[int(row.values[i] < 0)].append(
                Step(charts.label(row.names[i], row.shown[i], _LABEL), float(row.values[i]))
            )
    for side, sign in zip(sides, (1, -1), strict=True):
        others = [i for i in rest if sign * row.values[i] > 0]
        if others:
            side.append(Step((f"{len(others)} others",), float(row.values[others].sum())))
    gap = _gap(row)
    if abs(gap) > _ROUNDING * max(float(np.abs(row.values).max()), abs(_base(row)), 1e-30):
        sides[int(gap < 0)].append(Step(("not explained (gap)",), gap, plain=True))
    return sides


# In pixels: the strip with its place, the margin of the page, and the gap between a label and its number.
_STRIP: Final = 34
_ABOVE: Final = 50
_MARGIN: Final = 14
_COLUMN: Final = (charts.WIDTH - 3 * _MARGIN) // 2
_LABEL: Final = _COLUMN - 110


def _force(style: Style, row: Row, top: int) -> Figure:
    base, prediction = _base(row), float(row.one.prediction[0])
    sides = _parts(row, top)
    ends = [prediction - sum(step.value for step in side) for side in sides]
    wide = charts.WIDTH - 2 * _MARGIN
    left, right = charts.limits(min(*ends, base), max(*ends, base), wide, 4, 4)
    unit = (right - left) / wide
    below = _ABOVE + _STRIP + 16
    depth = max(sum(_tall(step) for step in side) for side in sides)
    figure = charts.blank(style, below + charts.LINE + 8 + depth + 4)
    axes = charts.plot(style, figure, _MARGIN, _ABOVE, wide, _STRIP)
    axes.set(xlim=(left, right), ylim=(_STRIP, 0), xticks=[], yticks=[])
    outline = [0.0, 0.0, _STRIP / 2, _STRIP, _STRIP]
    number = 0
    for side, colour, x, title in (
        (sides[0], style.up, _MARGIN, "raise it"),
        (sides[1], style.down, 2 * _MARGIN + _COLUMN, "lower it"),
    ):
        at, y = prediction, float(below + charts.LINE + 8)
        charts.write(style, figure, title, x, below + charts.LINE / 2, bold=True, colour=colour)
        for step in side:
            number += 1
            own = step.colour(style)
            across, _ = _arrow(at - step.value, at, 0, unit)
            edge = hexadecimal(style.paper)
            axes.fill(across, outline, facecolor=hexadecimal(own), edgecolor=edge, linewidth=1)
            inside = _name_inside(step, number, abs(step.value) / unit)
            middle = _MARGIN + (at - step.value / 2 - left) / unit
            charts.write(style, figure, inside, middle, _ABOVE + _STRIP / 2, align="center", colour=style.paper)
            charts.write(
                style, figure, str(number), x + 20, y + charts.LINE / 2, align="right", colour=step.colour(style)
            )
            tall = charts.LINE * len(step.label)
            charts.write(style, figure, "\n".join(step.label), x + 30, y + tall / 2)
            amount = charts.signed(step.value)
            charts.write(
                style, figure, amount, x + _COLUMN - 4, y + charts.LINE / 2, align="right", colour=step.colour(style)
            )
            at, y = at - step.value, y + _tall(step)
    _ends_of_force(
        style,
        figure,
        *(_MARGIN + (value - left) / unit for value in (base, prediction)),
        base=base,
        prediction=prediction,
    )
    return figure


def _tall(step: Step) -> int:
    return charts.LINE * len(step.label) + 6


def _name_inside(step: Step, number: int, width: float) -> str:
    """What is written on a part: its label or its name if there is room, else its number, else nothing."""
    name = step.label[0].rstrip(":").partition(":")[0]
    if len(step.label) == 1:
        texts = [step.label[0], name, str(number), ""]
    else:
        # The first line may be a part of the name.
        texts = [*([name] if step.label[0].endswith(":") else []), str(number), ""]
    return next(text for text in texts if charts.text_width(text) + 18 <= width or not text)


def _line(figure: Figure, x: float, upper: float, lower: float, colour: Colour) -> None:
    """A vertical line of a figure, in pixels from its upper left corner."""
    from matplotlib.lines import Line2D

    tall = figure.get_figheight() * figure.dpi
    ends = [1 - upper / tall, 1 - lower / tall]
    figure.add_artist(Line2D([x / charts.WIDTH] * 2, ends, color=hexadecimal(colour), linewidth=1, zorder=0))


def _ends_of_force(
    style: Style, figure: Figure, at_base: float, at_prediction: float, *, base: float, prediction: float
) -> None:
    """The prediction, and the base value, above the strip; the base value gives way to the prediction."""
    taken: list[tuple[float, float]] = []
    for name, value, at, bold in (
        ("prediction", prediction, at_prediction, True),
        ("base value", base, at_base, False),
    ):
        text = f"{name} {number_words(value)}"
        half = charts.text_width(text, bold) / 2 + 8
        x = min(max(at, half + 2), charts.WIDTH - half - 2)
        y = 33.0 if not any(a < x + half and x - half < b for a, b in taken) else 11.0
        taken.append((x - half, x + half))
        colour = style.ink if bold else style.faint
        charts.write(style, figure, text, x, y, bold=bold, align="center", colour=colour)
        _line(figure, at, 44, _ABOVE + _STRIP + 4, colour)
