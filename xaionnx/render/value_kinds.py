"""Sentences for captions on what the values of an explanation mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from xaionnx.explanation import Explanation


@final
@dataclass(frozen=True)
class Sense:
    """The words for one kind of value.

    Attributes
    ----------
    more : str
        What a larger value means; follows "The redder a part, ".
    signed : str
        What red and blue mean, with ``{parts}`` for what is coloured; empty if values are never negative.
    size : str
        What a larger absolute value means; ``more`` if empty.
    title : str
        The title, if it is not the class.
    nothing : str
        What it means if no value is positive.
    sides : (str, str)
        Titles for the parts with values above zero, and for those below.
    from_zero : bool
        Whether a scale of positive values starts at zero; otherwise, if only their order matters, near the smallest.
    """

    more: str
    signed: str = ""
    size: str = ""
    title: str = ""
    nothing: str = "No part has a value above zero"
    from_zero: bool = True
    sides: tuple[str, str] = ("values above zero", "values below zero")

    def sentence(self, sign: str, parts: str = "parts", measure: str = "the redder a part") -> str:
        """A sentence on what the values mean if drawn with ``sign``."""
        if sign == "signed" and self.signed:
            return self.signed.format(parts=parts) + "."
        return f"{_capital(measure)}, {self.size or self.more if sign == 'absolute' else self.more}."


# Keys are those of `xaionnx.explanation.ValueKind`.
SENSES: Final[Mapping[str, Sense]] = {
    "contribution": Sense(
        "the more it raises the prediction",
        "Red {parts} raise the prediction, blue {parts} lower it",
        "the more it changes the prediction, up or down",
        nothing="No part raises the prediction",
        sides=("raises the prediction", "lowers the prediction"),
    ),
    "hindrance": Sense(
        "the more it lowers the prediction",
        "Red {parts} lower the prediction, blue {parts} raise it",
        "the more it changes the prediction, up or down",
        nothing="No part lowers the prediction",
        sides=("lowers the prediction", "raises the prediction"),
    ),
    "contrast": Sense(
        "the more it supports the class over those it is compared with",
        "Red {parts} support the class, blue {parts} those it is compared with",
        "the more it distinguishes the class from those it is compared with",
        nothing="No part supports the class over those it is compared with",
        sides=("supports the class", "supports those it is compared with"),
    ),
    "core": Sense(
        "the more this method assigns it to the class rather than to its context",
        "This method assigns red {parts} to the class, blue {parts} to its context",
        "the more clearly this method assigns it to the class or to its context",
        nothing="This method assigns no part to the class",
    ),
    "importance": Sense(
        "the more it matters for the prediction",
        "Red {parts} matter most for the prediction, blue {parts} least",
        nothing="No part matters for the prediction",
        from_zero=False,
    ),
    "slope": Sense(
        "the more an increase there raises the prediction",
        "An increase raises the prediction in red {parts} and lowers it in blue {parts}",
        "the more a change there changes the prediction",
        nothing="Nowhere does an increase raise the prediction",
    ),
    "sensitivity": Sense(
        "the more a change there changes the prediction", nothing="Nowhere does a change affect the prediction"
    ),
    "spread": Sense(
        "the more noise on the input changes the values there",
        nothing="Noise on the input does not change the values",
    ),
    "alone": Sense(
        "the higher the prediction from it alone",
        "Red {parts} alone give a positive prediction, blue {parts} a negative one",
        "the farther the prediction from it alone is from zero",
        nothing="No part alone gives a positive prediction",
    ),
    "signal": Sense(
        "the stronger the pattern to which the model seems to respond there",
        "Red and blue are positive and negative values of the pattern to which the model seems to respond, "
        "not for and against",
        nothing="No part has a positive value of the pattern",
    ),
    "activation": Sense(
        "the larger the activation of the layer there",
        "The activation of the layer is positive in red {parts}, negative in blue {parts}",
        "the farther the activation of the layer there is from zero",
        title="activation of the layer",
        nothing="The layer has no positive activation",
    ),
    "component": Sense(
        "the more it shows of the layer's main pattern",
        "Red {parts} show the layer's main pattern, blue {parts} its opposite",
        "the more it shows of the layer's main pattern or of its opposite",
        title="main pattern of the layer, for any class",
        nothing="No part shows the layer's main pattern",
    ),
    "attention": Sense(
        "the more attention the output pays to it",
        title="attention, for any class",
        nothing="The output pays attention to no part",
    ),
}
# For records without a kind of value, such as those made by hand: true of any values.
_UNKNOWN: Final = Sense(
    "the larger the value there",
    "Values are positive in red {parts}, negative in blue {parts}",
    "the farther the value there is from zero",
)


# Of the importance of features for a whole data set.
_METRIC: Final = Sense(
    "the more permuting its values lowers the metric",
    "Permuting the values of red {parts} lowers the metric, permuting those of blue {parts} raises it",
    "the more permuting its values changes the metric",
    nothing="Permuting values changes nothing",
)


def sense(one: Explanation) -> Sense:
    """The words for what the values of an explanation mean."""
    if one.provenance.get("quantity") == "metric":
        return _METRIC
    return SENSES.get(one.value_kind or "", _UNKNOWN)


def legend(panels: Sequence[tuple[str, Explanation, str]]) -> list[str]:
    """A sentence for each kind of value among panels, given as name, record and sign.

    The most frequent kind comes first and names no panels if most have it; the others name theirs.
    """
    names: dict[Sense, list[str]] = {}
    signs: dict[Sense, set[str]] = {}
    for name, one, sign in panels:
        words = sense(one)
        names.setdefault(words, []).append(name)
        signs.setdefault(words, set()).add(sign)
    lines: list[str] = []
    for words in sorted(names, key=lambda words: -len(names[words])):
        line = words.sentence("signed" if "signed" in signs[words] else min(signs[words]))
        if words.signed and len(signs[words]) > 1:
            line += f" From yellow to red: the redder a part, {words.more}."
        most = 2 * len(names[words]) > len(panels)
        lines.append(line if most else f"In {_enumerate_names(names[words])}, {line[0].lower()}{line[1:]}")
    return lines


def _enumerate_names(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} and {last}" if others else last


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
