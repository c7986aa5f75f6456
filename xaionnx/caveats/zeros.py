"""The warning that every value is zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import by_cell, diagnostic, number, parameters_of, penalty, percent

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array

_STEPS_ADVICE: Final = (
    "Use a method that removes parts of the input, such as occlusion or kernel_shap, or "
    "gradient='finite_differences:step=0.1', a share of the value range that is wider than the steps."
)


def is_zero(explanation: Explanation) -> Array:
    values = explanation.values
    each = [by_cell(explanation, array) for array in (values.values() if isinstance(values, dict) else [values])]
    return np.asarray(~np.any([array.any(axis=tuple(range(2, array.ndim))) for array in each], axis=0))


def all_zero(one: Explanation) -> Iterator[Caveat]:
    steps = one.provenance.get("steps", {})
    if ops := steps.get("all_paths") or (diagnostic(one, "gradient") == "finite_differences" and steps):
        names = ops if isinstance(ops, list) else ops["rounding"]
        finding = f"Every value is zero: on the way to the target the model goes in steps ({', '.join(names)}), "
        yield Caveat(f"{finding}which have no slope.", _STEPS_ADVICE)
    elif one.method == "anchors" and diagnostic(one, "found"):
        kept, asked = number(one, "precision"), parameters_of(one).get("precision")
        finding = "The rule has no condition: with every feature free to change, "
        share = (
            "the prediction stays the same" if kept is None else f"{percent(kept)} of the inputs have this prediction"
        )
        rows = parameters_of(one).get("background") is not None
        yield Caveat(
            f"{finding}{share}.",
            f"Raise precision (now {asked}) for a rule that does better, or explain a row with a rarer prediction."
            if rows
            else "Choose a baseline for which the model predicts something else, or explain another target.",
        )
    elif parameters_of(one).get("relu") is True:
        yield Caveat("Every value is zero.", "Negative values are left out: relu=False, or --no-relu, shows them.")
    elif parameters_of(one).get("surrogate") == "lasso":
        yield Caveat("Every value is zero.", f"The Lasso's penalty leaves no feature: lower {penalty(one)}.")
    else:
        yield Caveat("Every value is zero.", "Try another target, layer or baseline.")
