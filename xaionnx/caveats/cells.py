"""What a record says about each sample and target: diagnostics, numbers, and the method's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.typing import Array, Entry


def shape_of(explanation: Explanation) -> tuple[int, int]:
    """The numbers N of samples and T of targets."""
    return explanation.samples, len(explanation.target) if explanation.several_targets else 1


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


def entries(explanation: Explanation, name: str) -> list[Entry]:
    """A diagnostic of each sample and target, N T of them, None where there is none."""
    samples, targets = shape_of(explanation)
    value = explanation.diagnostics.get(name)
    by_sample = value if isinstance(value, list) and len(value) == samples else [value] * samples
    each = [entry if isinstance(entry, list) and entry else [entry] for entry in by_sample]
    return [cell for entry in each for cell in (entry if len(entry) == targets else entry[:1] * targets)]


def numbers(explanation: Explanation, name: str) -> np.ma.MaskedArray[tuple[int, int], np.dtype[np.float64]]:
    """A diagnostic of each sample and target, (N, T), masked where it is not a number."""
    shape = shape_of(explanation)
    if explanation.diagnostics.get(name) is None:
        return np.ma.array(np.full(shape, np.nan), mask=True)
    cells = entries(explanation, name)
    known = [isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells]
    filled = [cell if here else np.nan for cell, here in zip(cells, known, strict=True)]
    return np.ma.array(np.reshape(filled, shape), float, mask=~np.reshape(known, shape))


def by_cell(explanation: Explanation, array: Array) -> Array:
    """An array (N, ...) or (T, N, ...) as (N, T, ...)."""
    return np.asarray(array.swapaxes(0, 1) if explanation.several_targets else array[:, None])


def parameters_of(one: Explanation) -> Mapping[str, object]:
    settings: Mapping[str, object] = one.provenance.get("parameters", {})
    return settings


def raise_advice(one: Explanation, *names: str) -> str:
    """Advice to raise the first of the parameters ``names`` that the method, or its inner method, has."""
    parameters = parameters_of(one)
    inner = parameters.get("inner")
    for settings, whose in ((parameters, ""), (inner if isinstance(inner, Mapping) else {}, " of the inner method")):
        for name in names:
            if isinstance(settings.get(name), int):
                return f"Raise {name}{whose} (now {settings[name]:,})"
    return ""


def penalty(one: Explanation) -> str:
    return f"alpha (now {parameters_of(one).get('alpha'):g})"
