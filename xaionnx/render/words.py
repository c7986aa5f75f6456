"""What the title and the caption say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from xaionnx.caveats import caveats, diagnostic, number, percent
from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale, number_words, ordinal
from xaionnx.render.maps import PixelMap
from xaionnx.render.value_kinds import legend, sense
from xaionnx.typing import Document

# Parameters that have a place of their own in the caption, or that say nothing about the picture.
_ELSEWHERE: Final = ("baseline", "features", "gradient", "layer", "seed", "budget", "tolerance")

# A gap of less percent is that of rounding, and has no other cause.
_CAUSELESS: Final = 0.01

# The factor in the label of values that were scaled to stay in range.
_FACTOR: Final = re.compile(r"times 2\*\*-?\d+")

# So many ops are named.
_OPS: Final = 3


def class_and_score(one: Explanation) -> str:
    """The target in words with its value: ``Egyptian Mau (285) · score 9.31``, ``daisy (985), probability 0.6``."""
    if sense(one).title:
        return sense(one).title
    name = str(one.target[0])
    digits, _, rest = name.partition(" ")
    if digits.isdigit() and rest == f"({digits})":
        name = f"class {digits}"  # labels that are but the numbers again
    joint = " " if name.endswith(", probability") else f" · {quantity(one)} "
    return f"{name}{joint}{number_words(float(one.prediction[0]))}"


def quantity(one: Explanation) -> str:
    """What the target is: ``probability``, ``value`` or the like; ``score`` of logits, and where nothing tells."""
    told = one.provenance.get("quantity", "score")
    what = str(told.get(str(one.target[0]), "score") if isinstance(told, dict) else told)
    return "score" if what == "logit" else what


def method_words(one: Explanation) -> str:
    """The method's name without underscores."""
    return one.method.replace("_", " ")


def facts(one: Explanation) -> list[str]:
    """What was done beside the method's name: its parameters, the features, the baseline."""
    given: Document = one.provenance.get("parameters", {})
    parts = [
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in sorted(given.items())
        if name not in _ELSEWHERE and not isinstance(value, bool | dict) and value is not None
    ]
    if given.get("layer") is not None:
        parts.insert(0, f"layer {given['layer']}")
    inner = given.get("inner")
    if isinstance(inner, dict) and "kind" in inner:
        parts.append(f"method {_kind(inner['kind'])}")
    patterns = given.get("patterns")
    if isinstance(patterns, dict) and "samples" in patterns:
        parts.append(f"patterns of {patterns['samples']} inputs")
    players = one.feature_values
    elements = one.values.size if isinstance(one.values, np.ndarray) else 0
    if players is not None and one.features is not None and np.isfinite(players).sum() * 4 < elements:
        parts.append(f"{int(np.isfinite(players).sum())} features")
    source = given.get("gradient")
    if isinstance(source, dict):  # the built graph is a word, and goes without saying
        parts.append(f"gradients by {source.get('name', 'finite differences')}")
    if "baseline" in given:
        parts.append(f"baseline {_baseline(given['baseline'])}")
    return parts


def against(one: Explanation) -> list[str]:
    """With which classes the target was compared, where it was."""
    found = diagnostic(one, "against")
    return [f"against {found}"] if isinstance(found, str) else []


def approximations(one: Explanation) -> list[str]:
    """At which ops the walk is no derivative, or not as published: ``approximations at Softmax and 2 other ops``.

    Of values that were scaled it tells the factor, which holds for the numbers of a colour bar too.
    """
    labels = one.provenance.get("approximations", ())
    factors = {label: found[0] for label in labels if (found := _FACTOR.search(label))}
    said = [f"published values {factor}" for factor in factors.values()]
    ops = list(dict.fromkeys(label.partition(":")[0] for label in labels if label not in factors))
    if ops:
        rest = len(ops) - _OPS
        more = f" and {rest} other op{'s' * (rest > 1)}" if rest > 0 else ""
        said.append(f"approximations at {', '.join(ops[:_OPS])}{more}")
    return said


def made_by(one: Explanation, *, alone: bool = True) -> str:
    """One line on what was done: method, parameters, features, baseline, approximations, evaluations, fit, model.

    ``alone`` tells whether the line is for this sample alone, so that it may say with which classes it was compared.
    """
    off = gap(one)
    # Beside the gap stand the steps that were taken, not those that were asked for.
    parts = [
        method_words(one),
        *(fact for fact in facts(one) if not (off and fact.startswith(("steps ", "max steps ")))),
    ]
    parts += approximations(one)
    parts += against(one) if alone else []
    spent, fit = (number(one, name) for name in ("evaluations", "r2"))
    if spent is not None:
        parts.append(f"{spent:.0f} evaluation{'' if spent == 1 else 's'}")
    parts += off
    if fit is not None:
        parts.append(f"R² {number_words(fit)}")
    if "model" in one.provenance:
        parts.append(str(one.provenance["model"]))
    return "\N{NO-BREAK SPACE}· ".join(parts)


def method_titles(records: Sequence[Explanation]) -> list[str]:
    """The names of several methods; one that occurs twice is told apart by what differs."""
    names = [method_words(one) for one in records]
    titles = []
    for name, one in zip(names, records, strict=True):
        alike = [facts(other) for other, its in zip(records, names, strict=True) if its == name]
        differing = [fact for fact in facts(one) if not all(fact in other for other in alike)]
        titles.append(", ".join([name, *differing]))
    return titles


def reading(one: Explanation, scale: Scale, found: PixelMap) -> str:
    """What the colours mean and how they are scaled, in sentences."""
    beyond = "; values beyond it take its last colour" if scale.beyond else ""
    if scale.empty:
        sentences = [without_colours(one, scale.words)]
    else:
        sentences = [sense(one).sentence(scale.sign), f"Colour scale: {scale.words}{beyond}."]
    if found.joined == "sum":
        size = ", then stripped of their sign" if scale.sign == "absolute" else ""
        sentences.append(f"Values are summed over the colour channels{size}.")
    elif found.joined == "players":
        sentences.append("Features at a pixel are summed.")
    elif found.note:
        sentences.append(found.note)
    return " ".join(sentences)


def without_colours(one: Explanation, why: str) -> str:
    """What it means that no value is above zero, in sentences."""
    return " ".join([f"{sense(one).nothing}: {why}.", *_signed_instead([one])])


def _signed_instead(empty: Sequence[Explanation]) -> list[str]:
    """How to see what maps without colours leave out, if they leave out any."""
    cut = any(one.provenance.get("parameters", {}).get("relu") is True for one in empty)
    return ["Values below zero are left out; relu=False, or --no-relu, shows them too."] if cut else []


def gap(one: Explanation) -> list[str]:
    """How far the values are off what they add up to: a change, or the score itself where relevance is handed back.

    Relevance that is lost was kept by biases or the stabiliser of a rule, unless it is so little that it is rounding.
    """
    names = ("relative_gap", "steps", "conservation_gap", "relevance")
    share, steps, missing, relevance = (number(one, name) for name in names)
    if share is None:
        return []
    given = one.provenance.get("parameters", {})
    whole = _conserved(one) or "change"
    words = f"gap {percent(share)} of the {whole}" if np.isfinite(share) else f"gap without a {whole}"
    if missing and relevance is not None and np.isfinite(share) and 100 * share >= _CAUSELESS:
        lost = missing * (relevance - missing) < 0
        kept = f"of the {whole} was absorbed by biases or the stabiliser"
        words = f"{percent(share)} " + (kept if lost else f"more than the {whole}")
    asked = given.get("tolerance")
    if asked is not None and share > asked:
        words += f", over the {percent(asked)} asked for"
    return [words if steps is None else f"{words}, {steps:.0f} steps"]


def _conserved(one: Explanation) -> str | None:
    """What the values add up to, where that is the target itself rather than a change of it."""
    if one.provenance.get("adds_up_to") != "target":
        return None
    return "probability" if str(one.target[0]).endswith(", probability") else quantity(one)


def _value(value: object) -> str:
    if isinstance(value, list):
        return " x ".join(_value(item) for item in value)
    return number_words(value) if isinstance(value, float) else str(value).replace("_", " ")


def _kind(name: str) -> str:
    """The name of a method's class as words: ``InputXGradient`` is ``input x gradient``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()


def _baseline(given: object) -> str:
    if given is None:
        return "zero"
    if isinstance(given, dict) and given.get("kind") == "Constant":
        return _value(given["value"]) if given["value"] else "zero"
    if isinstance(given, dict) and "kind" in given:
        further = [_value(v) for k, v in given.items() if k != "kind" and isinstance(v, int | float | str)]
        return " ".join([str(given["kind"]).lower(), *further])
    return "given as an array" if isinstance(given, dict) else _value(given)


class Drawn(NamedTuple):
    """A panel: its name, what it draws, and how."""

    name: str
    one: Explanation
    scale: Scale
    found: PixelMap


def advice(drawn: Sequence[Drawn]) -> list[str]:
    """What to do about what is off in panels, a line for each method."""
    each: dict[str, list[str]] = {}
    for panel in drawn:
        for found in caveats(panel.one):
            each.setdefault(method_words(panel.one), []).append(found.advice)
    return [f"{name}: {' '.join(dict.fromkeys(said))}" for name, said in each.items()]


def shared_reading(drawn: Sequence[Drawn], percentile: float, top: int | None) -> list[str]:
    """What the colours of several panels mean and how they are scaled, in lines."""
    sentences = []
    if top is not None:
        sentences.append(f"Of features, the {top} strongest are shown.")
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
        sentences.append("Where that is zero, it ends at the largest.")
    if any(scale.low > 0 for scale in scales):
        starts = "smallest value" if percentile == 100 else f"{ordinal(100 - percentile)} percentile"
        sentences.append(f"Where the order of values counts alone, it starts at the {starts}.")
    if any(scale.empty for scale in scales):
        sentences.append("A picture without colours has no value above zero to show.")
        sentences += _signed_instead([panel.one for panel in drawn if panel.scale.empty])
    if any(panel.found.joined == "layer" for panel in drawn):
        sentences.append("Values of a layer are summed at each place and enlarged to the picture bilinearly.")
    if any(panel.found.joined == "sum" for panel in drawn):
        sentences.append("Values of colour channels are summed.")
    return [*legend([(panel.name, panel.one, panel.scale.sign) for panel in drawn]), " ".join(sentences)]
