"""The text of titles and captions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from xaionnx.caveats import caveats, diagnostic, number, percent
from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale, number_words, ordinal
from xaionnx.render.maps import PixelMap
from xaionnx.render.page import Caption
from xaionnx.render.value_kinds import legend, sense
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.render.painting import Look
    from xaionnx.render.tables import Table

# Parameters that appear elsewhere in the caption, or that do not matter for the picture.
_ELSEWHERE: Final = (
    "baseline", "background", "background_size", "background_reduction", "expectation", "neighbours",
    "features", "gradient", "layer", "seed",
    "budget", "tolerance",
)  # fmt: skip

# A smaller gap, in percent, is rounding error.
_CAUSELESS: Final = 0.01

# The factor in the label of rescaled values.
_FACTOR: Final = re.compile(r"times 2\*\*-?\d+")

# A gap of this share and more is in every caption.
_NOTABLE: Final = 0.01

_SEPARATOR: Final = "\N{NO-BREAK SPACE}· "

# Below this probability of a class, a heading names the next one too.
_SURE: Final = 2 / 3

# How many classes of rows a caption names.
_TARGETS: Final = 3

# How many ops a caption names.
_OPS: Final = 3


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
    what, score = quantity(one), number_words(float(one.prediction[0]))
    chance, known = number(one, "probability"), _known_quantity(one)
    if re.match(rf"(cosine )?{re.escape(what)} (of|to) ", name):
        # The name says the quantity.
        return name, ": ", score
    if name.endswith(", probability"):
        return name, " ", score
    if chance is not None and known in ("logit", "log probability"):
        return name, " · ", f"probability {number_words(chance)} ({known} {score})"
    return name, " · ", f"{what} {score}"


def rival(one: Explanation) -> str:
    """The highest other class, if the model is unsure of the explained one or prefers the other; else nothing."""
    chance, other = number(one, "probability"), one.diagnostics.get("rival")
    while isinstance(other, list) and len(other) == 1:
        other = other[0]
    if chance is None or not isinstance(other, list) or sense(one).title:
        return ""
    name, its = other
    if its > chance:
        return f"highest class: {name}, probability {number_words(its)}"
    return f"next class: {name}, probability {number_words(its)}" if chance < _SURE else ""


def quantity(one: Explanation) -> str:
    """The quantity of the target, such as ``probability`` or ``value``; ``score`` for logits or if not recorded."""
    what = _known_quantity(one)
    return "score" if what == "logit" else what


def _known_quantity(one: Explanation) -> str:
    given = one.provenance.get("quantity", "score")
    return str(given.get(str(one.target[0]), "score") if isinstance(given, dict) else given)


def method_words(one: Explanation) -> str:
    """The method's name without underscores."""
    return one.method.replace("_", " ")


def facts(one: Explanation) -> list[str]:
    """The settings of a method for the caption: parameters, features, baseline."""
    given: Document = one.provenance.get("parameters", {})
    parts = [
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in sorted(given.items())
        if name not in _ELSEWHERE and not isinstance(value, bool | dict) and value is not None
    ]
    layer = given.get("layer")
    if isinstance(layer, list | tuple):
        parts.insert(0, f"layers {', '.join(layer)}")
    else:
        # Only maps of several layers are fused.
        parts = [part for part in parts if not part.startswith("fuse ")]
        parts = parts if layer is None else [f"layer {layer}", *parts]
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
    if isinstance(source, dict):  # the default, the built graph, is recorded as a string
        parts.append(f"gradients by {source.get('name', 'finite differences')}")
    return parts + _replacement(given)


def left_as_is(one: Explanation) -> list[str]:
    """The inputs that the values do not cover: ``left as they are: mask (a mask), rate (a setting)``."""
    left = one.provenance.get("left_as_is", {})
    if not left:
        return []
    each = ", ".join(f"{name} ({purpose})" for name, purpose in left.items())
    return [f"left as {'it is' if len(left) == 1 else 'they are'}: {each}"]


def guessed_axes(one: Explanation) -> list[str]:
    """The inputs whose axes were guessed from their sizes, if any."""
    guessed = one.provenance.get("guessed_axes", ())
    return [f"axes of {', '.join(guessed)} guessed from sizes"] if guessed else []


def against(one: Explanation) -> list[str]:
    """The classes with which the target was compared, if any."""
    found = diagnostic(one, "against")
    return [f"against {found}"] if isinstance(found, str) else []


def approximations(one: Explanation) -> list[str]:
    """The ops whose rule is not a derivative, or not as published: ``approximations at Softmax and 2 other ops``.

    For rescaled values it includes the factor, which also applies to the numbers of a colour bar; for a quantised model
    or one in half precision, the value of the target that the gradient saw.
    """
    labels = one.provenance.get("approximations", ())
    factors = {label: found[0] for label in labels if (found := _FACTOR.search(label))}
    said = [f"published values {factor}" for factor in factors.values()]
    ops = list(dict.fromkeys(label.partition(":")[0] for label in labels if label not in factors))
    if ops:
        rest = len(ops) - _OPS
        more = f" and {rest} other op{'s' * (rest > 1)}" if rest > 0 else ""
        said.append(f"approximations at {', '.join(ops[:_OPS])}{more}")
    seen = number(one, "gradient_prediction")
    if "arithmetic" in one.provenance and seen is not None:
        said.append(f"gradient without rounding, at {number_words(seen)}")
    return said


def made_by(one: Explanation, *, alone: bool = True) -> str:
    """One line on how it was computed: method, parameters, features, baseline, approximations, evaluations, fit, model.

    ``alone`` is whether the line describes a single sample, so that it can name the classes it was compared with.
    """
    off = gap(one)
    # The gap is reported with the steps used, not with those requested.
    parts = [
        method_words(one),
        *(fact for fact in facts(one) if not (off and fact.startswith(("steps ", "max steps ")))),
    ]
    parts += [str(one.provenance["slice"])] if "slice" in one.provenance else []
    parts += guessed_axes(one)
    parts += left_as_is(one)
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
    return _SEPARATOR.join(parts)


def made_by_in_short(one: Explanation) -> str:
    """One short line on how it was computed: method, baseline, classes that it was compared with, gap, model.

    Steps that are not exact are named, since they may change what the picture means.
    """
    given: Document = one.provenance.get("parameters", {})
    parts = [method_words(one)]
    parts += _replacement(given)
    parts += [str(one.provenance["slice"])] if "slice" in one.provenance else []
    parts += [*guessed_axes(one), *left_as_is(one), *approximations(one), *against(one)]
    parts += gap(one) if (number(one, "relative_gap") or 0) > _NOTABLE else []
    parts += [str(one.provenance["model"])] if "model" in one.provenance else []
    return _SEPARATOR.join(parts)


def caption(one: Explanation, notes: Sequence[str], details: Sequence[str] = ()) -> Caption:
    """The caption of a picture of one sample: its notes, further details, and how it was computed."""
    return Caption(list(filter(None, notes)), made_by_in_short(one), list(filter(None, details)), made_by(one))


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


def reading(one: Explanation, scale: Scale, found: PixelMap) -> str:
    """What the colours mean and how they are scaled, in sentences."""
    return " ".join(filter(None, meaning_and_details(one, scale, found)))


def meaning_and_details(one: Explanation, scale: Scale, found: PixelMap) -> tuple[str, str]:
    """What the colours mean, and how they are scaled and which values were summed, in sentences."""
    beyond = "; values beyond it take its last colour" if scale.beyond else ""
    details = []
    if scale.empty:
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


def gap(one: Explanation) -> list[str]:
    """The completeness gap of the values: of a change, or of the score itself for relevance.

    Missing relevance was absorbed by biases or the stabiliser of a rule, unless it is rounding error.
    """
    names = ("relative_gap", "steps", "conservation_gap", "relevance")
    share, steps, missing, relevance = (number(one, name) for name in names)
    if share is None:
        return []
    given = one.provenance.get("parameters", {})
    whole = _conserved_quantity(one) or "change"
    words = f"gap {percent(share)} of the {whole}" if np.isfinite(share) else f"gap without a {whole}"
    if missing and relevance is not None and np.isfinite(share) and 100 * share >= _CAUSELESS:
        lost = missing * (relevance - missing) < 0
        kept = f"of the {whole} was absorbed by biases or the stabiliser"
        words = f"{percent(share)} " + (kept if lost else f"more than the {whole}")
    tolerance = given.get("tolerance")
    if tolerance is not None and share > tolerance:
        words += f", above the tolerance of {percent(tolerance)}"
    return [words if steps is None else f"{words}, {steps:.0f} steps"]


def _conserved_quantity(one: Explanation) -> str | None:
    """The quantity that the values sum to, if it is the target itself rather than a change of it."""
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


def _replacement(given: Document) -> list[str]:
    """What replaces removed features: the background or the baseline; empty for methods without either."""
    if isinstance(given.get("background"), dict):
        near = (
            f", the {given['neighbours']} nearest in what is present"
            if given.get("expectation") == "conditional"
            else ""
        )
        return [_background(given["background"]) + near]
    return [f"baseline {_baseline(given['baseline'])}"] if "baseline" in given else []


def removal_baseline(one: Explanation) -> str:
    """A sentence on what replaces the removed parts of deletion curves."""
    how = one.provenance.get("removal_curves", {})
    rows = how.get("rows", 1)
    seen = "as the model saw them" if rows == 1 else f"as the mean of the {rows:,} baselines that the model saw"
    return f"Removed parts are shown {seen} (baseline {_baseline(how.get('baseline'))})."


def _background(given: Document) -> str:
    """The background of a method: ``100 of 1,000 background rows``."""
    rows = given["rows"]
    used = rows["shape"] if isinstance(rows.get("shape"), list) else next(iter(rows.values()))["shape"]
    if given["given"] is None:
        return f"{used[0]:,} background row{'s' * (used[0] != 1)}"
    how = " by k-means" if given["reduction"] == "kmeans" else ""
    return f"{used[0]:,} of {given['given']:,} background rows{how}"


def _baseline(given: object) -> str:
    if given is None:
        return "zero"
    if isinstance(given, dict) and given.get("kind") == "Constant":
        return _value(given["value"]) if given["value"] else "zero"
    if isinstance(given, dict) and given.get("kind") in ("SpecialToken", "Deletion", "Word"):
        return {"Deletion": "deletion", "Word": f"the word '{given.get('text')}'"}.get(
            str(given["kind"]), f"{given.get('which')} token"
        )
    if isinstance(given, dict) and "statistic" in given:
        return f"{given['statistic']} of rows"
    if isinstance(given, dict) and "kind" in given:
        further = [_value(v) for k, v in given.items() if k != "kind" and isinstance(v, int | float | str)]
        return " ".join([str(given["kind"]).lower(), *further])
    return "given as an array" if isinstance(given, dict) else _value(given)


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


def caption_of_rows(result: Explanation, notes: Sequence[str], details: Sequence[str] = ()) -> Caption:
    """The caption of a picture of all rows; evaluations are those of all of them."""
    first = result.sample(0)
    spent = result.diagnostics.get("evaluations")
    total = sum(spent) if isinstance(spent, list) and len(spent) == result.samples else None
    whole = dataclasses.replace(
        first,
        diagnostics={} if total is None else {"evaluations": [total]},
        provenance={key: value for key, value in first.provenance.items() if key != "input_sha256"},
    )
    return Caption(
        list(filter(None, notes)), made_by_in_short(whole), list(filter(None, details)), made_by(whole, alone=False)
    )
