"""What is off about a result, and what to do about it: the one place that reads it from diagnostics and provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

GAP: Final = 0.05
"""Share of a change that values may miss. Integrated gradients are taken to be close enough within 5 %: Sundararajan,
Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 5."""

LOST: Final = 0.5
"""Share of a score that biases and stabilisers may keep: above it the values share out the smaller part."""

CORRELATION: Final = 0.5
"""Least correlation to expect of a run with another seed. The values v of a run vary by what they mean and by noise, of
variance e, so those of two runs correlate by 1 - e / var(v): below one half most of what they show is noise."""

FIT: Final = 0.5
"""Least share of the variance of a model's outputs that a surrogate explains: below it most of what the model does with
the features is not in the surrogate."""

SHIFT: Final = 0.5
"""Share by which noise on the input may change the prediction: above it most of what was explained is another one."""

# What the gradient of an op is called that is an estimate, not a derivative; the rules of the ops label it so.
_ESTIMATES: Final = ("straight through", "its regions count as constant")
# So many ops are named.
_OPS: Final = 3


@final
@dataclass(frozen=True)
class Caveat:
    """What is off, and what to do, a sentence each."""

    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.finding} {self.advice}"


def caveats(one: Explanation) -> list[Caveat]:
    """What is off about the values of one sample and one target (see :meth:`Explanation.sample`), the worst first."""
    return [found for check in _CHECKS for found in check(one)]


def warnings_of(explanation: Explanation) -> tuple[str, ...]:
    """What is off about a result, in sentences; of several samples or targets, each says in how many of them it is so.

    Examples
    --------
    >>> from xaionnx import Explanation
    >>> told = {"relative_gap": [0.29, 0.0], "steps": [16, 16]}
    >>> asked = {"parameters": {"steps": 16}}
    >>> e = Explanation("a", np.ones((2, 3)), np.array(["y", "y"]), np.ones(2), diagnostics=told, provenance=asked)
    >>> e.warnings[0].partition(". ")[0]
    'In 1 of 2 samples, first in sample 0: The values do not add up: they are off by 29 % of the change in the prediction'
    """  # noqa: E501 - the sentence is one line
    targets = len(explanation.target) if explanation.several_targets else 1
    places = [(n, t) for n in range(explanation.samples) for t in range(targets)]
    found: dict[Callable[[Explanation], Iterator[Caveat]], list[tuple[tuple[int, int], Caveat]]] = {}
    for place in places:
        one = explanation.sample(*place)
        for check in _CHECKS:
            for caveat in check(one):
                found.setdefault(check, []).append((place, caveat))
    return tuple(_told(found[check], len(places), targets > 1) for check in _CHECKS if check in found)


def _told(found: list[tuple[tuple[int, int], Caveat]], of: int, several: bool) -> str:
    """One sentence for what is off in several places."""
    (n, t), first = found[0]
    if len(found) == of and all(caveat == first for _, caveat in found):
        return str(first)
    where = f"sample {n}, target {t}" if several else f"sample {n}"
    what = "samples and targets" if several else "samples"
    return f"In {len(found)} of {of} {what}, first in {where}: {first}"


def percent(share: float) -> str:
    """A share with two digits, or all those before the point: ``0.93 %``, ``29 %``, ``140 %``, ``under 0.001 %``."""
    number = 100 * share
    if 0 < number < 0.001:
        return "under 0.001 %"
    return f"{number:.0f} %" if number >= 10 else f"{number:.2g} %"


def diagnostic(one: Explanation, name: str) -> Any:  # of a record
    """A diagnostic of the one sample and target, which may stand in lists of one."""
    found: Any = one.diagnostics.get(name)
    for _ in range(2):
        if isinstance(found, list):
            found = found[0] if found else None
    return found


def number(one: Explanation, name: str) -> float | None:
    """The same, of a number."""
    found = diagnostic(one, name)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _parameters(one: Explanation) -> Mapping[str, object]:
    given: Mapping[str, object] = one.provenance.get("parameters", {})
    return given


def _more(one: Explanation, *names: str) -> str:
    """What to raise, of the parameters that the method has, those of the method inside it included."""
    given = _parameters(one)
    inner = given.get("inner")
    for held, whose in ((given, ""), (inner if isinstance(inner, Mapping) else {}, " of the inner method")):
        for name in names:
            if isinstance(held.get(name), int):
                return f"Raise {name}{whose} (now {held[name]:,})"
    return ""


def _empty(one: Explanation) -> Iterator[Caveat]:
    each = one.values.values() if isinstance(one.values, dict) else [one.values]
    if any(np.any(array) for array in each):
        return
    if _parameters(one).get("relu") is True:
        yield Caveat("Every value is zero.", "What is below zero is left out: relu=False, or --no-relu, shows it.")
    else:
        yield Caveat("Every value is zero.", "Try another target, layer or baseline.")


def _gap(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "relative_gap")
    if share is None or number(one, "relevance") is not None or share < GAP:
        return
    if not np.isfinite(share):
        finding = "The prediction is the same at the input and at the baseline: there is no change to share out."
        yield Caveat(finding, "Choose another baseline.")
        return
    advice = _more(one, "steps", "draws")
    advice = f"{advice} until they do." if advice else "Compare with integrated_gradients, whose steps close the gap."
    gap = number(one, "completeness_gap")
    by = "" if gap is None else f"{abs(gap):.2g}, "
    finding = f"The values do not add up: they are off by {by}{percent(share)} of the change in the prediction."
    yield Caveat(finding, advice)


def _lost(one: Explanation) -> Iterator[Caveat]:
    share, gap, relevance = (number(one, name) for name in ("relative_gap", "conservation_gap", "relevance"))
    if share is None or gap is None or relevance is None or share < LOST or not np.isfinite(share):
        return
    whole = "probability" if str(one.target[0]).endswith(", probability") else "score"
    if gap * (relevance - gap) < 0:
        finding = f"{percent(share)} of the {whole} stayed in biases or the stabiliser: the values share out the rest."
    else:
        finding = f"The values add up to {percent(share)} more than the {whole}."
    yield Caveat(finding, "Compare with integrated_gradients, or try another composite.")


def _noise(one: Explanation) -> Iterator[Caveat]:
    if one.standard_error is None:
        return
    values: Any = one.values if one.feature_values is None else one.feature_values
    if np.shape(values) != np.shape(one.standard_error):
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
    advice = _more(one, "budget", "draws")
    yield Caveat(finding, f"{advice}." if advice else "Take more evaluations, or fewer features.")


def _fit(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "r2")
    # Others tell a fit that their values do not rest on; a surrogate also says what it predicts.
    if share is None or "local_prediction" not in one.diagnostics or share >= FIT:
        return
    finding = f"The surrogate explains {percent(max(share, 0.0))} of the variance of the model's outputs."
    advice = _more(one, "budget") or "Raise the budget"
    yield Caveat(finding, f"{advice}, take fewer features, or use kernel_shap.")


def _stopped(one: Explanation) -> Iterator[Caveat]:
    ended, asked = diagnostic(one, "stopped_by"), _parameters(one).get("tolerance")
    if asked is None or ended not in ("budget", "max_steps"):
        return
    limit = _parameters(one).get(ended)
    now = f" of {limit:,}" if isinstance(limit, int) else ""
    yield Caveat(f"The {ended}{now} was used up before the tolerance of {asked:g} was reached.", f"Raise {ended}.")


def _shifted(one: Explanation) -> Iterator[Caveat]:
    noisy = number(one, "noisy_prediction")
    clean = float(one.prediction.reshape(-1)[0])
    if noisy is None or abs(noisy - clean) < SHIFT * abs(clean):
        return
    level = _parameters(one).get("noise")
    now = f" (now {level:g})" if isinstance(level, int | float) else ""
    yield Caveat(f"The noise changes the prediction from {clean:.3g} to {noisy:.3g}.", f"Lower noise{now}.")


def _estimated(one: Explanation) -> Iterator[Caveat]:
    labels = [label for label in one.provenance.get("approximations", ()) if any(how in label for how in _ESTIMATES)]
    ops = list(dict.fromkeys(label.partition(":")[0] for label in labels))
    if not ops:
        return
    rest = len(ops) - _OPS
    more = f" and {rest} other op{'s' * (rest > 1)}" if rest > 0 else ""
    finding = f"At {', '.join(ops[:_OPS])}{more} the gradient is an estimate, not a derivative."
    yield Caveat(finding, "Compare with a method that removes parts of the input, such as occlusion.")


def _differences(one: Explanation) -> Iterator[Caveat]:
    if one.diagnostics.get("gradient") != "finite_differences":
        return
    finding = "The gradients are finite differences, which depend on their step."
    yield Caveat(finding, "Try gradient='finite_differences:step=...' with twice the step, and compare.")


def _guessed(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("guessed_spec") is True:
        finding = "How files become the model's input was guessed from its shape."
        yield Caveat(finding, "Say it in a .toml file beside the model; see InputSpec.")


# The gravest first.
_CHECKS: Final[tuple[Callable[[Explanation], Iterator[Caveat]], ...]] = (
    _empty,
    _gap,
    _lost,
    _noise,
    _fit,
    _stopped,
    _shifted,
    _guessed,
    _estimated,
    _differences,
)
