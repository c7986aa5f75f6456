"""The HTML of a result in a notebook."""

from __future__ import annotations

import base64
import html as markup
import io

from PIL import Image

from xaionnx.errors import XaionnxError
from xaionnx.explanation import Explanation
from xaionnx.render.files import PNG_LEVEL
from xaionnx.render.picture import draws_all_rows, picture
from xaionnx.render.text_page import fragment
from xaionnx.render.text_parts import is_text


def html(explanation: Explanation) -> str:
    """The picture of the first sample and target with its warnings, and the repr of the result."""
    text = markup.escape(repr(explanation))
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
        if explanation.samples > 1 and draws_all_rows(explanation):
            more[0] = f"All {explanation.samples:,} rows; .plot(0) draws the first alone."
    except XaionnxError as error:
        return f"<div><pre>{text}</pre><p>{markup.escape(f'No picture: {error}')}</p></div>"
    below = f"<p>{markup.escape(' '.join(more))}</p>" if more else ""
    return f"<div>{_embedded(image, text)}{below}<pre>{text}</pre></div>"


def picture_page(image: Image.Image, explanation: Explanation, target: int = 0) -> str:
    """A whole HTML document with a picture in it, which loads nothing; its text is the repr of the result."""
    text = markup.escape(repr(explanation.sample(0, target if explanation.several_targets else None)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="generator" content="xaionnx">'
        f"<title>{markup.escape(explanation.method)}</title></head>\n"
        f"<body>{_embedded(image, text)}<details><pre>{text}</pre></details></body></html>\n"
    )


def _embedded(image: Image.Image, text: str) -> str:
    """A picture inside HTML; ``text`` is what it shows, escaped."""
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=PNG_LEVEL)
    data = base64.b64encode(stream.getvalue()).decode()
    # At most two pixels per point, for high-density screens.
    style = f"max-width: min(100%, {max(480, image.width // 2)}px)"
    return f'<img alt="{text}" style="{style}" src="data:image/png;base64,{data}">'
