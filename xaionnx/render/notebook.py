"""The HTML of a result in a notebook."""

from __future__ import annotations

import base64
import html as markup
import io
from typing import Final

from PIL import Image

from xaionnx.errors import XaionnxError
from xaionnx.explanation import Explanation
from xaionnx.render.charts import signed
from xaionnx.render.colours import number_words
from xaionnx.render.files import PNG_LEVEL
from xaionnx.render.html_document import document, visible
from xaionnx.render.picture import draws_all_rows, picture
from xaionnx.render.tables import has_rows, is_tabular, row_of, table_of
from xaionnx.render.text_page import fragment
from xaionnx.render.text_parts import is_text

# The features that a notebook tells in numbers.
_LINES: Final = 8


def html(explanation: Explanation) -> str:
    """The picture of the first sample and target with its warnings, its strongest numbers, and the repr."""
    text = markup.escape(visible(repr(explanation)))
    targets = len(explanation.target) if explanation.several_targets else 1
    more = []
    if explanation.samples > 1:
        more.append(f"Sample 0 of {explanation.samples}; .plot(sample=1) draws the next.")
    if targets > 1:
        more.append(f"Target 0 of {targets}; .plot(target=1) draws the next.")
    if is_text(explanation):
        below = f"<p>{markup.escape(' '.join(more))}</p>" if more else ""
        return f"<div>{fragment(explanation)}{below}<pre>{text}</pre></div>"
    try:
        image = picture(explanation)
        all_rows = explanation.samples > 1 and draws_all_rows(explanation)
        numbers = _numbers(explanation, all_rows)
        if all_rows:
            more[0] = f"All {explanation.samples:,} rows; .plot(0) draws the first alone."
    except XaionnxError as error:
        return f"<div><pre>{text}</pre><p>{markup.escape(f'No picture: {error}')}</p></div>"
    below = f"<p>{markup.escape(' '.join(more))}</p>" if more else ""
    return f"<div>{_embedded(image, text)}{below}{numbers}<pre>{text}</pre></div>"


def _numbers(explanation: Explanation, all_rows: bool) -> str:
    """A table of the strongest features: of all rows their mean values and sizes, of one row its values."""
    if not is_tabular(explanation) or not has_rows(explanation):
        return ""
    if all_rows:
        table = table_of(explanation, 0)
        heads, order, names = ("feature", "mean |value|", "mean value"), table.order, table.names
        means = table.values.mean(axis=0)
        lines = [(names[i], number_words(table.importance[i]), signed(means[i])) for i in order[:_LINES]]
    else:
        row = row_of(explanation, 0, 0, "notebook")
        heads, order = ("feature", "in the input", "value"), row.order
        errors = [None] * len(order) if row.errors is None else row.errors.tolist()
        lines = [(row.names[i], row.shown[i], signed(row.values[i], errors[i])) for i in order[:_LINES]]
    rest = len(order) - len(lines)
    foot = f"<tr><td colspan={len(heads)}>{rest} more: .to_frame()</td></tr>" if rest > 0 else ""
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{foot}</tbody></table>"


def picture_page(image: Image.Image, explanation: Explanation, target: int = 0) -> str:
    """A whole HTML document with a picture in it, which loads nothing; its text is the repr of the result."""
    text = markup.escape(visible(repr(explanation.sample(0, target if explanation.several_targets else None))))
    return document(explanation.method, f"{_embedded(image, text)}<details><pre>{text}</pre></details>")


def _embedded(image: Image.Image, text: str) -> str:
    """A picture inside HTML; ``text`` is what it shows, escaped."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=PNG_LEVEL)
    data = base64.b64encode(stream.getvalue()).decode()
    # At most two pixels per point, for high-density screens.
    style = f"max-width: min(100%, {max(480, image.width // 2)}px)"
    return f'<img alt="{text}" style="{style}" src="data:image/png;base64,{data}">'
