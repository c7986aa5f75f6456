"""A text as HTML: words for and against coloured, readable in light, dark and on paper."""

from __future__ import annotations

import html as markup
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from xaionnx.caveats import caveats
from xaionnx.explanation import Explanation
from xaionnx.render import words
from xaionnx.render.colours import Scale, number_words
from xaionnx.render.maps import one_sample
from xaionnx.render.text_parts import Part, text_parts, text_scale
from xaionnx.render.value_kinds import sense

# The colours of words for and against, whose opacity is their strength: red and blue, distinct for all readers.
_FOR: Final = "214,40,48"
_AGAINST: Final = "38,112,206"
_STRONGEST: Final = 0.62
# How many words the table lists.
_LISTED: Final = 12

_STYLE: Final = """
.xaionnx-text{--ink:#1c1c1e;--faint:#68686e;--paper:#fff;--line:#d9d9de;--warn:#5c2e00;--warn-paper:#ffe2a3;
color:var(--ink);background:var(--paper);font:16px/1.6 system-ui,-apple-system,"Segoe UI",sans-serif;
max-width:52rem;margin:0 auto;padding:1rem 1.25rem}
.xaionnx-text h1{font-size:1.2rem;margin:0 0 .75rem}
.xaionnx-text .words{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;border:1px solid var(--line);
border-radius:6px;padding:.75rem 1rem}
.xaionnx-text mark{color:inherit;background:none;border-radius:3px;padding:.05em 0;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
.xaionnx-text .cut{color:var(--faint);text-decoration:line-through}
.xaionnx-text p{margin:.6rem 0}.xaionnx-text .faint,.xaionnx-text details{color:var(--faint);font-size:.85rem}
.xaionnx-text .warning{color:var(--warn);background:var(--warn-paper);padding:.5rem .75rem;border-radius:6px}
.xaionnx-text .scale{display:flex;gap:.6rem;align-items:center;font-size:.85rem}
.xaionnx-text .bar{width:12rem;height:.8rem;border:1px solid var(--line);-webkit-print-color-adjust:exact;
print-color-adjust:exact}
.xaionnx-text table{border-collapse:collapse;margin:.5rem 0}.xaionnx-text td{padding:.1rem .9rem .1rem 0}
.xaionnx-text td.n{text-align:right;font-variant-numeric:tabular-nums}
@media (prefers-color-scheme:dark){.xaionnx-text{--ink:#ececf0;--faint:#a2a2aa;--paper:#161618;--line:#3a3a40;
--warn:#ffd98a;--warn-paper:#4a3200}}
@media print{.xaionnx-text{--ink:#000;--faint:#444;--paper:#fff;--line:#999;max-width:none}}
"""

# Characters that would be invisible or turn the text around them, as they do in forged mails.
_HIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def page(explanation: Explanation, sample: int = 0, target: int = 0, sign: str = "auto", top: int | None = None) -> str:
    """Return a whole HTML document, which loads nothing: title, text with coloured words, legend and caption."""
    one = one_sample(explanation, sample, target, "page")
    title = markup.escape(f"{words.class_and_score(one)} - {words.method_words(one)}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="generator" content="xaionnx">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title}</title><style>html,body{{margin:0}}@media (prefers-color-scheme:dark)"
        "{body{background:#161618}}</style></head>\n"
        f"<body>{fragment(explanation, sample, target, sign, top)}</body></html>\n"
    )


def fragment(
    explanation: Explanation, sample: int = 0, target: int = 0, sign: str = "auto", top: int | None = None
) -> str:
    """Return the same as a part of a page, such as a notebook."""
    one = one_sample(explanation, sample, target, "page")
    scale = text_scale(one, sign)
    parts = text_parts(one, scale, top)
    warnings = "".join(
        f'<p class="warning"><b>{markup.escape(found.finding)}</b> {markup.escape(found.advice)}</p>'
        for found in caveats(one)
    )
    body = "".join(_marked(part, scale) for part in parts)
    return (
        f'<div class="xaionnx-text"><style>{_STYLE}</style><h1>{markup.escape(words.class_and_score(one))}</h1>'
        f'{warnings}<div class="words" dir="auto">{body}</div>{_legend(one, scale)}'
        f'<p class="faint">{markup.escape(" ".join(caption(one, scale, parts)))}</p>'
        f'<p class="faint">{markup.escape(words.made_by(one))}</p>{_table(one, parts)}</div>'
    )


def caption(one: Explanation, scale: Scale, parts: Sequence[Part]) -> list[str]:
    """The sentences below a text: what the colours mean, and what the model does not see."""
    if scale.empty:
        said = [words.without_colours(one, scale.words)]
    else:
        said = [sense(one).sentence(scale.sign, "words", "the redder a word")]
    cut = sum(len(part.text) for part in parts if not part.seen)
    if cut:
        said.append(f"The last {cut:,} characters are cut off: the model does not see them.")
    return said


def visible(text: str) -> str:
    """Return a text with its control characters, and those that turn the direction of others, as signs."""
    return _HIDDEN.sub(
        lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text.replace("\r\n", "\n").replace("\r", "\n")
    )


def _marked(part: Part, scale: Scale) -> str:
    text = markup.escape(visible(part.text))
    if not part.seen:
        return f'<span class="cut" title="cut off: the model does not see it">{text}</span>'
    if part.value is None:
        return text
    note = markup.escape(part.note)
    if not part.strength:
        return f'<mark title="{note}">{text}</mark>'
    # Against is underlined with dots, so that paper without colours tells it from for.
    colour, line = (_AGAINST, "dotted") if part.strength < 0 else (_FOR, "solid")
    size = abs(part.strength)
    under = f"border-bottom:2px {line} rgba({colour},{size:.2f})"
    return f'<mark style="background:rgba({colour},{_STRONGEST * size:.3f});{under}" title="{note}">{text}</mark>'


def _legend(one: Explanation, scale: Scale) -> str:
    if scale.empty:
        return ""
    low = f"rgba({_AGAINST},{_STRONGEST}),transparent," if scale.sign == "signed" else "transparent,"
    return (
        f'<p class="scale"><span>{markup.escape(number_words(scale.low))}</span><span class="bar" '
        f'style="background:linear-gradient(to right,{low}rgba({_FOR},{_STRONGEST}))"></span>'
        f"<span>{markup.escape(number_words(scale.high))}</span></p>"
    )


def _table(one: Explanation, parts: Sequence[Part]) -> str:
    known = [part for part in parts if part.value is not None and np.isfinite(part.value)]
    strongest = sorted(known, key=lambda part: -abs(part.value or 0.0))[:_LISTED]
    rows = "".join(
        f'<tr><td dir="auto">{markup.escape(visible(part.text))}</td><td class="n">{markup.escape(part.note)}</td></tr>'
        for part in strongest
    )
    more = f"The {len(strongest)} strongest of {len(known)} words" if len(known) > len(strongest) else "All words"
    return f"<details><summary>{more}</summary><table>{rows}</table></details>"
