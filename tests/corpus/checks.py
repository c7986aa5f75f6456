"""What must hold of each case: one sentence, the right exit code, no traceback, nothing left over."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from tests.corpus.case import Case, Stdout, prepare
from tests.corpus.names import NAMES
from tests.corpus.runner import Runner

# Seconds of the processor.
_LIMIT_S = 20
_LONGEST = 1_200


def ran(case: Case, runner: Runner, folder: Path, stdout: Stdout) -> tuple[int, str, str, set[str]]:
    """The exit code, what was written to stdout and stderr, and the new files of a case."""
    work, streams = folder / "work", folder / "streams"
    work.mkdir()
    streams.mkdir()
    prepare(work)
    case.build(work)
    before = _tree(work)
    code = runner.run(case.words, work, streams, stdout, _LIMIT_S)
    assert code is not None, f"not done after {_LIMIT_S} s"
    out, said = ((streams / name).read_bytes().decode() if (streams / name).exists() else "" for name in ("out", "err"))
    assert "Traceback" not in said + out, said + out
    assert code in case.codes, (code, said, out)
    written = _tree(work) - before
    for path in written:
        if path.endswith(".html"):
            _check_page((work / path).read_text(encoding="utf-8"))
    return code, out, said, written


def check(case: Case, runner: Runner, folder: Path) -> None:
    code, out, said, written = ran(case, runner, folder, case.stdout)
    if case.stdout not in ("no stderr", "full stderr"):
        _check_lines(said, code)
        assert re.search(case.says, said), said
    if "--json" in case.words and out:
        json.loads(out)
    assert _safe(out), ascii(out)
    assert {Path(path).parts[0] for path in written} <= set(case.written)


_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "b", "span", "mark", "table", "tr"),
    *("th", "td", "details", "summary", "img", "figure", "br", "pre"),
    # Charts, which matplotlib writes as vectors.
    *("svg", "metadata", "rdf:rdf", "cc:work", "cc:agent", "dc:type", "dc:format", "dc:creator", "dc:title"),
    *("defs", "g", "path", "use", "clippath", "rect"),
}


class _Page(HTMLParser):
    """Refuses what a page of results never has: elements that run or load something."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ELEMENTS, tag
        for key, value in attrs:
            assert not key.startswith("on"), key
            allowed = ("data:image/", "#")
            assert key not in ("src", "href", "xlink:href") or (value or "").startswith(allowed), value


def _check_page(text: str) -> None:
    assert "default-src 'none'" in text
    # Others are letters of some scripts, and joiners of emoji.
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), ascii(text[-2000:])
    page = _Page()
    page.feed(text)
    page.close()


def _check_lines(said: str, code: int) -> None:
    """One sentence, or two, on one line; each warning and note on a line of its own."""
    assert _safe(said), ascii(said)
    lines = said.splitlines()
    messages = [line for line in lines if not re.match(r"xaionnx: (warning: |note: |  )|  |\Z", line)]
    assert len(messages) == (code not in (0, 141)), said
    for line in messages:
        assert re.fullmatch(r"xaionnx: .{8,}([.?:]|--output)( See '[^\n]*'\.)?", line), line
        assert len(line) <= _LONGEST, len(line)


# What the progress bar writes to a terminal itself.
_BAR = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*m|2K|1A|0G)|\r")


def check_terminal(case: Case, runner: Runner, folder: Path) -> None:
    """Run a case in a pseudo-terminal: nothing of its name may reach it raw."""
    _, out, _, _ = ran(case, runner, folder, "terminal")
    name = NAMES[int(case.name.rpartition("-")[2])] if "names/file-" not in case.name else ""
    assert out
    # One name is what the bar writes itself.
    assert name.isprintable() or not _BAR.sub("", name) or name not in out
    assert _safe(_BAR.sub("", out)), ascii(out)


def _safe(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
