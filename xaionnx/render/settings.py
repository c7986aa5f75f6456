"""How a result was computed, as phrases of a caption: parameters, baseline, approximations, gap."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from xaionnx.caveats import diagnostic, number, percent
from xaionnx.explanation import Explanation
from xaionnx.render.colours import number_words
from xaionnx.typing import Document

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

# Inputs of one purpose that a caption names.
_MOST_OF_A_PURPOSE: Final = 2

# How many ops a caption names.
_OPS: Final = 3


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
    return parts + replacement(given)


def left_as_is(one: Explanation) -> list[str]:
    """The inputs that the values do not cover: ``left as they are: mask (a mask), rate (a setting)``.

    Of several with one purpose, such as past keys and values, only the first is named.
    """
    left = one.provenance.get("left_as_is", {})
    if not left:
        return []
    named: dict[str, list[str]] = {}
    for name, purpose in left.items():
        named.setdefault(purpose, []).append(name)
    each = ", ".join(
        f"{names[0]} and {len(names) - 1} more ({purpose} each)"
        if len(names) > _MOST_OF_A_PURPOSE
        else ", ".join(f"{name} ({purpose})" for name in names)
        for purpose, names in named.items()
    )
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


def replacement(given: Document) -> list[str]:
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


def quantity(one: Explanation) -> str:
    """The quantity of the target, such as ``probability`` or ``value``; ``score`` for logits or if not recorded."""
    what = known_quantity(one)
    return "score" if what == "logit" else what


def known_quantity(one: Explanation) -> str:
    given = one.provenance.get("quantity", "score")
    return str(given.get(str(one.target[0]), "score") if isinstance(given, dict) else given)
