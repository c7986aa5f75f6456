"""The page of a result: title, warnings, picture and caption, of one sample or of all rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from xaionnx.caveats import Caveat, caveats
from xaionnx.explanation import Explanation
from xaionnx.render import captions, charts, headings, page
from xaionnx.render.fonts import boxes
from xaionnx.render.tables import Table
from xaionnx.render.themes import Style


def sample_page(
    style: Style,
    one: Explanation,
    body: Image.Image,
    notes: Sequence[str],
    details: Sequence[str] = (),
    *,
    title: str | None = None,
    size: int = charts.TEXT,
) -> Image.Image:
    """The page of one sample; ``title`` replaces the class and its score, ``size`` is the text height."""
    heading = [title] if title else [headings.class_and_score(one), *filter(None, [headings.rival(one)])]
    lacking = boxes(" ".join([*heading, *_names(one)]))
    # Names of words are parts of a text, whose notes say it.
    notes = [*notes, "" if any(lacking in note for note in notes) else lacking]
    return page.whole(style, heading, caveats(one), body, captions.caption(one, notes, details), size)


def rows_page(
    style: Style, table: Table, body: Image.Image, notes: Sequence[str], details: Sequence[str] = ()
) -> Image.Image:
    """The page of all rows of a result."""
    result = table.result
    found = [Caveat(warning, "") for warning in result.warnings]
    heading = headings.class_of_rows(result, table)
    caption = captions.caption_of_rows(result, [*notes, boxes(" ".join([heading, *_names(result)]))], details)
    return page.whole(style, [heading], found, body, caption, charts.TEXT)


def _names(result: Explanation) -> Iterator[str]:
    """The names of columns, categories and channels in a record."""
    yield from itertools.chain.from_iterable(
        [given] if isinstance(given, str) else given for given in result.provenance.get("feature_names", ())
    )
    for display in result.display.values():
        yield from itertools.chain(display.names, display.units, *display.words.values())
        if display.kind == "row" and display.array.dtype.kind in "OU":
            yield from map(str, np.unique(display.array.astype(str)))
