"""What the title and the caption say."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from xaionnx.explanation import Explanation
from xaionnx.render.colours import Scale, number_words
from xaionnx.render.maps import PixelMap

# Parameters that have a place of their own in the caption, or that say nothing about the picture.
_ELSEWHERE: Final = ("baseline", "features", "seed", "budget", "tolerance")


def class_and_score(one: Explanation) -> str:
    """The target in words with its value, such as ``Egyptian Mau (285) · score 9.31``."""
    return f"{one.target[0]} · score {number_words(float(one.prediction[0]))}"


def method_words(one: Explanation) -> str:
    """The method's name without underscores."""
    return one.method.replace("_", " ")


def made_by(one: Explanation) -> str:
    """One sentence on what was done: method, parameters, features, baseline, evaluations, model."""
    given: dict[str, Any] = one.provenance.get("parameters", {})
    settings = [
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in given.items()
        if name not in _ELSEWHERE and not isinstance(value, bool | dict) and value is not None
    ]
    parts = [method_words(one) + (f" ({', '.join(settings)})" if settings else "")]
    players = one.feature_values
    elements = one.values.size if isinstance(one.values, np.ndarray) else 0
    if players is not None and one.features is not None and np.isfinite(players).sum() * 4 < elements:
        parts.append(f"{int(np.isfinite(players).sum())} features")
    if "baseline" in given:
        parts.append(f"baseline {_baseline(given['baseline'])}")
    spent = one.diagnostics.get("evaluations")
    if isinstance(spent, list) and len(spent) == 1:
        spent = spent[0]
    if isinstance(spent, int):
        parts.append(f"{spent} evaluations")
    if "model" in one.provenance:
        parts.append(str(one.provenance["model"]))
    return " · ".join(parts)


def reading(scale: Scale, found: PixelMap, *, bar: bool = True) -> str:
    """What the colours mean and how they are scaled, in sentences."""
    sentences = []
    if scale.sign == "signed":
        sentences.append("Red parts raise the score, blue parts lower it.")
    elif scale.sign == "absolute":
        sentences.append("Coloured parts move the score, whether up or down.")
    else:
        sentences.append("Coloured parts raise the score, yellow ones most.")
    beyond = "; values beyond it take its last colour" if scale.beyond else ""
    if bar:
        sentences.append(f"Colour scale: {scale.words}{beyond}.")
    if found.joined == "sum":
        size = ", then stripped of their sign" if scale.sign == "absolute" else ""
        sentences.append(f"Values are summed over the colour channels{size}.")
    elif found.joined == "players":
        sentences.append("Features at a pixel are summed.")
    return " ".join(sentences)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(_value(item) for item in value)
    return number_words(value) if isinstance(value, float) else str(value)


def _baseline(given: Any) -> str:
    if given is None:
        return "zero"
    if isinstance(given, dict) and "kind" in given:
        further = [_value(v) for k, v in given.items() if k != "kind" and isinstance(v, int | float | str)]
        return " ".join([str(given["kind"]).lower(), *further])
    return "given as an array" if isinstance(given, dict) else _value(given)
