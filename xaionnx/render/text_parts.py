"""A text in parts: the words with their values, and what lies between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale, number_words, scale_of
from xaionnx.render.maps import one_sample
from xaionnx.render.value_kinds import sense
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Part:
    """A part of a text.

    Attributes
    ----------
    text : str
    value : float or None
        None for what belongs to no word.
    error : float or None
        The standard error of the value.
    strength : float
        From -1 to 1 in a signed scale, otherwise from 0 to 1; 0 is not coloured.
    seen : bool
        Whether the model sees it.
    """

    text: str
    value: float | None = None
    error: float | None = None
    strength: float = 0.0
    seen: bool = True

    @property
    def note(self) -> str:
        """The value and its standard error: ``+0.31 ± 0.02``."""
        if self.value is None:
            return ""
        sign = "+" if self.value > 0 else ""
        spread = "" if self.error is None or not np.isfinite(self.error) else f" \u00b1 {number_words(self.error)}"
        return f"{sign}{number_words(self.value)}{spread}"


def has_text(one: Explanation) -> bool:
    """Whether the record of one sample holds a text and the values of its words."""
    return _has(one, "text")


def has_bytes(one: Explanation) -> bool:
    """Whether the record of one sample holds the bytes of a file and the values of their runs."""
    return _has(one, "bytes")


def _has(one: Explanation, kind: str) -> bool:
    shown = next(iter(one.display.values()), None)
    parts = one.provenance.get("spans") is not None and one.feature_values is not None
    return shown is not None and shown.kind == kind and len(shown.texts) > 0 and parts


def is_text(explanation: Explanation, sample: int = 0, target: int = 0) -> bool:
    """Whether a sample is a text whose words have values, or a file whose bytes do, so that it has its own page."""
    one = one_sample(explanation, sample, target, "page")
    return has_text(one) or has_bytes(one)


def text_scale(one: Explanation, sign: str) -> Scale:
    """The colour scale of a text, to the largest value of its words."""
    values = np.asarray(one.feature_values)[0]
    values = values[np.isfinite(values)]
    return scale_of(values, sign, 100, "text", from_zero=sense(one).from_zero)


def strengths(values: Array, scale: Scale, top: int | None) -> Array:
    """Return the strength of each value in a scale, 0 for all but the ``top`` strongest."""
    found = np.asarray(scale.strength(values))
    if top is not None:
        found[np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[top:]] = 0
    return found


def text_parts(one: Explanation, scale: Scale, top: int | None = None) -> list[Part]:
    """Return the whole text of one sample in parts, in order.

    Parameters
    ----------
    one : Explanation
        With one sample, see :func:`has_text`.
    scale : Scale
    top : int, optional
        Colour only this many words, the strongest.
    """
    text: str = next(iter(one.display.values())).texts[0]
    seen = (one.provenance.get("seen") or [len(text)])[0]
    values = np.asarray(one.feature_values)[0]
    errors = None if one.standard_error is None else np.asarray(one.standard_error)[0]
    colours = strengths(values, scale, top)
    parts, at = list[Part](), 0
    for start, stop, player in _ranges(one):
        if start < at:
            continue
        parts += _rest(text, at, start, seen)
        error = None if errors is None or errors.shape != values.shape else float(errors[player])
        parts.append(Part(text[start:stop], float(values[player]), error, float(colours[player])))
        at = stop
    return [*parts, *_rest(text, at, len(text), seen)]


def _ranges(one: Explanation) -> Iterator[tuple[int, int, int]]:
    """The characters from start to stop of each player, in the order of the text; one may have several."""
    found = []
    for player, places in enumerate(one.provenance["spans"][0]):
        found += [(places[k], places[k + 1], player) for k in range(0, len(places) - 1, 2)]
    yield from sorted(found)


def _rest(text: str, start: int, stop: int, seen: int) -> list[Part]:
    cut = min(max(start, seen), stop)
    halves = [Part(text[start:cut]), Part(text[cut:stop], seen=False)]
    return [part for part in halves if part.text]
