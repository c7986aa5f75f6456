"""Warnings about the inputs: those left as they are, default baselines, and numbers that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.caveats.caveat import Caveat
from xaionnx.caveats.cells import parameters_of

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation

# How many columns a warning names.
_COLUMNS: Final = 3
# Fewer rows hardly say which numbers occur in a column.
_ROWS: Final = 2


def left_out(one: Explanation) -> Iterator[Caveat]:
    left = [name for name, purpose in one.provenance.get("left_as_is", {}).items() if purpose == "data"]
    features = parameters_of(one).get("features")
    # A label map, or features by input name, say which inputs are meant.
    if not left or (isinstance(features, Mapping) and features.get("kind") in ("LabelMaps", "FeaturesByInput")):
        return
    names = " and ".join(f"'{name}'" for name in left)
    how = "this input is left as it is" if len(left) == 1 else "these inputs are left as they are"
    advice = "Use kernel_shap or feature_ablation for all inputs at once."
    if features is not None:
        advice = "Leave features out for those of all inputs, or name them: features='NAME=superpixels,NAME=elements'."
    yield Caveat(f"The values do not cover {names}: {how}.", advice)


def zero_by_default(one: Explanation) -> Iterator[Caveat]:
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


def own_background(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("background_is_own"):
        finding = "No background was given: each row is compared with the rows that are explained."
        yield Caveat(finding, "Give typical rows, as in background='rows.csv', if these are not.")


def guessed_spec(one: Explanation) -> Iterator[Caveat]:
    if one.provenance.get("guessed_spec") is True:
        finding = "How files become the model's input was guessed from its shape."
        yield Caveat(finding, "Declare it in a .toml file beside the model; see InputSpec.")


def nan_not_taken(one: Explanation) -> Iterator[Caveat]:
    names = one.provenance.get("nan_not_taken")
    if names:
        listed = " and ".join(f"'{name}'" for name in names)
        finding = f"{listed} holds NaN, which this model mixes with other numbers, yet its output is a number."
        yield Caveat(finding, "The output may not depend on the input any more: fill the missing values.")


def off_scale(one: Explanation) -> Iterator[Caveat]:
    ranges = one.provenance.get("off_scale")
    if ranges is not None:
        (low, high), (black, white) = ranges["given"], ranges["black_and_white"]
        finding = (
            f"The input's numbers are from {low:.3g} to {high:.3g}, but black is {black:.3g} and white {white:.3g}."
        )
        yield Caveat(finding, "Give uint8 pixels, which are converted, or prepare them with InputSpec.to_tensor.")
