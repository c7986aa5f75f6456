"""Warnings about estimates: noise, surrogates that fit badly, and copies with another prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import by_cell, number, numbers, parameters_of, penalty, percent, raise_advice, shape_of

if TYPE_CHECKING:
    from xaionnx.explanation import Arrays, Explanation
    from xaionnx.typing import Array

CORRELATION: Final = 0.5
"""Smallest acceptable correlation with a run of another seed. The values v of a run are signal plus noise of variance
e, so two runs correlate by 1 - e / var(v): below one half most of the variation is noise."""

FIT: Final = 0.5
"""Smallest acceptable share of the variance of a model's outputs that a surrogate explains: below it the surrogate
misses most of what the model does with the features."""

SHIFT: Final = 0.5
"""Largest acceptable relative change of the prediction by noise: above it mostly another prediction is explained."""

# Elements of values that are read at a time.
_AT_ONCE: Final = 2**20


def _correlations(explanation: Explanation) -> Array | None:
    """How values would correlate with those of another seed, (N, T); None without standard errors."""
    values: Arrays = explanation.values if explanation.feature_values is None else explanation.feature_values
    error = explanation.standard_error
    if error is None or isinstance(values, dict) or np.shape(values) != np.shape(error):
        return None
    samples, targets = shape_of(explanation)
    found = np.ones((samples, targets))
    each = [by_cell(explanation, array).reshape(samples, targets, -1) for array in (values, error)]
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


def is_noisy(explanation: Explanation) -> Array:
    found = _correlations(explanation)
    return np.zeros(shape_of(explanation), bool) if found is None else np.asarray(found < CORRELATION)


def mostly_noise(one: Explanation) -> Iterator[Caveat]:
    found = _correlations(one)
    assert found is not None  # it is too small
    finding = f"The values are mostly noise: those of another seed would correlate with them by {found[0, 0]:.1g}."
    advice = raise_advice(one, "budget", "draws")
    yield Caveat(finding, f"{advice}." if advice else "Take more evaluations, or fewer features.")


def fits_badly(explanation: Explanation) -> Array:
    # Other methods also report r2, but their values do not depend on the fit; only surrogates report a prediction.
    if "local_prediction" not in explanation.diagnostics:
        return np.zeros(shape_of(explanation), bool)
    return np.asarray((~(numbers(explanation, "r2") >= FIT)).filled(False))


def bad_fit(one: Explanation) -> Iterator[Caveat]:
    share = number(one, "r2") or 0.0
    finding = f"The surrogate explains {percent(max(share, 0.0))} of the variance of the model's outputs."
    advice = raise_advice(one, "budget") or "Raise the budget"
    if parameters_of(one).get("surrogate") == "lasso":
        advice = f"Lower {penalty(one)}"
    yield Caveat(finding, f"{advice}, take fewer features, or use kernel_shap.")


def shifts(explanation: Explanation) -> Array:
    clean = by_cell(explanation, explanation.prediction)
    return np.asarray((~(abs(numbers(explanation, "noisy_prediction") - clean) < SHIFT * abs(clean))).filled(False))


def shifted_prediction(one: Explanation) -> Iterator[Caveat]:
    noisy = number(one, "noisy_prediction") or 0.0
    clean = float(one.prediction.reshape(-1)[0])
    level = parameters_of(one).get("noise")
    now = f" (now {level:g})" if isinstance(level, int | float) else ""
    yield Caveat(f"The noise changes the prediction from {clean:.3g} to {noisy:.3g}.", f"Lower noise{now}.")
