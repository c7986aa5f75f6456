"""Strips of maps: those of the first sample while the weights of the model are randomised layer by layer."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from xaionnx.render.colours import sequential
from xaionnx.render.html_document import escaped

if TYPE_CHECKING:
    from xaionnx.evaluation.scores import Scores
    from xaionnx.evaluation.standing import Standing
    from xaionnx.typing import Array

STYLE: Final = """
.strip td,.strip th{padding:.2rem .4rem .2rem 0;border:0;font-size:.75rem}
.strip th{max-width:72px;white-space:normal;overflow-wrap:anywhere}
.strip img{width:72px;height:72px;image-rendering:pixelated;display:block}
"""
"""What a page of strips needs among its styles."""

# The side of a map, in pixels, and the percentile of its sizes that has the last colour.
_SIDE, _HIGHEST = 64, 99.0
# The longest name of a layer above a map.
_LONGEST: Final = 40
# Which layers are random in the model of a column.
_RANDOM: Final = {
    "top_down": "all layers from the output to the one named above",
    "bottom_up": "all layers from the input to the one named above",
    "independent": "the layer named above alone",
}


def strips(standings: Mapping[str, Mapping[str, Standing]], photo: Array | None) -> str:
    """Return HTML of the maps by each metric that keeps maps, one row a method; empty if none does.

    Parameters
    ----------
    standings : dict of dicts of Standing
        By metric, then by method.
    photo : array of uint8 (H, W, 3), optional
        The first sample.
    """
    parts = []
    for metric, each in standings.items():
        shown = {name: one.scores for name, one in each.items() if one.scores.maps}
        if shown:
            parts.append(_table(metric, shown))
    if not parts:
        return ""
    seen = "" if photo is None else f"<p>{_image(_thumbnail(photo), 'the first input')}</p>"
    return (
        "<h2>Do the maps depend on the model?</h2>"
        "<p>Each row starts with the map of the first input. The maps to its right are those of the same input after "
        "weights of the model were randomised. A map that stays the same shows the input, not the model. Below each is "
        f'its similarity to the first.</p><div class="strip">{seen}{"".join(parts)}</div>'
    )


def _table(metric: str, shown: Mapping[str, Scores]) -> str:
    """The strips by one metric, below what its columns are."""
    first = next(iter(shown.values()))
    order = first.provenance.get("metric", {}).get("order")
    said = f": the weights of {_RANDOM[order]} are random" if order in _RANDOM else ""
    head = "".join(f"<th>{escaped(name)}</th>" for name in _short_names([*first.maps]))
    rows = "".join(f"<tr><td>{escaped(name)}</td>{_strip(scores)}</tr>" for name, scores in shown.items())
    return f'<p>{escaped(metric)}{said}.</p><div class="wide"><table><tr><th></th>{head}</tr>{rows}</table></div>'


def _short_names(names: Sequence[str]) -> list[str]:
    """Names of layers, of which those that are paths lose the end that all have, such as ``/Conv_output_0``.

    Examples
    --------
    >>> _short_names(["logits", "/head/Conv_output_0", "/block/in/Conv_output_0"])
    ['logits', 'head', 'block/in']
    """
    paths = [name.split("/") for name in names if "/" in name]
    shared = 0
    while paths and all(len(path) > shared + 2 and path[-shared - 1] == paths[0][-shared - 1] for path in paths):
        shared += 1
    short = [name.rsplit("/", shared)[0].strip("/") if "/" in name else name for name in names]
    return [name if len(name) <= _LONGEST else f"\u2026{name[-_LONGEST:]}" for name in short]


def _strip(scores: Scores) -> str:
    similar = scores.curves.get("similarity", np.zeros((0, 0)))[:1].reshape(-1)
    under = ["", *("undefined" if np.isnan(value) else f"{value:.3g}" for value in similar)]
    cells = []
    for (name, each), words in zip(scores.maps.items(), under, strict=False):
        cells.append(f"<td>{_image(_heat(each), f'{scores.method}, {name}')}{words}</td>")
    return "".join(cells)


def _thumbnail(photo: Array) -> Image.Image:
    image = Image.fromarray(np.asarray(photo, dtype=np.uint8))
    image.thumbnail((2 * _SIDE, 2 * _SIDE))
    return image


def _heat(values: Array) -> Image.Image:
    """Sizes of values in the colours of one scale, the largest the lightest."""
    sizes = Image.fromarray(np.abs(np.nan_to_num(values)).astype(np.float32))
    scale = min(1.0, _SIDE / max(sizes.size))
    small = sizes.resize([max(1, round(scale * side)) for side in sizes.size], Image.Resampling.BOX)
    shown = np.asarray(small)
    most = float(np.percentile(shown, _HIGHEST)) or float(shown.max()) or 1.0
    image = Image.fromarray(np.round(255 * np.minimum(shown / most, 1)).astype(np.uint8), "P")
    image.putpalette(np.round(sequential("viridis")).astype(np.uint8).tobytes())
    return image


def _image(image: Image.Image, text: str) -> str:
    """A small picture inside the page; ``text`` is what it shows."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{escaped(text)}" src="data:image/png;base64,{data}">'
