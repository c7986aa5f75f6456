"""Styles of pages: light for paper and slides, dark for dark notebooks and screens; short captions or detailed ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from xaionnx.errors import ParameterError

Colour = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Style:
    """The colours of a page, and how much its caption says.

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
    details : bool
        Whether the caption says all about scales and parameters, rather than what a reader needs at once.
    warns : bool
        Whether the page has the warnings about the result; a panel leaves them to the page that it is part of.
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
    details: bool = False
    warns: bool = True


THEMES: Final[Mapping[str, Style]] = {
    "light": Style(
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
    "dark": Style(
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

LIGHT: Final = THEMES["light"]


def style_of(theme: str, details: bool = False) -> Style:
    """Return the style of a theme.

    Raises
    ------
    ParameterError
        There is no such theme.

    Examples
    --------
    >>> style_of("dark", details=True).paper
    (24, 24, 27)
    """
    if theme not in THEMES:
        known = ", ".join(map(repr, THEMES))
        raise ParameterError(f"The 'theme' parameter of a picture must be one of {known}. Got {theme!r} instead.")
    return dataclasses.replace(THEMES[theme], details=bool(details))


def hexadecimal(colour: Colour) -> str:
    """Return a colour as matplotlib takes it.

    Examples
    --------
    >>> hexadecimal((255, 0, 16))
    '#ff0010'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
