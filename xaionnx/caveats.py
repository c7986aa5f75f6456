"""Warnings about a result and what to do, derived from its diagnostics and provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

if TYPE_CHECKING:
    from xaionnx.explanation import Arrays, Explanation
    from xaionnx.typing import Array, Entry

GAP: Final = 0.05
"""Largest acceptable completeness gap, as a share of the change. Integrated gradients count as converged within 5 %:
Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 5."""

REMOVED: Final = 0.05
"""Smallest share of a target that removal takes away, for masks that search for what takes it away or keeps it."""

AREA: Final = 0.1
"""Largest acceptable distance of a mask's area from the one that was asked for."""

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
# How many ops, and columns, a warning names.
_OPS: Final = 3
_COLUMNS: Final = 3
# Fewer rows hardly say which numbers occur in a column.
_ROWS: Final = 2
# Values that are looked at at once.
_AT_ONCE: Final = 2**20


@final
@dataclass(frozen=True)
class Caveat:
    """A warning: the finding and the advice, one sentence each."""

    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.finding} {self.advice}"


@final
@dataclass(frozen=True)
class _Finding:
    """What a check finds in the samples and targets of a record.

    Attributes
    ----------
    size, count : int
        How many there are, and how many it concerns.
    first : str
        The first caveat.
    place : (int, int)
        Its sample and its target.
    same : bool
        Whether the caveat is that of all.
    """

    size: int
    count: int = 0
    first: str = ""
    place: tuple[int, int] = (0, 0)
    same: bool = False

    def followed(self, other: _Finding, targets: int) -> _Finding:
        """Return what the check finds in further samples, too."""
        size, count = self.size + other.size, self.count + other.count
        if not count:
            return _Finding(size)
        if not self.count:
            place = self.size // targets + other.place[0], other.place[1]
            return _Finding(size, count, other.first, place, other.same and not self.size)
        same = self.same and (other.same or not other.size) and other.first in (self.first, "")
        return _Finding(size, count, self.first, self.place, same)

    def sentence(self, targets: int) -> str | None:
        """Return the caveat, and how many samples and targets it concerns; None if it concerns none."""
        if not self.count:
            return None
        if self.same:
            return self.first
        n, t = self.place
        place = f"sample {n}, target {t}" if targets > 1 else f"sample {n}"
        what = "samples and targets" if targets > 1 else "samples"
        return f"In {self.count} of {self.size} {what}, first in {place}: {self.first}"


@final
@dataclass(frozen=True)
class _Check:
    """A kind of caveat.

    Attributes
    ----------
    caveats : callable
        Yields the caveat of one sample and one target, if there is one.
    concerns : callable or None
        Returns which samples and targets it concerns, bool (N, T), where these may differ; ``caveats`` then yields one.
        If None, ``caveats`` is given whole records.
    alike : bool
        Whether the caveat is the same for all that it concerns.
    """

    caveats: Callable[[Explanation], Iterator[Caveat]]
    concerns: Callable[[Explanation], Array] | None = None
    alike: bool = True

    def of_one(self, one: Explanation) -> Iterator[Caveat]:
        """The caveats of one sample and one target."""
        if self.concerns is None or self.concerns(one).any():
            yield from self.caveats(one)

    def finding(self, explanation: Explanation) -> _Finding:
        """What it finds in the samples and targets of a record."""
        assert self.concerns is not None  # else there is nothing to count
        where = self.concerns(explanation)
        cells = np.argwhere(where)
        first = next(self._of_cells(explanation, cells[:1]), None)
        if first is None:
            return _Finding(where.size)
        same = len(cells) == where.size and (
            self.alike or all(caveat == first for caveat in self._of_cells(explanation, cells[1:]))
        )
        n, t = cells[0].tolist()
        return _Finding(where.size, len(cells), str(first), (n, t), same)

    def sentence(self, one: Explanation) -> str | None:
        """The caveat of a record of one sample."""
        if self.concerns is not None:
            return self.finding(one).sentence(_shape(one)[1])
        found = next(self.caveats(one), None)
        return None if found is None else str(found)

    def sentences(self, explanation: Explanation) -> list[str | None]:
        """The caveat of each of N samples alone."""
        samples, targets = _shape(explanation)
        if self.concerns is None:
            return [self.sentence(explanation.sample(0))] * samples
        found: list[str | None] = [None] * samples
        for n in np.flatnonzero(self.concerns(explanation).any(axis=1)).tolist():
            same = self.alike and targets == 1 and any(found)
            found[n] = next(filter(None, found)) if same else self.sentence(explanation.sample(n))
        return found

    def _of_cells(self, explanation: Explanation, cells: Array) -> Iterator[Caveat]:
        for n, t in cells.tolist():
            yield from self.caveats(explanation.sample(n, t))


def _shape(explanation: Explanation) -> tuple[int, int]:
    """The numbers N of samples and T of targets."""
    return explanation.samples, len(explanation.target) if explanation.several_targets else 1


def caveats(one: Explanation) -> list[Caveat]:
    """The caveats of one sample and one target (see :meth:`Explanation.sample`), the most serious first."""
    return [caveat for check in _CHECKS for caveat in check.of_one(one)]


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
    return Findings.of(explanation).sentences(explanation)


def warnings_of_each(explanation: Explanation) -> list[tuple[str, ...]]:
    """The warnings of each of N samples, those of ``explanation.sample(n)``."""
    explanation = explanation.samples_first()
    found = [check.sentences(explanation) for check in _CHECKS]
    return [tuple(filter(None, each)) for each in zip(*found, strict=True)]


@final
@dataclass(frozen=True)
class Findings:
    """What was found in the samples of a record, to be added up over the records of a run.

    Examples
    --------
    >>> from xaionnx import Explanation
    >>> e = Explanation("a", np.float32([[0, 0], [1, 0]]), np.array(["y", "y"]), np.ones(2))
    >>> added = Findings.of(e[:1]) + Findings.of(e[1:])
    >>> added == Findings.of(e), added.sentences(e) == e.warnings
    (True, True)
    """

    by_check: tuple[_Finding | None, ...]
    targets: int

    @classmethod
    def of(cls, explanation: Explanation) -> Findings:
        """Return those in a record."""
        explanation = explanation.samples_first()
        found = (None if check.concerns is None else check.finding(explanation) for check in _CHECKS)
        return cls(tuple(found), _shape(explanation)[1])

    def __add__(self, other: Findings) -> Findings:
        """Return those in the samples of both, the others after these."""
        pairs = zip(self.by_check, other.by_check, strict=True)
        both = (None if a is None or b is None else a.followed(b, self.targets) for a, b in pairs)
        return Findings(tuple(both), self.targets)

    def sentences(self, whole: Explanation) -> tuple[str, ...]:
        """Return the warnings; ``whole`` has what all samples have in common, and their display."""
        whole = whole.samples_first()
        each = [
            check.sentence(whole) if finding is None else finding.sentence(self.targets)
            for check, finding in zip(_CHECKS, self.by_check, strict=True)
        ]
        return tuple(filter(None, each))


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


def _entries(explanation: Explanation, name: str) -> list[Entry]:
    """A diagnostic of each sample and target, N T of them, None where there is none."""
    samples, targets = _shape(explanation)
    value = explanation.diagnostics.get(name)
    by_sample = value if isinstance(value, list) and len(value) == samples else [value] * samples
    each = [entry if isinstance(entry, list) and entry else [entry] for entry in by_sample]
    return [cell for entry in each for cell in (entry if len(entry) == targets else entry[:1] * targets)]


def _numbers(explanation: Explanation, name: str) -> np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]:
    """A diagnostic of each sample and target, (N, T), masked where it is no number."""
    shape = _shape(explanation)
    if explanation.diagnostics.get(name) is None:
        return np.ma.array(np.full(shape, np.nan), mask=True)
    cells = _entries(explanation, name)
    known = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    filled = [cell if here else np.nan for cell, here in zip(cells, known, strict=True)]
    return np.ma.array(np.reshape(filled, shape), float, mask=~np.reshape(known, shape))


def _by_cell(explanation: Explanation, array: Array) -> Array:
    """An array (N, ...) or (T, N, ...) as (N, T, ...)."""
    return np.asarray(array.swapaxes(0, 1) if explanation.several_targets else array[:, None])


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


def _is_zero(explanation: Explanation) -> Array:
    values = explanation.values
    each = [_by_cell(explanation, array) for array in (values.values() if isinstance(values, dict) else [values])]
    return np.asarray(~np.any([array.any(axis=tuple(range(2, array.ndim))) for array in each], axis=0))


def _all_zero(one: Explanation) -> Iterator[Caveat]:
    steps = one.provenance.get("steps", {})
    if ops := steps.get("all_paths") or (diagnostic(one, "gradient") == "finite_differences" and steps):
        names = ops if isinstance(ops, list) else ops["rounding"]
        finding = f"Every value is zero: on the way to the target the model goes in steps ({', '.join(names)}), "
        yield Caveat(f"{finding}which have no slope.", _STEPS_ADVICE)
    elif one.method == "anchors" and diagnostic(one, "found"):
        kept, asked = number(one, "precision"), _parameters(one).get("precision")
        finding = "The rule has no condition: with every feature free to change, "
        share = (
            "the prediction stays the same" if kept is None else f"{percent(kept)} of the inputs have this prediction"
        )
        rows = _parameters(one).get("background") is not None
        yield Caveat(
            f"{finding}{share}.",
            f"Raise precision (now {asked}) for a rule that does better, or explain a row with a rarer prediction."
            if rows
            else "Choose a baseline for which the model predicts something else, or explain another target.",
        )
    elif _parameters(one).get("relu") is True:
        yield Caveat("Every value is zero.", "Negative values are left out: relu=False, or --no-relu, shows them.")
    elif _parameters(one).get("surrogate") == "lasso":
        yield Caveat("Every value is zero.", f"The Lasso's penalty leaves no feature: lower {_penalty(one)}.")
    else:
        yield Caveat("Every value is zero.", "Try another target, layer or baseline.")


def _penalty(one: Explanation) -> str:
    return f"alpha (now {_parameters(one).get('alpha'):g})"


def _lacks_rule(explanation: Explanation) -> Array:
    return np.reshape([found is False for found in _entries(explanation, "found")], _shape(explanation))


def _no_rule(one: Explanation) -> Iterator[Caveat]:
    asked, reached = _parameters(one).get("precision"), number(one, "precision")
    if not isinstance(asked, float) or reached is None:
        return
    finding = (
        f"No rule was found that keeps the prediction in {percent(asked)} of the neighbours: the one shown is the most "
        f"precise, and keeps it in {percent(reached)}."
    )
    yield Caveat(finding, f"{_raise_advice(one, 'budget')}, lower precision, or use kernel_shap.")


def _has_gap(explanation: Explanation) -> Array:
    share = _numbers(explanation, "relative_gap")
    lacks_relevance = np.ma.getmaskarray(_numbers(explanation, "relevance"))
    return np.asarray((~(share < GAP)).filled(False) & lacks_relevance)


def _gap(one: Explanation) -> Iterator[Caveat]:
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


def _jumps(explanation: Explanation) -> Array:
    """Whether a jump at the baseline is a reason why values do not sum to the change, (N, T)."""
    names = ("jump_at_baseline", "completeness_gap", "relative_gap")
    jump, gap, share = (_numbers(explanation, name) for name in names)
    return np.asarray(((share != 0) & (abs(jump) * share > GAP * abs(gap))).filled(False))


def _gap_advice(one: Explanation) -> str:
    """What closes the gap of values that should sum to a change, or why nothing does."""
    jump, parameters = number(one, "jump_at_baseline"), _parameters(one)
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


def _loses_relevance(explanation: Explanation) -> Array:
    names = ("relative_gap", "conservation_gap", "relevance")
    share, gap, relevance = (_numbers(explanation, name) for name in names)
    lost = (share >= LOST).filled(False) & np.isfinite(share.filled(np.nan))
    return np.asarray(lost & ~np.ma.getmaskarray(gap) & ~np.ma.getmaskarray(relevance))


def _lost_relevance(one: Explanation) -> Iterator[Caveat]:
    names = ("relative_gap", "conservation_gap", "relevance")
    share, gap, relevance = (number(one, name) or 0.0 for name in names)
    whole = "probability" if str(one.target[0]).endswith(", probability") else "score"
    if gap * (relevance - gap) < 0:
        lost = f"{percent(share)} of the {whole} was absorbed by biases or the stabiliser"
        finding = f"{lost}: the values explain the rest."
    else:
        finding = f"The values add up to {percent(share)} more than the {whole}."
    yield Caveat(finding, "Compare with integrated_gradients, or try another composite.")


def _correlations(explanation: Explanation) -> Array | None:
    """How values would correlate with those of another seed, (N, T); None without standard errors."""
    values: Arrays = explanation.values if explanation.feature_values is None else explanation.feature_values
    error = explanation.standard_error
    if error is None or isinstance(values, dict) or np.shape(values) != np.shape(error):
        return None
    samples, targets = _shape(explanation)
    found = np.ones((samples, targets))
    each = [_by_cell(explanation, array).reshape(samples, targets, -1) for array in (values, error)]
    some = max(1, _AT_ONCE // max(1, each[0][:1].size))
    for start in range(0, samples, some):
        v, e = (array[start : start + some].astype(np.float64) for array in each)
        known = np.isfinite(v) & np.isfinite(e)
        count = np.maximum(known.sum(axis=-1), 1)
        noise = np.square(np.where(known, e, 0)).sum(axis=-1) / count
        centred = v - np.where(known, v, 0).sum(axis=-1, keepdims=True) / count[..., None]
        spread = np.square(np.where(known, centred, 0)).sum(axis=-1) / count
        share = np.divide(noise, spread, out=np.full_like(noise, np.inf), where=spread > 0)
        found[start : start + some] = np.where(noise > 0, np.maximum(0.0, 1 - share), 1.0)
    return found


def _is_noisy(explanation: Explanation) -> Array:
    found = _correlations(explanation)
    return np.zeros(_shape(explanation), bool) if found is None else np.asarray(found < CORRELATION)


def _noise(one: Explanation) -> Iterator[Caveat]:
    found = _correlations(one)
    assert found is not None  # it is too small
    finding = f"The values are mostly noise: those of another seed would correlate with them by {found[0, 0]:.1g}."
    advice = _raise_advice(one, "budget", "draws")
    yield Caveat(finding, f"{advice}." if advice else "Take more evaluations, or fewer features.")


def _stays(explanation: Explanation) -> Array:
    """Where what removal puts in has the target of a mask, too."""
    start = explanation.baseline_prediction
    if start is None or ("left" not in explanation.diagnostics and "left" not in explanation.maps):
        return np.zeros(_shape(explanation), bool)
    before, after = (_by_cell(explanation, array) for array in (explanation.prediction, start))
    return np.asarray(before - after < REMOVED * np.maximum(np.abs(before), np.abs(after))) & ~_is_zero(explanation)


def _still_there(one: Explanation) -> Iterator[Caveat]:
    assert one.baseline_prediction is not None  # it is compared with the prediction
    before, after = float(np.ravel(one.prediction)[0]), float(np.ravel(one.baseline_prediction)[0])
    yield Caveat(
        f"There is no region whose removal takes the target away: it is {after:.4g} with everything removed, and "
        f"{before:.4g} here.",
        "Choose another baseline, or another target.",
    )


def _misses_area(explanation: Explanation) -> Array:
    return np.asarray((_numbers(explanation, "area_error") > AREA).filled(False))


def _other_area(one: Explanation) -> Iterator[Caveat]:
    error = number(one, "area_error") or 0.0
    yield Caveat(
        f"A mask misses its area by {percent(error)} of the positions.",
        f"{_raise_advice(one, 'steps')}, or its weight.",
    )


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
        finding = f"No baseline was given: the columns of {names} are compared with 0{_never_zero(one, rows)}."
        advice = (
            "Give typical rows, as in background='rows.csv', or their middle, as in baseline='median:rows.csv' or "
            "'mean:rows.csv', or baseline=0 if it is meant."
        )
        yield Caveat(finding, advice)


def _never_zero(explanation: Explanation, inputs: Sequence[str]) -> str:
    """What 0 means in the columns in which no row has it, as the end of a sentence; empty if there is none."""
    numbers, words = list[str](), list[str]()
    for name in inputs:
        shown = explanation.display.get(name)
        if shown is None or shown.kind != "row" or len(shown.array) < _ROWS or shown.array.dtype.kind not in "fiu":
            continue
        for column in np.flatnonzero(~(shown.array == 0).any(axis=0)).tolist():
            known = shown.array[:, column][~np.isnan(shown.array[:, column].astype(float))]
            title = shown.names[column] if shown.names else f"{name}[{column}]" if shown.array.shape[1] > 1 else name
            if column in shown.words:
                words.append(f"'{shown.words[column][0]}' in {title}")
            elif len(known):
                unit = f" {shown.units[column]}" if shown.units and shown.units[column] else ""
                numbers.append(f"{title} ({known.min():,.6g} to {known.max():,.6g}{unit})")
    parts = [f"never occurs in {_listed(numbers)}"] * bool(numbers) + [f"means {_listed(words)}"] * bool(words)
    return f", which {', and '.join(parts)}" if parts else ""


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - _COLUMNS
    if more > 0:
        return f"{', '.join(parts[:_COLUMNS])} and {more} more"
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _own_background(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("background_is_own"):
        finding = "No background was given: each row is compared with the rows that are explained."
        yield Caveat(finding, "Give typical rows, as in background='rows.csv', if these are not.")


def _fits_badly(explanation: Explanation) -> Array:
    # Other methods also report r2, but their values do not depend on the fit; only surrogates report a prediction.
    if "local_prediction" not in explanation.diagnostics:
        return np.zeros(_shape(explanation), bool)
    return np.asarray((~(_numbers(explanation, "r2") >= FIT)).filled(False))


def _fit(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "r2") or 0.0
    finding = f"The surrogate explains {percent(max(share, 0.0))} of the variance of the model's outputs."
    advice = _raise_advice(one, "budget") or "Raise the budget"
    if _parameters(one).get("surrogate") == "lasso":
        advice = f"Lower {_penalty(one)}"
    yield Caveat(finding, f"{advice}, take fewer features, or use kernel_shap.")


def _misses_tolerance(explanation: Explanation) -> Array:
    if _parameters(explanation).get("tolerance") is None:
        return np.zeros(_shape(explanation), bool)
    early = [reason in ("budget", "max_steps") for reason in _entries(explanation, "stopped_by")]
    return np.reshape(early, _shape(explanation)) & ~_jumps(explanation)


def _unmet_tolerance(one: Explanation) -> Iterator[Caveat]:
    stopped_by, tolerance = diagnostic(one, "stopped_by"), _parameters(one).get("tolerance")
    limit = _parameters(one).get(stopped_by)
    now = f" of {limit:,}" if isinstance(limit, int) else ""
    yield Caveat(
        f"The {stopped_by}{now} was used up before the tolerance of {tolerance:g} was reached.", f"Raise {stopped_by}."
    )


def _shifts(explanation: Explanation) -> Array:
    clean = _by_cell(explanation, explanation.prediction)
    return np.asarray((~(abs(_numbers(explanation, "noisy_prediction") - clean) < SHIFT * abs(clean))).filled(False))


def _shifted_prediction(one: Explanation) -> Iterator[Caveat]:
    noisy = number(one, "noisy_prediction") or 0.0
    clean = float(one.prediction.reshape(-1)[0])
    level = _parameters(one).get("noise")
    now = f" (now {level:g})" if isinstance(level, int | float) else ""
    yield Caveat(f"The noise changes the prediction from {clean:.3g} to {noisy:.3g}.", f"Lower noise{now}.")


def _computes_otherwise(explanation: Explanation) -> Array:
    seen, own = _numbers(explanation, "gradient_prediction"), _by_cell(explanation, explanation.prediction)
    apart = (abs(seen - own) > ARITHMETIC * np.maximum(abs(seen), abs(own))).filled(False)
    return np.asarray(apart & (explanation.provenance.get("arithmetic") is not None))


def _other_arithmetic(one: Explanation) -> Iterator[Caveat]:
    seen, said = number(one, "gradient_prediction") or 0.0, one.provenance.get("arithmetic")
    own = float(one.prediction.reshape(-1)[0])
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


def _is_differenced(explanation: Explanation) -> Array:
    flags = [source == "finite_differences" for source in _entries(explanation, "gradient")]
    return np.reshape(flags, _shape(explanation))


def _finite_differences(_: Explanation) -> Iterator[Caveat]:
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


def _disagrees(explanation: Explanation) -> Array:
    flags = [flag is True for flag in _entries(explanation, "label_disagrees")]
    return np.reshape(flags, _shape(explanation))


def _label_disagrees(_: Explanation) -> Iterator[Caveat]:
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
_CHECKS: Final = (
    _Check(_all_zero, _is_zero),
    _Check(_no_rule, _lacks_rule, alike=False),
    _Check(_gap, _has_gap, alike=False),
    _Check(_still_there, _stays, alike=False),
    _Check(_other_area, _misses_area, alike=False),
    _Check(_lost_relevance, _loses_relevance, alike=False),
    _Check(_noise, _is_noisy, alike=False),
    _Check(_left_out),
    _Check(_nan_not_taken),
    _Check(_zero_by_default),
    _Check(_own_background),
    _Check(_fit, _fits_badly, alike=False),
    _Check(_unmet_tolerance, _misses_tolerance),
    _Check(_label_disagrees, _disagrees),
    _Check(_shifted_prediction, _shifts, alike=False),
    _Check(_off_scale),
    _Check(_guessed_spec),
    _Check(_not_logits),
    _Check(_other_arithmetic, _computes_otherwise, alike=False),
    _Check(_estimated_gradients),
    _Check(_looked_up),
    _Check(_finite_differences, _is_differenced),
)
