"""What the colours, bars and dots of a picture mean, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from xaionnx.caveats import caveats, diagnostic, number, percent
from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale, ordinal
from xaionnx.render.headings import method_words
from xaionnx.render.maps import PixelMap
from xaionnx.render.value_kinds import legend, sense
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.render.painting import Look

# How many classes of rows a caption names.
_TARGETS: Final = 3


def reading(one: Explanation, scale: Scale, found: PixelMap) -> str:
    """What the colours mean and how they are scaled, in sentences."""
    return " ".join(filter(None, meaning_and_details(one, scale, found)))


def meaning_and_details(one: Explanation, scale: Scale, found: PixelMap) -> tuple[str, str]:
    """What the colours mean, and how they are scaled and which values were summed, in sentences."""
    beyond = "; values beyond it take its last colour" if scale.beyond else ""
    details = []
    if of_rule := rule(one, "While the red parts are kept"):
        meaning = of_rule[0]
    elif scale.empty:
        meaning = without_colours(one, scale.words)
    else:
        meaning = sense(one).sentence(scale.sign)
        details.append(f"Colour scale: {scale.words}{beyond}.")
    if found.joined == "sum":
        size = ", then stripped of their sign" if scale.sign == "absolute" else ""
        details.append(f"Values are summed over the colour channels{size}.")
    elif found.joined == "players":
        details.append("Features at a pixel are summed.")
    elif found.note:
        details.append(found.note)
    return meaning, " ".join(details)


def smoothing(found: PixelMap) -> str:
    """A sentence on the smoothing of a map; empty if there is none."""
    if not found.smoothing:
        return ""
    return f"Smoothed by a Gaussian of {found.smoothing:.2g} pixels, to be legible; smooth=0 shows each pixel."


def without_colours(one: Explanation, why: str) -> str:
    """Sentences on what it means that no value is positive."""
    return " ".join([f"{sense(one).nothing}: {why}.", *_relu_hint([one])])


def _relu_hint(empty: Sequence[Explanation]) -> list[str]:
    """A hint on how to show negative values, if maps without colours left them out."""
    cut = any(one.provenance.get("parameters", {}).get("relu") is True for one in empty)
    return ["Negative values are left out; relu=False, or --no-relu, shows them too."] if cut else []


def rule(one: Explanation, condition: str = "") -> list[str]:
    """A rule of one sample and target, with its precision and coverage; empty if the method gives none.

    The condition is that of the record, in the names of features, unless another is given.

    Examples
    --------
    >>> told = {"rule": [["age > 30"]], "precision": [[0.96]], "coverage": [[0.2]]}
    >>> told["precision_bounds"] = [[[0.93, 0.98]]]
    >>> rule(Explanation("anchors", np.ones((1, 1)), np.array(["good"]), np.ones(1), diagnostics=told))
    ['If age > 30, the prediction is the same in 96 % of neighbours (93 % to 98 %); the rule holds for 20 % of all.']
    """
    told, precision, coverage = diagnostic(one, "rule"), number(one, "precision"), number(one, "coverage")
    if told is None or precision is None or coverage is None:
        return []
    low, high = one.diagnostics["precision_bounds"][0][0]
    if not told:
        condition = "Whatever the features are"
    held = told.replace("_", " ")
    said = f"{condition or f'If {held}'}, the prediction is the same in {percent(precision)} of neighbours"
    rate = f"; the rule holds for {percent(coverage)} of all" if told else ""
    return [f"{said} ({percent(low)} to {percent(high)}){rate}."]


class Drawn(NamedTuple):
    """A panel: its name, record, colour scale and map."""

    name: str
    one: Explanation
    scale: Scale
    found: PixelMap


def advice(drawn: Sequence[Drawn]) -> list[str]:
    """The advice of the warnings in panels, one line per method."""
    each: dict[str, list[str]] = {}
    for panel in drawn:
        for found in caveats(panel.one):
            each.setdefault(method_words(panel.one), []).append(found.advice)
    return [f"{name}: {' '.join(dict.fromkeys(said))}" for name, said in each.items()]


def shared_reading(drawn: Sequence[Drawn], percentile: float, look: Look) -> list[str]:
    """Lines on what the colours of several panels mean and how they are scaled."""
    sentences = []
    if look.is_share:
        sentences.append(f"Of each picture, the strongest {100 * (look.top or 0):.3g} % is shown.")
    elif look.top is not None:
        sentences.append(f"Of features, the {look.top} strongest are shown.")
    scales = [panel.scale for panel in drawn]
    ends = "largest size" if percentile == 100 else f"{ordinal(percentile)} percentile of the sizes"
    if len({id(scale) for scale in scales}) < len(scales):
        sentences.append(
            f"Pictures of one method share a colour scale, which ends at the {ends} of the values in all of them."
        )
    else:
        sentences.append(f"Each picture has its own colour scale, which ends at the {ends} of its values.")
    sentences.append("The numbers beneath a picture are those at the ends of its scale.")
    if percentile < 100 and any(scale.to_largest for scale in scales):
        sentences.append("If that is zero, it ends at the largest.")
    if any(scale.low > 0 for scale in scales):
        starts = "smallest value" if percentile == 100 else f"{ordinal(100 - percentile)} percentile"
        sentences.append(f"If only the order of values matters, it starts at the {starts}.")
    if any(scale.empty for scale in scales):
        sentences.append("A picture without colours has no positive value to show.")
        sentences += _relu_hint([panel.one for panel in drawn if panel.scale.empty])
    if any(panel.found.joined == "layer" for panel in drawn):
        sentences.append("Values of a layer are summed at each position and upsampled to the picture bilinearly.")
    if any(panel.found.joined == "sum" for panel in drawn):
        sentences.append("Values of colour channels are summed.")
    sentences += list(dict.fromkeys(filter(None, (smoothing(panel.found) for panel in drawn))))
    return [*legend([(panel.name, panel.one, panel.scale.sign) for panel in drawn]), " ".join(sentences)]


def mixed_targets(targets: Array) -> str:
    """A sentence on rows that explain different classes; empty if all explain the same."""
    names, counts = np.unique(targets, return_counts=True)
    if len(names) < 2:
        return ""
    order = np.argsort(-counts, kind="stable")[:_TARGETS]
    named = ", ".join(f"{names[k]} in {counts[k]:,} row{'' if counts[k] == 1 else 's'}" for k in order)
    more = f" and {len(names) - _TARGETS} other classes" if len(names) > _TARGETS else ""
    return f"Each row explains its own class: {named}{more}; give a target to explain one in all."


def drawn_rows(drawn: int, count: int) -> str:
    """A sentence on rows that are not drawn; empty if all are."""
    return f"{drawn:,} of {count:,} rows are drawn, chosen at random." if drawn < count else ""
