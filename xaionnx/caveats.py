"""Warnings about a result and what to do, derived from its diagnostics and provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from xaionnx.explanation import Arrays, Explanation
    from xaionnx.typing import Entry

GAP: Final = 0.05
"""Largest acceptable completeness gap, as a share of the change. Integrated gradients count as converged within 5 %:
Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 5."""

LOST: Final = 0.5
"""Largest acceptable share of a score absorbed by biases and stabilisers: above it values explain less than half."""

CORRELATION: Final = 0.5
"""Smallest acceptable correlation with a run of another seed. The values v of a run are signal plus noise of variance
e, so two runs correlate by 1 - e / var(v): below one half most of the variation is noise."""

FIT: Final = 0.5
"""Smallest acceptable share of the variance of a model's outputs that a surrogate explains: below it the surrogate
misses most of what the model does with the features."""

SHIFT: Final = 0.5
"""Largest acceptable relative change of the prediction by noise: above it mostly another prediction is explained."""

ARITHMETIC: Final = 0.05
"""Largest acceptable relative distance of the prediction that a gradient saw from the model's own, as for :data:`GAP`:
a gradient in floats of a quantised model, or in single precision of a model in half precision."""

# Labels of gradient rules that estimate a derivative; the rules of the ops set them.
_ESTIMATES: Final = ("straight through", "its regions count as constant")
# How many ops a warning names.
_OPS: Final = 3


@final
@dataclass(frozen=True)
class Caveat:
    """A warning: the finding and the advice, one sentence each."""

    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.finding} {self.advice}"


def caveats(one: Explanation) -> list[Caveat]:
    """The caveats of one sample and one target (see :meth:`Explanation.sample`), the most serious first."""
    return [caveat for check in _CHECKS for caveat in check(one)]


def warnings_of(explanation: Explanation) -> tuple[str, ...]:
    """The warnings about a result; with several samples or targets, each says how many of them it concerns.

    Examples
    --------
    >>> from xaionnx import Explanation
    >>> gaps = {"relative_gap": [0.29, 0.0], "steps": [16, 16]}
    >>> facts = {"parameters": {"steps": 16}}
    >>> e = Explanation("a", np.ones((2, 3)), np.array(["y", "y"]), np.ones(2), diagnostics=gaps, provenance=facts)
    >>> e.warnings[0].partition(". ")[0]
    'In 1 of 2 samples, first in sample 0: The values do not add up: they are off by 29 % of the change in the prediction'
    """  # noqa: E501 - the sentence is one line
    targets = len(explanation.target) if explanation.several_targets else 1
    cells = [(n, t) for n in range(explanation.samples) for t in range(targets)]
    by_check: dict[Callable[[Explanation], Iterator[Caveat]], list[tuple[tuple[int, int], Caveat]]] = {}
    for cell in cells:
        one = explanation.sample(*cell)
        for check in _CHECKS:
            for caveat in check(one):
                by_check.setdefault(check, []).append((cell, caveat))
    return tuple(_sentence(by_check[check], len(cells), targets > 1) for check in _CHECKS if check in by_check)


def _sentence(occurrences: list[tuple[tuple[int, int], Caveat]], of: int, several: bool) -> str:
    """One sentence for a caveat that occurs for several samples or targets."""
    (n, t), first = occurrences[0]
    if len(occurrences) == of and all(caveat == first for _, caveat in occurrences):
        return str(first)
    where = f"sample {n}, target {t}" if several else f"sample {n}"
    what = "samples and targets" if several else "samples"
    return f"In {len(occurrences)} of {of} {what}, first in {where}: {first}"


def percent(share: float) -> str:
    """A share in percent with at least two digits: ``0.93 %``, ``29 %``, ``140 %``, ``under 0.001 %``."""
    number = 100 * share
    if 0 < number < 0.001:
        return "under 0.001 %"
    return f"{number:.0f} %" if number >= 10 else f"{number:.2g} %"


def diagnostic(one: Explanation, name: str) -> Entry:
    """The diagnostic of a single sample and target, taken out of lists of length one."""
    value: Entry = one.diagnostics.get(name)
    for _ in range(2):
        if isinstance(value, list):
            value = value[0] if value else None
    return value


def number(one: Explanation, name: str) -> float | None:
    """The diagnostic as a float; None if it is not a number."""
    value = diagnostic(one, name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parameters(one: Explanation) -> Mapping[str, object]:
    settings: Mapping[str, object] = one.provenance.get("parameters", {})
    return settings


def _raise_advice(one: Explanation, *names: str) -> str:
    """Advice to raise the first of the parameters ``names`` that the method, or its inner method, has."""
    parameters = _parameters(one)
    inner = parameters.get("inner")
    for settings, whose in ((parameters, ""), (inner if isinstance(inner, Mapping) else {}, " of the inner method")):
        for name in names:
            if isinstance(settings.get(name), int):
                return f"Raise {name}{whose} (now {settings[name]:,})"
    return ""


_STEPS_ADVICE: Final = (
    "Use a method that removes parts of the input, such as occlusion or kernel_shap, or "
    "gradient='finite_differences:step=0.1', a share of the value range that is wider than the steps."
)


def _all_zero(one: Explanation) -> Iterator[Caveat]:
    each = one.values.values() if isinstance(one.values, dict) else [one.values]
    if any(np.any(array) for array in each):
        return
    steps = one.provenance.get("steps", {})
    if ops := steps.get("all_paths") or (one.diagnostics.get("gradient") == "finite_differences" and steps):
        names = ops if isinstance(ops, list) else ops["rounding"]
        finding = f"Every value is zero: on the way to the target the model goes in steps ({', '.join(names)}), "
        yield Caveat(f"{finding}which have no slope.", _STEPS_ADVICE)
    elif one.method == "anchors" and diagnostic(one, "found"):
        yield Caveat(
            "No feature is needed: the prediction stays whatever is removed.",
            "Choose a baseline that changes it, or explain another target.",
        )
    elif _parameters(one).get("relu") is True:
        yield Caveat("Every value is zero.", "Negative values are left out: relu=False, or --no-relu, shows them.")
    else:
        yield Caveat("Every value is zero.", "Try another target, layer or baseline.")


def _gap(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "relative_gap")
    if share is None or number(one, "relevance") is not None or share < GAP:
        return
    if not np.isfinite(share):
        finding = "The prediction is the same at the input and at the baseline: there is no change to explain."
        yield Caveat(finding, "Choose another baseline.")
        return
    gap = number(one, "completeness_gap")
    advice = _gap_advice(one)
    by = "" if gap is None else f"{abs(gap):.2g}, "
    finding = f"The values do not add up: they are off by {by}{percent(share)} of the change in the prediction."
    yield Caveat(finding, advice)


def _jumps(one: Explanation) -> bool:
    """Whether a jump at the baseline is a reason why values do not sum to the change."""
    jump, gap, share = (number(one, name) for name in ("jump_at_baseline", "completeness_gap", "relative_gap"))
    return jump is not None and gap is not None and bool(share) and abs(jump) > GAP * abs(gap) / (share or 1)


def _gap_advice(one: Explanation) -> str:
    """What closes the gap of values that should sum to a change, or why nothing does."""
    jump, parameters = number(one, "jump_at_baseline"), _parameters(one)
    if jump is not None and _jumps(one):
        return (
            f"The prediction jumps by {jump:.2g} at the baseline, within a thousandth of the path, as that of a model "
            "does which divides by the range of its input: more steps hardly help. Choose another baseline."
        )
    if "in place of integers" in str(one.provenance.get("arithmetic") or ""):
        return (
            "The model rounds to integers, whose steps slopes do not see, so no number of steps need close the gap. "
            "Compare with a method that removes parts of the input, such as occlusion."
        )
    advice = _raise_advice(one, *(("max_steps",) if parameters.get("tolerance") else ()), "steps", "draws")
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


def _lost_relevance(one: Explanation) -> Iterator[Caveat]:
    share, gap, relevance = (number(one, name) for name in ("relative_gap", "conservation_gap", "relevance"))
    if share is None or gap is None or relevance is None or share < LOST or not np.isfinite(share):
        return
    whole = "probability" if str(one.target[0]).endswith(", probability") else "score"
    if gap * (relevance - gap) < 0:
        lost = f"{percent(share)} of the {whole} was absorbed by biases or the stabiliser"
        finding = f"{lost}: the values explain the rest."
    else:
        finding = f"The values add up to {percent(share)} more than the {whole}."
    yield Caveat(finding, "Compare with integrated_gradients, or try another composite.")


def _noise(one: Explanation) -> Iterator[Caveat]:
    if one.standard_error is None:
        return
    values: Arrays = one.values if one.feature_values is None else one.feature_values
    if isinstance(values, dict) or np.shape(values) != np.shape(one.standard_error):
        return
    known = np.isfinite(values) & np.isfinite(one.standard_error)
    noise = float(np.mean(np.square(one.standard_error[known], dtype=np.float64))) if known.any() else 0.0
    if noise == 0:
        return
    spread = float(np.var(values[known], dtype=np.float64))
    correlation = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
    if correlation >= CORRELATION:
        return
    finding = f"The values are mostly noise: those of another seed would correlate with them by {correlation:.1g}."
    advice = _raise_advice(one, "budget", "draws")
    yield Caveat(finding, f"{advice}." if advice else "Take more evaluations, or fewer features.")


def _left_out(one: Explanation) -> Iterator[Caveat]:
    left = [name for name, purpose in one.provenance.get("left_as_is", {}).items() if purpose == "data"]
    features = _parameters(one).get("features")
    # A label map, or features by input name, say which inputs are meant.
    if not left or (isinstance(features, Mapping) and features.get("kind") in ("LabelMaps", "FeaturesByInput")):
        return
    names = " and ".join(f"'{name}'" for name in left)
    how = "this input is left as it is" if len(left) == 1 else "these inputs are left as they are"
    advice = "Use kernel_shap or feature_ablation for all inputs at once."
    if features is not None:
        advice = "Leave features out for those of all inputs, or name them: features='NAME=superpixels,NAME=elements'."
    yield Caveat(f"The values do not cover {names}: {how}.", advice)


def _zero_by_default(one: Explanation) -> Iterator[Caveat]:
    rows = one.provenance.get("zero_by_default")
    if rows:
        names = " and ".join(f"'{name}'" for name in rows)
        finding = f"No baseline was given: the columns of {names} are compared with 0."
        advice = (
            "Give typical rows, as in background='rows.csv', or their middle, as in baseline='median:rows.csv' or "
            "'mean:rows.csv', or baseline=0 if it is meant."
        )
        yield Caveat(finding, advice)


def _own_background(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("background_is_own"):
        finding = "No background was given: each row is compared with the rows that are explained."
        yield Caveat(finding, "Give typical rows, as in background='rows.csv', if these are not.")


def _fit(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "r2")
    # Other methods also report r2, but their values do not depend on the fit; only surrogates report a prediction.
    if share is None or "local_prediction" not in one.diagnostics or share >= FIT:
        return
    finding = f"The surrogate explains {percent(max(share, 0.0))} of the variance of the model's outputs."
    advice = _raise_advice(one, "budget") or "Raise the budget"
    yield Caveat(finding, f"{advice}, take fewer features, or use kernel_shap.")


def _unmet_tolerance(one: Explanation) -> Iterator[Caveat]:
    stopped_by, tolerance = diagnostic(one, "stopped_by"), _parameters(one).get("tolerance")
    if tolerance is None or stopped_by not in ("budget", "max_steps") or _jumps(one):
        return
    limit = _parameters(one).get(stopped_by)
    now = f" of {limit:,}" if isinstance(limit, int) else ""
    yield Caveat(
        f"The {stopped_by}{now} was used up before the tolerance of {tolerance:g} was reached.", f"Raise {stopped_by}."
    )


def _shifted_prediction(one: Explanation) -> Iterator[Caveat]:
    noisy = number(one, "noisy_prediction")
    clean = float(one.prediction.reshape(-1)[0])
    if noisy is None or abs(noisy - clean) < SHIFT * abs(clean):
        return
    level = _parameters(one).get("noise")
    now = f" (now {level:g})" if isinstance(level, int | float) else ""
    yield Caveat(f"The noise changes the prediction from {clean:.3g} to {noisy:.3g}.", f"Lower noise{now}.")


def _other_arithmetic(one: Explanation) -> Iterator[Caveat]:
    seen, said = number(one, "gradient_prediction"), one.provenance.get("arithmetic")
    own = float(one.prediction.reshape(-1)[0])
    if seen is None or said is None or np.isnan(seen) or abs(seen - own) <= ARITHMETIC * max(abs(seen), abs(own)):
        return
    how = str(said).partition(", ")[0]
    finding = f"The gradient saw {seen:.4g} where the model answers {own:.4g}: it computes with {how}."
    yield Caveat(finding, "Compare with a method that removes parts of the input, such as occlusion.")


def _estimated_gradients(one: Explanation) -> Iterator[Caveat]:
    labels = [label for label in one.provenance.get("approximations", ()) if any(how in label for how in _ESTIMATES)]
    ops = list(dict.fromkeys(label.partition(":")[0] for label in labels))
    if not ops:
        return
    rest = len(ops) - _OPS
    more = f" and {rest} other op{'s' * (rest > 1)}" if rest > 0 else ""
    finding = f"At {', '.join(ops[:_OPS])}{more} the gradient is an estimate, not a derivative."
    yield Caveat(finding, "Compare with a method that removes parts of the input, such as occlusion.")


def _looked_up(one: Explanation) -> Iterator[Caveat]:
    tables = one.provenance.get("looked_up")
    if tables:
        finding = f"Some numbers of the input are looked up in a table, at {', '.join(tables)}: their values are zero."
        yield Caveat(
            finding, "Explain a layer after the table, or use a method that removes features, such as occlusion."
        )


def _finite_differences(one: Explanation) -> Iterator[Caveat]:
    if one.diagnostics.get("gradient") != "finite_differences":
        return
    finding = "The gradients are finite differences, which depend on their step."
    yield Caveat(finding, "Try gradient='finite_differences:step=...' with twice the step, and compare.")


def _not_logits(one: Explanation) -> Iterator[Caveat]:
    name = one.provenance.get("not_logits")
    if name:
        yield Caveat(
            f"The spec calls output '{name}' logits, but its scores sum to 1 as probabilities do: a probability is "
            "then the softmax of a softmax.",
            'Write activation = "softmax" under [output] if they are probabilities.',
        )


def _guessed_spec(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("guessed_spec") is True:
        finding = "How files become the model's input was guessed from its shape."
        yield Caveat(finding, "Declare it in a .toml file beside the model; see InputSpec.")


def _label_disagrees(one: Explanation) -> Iterator[Caveat]:
    if diagnostic(one, "label_disagrees") is True:
        finding = "The class that the model's label output names is explained, though its score is not the highest."
        yield Caveat(finding, "Check the order of the scores, and the threshold of the label.")


def _nan_not_taken(one: Explanation) -> Iterator[Caveat]:
    names = one.provenance.get("nan_not_taken")
    if names:
        listed = " and ".join(f"'{name}'" for name in names)
        finding = f"{listed} holds NaN, which this model mixes with other numbers, yet its output is a number."
        yield Caveat(finding, "The output may not depend on the input any more: fill the missing values.")


def _off_scale(one: Explanation) -> Iterator[Caveat]:
    ranges = one.provenance.get("off_scale")
    if ranges is not None:
        (low, high), (black, white) = ranges["given"], ranges["black_and_white"]
        finding = (
            f"The input's numbers are from {low:.3g} to {high:.3g}, but black is {black:.3g} and white {white:.3g}."
        )
        yield Caveat(finding, "Give uint8 pixels, which are converted, or prepare them with InputSpec.to_tensor.")


# The most serious first.
_CHECKS: Final[tuple[Callable[[Explanation], Iterator[Caveat]], ...]] = (
    _all_zero,
    _gap,
    _lost_relevance,
    _noise,
    _left_out,
    _nan_not_taken,
    _zero_by_default,
    _own_background,
    _fit,
    _unmet_tolerance,
    _label_disagrees,
    _shifted_prediction,
    _off_scale,
    _guessed_spec,
    _not_logits,
    _other_arithmetic,
    _estimated_gradients,
    _looked_up,
    _finite_differences,
)
