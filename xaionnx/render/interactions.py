"""A chart of the interactions between features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.render import charts, page
from xaionnx.render.colours import number_words
from xaionnx.render.maps import one_sample
from xaionnx.render.result_page import rows_page, sample_page
from xaionnx.render.tables import check_top, table_of
from xaionnx.render.themes import LIGHT, Style, hexadecimal
from xaionnx.typing import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In pixels: the side of a cell, from few to many features; and the longest name above a column.
_CELLS: Final = (24, 46)
_ABOVE: Final = 170

# The shares of the largest value that the legend shows.
_LEGEND: Final = (1.0, 0.25)

# The names of the indices of `provenance["interactions"]`, and what their values of single features are.
_INDICES: Final[Mapping[str, tuple[str, str]]] = {
    "k_sii": ("k-SII", "main effects"),
    "sii": ("SII", "Shapley values"),
    "stii": ("STII", "main effects"),
    "fsii": ("FSII", "main effects"),
    "bii": ("BII", "Banzhaf values"),
    "fbii": ("FBII", "main effects"),
    "integrated_hessians": ("integrated Hessians", "main effects"),
}
# What each row of the matrix of these, and of order 2, sums to.
_SHARED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("k_sii", "stii", "fsii"), "its Shapley value"),
    "integrated_hessians": "its integrated gradients",
}


def interaction(
    explanation: Explanation,
    *,
    sample: int = 0,
    target: int = 0,
    all_rows: bool = False,
    top: int = 12,
    style: Style = LIGHT,
) -> Image.Image:
    """A picture of the interaction of each pair of features, as a matrix of circles.

    The area of a circle is the size of the value, its colour the sign; of all rows it is the mean size. The diagonal
    has the main effects, if the record has them.

    Parameters
    ----------
    explanation : Explanation
        A record with ``maps["interactions"]``, (N, P, P).
    sample, target : int
    all_rows : bool
        Whether to draw the mean size over all rows.
    top : int
        The largest number of features, those with the strongest interactions.

    Raises
    ------
    DataError
        Some values are not finite.
    ParameterError
        There is no such sample or target, ``top`` is not a positive int, or all rows are to be drawn and their features
        differ.
    """
    check_top(top, "interaction")
    one = one_sample(explanation, sample, target, "interaction")
    if all_rows:
        if features_differ(explanation):
            raise ParameterError(
                f"The features of the {explanation.samples:,} samples differ, so that their interactions have no mean. "
                "Draw one sample: plot(0, kind='interaction')."
            )
        given = explanation.maps["interactions"]
        pairs = np.asarray(given[target] if explanation.several_targets else given, np.float64)
        matrix, means = np.abs(pairs).mean(axis=0), pairs.mean(axis=0)
    else:
        matrix = np.asarray(one.maps["interactions"][0], np.float64)
        if one.feature_values is not None:
            # Samples with fewer features than others are padded with NaN.
            count = int((~np.isnan(one.feature_values[0])).sum())
            matrix = matrix[:count, :count] if np.isnan(matrix[count:]).all() else matrix
        means = matrix
    if not matrix.size or not np.isfinite(matrix).all():
        raise DataError(f"The interactions of the {one.method} explanation hold NaN or infinity and cannot be drawn.")
    off = np.abs(matrix - np.diag(np.diag(matrix)))
    order = np.argsort(-(off.sum(axis=1) + 1e-9 * np.abs(np.diag(matrix))), kind="stable")[:top]
    shown = np.ix_(order, order)
    with page.FIGURES:
        figure = _circles(style, np.abs(matrix[shown]), means[shown], [one.feature_names[i] for i in order])
        body = page.figure_picture(figure)
    left_out = len(matrix) - len(order)
    notes = [
        f"Circles: the mean size of {_entry(one)} over {explanation.samples:,} rows; red where it mostly raises the "
        "prediction, blue where it mostly lowers it, gray where neither."
        if all_rows
        else f"Circles: {_entry(one)}; red raises the prediction, blue lowers it.",
        _diagonal(one, summed=not all_rows) if np.diag(matrix).any() else "",
        f"The {left_out} features of {len(matrix)} with the weakest interactions are left out." if left_out else "",
    ]
    if all_rows:
        return rows_page(style, table_of(explanation, target), body, notes)
    return sample_page(style, one, body, notes)


def features_differ(explanation: Explanation) -> bool:
    """Whether the samples have features of their own, such as superpixels or words."""
    given = explanation.features
    labels = given.values() if isinstance(given, dict) else [given]
    names = explanation.provenance.get("feature_names", ())
    return any(each is not None and len(each) > 1 for each in labels) or (len(names) > 1 and isinstance(names[0], list))


def _entry(one: Explanation) -> str:
    """What an entry of the matrix off the diagonal is, in words."""
    found = one.provenance.get("interactions", {})
    half = found.get("off_diagonal") == "half"
    index = _INDICES.get(str(found.get("index")))
    named = "" if index is None else f" ({index[0]})"
    return f"{'half ' * half}the interaction{named} of two features{', on each side of the diagonal' * half}"


def _diagonal(one: Explanation, *, summed: bool) -> str:
    """A sentence on the diagonal, and on the sum of a row if the matrix is that of one sample."""
    found = one.provenance.get("interactions", {})
    index = str(found.get("index"))
    _, singles = _INDICES.get(index, ("", "main effects"))
    whole = index in _SHARED and found.get("off_diagonal") == "half"
    if whole and summed and one.provenance.get("parameters", {}).get("order", 2) == 2:
        return f"The diagonal has the {singles}; a feature's row sums to {_SHARED[index]}."
    return f"The diagonal has the {singles}."


def _circles(style: Style, sizes: Floats, means: Floats, names: list[str]) -> Figure:
    """Circles of some sizes, the redder or bluer the more of the size the mean is."""
    count = len(sizes)
    labels = [charts.condensed(charts.spaced(name), 300) for name in names]
    above = [charts.condensed(charts.spaced(name), _ABOVE) for name in names]
    left = max(map(charts.text_width, labels)) + 20
    head = max(map(charts.text_width, above)) + 16
    side = int(np.clip((charts.WIDTH - left - 110) / count, *_CELLS))
    largest = float(sizes.max()) or 1.0
    # A matrix of many features is wider than a page.
    legend = left + side * count + 24
    numbers = max(charts.text_width(number_words(share * largest)) for share in _LEGEND)
    figure = charts.blank(
        style, max(head + side * count, head + 2 * side + 12) + 8, max(charts.WIDTH, legend + side + numbers + 14)
    )
    axes = charts.plot(style, figure, left, head, side * count, side * count)
    axes.set(xlim=(0, count), ylim=(count, 0), xticks=[], yticks=[])
    grid = hexadecimal(style.grid)
    for k in range(count + 1):
        axes.axhline(k, color=grid, linewidth=0.8)
        axes.axvline(k, color=grid, linewidth=0.8)
    rows, columns = np.indices(sizes.shape)
    share = np.divide(np.abs(means), sizes, out=np.zeros(sizes.shape), where=sizes > 0).ravel()[:, None]
    sides = np.where(means.ravel()[:, None] >= 0, style.up, style.down)
    colours = (np.array(style.plain) * (1 - share) + sides * share) / 255
    points = (0.92 * side * 72 / figure.dpi) ** 2
    axes.scatter(
        columns.ravel() + 0.5,
        rows.ravel() + 0.5,
        s=points * sizes.ravel() / largest,
        c=np.clip(colours, 0, 1),
        linewidths=0,
        zorder=3,
    )
    for k, (name, short) in enumerate(zip(labels, above, strict=True)):
        charts.write(style, figure, name, left - 10, head + (k + 0.5) * side, align="right")
        charts.write(style, figure, short, left + (k + 0.5) * side, head - 6, align="center", rotation=90)
    _legend(style, figure, legend, head + 4, largest, side)
    return figure


def _legend(style: Style, figure: Figure, x: float, y: float, largest: float, side: int) -> None:
    """Two circles with the values that they stand for."""
    for number, share in enumerate(_LEGEND):
        axes = charts.plot(style, figure, x, y + number * (side + 6), side, side)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        points = (0.92 * side * 72 / figure.dpi) ** 2
        axes.scatter([0.5], [0.5], s=points * share, c=hexadecimal(style.plain), linewidths=0)
        charts.write(style, figure, number_words(share * largest), x + side + 6, y + number * (side + 6) + side / 2)
