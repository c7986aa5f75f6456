"""Colour bars with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from xaionnx.render.colours import Scale, heat, number_words, over
from xaionnx.render.fonts import font
from xaionnx.render.themes import Style

if TYPE_CHECKING:
    from xaionnx.typing import Floats

Swatches = npt.NDArray[np.uint8]


def ticks(low: float, high: float, most: int) -> list[float]:
    """About ``most`` round numbers between two ends.

    Examples
    --------
    >>> ticks(-2.31, 2.31, 5)
    [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    if high <= low:
        return [low]
    raw = (high - low) / max(most, 1)
    unit = 10.0 ** np.floor(np.log10(raw))
    step = unit * next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * unit >= raw * (1 - 1e-9))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    # Rounded to one more digit than the step, so that 3 x 0.1 is written 0.3.
    digits = int(np.ceil(-np.log10(step))) + 1
    return [round(float(k * step), digits) for k in range(first, last + 1)]


def alike_words(numbers: Sequence[float]) -> list[str]:
    """Numbers as text, all with as many decimals as the longest.

    Examples
    --------
    >>> alike_words([0.0, 0.25, 0.5])
    ['0.00', '0.25', '0.50']
    """
    words = [number_words(number) for number in numbers]
    if any("e" in word for word in words):
        return words
    decimals = max(len(word.partition(".")[2]) for word in words)
    return [f"{number:.{decimals}f}".replace("-", "−") for number in numbers]


def on_paper(style: Style, scale: Scale, values: Floats, alpha: float) -> Swatches:
    """The colours of values on the background, (..., 3)."""
    colours, opacity = heat(scale.strength(values), scale.sign, alpha)
    return over(np.broadcast_to(np.array(style.paper, np.float32), colours.shape), colours, opacity)


def scale_swatches(style: Style, scale: Scale, alpha: float, length: int) -> Swatches:
    """The colours of a scale from low to high on the background, (length, 3)."""
    return on_paper(style, scale, np.linspace(scale.low, scale.high, length), alpha)


def scale_bar(style: Style, scale: Scale, alpha: float, length: int, size: int) -> Image.Image:
    """The horizontal colour bar of a scale, with numbers at its ends."""
    swatches = scale_swatches(style, scale, alpha, length)
    return colour_bar(
        style, swatches, scale.low, scale.high, size, upright=False, marks=end_marks(scale.low, scale.high)
    )


def end_marks(low: float, high: float) -> list[float]:
    """The ends of a scale, and zero between them."""
    return [low, 0.0, high] if low < 0 < high else [low, high]


def colour_bar(
    style: Style,
    swatches: Swatches,
    low: float,
    high: float,
    size: int,
    *,
    upright: bool,
    marks: Sequence[float] | None = None,
) -> Image.Image:
    """A colour bar with numbers, with one pixel per swatch from low to high.

    Parameters
    ----------
    swatches : uint8 array (length, 3)
    low, high : float
        Values at the ends.
    size : int
        Text height in pixels.
    upright : bool
        Vertical with the numbers on the right, or horizontal with the numbers below.
    marks : sequence of float, optional
        The numbers to write; round ones, or the ends if there is little room, by default.
    """
    length, thick, gap = len(swatches), max(8, round(0.9 * size)), max(2, size // 4)
    face = font(size)
    room = length / ((3.4 if upright else 5.0) * size)
    short = room < 3 if marks is None else upright and length < 1.3 * size * len(marks)
    given = end_marks(low, high) if short else marks
    at = ticks(low, high, max(2, min(6, int(room)))) if given is None else given
    if len(at) < 2:
        # One number between the ends does not tell the scale.
        at = [low, *at, high]
    at = list(dict.fromkeys(at))
    words = alike_words(at) if given is None else [number_words(mark) for mark in at]
    places = [round((mark - low) / (high - low) * (length - 1)) if high > low else length // 2 for mark in at]
    line = max(1, size // 14)
    widest = max((int(np.ceil(face.getlength(word))) for word in words), default=0)
    if upright:
        block = Image.new("RGB", (thick + 2 * gap + widest, length), style.paper)
        block.paste(Image.fromarray(np.ascontiguousarray(np.repeat(swatches[::-1, None], thick, axis=1))), (0, 0))
        frame = (0, 0, thick - 1, length - 1)
    else:
        block = Image.new("RGB", (length, thick + gap + round(1.25 * size)), style.paper)
        block.paste(Image.fromarray(np.ascontiguousarray(np.repeat(swatches[None], thick, axis=0))), (0, 0))
        frame = (0, 0, length - 1, thick - 1)
    draw = ImageDraw.Draw(block)
    draw.rectangle(frame, outline=style.faint, width=line)
    for word, place in zip(words, places, strict=True):
        if upright:
            level = length - 1 - place
            draw.line((thick, level, thick + gap - 1, level), fill=style.faint, width=line)
            # The outermost numbers are moved inwards so that they are not cut off.
            middle = min(max(level, 0.55 * size), length - 0.55 * size)
            draw.text((thick + 2 * gap, middle), word, fill=style.ink, font=face, anchor="lm")
        else:
            half = face.getlength(word) / 2
            draw.line((place, thick, place, thick + gap - 1), fill=style.faint, width=line)
            middle = min(max(place, half), length - half)
            draw.text((middle, thick + gap), word, fill=style.ink, font=face, anchor="ma")
    return block
