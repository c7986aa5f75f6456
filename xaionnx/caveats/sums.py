"""Warnings about values that should add up: to a change of the prediction, or to its score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import (
    by_cell,
    diagnostic,
    entries,
    number,
    numbers,
    parameters_of,
    percent,
    raise_advice,
    shape_of,
)

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array

GAP: Final = 0.05
"""Largest acceptable completeness gap, as a share of the change. Integrated gradients count as converged within 5 %:
Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 5."""

LOST: Final = 0.5
"""Largest acceptable share of a score absorbed by biases and stabilisers: above it values explain less than half."""


CHANGE: Final = 0.1
"""Smallest acceptable change of the prediction for a text without its words, as a share of the prediction: below it
what the words share is a small part of it, and the rest is there without any of them."""


def has_gap(explanation: Explanation) -> Array:
    share = numbers(explanation, "relative_gap")
    lacks_relevance = np.ma.getmaskarray(numbers(explanation, "relevance"))
    return np.asarray((~(share < GAP)).filled(False) & lacks_relevance)


def large_gap(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "relative_gap") or 0.0
    if not np.isfinite(share):
        finding = "The prediction is the same at the input and at the baseline: there is no change to explain."
        yield Caveat(finding, "Choose another baseline.")
        return
    gap = number(one, "completeness_gap")
    advice = _gap_advice(one)
    by = "" if gap is None else f"{abs(gap):.2g}, "
    finding = f"The values do not add up: they are off by {by}{percent(share)} of the change in the prediction."
    yield Caveat(finding, advice)


def hardly_changes(explanation: Explanation) -> Array:
    """Whether values that sum to a change share a small one among the words of a text, (N, T)."""
    texts = any(shown.kind == "text" for shown in explanation.display.values())
    if explanation.baseline_prediction is None or not texts:
        return np.zeros(shape_of(explanation), bool)
    whole, rest = (by_cell(explanation, each) for each in (explanation.prediction, explanation.baseline_prediction))
    sums = ~np.ma.getmaskarray(numbers(explanation, "completeness_gap"))
    # Where there is no change at all, that is said of the gap.
    return np.asarray(sums & (whole != rest) & (abs(whole - rest) < CHANGE * abs(whole)))


def small_change(one: Explanation) -> Iterator[Caveat]:
    assert one.baseline_prediction is not None  # it is hardly another one
    whole, rest = (float(each.reshape(-1)[0]) for each in (one.prediction, one.baseline_prediction))
    share = percent(abs(whole - rest) / abs(whole))
    yield Caveat(
        f"The prediction is {whole:.3g}, and {rest:.3g} at the baseline: the values explain the difference, {share} of "
        "the prediction.",
        "Compare with another baseline.",
    )


def _jumps(explanation: Explanation) -> Array:
    """Whether a jump at the baseline is a reason why values do not sum to the change, (N, T)."""
    names = ("jump_at_baseline", "completeness_gap", "relative_gap")
    jump, gap, share = (numbers(explanation, name) for name in names)
    return np.asarray(((share != 0) & (abs(jump) * share > GAP * abs(gap))).filled(False))


def _gap_advice(one: Explanation) -> str:
    """What closes the gap of values that should sum to a change, or why nothing does."""
    jump, parameters = number(one, "jump_at_baseline"), parameters_of(one)
    if jump is not None and _jumps(one).any():
        return (
            f"The prediction jumps by {jump:.2g} at the baseline, within a thousandth of the path, as that of a model "
            "does which divides by the range of its input: more steps hardly help. Choose another baseline."
        )
    if "in place of integers" in str(one.provenance.get("arithmetic") or ""):
        return (
            "The model rounds to integers, whose steps slopes do not see, so no number of steps need close the gap. "
            "Compare with a method that removes parts of the input, such as occlusion."
        )
    if one.provenance.get("second_derivatives") == "secants" and parameters.get("softplus"):
        return (
            f"Raise softplus (now {parameters['softplus']:g}), whose slope takes the place of that of ReLU, and steps "
            f"(now {parameters['steps']}), until they do."
        )
    advice = raise_advice(one, *(("max_steps",) if parameters.get("tolerance") else ()), "steps", "draws")
    if rounding := one.provenance.get("steps", {}).get("rounding"):
        return (
            f"The model rounds on the way to the target ({', '.join(rounding)}), in steps that slopes do not see, so "
            "more of them need not close the gap. Compare with a method that removes parts of the input, such as "
            "occlusion."
        )
    if not advice:
        return "Compare with integrated_gradients, whose steps close the gap."
    refined = "tolerance" in parameters and parameters["tolerance"] is None
    return f"{advice} until they do{', or set tolerance=0.05, which refines them' if refined else ''}."


def loses_relevance(explanation: Explanation) -> Array:
    names = ("relative_gap", "conservation_gap", "relevance")
    share, gap, relevance = (numbers(explanation, name) for name in names)
    lost = (share >= LOST).filled(False) & np.isfinite(share.filled(np.nan))
    return np.asarray(lost & ~np.ma.getmaskarray(gap) & ~np.ma.getmaskarray(relevance))


def lost_relevance(one: Explanation) -> Iterator[Caveat]:
    names = ("relative_gap", "conservation_gap", "relevance")
    share, gap, relevance = (number(one, name) or 0.0 for name in names)
    whole = "probability" if str(one.target[0]).endswith(", probability") else "score"
    if gap * (relevance - gap) < 0:
        lost = f"{percent(share)} of the {whole} was absorbed by biases or the stabiliser"
        finding = f"{lost}: the values explain the rest."
    else:
        finding = f"The values add up to {percent(share)} more than the {whole}."
    yield Caveat(finding, "Compare with integrated_gradients, or try another composite.")


def misses_tolerance(explanation: Explanation) -> Array:
    if parameters_of(explanation).get("tolerance") is None:
        return np.zeros(shape_of(explanation), bool)
    early = [reason in ("budget", "max_steps") for reason in entries(explanation, "stopped_by")]
    return np.reshape(early, shape_of(explanation)) & ~_jumps(explanation)


def unmet_tolerance(one: Explanation) -> Iterator[Caveat]:
    stopped_by, tolerance = diagnostic(one, "stopped_by"), parameters_of(one).get("tolerance")
    limit = parameters_of(one).get(stopped_by)
    now = f" of {limit:,}" if isinstance(limit, int) else ""
    yield Caveat(
        f"The {stopped_by}{now} was used up before the tolerance of {tolerance:g} was reached.", f"Raise {stopped_by}."
    )
