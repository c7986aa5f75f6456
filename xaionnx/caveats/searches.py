"""Warnings about searches that miss what was asked for: rules, and masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import by_cell, entries, number, numbers, parameters_of, percent, raise_advice, shape_of
from xaionnx.caveats.zeros import is_zero

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array

REMOVED: Final = 0.05
"""Smallest share of a target that removal takes away, for masks that search for what takes it away or keeps it."""

AREA: Final = 0.1
"""Largest acceptable distance of a mask's area from the one that was asked for."""


def lacks_rule(explanation: Explanation) -> Array:
    return np.reshape([found is False for found in entries(explanation, "found")], shape_of(explanation))


def no_rule(one: Explanation) -> Iterator[Caveat]:
    asked, reached = parameters_of(one).get("precision"), number(one, "precision")
    if not isinstance(asked, float) or reached is None:
        return
    finding = (
        f"No rule was found that keeps the prediction in {percent(asked)} of the neighbours: the one shown is the most "
        f"precise, and keeps it in {percent(reached)}."
    )
    yield Caveat(finding, f"{raise_advice(one, 'budget')}, lower precision, or use kernel_shap.")


def stays(explanation: Explanation) -> Array:
    """Where what removal puts in has the target of a mask, too."""
    start = explanation.baseline_prediction
    if start is None or ("left" not in explanation.diagnostics and "left" not in explanation.maps):
        return np.zeros(shape_of(explanation), bool)
    before, after = (by_cell(explanation, array) for array in (explanation.prediction, start))
    return np.asarray(before - after < REMOVED * np.maximum(np.abs(before), np.abs(after))) & ~is_zero(explanation)


def still_there(one: Explanation) -> Iterator[Caveat]:
    assert one.baseline_prediction is not None  # it is compared with the prediction
    before, after = float(np.ravel(one.prediction)[0]), float(np.ravel(one.baseline_prediction)[0])
    yield Caveat(
        f"There is no region whose removal takes the target away: it is {after:.4g} with everything removed, and "
        f"{before:.4g} here.",
        "Choose another baseline, or another target.",
    )


def misses_area(explanation: Explanation) -> Array:
    return np.asarray((numbers(explanation, "area_error") > AREA).filled(False))


def other_area(one: Explanation) -> Iterator[Caveat]:
    error = number(one, "area_error") or 0.0
    yield Caveat(
        f"A mask misses its area by {percent(error)} of the positions.",
        f"{raise_advice(one, 'steps')}, or its weight.",
    )
