"""Bar charts of features, columns or players."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from xaionnx.caveats import caveats
from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Arrays, Explanation
from xaionnx.render import page, words
from xaionnx.render.colours import FAINT, INK
from xaionnx.render.layers import layer_of, parts
from xaionnx.render.maps import one_sample
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array

_UP: Final = "#d6283c"
_DOWN: Final = "#2670c8"
_DPI: Final = 120
_NAME: Final = 34
# How many columns of a group are named.
_GROUP: Final = 2
# Text height in pixels.
_TEXT: Final = 17


def bars(
    explanation: Explanation,
    names: Sequence[str] | None = None,
    *,
    sample: int = 0,
    target: int = 0,
    top: int = 20,
    title: str | None = None,
    input: str | None = None,
) -> Image.Image:
    """A picture of feature values as horizontal bars with standard errors, the strongest at the top.

    Parameters
    ----------
    explanation : Explanation
        The explanation of N samples. Its ``feature_values`` are drawn, or its values if it has none. For a layer, sums
        over its channels or tokens are drawn, or its units.
    names : sequence of str, optional
        One name for each of the P features; by default the columns of a table, or numbers.
    sample, target : int
        Index of the sample, and of the target if there are several.
    top : int
        The largest number of bars; the caption says how many features are left out.
    title : str, optional
        Replaces the class and its score.
    input : str, optional
        The input to draw, if there are no feature values and several inputs have values.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    DataError
        There are no values, some are not finite, or the number of names does not match.
    ParameterError
        There is no such sample, target or input, or ``top`` is not a positive int.

    Examples
    --------
    >>> e = Explanation("exact_shapley", np.array([[2.0, -1.0]]), np.array(["good"]), np.array([1.0]))
    >>> bars(e, ["income", "age"]).mode
    'RGB'
    """
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise ParameterError(f"The 'top' parameter of bars must be an int in [1, inf). Got {top!r} instead.")
    one = one_sample(explanation, sample, target, "bars")
    values, errors = _values(one, input)
    note, default_names, kind = "", [f"feature {i}" for i in range(len(values))], "features"
    layer = layer_of(one)
    if layer is not None:
        values, default_names, note = parts(np.asarray(one.values)[0], layer)
        errors, kind = None, f"{default_names[0].partition(' ')[0]}s"
    elif names is None:
        names = feature_names(one, _columns(one, input), input)
    if names is not None and len(names) != len(values):
        raise DataError(f"There are {len(names)} names for {len(values)} {kind}. Give one name to each.")
    order = np.argsort(-np.abs(values), kind="stable")[:top]
    labels = [str(names[i]) if names is not None else default_names[i] for i in order]
    sign = "signed" if values.min() < 0 else "positive"
    meaning = sense(one).sentence(sign, kind, f"the longer the bar of a {kind[:-1]}")
    notes = [meaning if values.any() else words.without_colours(one, "every value is zero"), note]
    if errors is not None:
        notes.append("Whiskers: one standard error to each side.")
    if len(order) < len(values):
        notes.append(f"The {len(values) - len(order)} weakest of {len(values)} {kind} are left out.")
    with page.FIGURES:
        body = _draw_bars(labels, values[order], None if errors is None else errors[order])
    heading = title or words.class_and_score(one)
    return page.whole(heading, caveats(one), body, list(filter(None, notes)), words.made_by(one), _TEXT)


def feature_names(one: Explanation, columns: Sequence[str], input: str | None = None) -> list[str] | None:
    """The feature names of one sample of a table, from the names of its F columns; None if they do not match.

    A group of columns is named after its first columns.
    """
    values = one.values.get(input or "") if isinstance(one.values, dict) else one.values
    if not columns or values is None or np.shape(values)[1:] != (len(columns),):
        return None
    if one.feature_values is None:
        return list(columns)
    features = one.features.get(input or "") if isinstance(one.features, dict) else one.features
    if features is None:
        return None
    labels = np.broadcast_to(np.asarray(features)[0], (len(columns),))
    count = int(np.isfinite(np.asarray(one.feature_values)[0]).sum())
    groups = [[columns[int(place)] for place in np.flatnonzero(labels == player)] for player in range(count)]
    return [_group(group) for group in groups] if all(groups) else None


def _group(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _GROUP} more" if len(columns) > _GROUP else ""
    return " + ".join(columns[:_GROUP]) + more


def _columns(one: Explanation, input: str | None) -> Sequence[str]:
    """The names of the columns in the record."""
    display = one.display.get(input) if input is not None else next(iter(one.display.values()), None)
    return () if display is None else display.names


def _values(one: Explanation, input: str | None) -> tuple[Array, Array | None]:
    """The values (P,) and their standard errors."""
    if one.feature_values is not None:
        source: Arrays = one.feature_values
        is_value = ~np.isnan(np.asarray(source)[0])  # padding of samples with fewer features
    else:
        source = one.values
        if isinstance(source, dict):
            if input is None and len(source) == 1:
                input = next(iter(source))
            if input is None or input not in source:
                raise ParameterError(
                    f"The explanation has values for {', '.join(source)}. Name the one to draw with 'input'."
                )
            source = source[input]
        is_value = np.ones(np.asarray(source)[0].shape, bool)
    values = np.asarray(source)[0][is_value].reshape(-1).astype(np.float64)
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"The {one.method} values hold NaN or infinity, or nothing, and cannot be drawn.")
    errors = one.standard_error
    if errors is None or np.shape(errors)[1:] != is_value.shape:
        return values, None
    return values, np.nan_to_num(np.asarray(errors, dtype=np.float64)[0][is_value].reshape(-1))


def _wrap(label: str) -> str:
    """A label in at most two lines, broken at spaces and after underscores."""
    lines = textwrap.wrap(label.replace("_", "_ "), _NAME, max_lines=2, placeholder=" …")
    return "\n".join(line.replace("_ ", "_") for line in lines) or label


def _draw_bars(labels: list[str], values: Array, errors: Array | None) -> Image.Image:
    """The bars and their labels, without title and caption."""
    from matplotlib.figure import Figure

    ink, faint = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (INK, FAINT))
    wrapped = [_wrap(label) for label in labels]
    lines = sum(1 + 0.7 * label.count("\n") for label in wrapped)
    height = 0.3 * lines + 0.3
    figure = Figure(figsize=(7.2, height), dpi=_DPI, facecolor="white")
    longest = max(len(line) for label in wrapped for line in label.split("\n"))
    left = min(0.42, 0.05 + 0.0115 * longest)
    axes = figure.add_axes((left, 0.28 / height, 0.97 - left, 0.3 * lines / height))
    axes.set_facecolor("white")
    positions = np.arange(len(values))[::-1]
    axes.barh(positions, values, color=[_UP if v >= 0 else _DOWN for v in values], height=0.66, zorder=2)
    if errors is not None:
        axes.errorbar(
            values, positions, xerr=errors, fmt="none", ecolor=ink, elinewidth=1.2, capsize=3, capthick=1.2, zorder=3
        )
    axes.axvline(0, color=faint, linewidth=1, zorder=4)
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.set_yticks(positions, wrapped)
    axes.grid(axis="x", color="0.9", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", length=0, colors=ink)
    for tick in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        tick.set_fontproperties(page.plot_font(9.5))
    for side in axes.spines.values():
        side.set_visible(False)
    return page.figure_picture(figure)
