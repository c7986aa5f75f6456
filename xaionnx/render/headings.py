"""The headings of pictures: names of targets with their values, and of methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats import number
from xaionnx.explanation import Explanation
from xaionnx.render.colours import number_words, probability_words
from xaionnx.render.settings import facts, known_quantity, quantity
from xaionnx.render.value_kinds import sense

if TYPE_CHECKING:
    from xaionnx.render.tables import Table

# Below this probability of a class, a heading names the next one too.
_SURE: Final = 2 / 3


def class_and_score(one: Explanation) -> str:
    """The name of the target with its value: ``Egyptian Mau (285) · score 9.31``, ``daisy (985), probability 0.6``.

    The probability of a class comes first where it is known: ``Egyptian Mau (285) · probability 0.77 (logit 9.31)``.
    """
    return "".join(_class_and_score(one))


def _class_and_score(one: Explanation) -> tuple[str, str, str]:
    """The name of the target, what joins it to its value, and the value."""
    if sense(one).title:
        return sense(one).title, "", ""
    name = str(one.target[0])
    digits, _, rest = name.partition(" ")
    if digits.isdigit() and rest == f"({digits})":
        name = f"class {digits}"  # labels that only repeat the numbers
    what = quantity(one)
    words = probability_words if what == "probability" or name.endswith(", probability") else number_words
    score = words(float(one.prediction[0]))
    chance, known = number(one, "probability"), known_quantity(one)
    if re.match(rf"(cosine )?{re.escape(what)} (of|to) ", name):
        # The name says the quantity.
        return name, ": ", score
    if name.endswith(", probability"):
        return name, " ", score
    if name.endswith(ending := ", log probability"):
        likely = probability_words(float(np.exp(one.prediction[0])))
        return name.removesuffix(ending), " · ", f"probability {likely} (log probability {score})"
    if chance is not None and known in ("logit", "log probability"):
        return name, " · ", f"probability {probability_words(chance)} ({known} {score})"
    return (name, " · ", f"{what} {score}") if name.strip() else ("", "", f"{what} {score}")


def rival(one: Explanation) -> str:
    """The highest other class, if the model is unsure of the explained one or prefers the other; else nothing."""
    chance, other = number(one, "probability"), one.diagnostics.get("rival")
    while isinstance(other, list) and len(other) == 1:
        other = other[0]
    if chance is None or not isinstance(other, list) or sense(one).title:
        return ""
    name, its = other
    if its > chance:
        return f"highest class: {name}, probability {probability_words(its)}"
    return f"next class: {name}, probability {probability_words(its)}" if chance < _SURE else ""


def method_words(one: Explanation) -> str:
    """The method's name without underscores."""
    return one.method.replace("_", " ")


def method_titles(records: Sequence[Explanation]) -> list[str]:
    """The names of several methods; repeated names are distinguished by the settings that differ."""
    names = [method_words(one) for one in records]
    titles = []
    for name, one in zip(names, records, strict=True):
        alike = [facts(other) for other, its in zip(records, names, strict=True) if its == name]
        differing = [fact for fact in facts(one) if not all(fact in other for other in alike)]
        titles.append(", ".join([name, *differing]))
    return titles


def panel_titles(records: Sequence[Explanation]) -> list[tuple[str, str]]:
    """A title and a second line for each of several panels: the method and the class, or the class if all are alike."""
    titles = method_titles(records)
    if len(set(titles)) == 1 and len({str(one.target[0]) for one in records}) > 1:
        return [(name, value) for name, _, value in map(_class_and_score, records)]
    return [(title, class_and_score(one)) for title, one in zip(titles, records, strict=True)]


def class_of_rows(result: Explanation, table: Table) -> str:
    """The name of the target of all rows with its mean: ``good (1) · 1,000 rows, mean score 0.61``."""
    names = np.unique(table.targets)
    count = f"{len(table.targets):,} rows"
    first = result.sample(0)
    if len(names) > 1:
        return f"the class of each row · {count}"
    if sense(first).title:
        return f"{sense(first).title} · {count}"
    name = str(names[0])
    what = "value" if name.endswith(", probability") else quantity(first)
    return f"{name} · {count}, mean {what} {number_words(float(table.prediction.mean()))}"
