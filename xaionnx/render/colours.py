"""Colour scales of maps, their description, and blending with a photograph."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import ParameterError
from xaionnx.typing import Floats

SIGNS: Final = ("auto", "signed", "positive", "absolute")

LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)

# Ends of the diverging ramps: ColorBrewer's RdBu, distinct under all common kinds of colour blindness.
_RED: Final = np.array([[246, 136, 92], [224, 42, 48], [186, 6, 40]], np.float32)
_BLUE: Final = np.array([[104, 174, 224], [38, 112, 206], [14, 66, 170]], np.float32)
# Positive maps use ColorBrewer's YlOrRd without its palest and darkest tones: it darkens steadily, so its steps are
# distinct without hue.
_WITHIN: Final = slice(38, 232)
# Least and most digits after the point of a probability that rounds to 1.
_DIGITS: Final = 3
_MOST_DIGITS: Final = 4


@final
@dataclass(frozen=True)
class Scale:
    """A scale that maps values to colours.

    Attributes
    ----------
    sign : {"signed", "positive", "absolute"}
        Resolved from ``auto``.
    low, high : float
        The values at the ends of the colour bar.
    words : str
        The description of the scale in the caption.
    beyond : bool
        Whether some values lie beyond the ends.
    to_largest : bool
        Whether the scale ends at the largest value because the percentile is zero.
    """

    sign: str
    low: float
    high: float
    words: str
    beyond: bool = False
    to_largest: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to colour."""
        return self.low == self.high

    def shown(self, values: Floats) -> Floats:
        """The values that are drawn: absolute values for ``absolute``."""
        return np.abs(values) if self.sign == "absolute" else values

    def strength(self, values: Floats) -> npt.NDArray[np.float32]:
        """Strengths in -1..1 for a signed map, otherwise in 0..1; 0 is not coloured."""
        if self.empty:
            return np.zeros(np.shape(values), np.float32)
        if self.sign == "signed":
            strength = np.clip(values / self.high, -1, 1)
        else:
            strength = np.clip((self.shown(values) - self.low) / (self.high - self.low), 0, 1)
        return np.asarray(strength, np.float32)


def scale_of(values: Floats, sign: str, percentile: float, function: str, *, from_zero: bool = True) -> Scale:
    """The scale of one or several maps: symmetric about zero if signed, otherwise from zero.

    Without ``from_zero``, the scale of positive values starts at the opposite percentile. Otherwise means over random
    masks, which all lie far above zero, would have the same colour.

    Raises
    ------
    ParameterError
        ``sign`` or ``percentile`` is invalid.
    """
    if sign not in SIGNS:
        raise ParameterError(
            f"The 'sign' parameter of {function} must be one of {', '.join(map(repr, SIGNS))}. Got {sign!r} instead."
        )
    number = isinstance(percentile, int | float | np.number) and not isinstance(percentile, bool)
    if not number or not 50 <= percentile <= 100:
        raise ParameterError(
            f"The 'percentile' parameter of {function} must be a float in [50, 100]. Got {percentile!r} instead."
        )
    if sign == "auto":
        sign = "signed" if values.min() < 0 else "positive"
    shown = values if sign == "positive" else np.abs(values)
    largest = float(shown.max())
    if largest <= 0:
        what = "no value is above zero" if values.any() else "every value is zero"
        return Scale(sign, 0.0, 0.0, f"{what}, so nothing is coloured")
    measure = "the values" if sign == "positive" else "|value|"
    high = float(np.percentile(shown, percentile))
    low = 0.0
    if sign == "positive" and not from_zero:
        low = max(0.0, float(np.percentile(shown, 100 - percentile)))
        low = low if low < high else 0.0
    to_largest = high <= low
    if to_largest:
        high = largest
    start = number_words(-high if sign == "signed" else low)
    if low > 0:
        start += ", the smallest value," if percentile == 100 else f", the {ordinal(100 - percentile)} percentile,"
    end = "largest" if to_largest or percentile == 100 else f"{ordinal(percentile)} percentile"
    words = f"from {start} to {number_words(high)}, the {end} of {measure}"
    return Scale(sign, -high if sign == "signed" else low, high, words, largest > high, to_largest)


def number_words(value: float) -> str:
    """A number with three significant digits and a typographic minus sign.

    Examples
    --------
    >>> number_words(2.3149), number_words(-0.5), number_words(12345.6), number_words(1e-7)
    ('2.31', '−0.5', '12300', '1e-07')
    """
    text = f"{value:.3g}"
    if 1e3 <= abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def probability_words(chance: float) -> str:
    """A probability with three significant digits, or as many as tell it from 1.

    Examples
    --------
    >>> probability_words(0.7731), probability_words(0.9997), probability_words(1 - 1e-9), probability_words(1.0)
    ('0.773', '0.9997', 'above 0.9999', '1')
    """
    words = number_words(chance)
    if words != "1" or chance >= 1:
        return words
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        words = f"{chance:.{digits}f}"
        if float(words) < 1:
            return words
    return f"above {1 - 10**-_MOST_DIGITS:.{_MOST_DIGITS}f}"


def ordinal(number: float) -> str:
    """A number as an ordinal.

    Examples
    --------
    >>> ordinal(1), ordinal(99.0), ordinal(12), ordinal(99.5)
    ('1st', '99th', '12th', '99.5th')
    """
    if number != int(number):
        return f"{number:g}th"
    endings = {1: "st", 2: "nd", 3: "rd"}
    whole = int(number)
    return f"{whole}{'th' if 10 <= whole % 100 <= 20 else endings.get(whole % 10, 'th')}"


def heat(strength: Floats, sign: str, alpha: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Colours (..., 3) in 0..255 and opacities (...) in 0..1 for strengths; 0 is fully transparent."""
    size = np.abs(strength).astype(np.float32)
    if sign == "signed":
        colours = np.where((strength > 0)[..., None], _ramp(_RED, size), _ramp(_BLUE, size))
    else:
        colours = _ramp(sequential("YlOrRd")[_WITHIN], size)
    # Slightly less than linear, so that half the strength is still visible over a photo.
    return colours.astype(np.float32), (alpha * size**0.9).astype(np.float32)


def over(photo: Floats, colours: Floats, opacity: Floats) -> npt.NDArray[np.uint8]:
    """A photo blended with colours; where the opacity is 0 its bytes are unchanged."""
    # In place: a large photo takes longer to allocate than to blend.
    mixed = colours - photo
    mixed *= opacity[..., None]
    mixed += photo
    np.clip(mixed, 0, 255, out=mixed)
    return np.rint(mixed, out=mixed).astype(np.uint8)


@functools.cache
def sequential(name: str) -> npt.NDArray[np.float32]:
    """The 256 colours of a matplotlib colour map, (256, 3) in 0..255, read-only."""
    from matplotlib import colormaps

    try:
        found = colormaps[name](np.arange(256))
    except TypeError as error:
        # matplotlib takes any failure for a fault of its own tables.
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from None
        raise
    colours = (255 * np.asarray(found)[:, :3]).astype(np.float32)
    colours.flags.writeable = False
    return colours


def _ramp(stops: npt.NDArray[np.float32], size: Floats) -> npt.NDArray[np.float32]:
    """Colours interpolated between the stops, at 0..1."""
    place = np.clip(size, 0, 1) * (len(stops) - 1)
    below = np.minimum(place.astype(np.intp), len(stops) - 2)
    rest = (place - below).astype(np.float32)[..., None]
    mixed: npt.NDArray[np.float32] = stops.take(below, axis=0) * (1 - rest) + stops.take(below + 1, axis=0) * rest
    return mixed
