"""Warnings about gradients: other arithmetic than the model's, estimates, and differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import by_cell, entries, number, numbers, shape_of

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array

ARITHMETIC: Final = 0.05
"""Largest acceptable relative distance of the prediction that a gradient saw from the model's own, as for :data:`GAP`:
a gradient in floats of a quantised model, or in single precision of a model in half precision."""

# Labels of gradient rules that estimate a derivative; the rules of the ops set them.
_ESTIMATES: Final = ("straight through", "its regions count as constant")
# How many ops a warning names.
_OPS: Final = 3


def computes_otherwise(explanation: Explanation) -> Array:
    seen, own = numbers(explanation, "gradient_prediction"), by_cell(explanation, explanation.prediction)
    apart = (abs(seen - own) > ARITHMETIC * np.maximum(abs(seen), abs(own))).filled(False)
    return np.asarray(apart & (explanation.provenance.get("arithmetic") is not None))


def other_arithmetic(one: Explanation) -> Iterator[Caveat]:
    seen, said = number(one, "gradient_prediction") or 0.0, one.provenance.get("arithmetic")
    own = float(one.prediction.reshape(-1)[0])
    how = str(said).partition(", ")[0]
    finding = f"The gradient saw {seen:.4g} where the model answers {own:.4g}: it computes with {how}."
    yield Caveat(finding, "Compare with a method that removes parts of the input, such as occlusion.")


def estimated_gradients(one: Explanation) -> Iterator[Caveat]:
    labels = [label for label in one.provenance.get("approximations", ()) if any(how in label for how in _ESTIMATES)]
    ops = list(dict.fromkeys(label.partition(":")[0] for label in labels))
    if not ops:
        return
    rest = len(ops) - _OPS
    more = f" and {rest} other op{'s' * (rest > 1)}" if rest > 0 else ""
    finding = f"At {', '.join(ops[:_OPS])}{more} the gradient is an estimate, not a derivative."
    yield Caveat(finding, "Compare with a method that removes parts of the input, such as occlusion.")


def looked_up(one: Explanation) -> Iterator[Caveat]:
    tables = one.provenance.get("looked_up")
    if tables:
        finding = f"Some numbers of the input are looked up in a table, at {', '.join(tables)}: their values are zero."
        yield Caveat(
            finding, "Explain a layer after the table, or use a method that removes features, such as occlusion."
        )


def is_differenced(explanation: Explanation) -> Array:
    flags = [source == "finite_differences" for source in entries(explanation, "gradient")]
    return np.reshape(flags, shape_of(explanation))


def finite_differences(_: Explanation) -> Iterator[Caveat]:
    finding = "The gradients are finite differences, which depend on their step."
    yield Caveat(finding, "Try gradient='finite_differences:step=...' with twice the step, and compare.")
