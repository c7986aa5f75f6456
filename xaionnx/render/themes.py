"""Colours of pages: light for paper and slides, dark for dark notebooks and screens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, final

from xaionnx.errors import ParameterError

Colour = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Theme:
    """The colours of a page.

    Attributes
    ----------
    ink, faint, paper, grid : (int, int, int)
        Text, secondary text and frames, background, and grid lines.
    warning, warning_paper : (int, int, int)
        Text and background of warnings: distinct from the red, blue and yellow of the maps.
    up, down : (int, int, int)
        Bars of positive and negative values.
    plain : (int, int, int)
        Marks without a value of their own, such as missing ones.
    """

    ink: Colour
    faint: Colour
    paper: Colour
    grid: Colour
    warning: Colour
    warning_paper: Colour
    up: Colour
    down: Colour
    plain: Colour


THEMES: Final[Mapping[str, Theme]] = {
    "light": Theme(
        (28, 28, 30),
        (104, 104, 110),
        (255, 255, 255),
        (229, 229, 229),
        (92, 46, 0),
        (255, 226, 163),
        (214, 40, 60),
        (38, 112, 200),
        (158, 158, 164),
    ),
    "dark": Theme(
        (236, 236, 240),
        (164, 164, 172),
        (24, 24, 27),
        (58, 58, 64),
        (255, 214, 140),
        (78, 54, 14),
        (242, 84, 96),
        (84, 156, 240),
        (116, 116, 124),
    ),
}

# Of the picture that this thread draws. Every block of a page needs it, so it is no parameter of each.
_DRAWN: ContextVar[Theme] = ContextVar("theme", default=THEMES["light"])


def theme() -> Theme:
    """Return the theme of the picture that is being drawn."""
    return _DRAWN.get()


@contextlib.contextmanager
def drawn_in(name: str) -> Iterator[None]:
    """Draw in the theme of that name.

    Raises
    ------
    ParameterError
        There is no such theme.
    """
    if name not in THEMES:
        known = ", ".join(map(repr, THEMES))
        raise ParameterError(f"The 'theme' parameter of a picture must be one of {known}. Got {name!r} instead.")
    token = _DRAWN.set(THEMES[name])
    try:
        yield
    finally:
        _DRAWN.reset(token)


def hexadecimal(colour: Colour) -> str:
    """Return a colour as matplotlib takes it.

    Examples
    --------
    >>> hexadecimal((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
