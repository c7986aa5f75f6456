"""The page of a result: title, warnings, picture and caption, of one sample or of all rows."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from xaionnx.caveats import Caveat, caveats
from xaionnx.explanation import Explanation
from xaionnx.render import charts, page, words
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
    heading = [title] if title else [words.class_and_score(one), *filter(None, [words.rival(one)])]
    return page.whole(style, heading, caveats(one), body, words.caption(one, notes, details), size)


def rows_page(
    style: Style, table: Table, body: Image.Image, notes: Sequence[str], details: Sequence[str] = ()
) -> Image.Image:
    """The page of all rows of a result."""
    result = table.result
    found = [Caveat(warning, "") for warning in result.warnings]
    caption = words.caption_of_rows(result, notes, details)
    return page.whole(style, [words.class_of_rows(result, table)], found, body, caption, charts.TEXT)
