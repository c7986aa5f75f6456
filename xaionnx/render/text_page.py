"""A text or a file as HTML: words or bytes for and against coloured, readable in light, dark and on paper."""

from __future__ import annotations

import html as markup
import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np

from xaionnx.caveats import caveats
from xaionnx.explanation import Explanation
from xaionnx.render import captions, headings, readings
from xaionnx.render.byte_rows import Gap, byte_rows, runs
from xaionnx.render.colours import Scale, number_words
from xaionnx.render.html_document import document, visible
from xaionnx.render.maps import one_sample
from xaionnx.render.text_parts import Part, has_bytes, text_parts, text_scale
from xaionnx.render.value_kinds import sense

# The colours of words for and against, whose opacity is their strength: red and blue, distinct for all readers.
_FOR: Final = "214,40,48"
_AGAINST: Final = "38,112,206"
_STRONGEST: Final = 0.62
# What the colours of the scale are, for those who hear the page; the values themselves are in its table.
_COLOURS: Final = ("from no colour to red", "from blue, underlined with dots, to red, underlined with a line")
# More rows of bytes, of 16 each, make a page slow to open.
_MOST_ROWS: Final = 4096
# How many words the table lists.
_LISTED: Final = 12

_STYLE: Final = """
.xaionnx-text{--ink:#1c1c1e;--faint:#68686e;--paper:#fff;--line:#d9d9de;--warn:#5c2e00;--warn-paper:#ffe2a3;
color:var(--ink);background:var(--paper);font:16px/1.6 system-ui,-apple-system,"Segoe UI",sans-serif;
max-width:52rem;margin:0 auto;padding:1rem 1.25rem}
.xaionnx-text h1{font-size:1.2rem;margin:0 0 .75rem}
.xaionnx-text .words{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;border:1px solid var(--line);
border-radius:6px;padding:.75rem 1rem}
.xaionnx-text .bytes{white-space:pre;overflow-x:auto;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;
border:1px solid var(--line);border-radius:6px;padding:.75rem 1rem}
.xaionnx-text .at,.xaionnx-text .gap{color:var(--faint)}
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


def page(explanation: Explanation, sample: int = 0, target: int = 0, sign: str = "auto", top: int | None = None) -> str:
    """Return a whole HTML document, which loads nothing: title, text with coloured words, legend and caption."""
    one = one_sample(explanation, sample, target, "page")
    title = f"{headings.class_and_score(one)} - {headings.method_words(one)}"
    head = (
        '<meta name="color-scheme" content="light dark"><style>html,body{margin:0}@media (prefers-color-scheme:dark)'
        "{body{background:#161618}}</style>"
    )
    return document(title, fragment(explanation, sample, target, sign, top), head)


def fragment(
    explanation: Explanation, sample: int = 0, target: int = 0, sign: str = "auto", top: int | None = None
) -> str:
    """Return the same as a part of a page, such as a notebook."""
    one = one_sample(explanation, sample, target, "page")
    scale = text_scale(one, sign)
    of_file = has_bytes(one)
    parts = runs(one, scale, top) if of_file else text_parts(one, scale, top)
    warnings = "".join(
        f'<p class="warning"><b>{markup.escape(found.finding)}</b> {markup.escape(found.advice)}</p>'
        for found in caveats(one)
    )
    if of_file:
        body = f'<div class="bytes">{_dump(one, scale, top)}</div>'
    else:
        body = f'<div class="words" dir="auto">{"".join(_marked(part) for part in parts)}</div>'
    return (
        f'<div class="xaionnx-text"><style>{_STYLE}</style><h1>{markup.escape(headings.class_and_score(one))}</h1>'
        f"{warnings}{body}{_legend(scale)}"
        f'<p class="faint">{markup.escape(" ".join(caption(one, scale, parts)))}</p>'
        f'<p class="faint">{markup.escape(captions.made_by(one))}</p>{_table(one, parts)}</div>'
    )


def caption(one: Explanation, scale: Scale, parts: Sequence[Part]) -> list[str]:
    """The sentences below a text: what the colours mean, and what the model does not see."""
    of_file = has_bytes(one)
    if rule := readings.rule(one, f"While the red {'bytes' if of_file else 'words'} are kept"):
        said = rule
    elif scale.empty:
        said = [readings.without_colours(one, scale.words)]
    else:
        said = [
            sense(one).sentence(
                scale.sign, *(("bytes", "the redder a byte") if of_file else ("words", "the redder a word"))
            )
        ]
    cut = sum(len(part.text) for part in parts if not part.seen)
    if cut:
        said.append(f"The last {cut:,} characters are cut off: the model does not see them.")
    return said


def _dump(one: Explanation, scale: Scale, top: int | None) -> str:
    """Lines of a hexadecimal dump, neighbours of a run in one mark."""
    lines = []
    for row in byte_rows(one, scale, top, _MOST_ROWS):
        if isinstance(row, Gap):
            lines.append(f'<span class="gap">{markup.escape(row.words)}</span>')
            continue
        numbers, characters = list[str](), list[str]()
        for run, group in itertools.groupby(row.bytes, lambda byte: None if byte is None else byte.run):
            cells = list(group)
            if run is None:
                numbers.append(" ".join("  " for _ in cells))
                characters.append(" " * len(cells))
                continue
            known = [byte for byte in cells if byte is not None]
            numbers.append(_mark(run, " ".join(byte.hexadecimal for byte in known)))
            characters.append(_mark(run, markup.escape("".join(byte.character for byte in known))))
        lines.append(f'<span class="at">{row.start:08x}</span>  {" ".join(numbers)}  {"".join(characters)}')
    return "\n".join(lines)


def _marked(part: Part) -> str:
    text = markup.escape(visible(part.text))
    if not part.seen:
        return f'<span class="cut" title="cut off: the model does not see it">{text}</span>'
    return _mark(part, text)


def _mark(part: Part, text: str) -> str:
    """Escaped text in the colour of a part, with its value as a title."""
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


def _legend(scale: Scale) -> str:
    if scale.empty:
        return ""
    signed = scale.sign == "signed"
    low = f"rgba({_AGAINST},{_STRONGEST}),transparent," if signed else "transparent,"
    colours = f"linear-gradient(to right,{low}rgba({_FOR},{_STRONGEST}))"
    return (
        f'<p class="scale"><span>{markup.escape(number_words(scale.low))}</span><span class="bar" role="img" '
        f'aria-label="{_COLOURS[signed]}" style="background:{colours}"></span>'
        f"<span>{markup.escape(number_words(scale.high))}</span></p>"
    )


def _table(one: Explanation, parts: Sequence[Part]) -> str:
    known = [part for part in parts if part.value is not None and np.isfinite(part.value)]
    strongest = sorted(known, key=lambda part: -abs(part.value or 0.0))[:_LISTED]
    rows = "".join(
        f'<tr><td dir="auto">{markup.escape(visible(part.text))}</td><td class="n">{markup.escape(part.note)}</td></tr>'
        for part in strongest
    )
    what = "runs of bytes" if has_bytes(one) else "words"
    more = f"The {len(strongest)} strongest of {len(known)} {what}" if len(known) > len(strongest) else f"All {what}"
    return f"<details><summary>{more}</summary><table>{rows}</table></details>"
