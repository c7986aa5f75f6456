"""The HTML of a result in a notebook."""

from __future__ import annotations

import base64
import html as markup
import io

from xaionnx.errors import XaionnxError
from xaionnx.explanation import Explanation
from xaionnx.render.files import PNG_LEVEL
from xaionnx.render.picture import picture


def html(explanation: Explanation) -> str:
    """The picture of the first sample and target with its warnings, and the repr of the result."""
    text = markup.escape(repr(explanation))
    targets = len(explanation.target) if explanation.several_targets else 1
    more = []
    if explanation.samples > 1:
        more.append(f"Sample 0 of {explanation.samples}; .plot(sample=1) draws the next.")
    if targets > 1:
        more.append(f"Target 0 of {targets}; .plot(target=1) draws the next.")
    try:
        image = picture(explanation)
    except XaionnxError as error:
        return f"<div><pre>{text}</pre><p>{markup.escape(f'No picture: {error}')}</p></div>"
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=PNG_LEVEL)
    data = base64.b64encode(stream.getvalue()).decode()
    # At most two pixels per point, for high-density screens.
    style = f"max-width: min(100%, {max(480, image.width // 2)}px)"
    below = f"<p>{markup.escape(' '.join(more))}</p>" if more else ""
    return f'<div><img alt="{text}" style="{style}" src="data:image/png;base64,{data}">{below}<pre>{text}</pre></div>'
