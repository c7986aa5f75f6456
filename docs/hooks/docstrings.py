"""Docstrings in numpydoc form as Markdown: for the API reference, and for the pages of methods."""

from __future__ import annotations

import inspect
import re

_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")
_LITERAL = re.compile(r"^([^\n]*?)::\n\n((?:(?:    [^\n]*)?\n)+)", re.MULTILINE)
_TERM = re.compile(r"^(``[^\n]*``[^\n.]{0,40})\n((?:    [^\n]*\n?)+)", re.MULTILINE)
_IDENTIFIER = re.compile(r"(arXiv|doi):([\w.()/:-]*\w)")
_HOSTS = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
_CODE = re.compile(r"``.+?``|`[^`]+`")
# A code span; before it the alternatives that are passed over: fences, headings, links, HTML blocks.
_PROSE_CODE = re.compile(
    r"^```.*?^```$|^#[^\n]*$|\[[^\]\n]*\]\([^)\n]*\)|``?(?P<name>[\w]+)``?", re.MULTILINE | re.DOTALL
)


def sections(docstring: str) -> dict[str, str]:
    """The sections of a docstring by title, in order; what is before the first one has the title ''."""
    pieces = _HEADING.split(inspect.cleandoc(docstring))  # the text before the first title, then titles and texts
    bodies = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    return {title: body.strip() for title, body in {"": pieces[0], **bodies}.items()}


def prose(text: str) -> str:
    """A section's text as Markdown: literal blocks fenced, roles as code, terms as a definition list."""
    text = _LITERAL.sub(_fenced, text.strip() + "\n")
    text = _TERM.sub(lambda found: f"{found[1]}\n:   {found[2].strip()}\n\n", text)
    return roles(text).strip()


def roles(text: str) -> str:
    """``text`` with Sphinx roles as code."""
    return _ROLE.sub(r"`\1`", text)


def references(text: str) -> str:
    """The References section as a list, with links."""
    entries = re.split(r"(?<=\.)\n+", text.strip())
    return "\n".join(f"- {linked(' '.join(entry.split()))}" for entry in entries)


def linked(text: str) -> str:
    """``text`` with links on arXiv numbers and DOIs."""
    return _IDENTIFIER.sub(lambda found: f"[{found[0]}]({_HOSTS[found[1]]}{found[2]})", text)


def cell(text: str) -> str:
    """``text`` in one line for a cell of a table, without what Markdown would read as marks outside code."""
    text, pieces, end = " ".join(text.split()), [], 0
    for code in _CODE.finditer(text):
        pieces += [_escaped(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, _escaped(text[end:])]).replace("|", "\\|")


def with_links(markdown: str, targets: dict[str, str]) -> str:
    """``markdown`` with each code span that is a key of ``targets`` as a link, but in headings, links and fences."""

    def link(found: re.Match[str]) -> str:
        name = found["name"]
        return f"[`{name}`]({targets[name]})" if name in targets else found[0]

    return _PROSE_CODE.sub(link, markdown)


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*<])", r"\\\1", text)


def _fenced(found: re.Match[str]) -> str:
    block = inspect.cleandoc("\n" + found[2])
    return f"{found[1]}{':' if found[1] else ''}\n\n```text\n{block}\n```\n\n"
