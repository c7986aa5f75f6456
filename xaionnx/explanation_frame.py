"""The values of a result as a frame of pandas, polars or pyarrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.typing import Array, Floats

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

BACKENDS: Final = ("pandas", "polars", "pyarrow")
"""The libraries of frames, in the order in which they are looked for."""

# Columns besides those of the features.
_FACTS: Final = ("sample", "target", "prediction", "base_value")


def as_frame(explanation: Explanation, backend: str | None, *, long: bool) -> Any:  # Any: a frame of any library
    """Return the frame; see `Explanation.to_frame`."""
    import narwhals.stable.v2 as nw

    table = _long(explanation) if long else wide(explanation)
    return nw.from_dict(table, backend=backend_of(backend)).to_native()


def backend_of(given: str | None) -> Any:  # Any: narwhals names them as literals
    """The library of the frame: the first that is installed if None.

    Raises
    ------
    ParameterError
        There is no such library, or it is not installed.
    """
    if given is not None and given not in BACKENDS:
        raise ParameterError(f"The 'backend' parameter must be one of {', '.join(BACKENDS)}. Got {given!r} instead.")
    wanted = BACKENDS if given is None else (given,)
    installed = [name for name in wanted if importlib.util.find_spec(name) is not None]
    if not installed:
        raise ParameterError(f"A frame needs {' or '.join(wanted)}, which is not installed: pip install {wanted[0]}.")
    return installed[0]


def facts_of(explanation: Explanation) -> dict[str, Array]:
    """Sample, target, prediction and base value of each of the T N rows, target by target."""
    count = explanation.target.size // explanation.samples
    names = explanation.provenance.get("inputs")
    known = isinstance(names, list) and len(names) == explanation.samples
    samples = np.array(names if known else range(explanation.samples))
    facts = {
        "sample": np.tile(samples, count),
        "target": explanation.target.reshape(-1),
        "prediction": explanation.prediction.reshape(-1),
    }
    if explanation.baseline_prediction is not None:
        facts["base_value"] = explanation.baseline_prediction.reshape(-1)
    return facts


def _values(explanation: Explanation) -> Floats:
    """The values of the features, (T N, P)."""
    rows = explanation.target.size
    record = explanation.samples_first()
    if record.feature_values is not None:
        arrays = [record.feature_values]
    else:
        arrays = [*record.values.values()] if isinstance(record.values, dict) else [record.values]
    return np.concatenate([np.asarray(array, np.float64).reshape(rows, -1) for array in arrays], axis=1)


def told_apart(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """Return names of columns of which no two are alike, and none is taken: later ones get a number.

    Examples
    --------
    >>> told_apart(["age", "unit", "age"], ["unit"])
    ['age', 'unit 2', 'age 2']
    """
    columns: dict[str, None] = {}
    for name in names:
        new, number = name, 1
        while new in columns or new in taken:
            number += 1
            new = f"{name} {number}"
        columns[new] = None
    return list(columns)


def wide(explanation: Explanation, taken: Collection[str] = ()) -> dict[str, Any]:  # Any: arrays of numbers or words
    """Return the columns of a frame with one row for each sample and target, and a column for each feature.

    The frame has other columns, whose names are taken.
    """
    features = told_apart(explanation.feature_names, (*_FACTS, *taken))
    return {**facts_of(explanation), **dict(zip(features, _values(explanation).T, strict=True))}


def _long(explanation: Explanation) -> dict[str, Any]:  # Any: arrays of numbers or words
    values = _values(explanation)
    rows, players = values.shape
    shown = [explanation.shown_values(n) for n in range(explanation.samples)]
    each = {name: np.repeat(array, players) for name, array in facts_of(explanation).items()}
    each["feature"] = np.tile(np.array(told_apart(explanation.feature_names, _FACTS)), rows)
    each["feature_value"] = np.tile(np.array(shown).reshape(-1), rows // explanation.samples)
    each["value"] = values.reshape(-1)
    errors = explanation.standard_error
    if errors is not None and errors.size == values.size:
        each["standard_error"] = np.asarray(errors, np.float64).reshape(-1)
    return each
