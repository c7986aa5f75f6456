"""Fonts of pictures: DejaVu Sans, and for characters that it lacks, such as Chinese ones, a font of the system."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from PIL import ImageDraw, ImageFont

from xaionnx.render.right_to_left import is_right_to_left, on_paper

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

    from xaionnx.render.themes import Colour

# In place of a character that no font has.
_BOX: Final = "□"
# The names under which matplotlib knows the fonts of pictures begin so.
_PREFIX: Final = "xaionnx "
# Parts of the names of files of fonts that are used last, or, as they have a box for every character, never.
_LAST: Final = ("serif", "mono", "bold", "black", "light", "thin", "italic", "oblique", "condensed", "medium")
_NEVER: Final = ("lastresort", "adobeblank", "notdef")
# Between these, each character is to the right of the one before.
_OVERRIDE, _POP = "\u202d", "\u202c"
# Packages of fonts, by how the names of the characters begin.
_PACKAGES: Final = (
    (("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "HALFWIDTH", "BOPOMOFO"), "fonts-noto-cjk"),
    ((), "fonts-noto-core"),
)
_SIGNS: Final = "fonts-symbola"
# Variants of signs, and the colours of skin of emoji.
_MODIFIERS: Final = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")


def _face(bold: bool, fixed: bool = False) -> Path:
    """DejaVu Sans, which matplotlib includes: it is the same on every machine and covers most alphabets."""
    import matplotlib

    name = f"DejaVuSans{'Mono' if fixed else ''}{'-Bold' if bold else ''}.ttf"
    return Path(matplotlib.get_data_path(), "fonts", "ttf", name)


@functools.lru_cache(maxsize=64)
def _characters(file: Path) -> frozenset[int]:
    """The characters of a font; none if it has no outlines or cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        found = FT2Font(str(file))
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(found.get_charmap()) if found.scalable else frozenset()


def _registered() -> frozenset[str]:
    """The files of fonts that matplotlib knows."""
    from matplotlib.font_manager import fontManager

    return frozenset(str(entry.fname) for entry in fontManager.ttflist if not entry.name.startswith(_PREFIX))


@functools.lru_cache(maxsize=4)
def _others(registered: frozenset[str]) -> tuple[Path, ...]:
    """Further fonts: first those that the user registered with matplotlib, then those of the system."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    system, included = set(findSystemFonts()), matplotlib.get_data_path()

    def rank(file: str) -> tuple[int, int, str]:
        name = Path(file).stem.lower()
        return int(file in system), sum(word in name for word in _LAST), name

    found = {file for file in registered | system if not file.startswith(included) and Path(file).is_file()}
    return tuple(
        Path(file) for file in sorted(found, key=rank) if not any(word in Path(file).stem.lower() for word in _NEVER)
    )


@functools.lru_cache(maxsize=4096)
def _other(character: str, registered: frozenset[str]) -> Path | None:
    """The first further font that has a character."""
    if unicodedata.category(character) in ("Cn", "Co", "Cs"):
        return None
    return next((file for file in _others(registered) if ord(character) in _characters(file)), None)


def _files(text: str) -> dict[str, Path | None]:
    """The font of each character that the page's own font lacks; None if there is none."""
    known = _characters(_face(False))
    lacking = dict.fromkeys(c for c in text if ord(c) not in known and not c.isspace() and not _is_invisible(c))
    if not lacking:
        return {}
    registered = _registered()
    return {character: _other(character, registered) for character in lacking}


def _is_invisible(character: str) -> bool:
    """Whether a character only changes how others look, as those that join and tint emoji do."""
    return unicodedata.category(character) == "Cf" or bool(_MODIFIERS.match(character))


def undrawn(text: str) -> int:
    """How many characters of a text no font has, so that boxes are drawn in their place.

    Examples
    --------
    >>> undrawn("good \N{GREEK SMALL LETTER ALPHA}")
    0
    """
    lacking = {character for character, file in _files(text).items() if file is None}
    return sum(character in lacking for character in text)


def legible(text: str) -> str:
    """A text with □ for each character that no font has, without those that are invisible.

    Examples
    --------
    >>> legible("Größe \\ue000")
    'Größe □'
    """
    if text.isascii():
        return text
    lacking = {character for character, file in _files(text).items() if file is None}
    return "".join(_BOX if c in lacking else c for c in text if not _is_invisible(c))


def boxes(text: str) -> str:
    """A sentence on the characters of a text that no font has, and on what to install; empty if there are none.

    Examples
    --------
    >>> boxes("price in \\ue000")
    '□ stands for a character that no font here has: U+E000.'
    """
    lacking = [character for character, file in _files(text).items() if file is None]
    if not lacking:
        return ""
    codes = ", ".join(f"U+{ord(character):04X}" for character in lacking[:2])
    if len(lacking) == 1:
        what = f"a character that no font here has: {codes}"
    else:
        what = f"{len(lacking)} characters that no font here has, such as {codes}"
    packages = sorted({package for character in lacking if (package := _package(character))})
    where = f"; install one, as {' and '.join(packages)} of Debian" if packages else ""
    return f"{_BOX} stands for {what}{where}."


def _package(character: str) -> str:
    """The package of a font that has a character; empty if it is of private use."""
    name = unicodedata.name(character, "")
    if unicodedata.category(character) == "So" and not name.startswith(_PACKAGES[0][0]):
        return _SIGNS
    return next((package for starts, package in _PACKAGES if not starts or name.startswith(starts)), "") if name else ""


@functools.lru_cache(maxsize=64)
def _sized(file: Path, size: int) -> ImageFont.FreeTypeFont:
    # Every build of Pillow has the basic layout engine, so the bytes do not depend on the build.
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def font(size: int, bold: bool = False, fixed: bool = False) -> ImageFont.FreeTypeFont:
    """The font of numbers and of English, with its size in pixels; the letters of ``fixed`` are all of one width."""
    return _sized(_face(bold, fixed), size)


@final
@dataclass(frozen=True)
class Face:
    """The fonts in which a line of any script is written.

    Attributes
    ----------
    size : int
        In pixels.
    bold : bool
    """

    size: int
    bold: bool = False

    def width(self, text: str) -> float:
        """The width of a line in pixels."""
        return _width(self, text)

    def write(self, pen: ImageDraw.ImageDraw, left: float, top: float, text: str, colour: Colour) -> None:
        """Write a line; ``top`` is that of the tallest letters of the page's own font."""
        own = font(self.size, self.bold)
        base = top + own.getmetrics()[0]
        for part, face in self._parts(text):
            pen.text((left, base), part, fill=colour, font=face, anchor="ls")
            left += face.getlength(part)

    def _parts(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The parts of a line from left to right, each with its font."""
        line, own = on_paper(text), font(self.size, self.bold)
        others = {character: file for character, file in _files(line).items() if file is not None}
        start = 0
        for at in range(1, len(line) + 1):
            if at == len(line) or others.get(line[at]) != others.get(line[start]):
                file = others.get(line[start])
                yield line[start:at], own if file is None else _sized(file, self.size)
                start = at


@functools.lru_cache(maxsize=4096)
def _width(face: Face, text: str) -> float:
    """The width of a line in pixels; pictures of a folder have most of their words in common."""
    return sum(font.getlength(part) for part, font in face._parts(text))


def plot_font(points: float, bold: bool = False, text: str = "") -> FontProperties:
    """The fonts of a page for a text of a matplotlib plot."""
    from matplotlib.font_manager import FontProperties

    others = sorted({file for file in _files(text).values() if file is not None})
    if not others:
        return FontProperties(fname=_face(bold), size=points)
    return FontProperties(family=[_named(file) for file in (_face(bold), *others)], size=points)


def _named(file: Path) -> str:
    """The name by which matplotlib finds a file; only fonts with names can stand in for each other."""
    from matplotlib.font_manager import FontEntry, fontManager

    name = f"{_PREFIX}{file}"
    if all(entry.name != name for entry in fontManager.ttflist):
        fontManager.ttflist.append(FontEntry(fname=str(file), name=name))
    return name


def plot_text(text: str) -> str:
    """A text as a matplotlib plot takes it."""
    # A dollar sign would begin a formula.
    lines = [line.replace("$", r"\$") for line in legible(text).split("\n")]
    # Versions of matplotlib that order letters themselves are told that they are in order.
    return "\n".join(f"{_OVERRIDE}{on_paper(line)}{_POP}" if is_right_to_left(line) else line for line in lines)
