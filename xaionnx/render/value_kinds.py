"""What the values of an explanation mean, in sentences that are true of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from xaionnx.explanation import Explanation


@final
@dataclass(frozen=True)
class Sense:
    """The words for one meaning.

    Attributes
    ----------
    more : str
        What is more where a value is larger: it follows "The redder a part, ".
    signed : str
        What red and blue say, with ``{parts}`` for what is coloured; empty where no value is below zero.
    size : str
        What is more where a value is farther from zero; ``more`` says it if empty.
    title : str
        What is shown, where that is not the class.
    nothing : str
        What it says that no value is above zero.
    from_zero : bool
        Whether a scale of values above zero starts at zero; else, where their order counts alone, near the least.
    """

    more: str
    signed: str = ""
    size: str = ""
    title: str = ""
    nothing: str = "No part has a value above zero"
    from_zero: bool = True

    def sentence(self, sign: str, parts: str = "parts", measure: str = "the redder a part") -> str:
        """What the values say, drawn with this sign, in a sentence."""
        if sign == "signed" and self.signed:
            return self.signed.format(parts=parts) + "."
        return f"{_capital(measure)}, {self.size or self.more if sign == 'absolute' else self.more}."


# By the names that `xaionnx.explanation.ValueKind` has.
SENSES: Final[Mapping[str, Sense]] = {
    "contribution": Sense(
        "the more it speaks for the prediction",
        "Red {parts} raise the prediction, blue {parts} lower it",
        "the more it moves the prediction, up or down",
        nothing="No part speaks for the prediction",
    ),
    "hindrance": Sense(
        "the more it speaks against the prediction",
        "Red {parts} lower the prediction, blue {parts} raise it",
        "the more it moves the prediction, up or down",
        nothing="No part speaks against the prediction",
    ),
    "contrast": Sense(
        "the more it speaks for the class and against those it is compared with",
        "Red {parts} speak for the class, blue {parts} for those it is compared with",
        "the more it tells the class from those it is compared with",
        nothing="No part speaks for the class and against those it is compared with",
    ),
    "core": Sense(
        "the more this method takes it for the class itself rather than for its context",
        "This method takes red {parts} for the class itself, blue {parts} for its context",
        "the more this method takes it for one of the class itself and its context rather than for the other",
        nothing="This method takes no part for the class itself",
    ),
    "importance": Sense(
        "the more it matters for the prediction",
        "Red {parts} matter most for the prediction, blue {parts} least",
        nothing="No part is found to matter for the prediction",
        from_zero=False,
    ),
    "slope": Sense(
        "the more larger values there raise the prediction",
        "Larger values raise the prediction in red {parts} and lower it in blue {parts}",
        "the more a change there moves the prediction",
        nothing="Nowhere do larger values raise the prediction",
    ),
    "sensitivity": Sense(
        "the more a change there moves the prediction", nothing="Nowhere does a change move the prediction"
    ),
    "spread": Sense(
        "the more noise on the input changes what is found there",
        nothing="Noise on the input changes nothing of what is found",
    ),
    "alone": Sense(
        "the higher the prediction from it alone",
        "Red {parts} alone give a prediction above zero, blue {parts} below",
        "the farther the prediction from it alone is from zero",
        nothing="No part alone gives a prediction above zero",
    ),
    "signal": Sense(
        "the stronger the pattern that the model seems to pick up there",
        "Red and blue trace the pattern that the model seems to pick up, above and below zero; "
        "they do not mean for and against",
        nothing="No part traces a pattern above zero",
    ),
    "activation": Sense(
        "the more the layer holds there",
        "What the layer holds is above zero in red {parts}, below in blue {parts}",
        "the farther what the layer holds there is from zero",
        title="what the layer holds",
        nothing="The layer holds nothing above zero",
    ),
    "component": Sense(
        "the more it shows of the layer's main pattern",
        "Red {parts} show the layer's main pattern, blue {parts} its opposite",
        "the more it shows of the layer's main pattern or of its opposite",
        title="the layer's main pattern, whatever the class",
        nothing="No part shows the layer's main pattern",
    ),
    "attention": Sense(
        "the more of it attention carries to where the model reads its answer",
        title="where attention leads, whatever the class",
        nothing="Attention carries no part to where the model reads its answer",
    ),
}
# Of a record that does not tell, as one that is older or made by hand, what is true of any values.
_UNTOLD: Final = Sense(
    "the larger the value there",
    "Values are above zero in red {parts}, below in blue {parts}",
    "the farther the value there is from zero",
)


def sense(one: Explanation) -> Sense:
    """The words for what the values of an explanation mean."""
    return SENSES.get(one.value_kind or "", _UNTOLD)


def legend(panels: Sequence[tuple[str, Explanation, str]]) -> list[str]:
    """A sentence for each meaning among panels, each given by its name, its record and its sign.

    The commonest comes first, and names no panel where it is that of most; the others name theirs.
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
        lines.append(line if most else f"In {_joined(names[words])}, {line[0].lower()}{line[1:]}")
    return lines


def _joined(names: Sequence[str]) -> str:
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} and {last}" if others else last


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
