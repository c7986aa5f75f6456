"""The range of an input's values, and conversion of baselines to its type."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.graph.roles import Role
from xaionnx.typing import Array, DType


def value_range(sample: Sample, name: str) -> tuple[Array, Array]:
    """Return the lowest and highest value of an input: black and white if a spec is known, else its finite extremes."""
    spec = sample.pixels_of(name)
    if spec is not None:
        black, white = spec.pixel(0.0), spec.pixel(255.0)
        return np.minimum(black, white), np.maximum(black, white)
    x = numbers(sample, name)
    finite = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
    return finite.min(), finite.max()


def common_range(sample: Sample, name: str, what: str) -> tuple[Array, Array]:
    """Return :func:`value_range` of an input whose numbers are alike; ``what`` is made of it, in the message.

    Raises
    ------
    ParameterError
        It is a row of a table, whose columns have ranges of their own.
    """
    if is_row(sample, name):
        raise ParameterError(
            f"The columns of input '{name}' have no range in common for {what}, since columns are not alike. Give rows "
            "of data, Baseline.background(rows) or 'background:rows.csv'."
        )
    return value_range(sample, name)


def check_mixable(sample: Sample, name: str, what: str, instead: str) -> None:
    """Check that an input holds numbers, so that halfway between two of them is a number: floats, pixels or sound.

    Whole numbers are pixels or sound if their positions are in space or time, unless they are looked up in a table:
    half of a token is no token, also where its number is a float.

    Parameters
    ----------
    sample : Sample
    name : str
        The input.
    what, instead : str
        What mixes it, as the subject of the message, and what to do instead.

    Raises
    ------
    InputMismatchError
        It does not.
    """
    if not _is_measured(sample, name):
        raise InputMismatchError(
            f"Input '{name}' has type {sample.x[name].dtype}; {what} needs floats, or whole numbers over space or "
            f"time. {instead}"
        )
    if _holds_tokens(sample, name):
        raise InputMismatchError(
            f"Input '{name}' holds the numbers of tokens, which cannot be mixed, and {what} mixes numbers. {instead}"
        )


def mixable_elements(sample: Sample, name: str) -> Array:
    """Return which elements of an input have numbers between two of theirs, bool in its shape; see `check_mixable`.

    In a table these are the columns that are no categories by its spec or by the graph, and no one-hot code of one.
    """
    x, spec = sample.x[name], sample.spec
    found = np.full(x.shape, _is_measured(sample, name) and not _holds_tokens(sample, name))
    if name in sample.purposes and sample.positions(name) is None:
        found.reshape(-1)[list(sample.purposes[name].categories)] = False
    if name == sample.main and spec is not None and x.shape == (len(spec.columns),):
        found &= [column not in spec.categories for column in spec.columns]
        for members in spec.groups.values():
            group = np.isin(spec.columns, list(members))
            found[group] &= not _is_one_hot(x[group])
    return found


def _is_one_hot(x: Array) -> bool:
    return bool(np.count_nonzero(x) == 1 and x.max() == 1)


def _is_measured(sample: Sample, name: str) -> bool:
    """Whether an input is of floats, or of whole numbers in space or time."""
    kind, positions = sample.x[name].dtype.kind, sample.positions(name)
    is_text = sample.text is not None and name == sample.main
    measured = not is_text and positions is not None and positions.role in (Role.SPACE, Role.TIME)
    return kind == "f" or (kind in "iu" and measured)


def _holds_tokens(sample: Sample, name: str) -> bool:
    """Whether an input is looked up in a table, and is not the pixels of a picture, whose table is a curve of tones."""
    return name in sample.purposes and sample.purposes[name].is_token and sample.pixels_of(name) is None


def check_none_missing(*arrays_by_name: Mapping[str, Array]) -> None:
    """Check that no number is missing in inputs or baselines, for methods that mix them or take differences.

    Raises
    ------
    InputMismatchError
        One is NaN.
    """
    for name, array in (item for arrays in arrays_by_name for item in arrays.items()):
        if has_nan(array):
            raise InputMismatchError(
                f"'{name}' or its baseline has missing values (NaN), which cannot be mixed with or subtracted from "
                "numbers. Use a method that only replaces them: feature_ablation, kernel_shap, exact_shapley."
            )


def has_nan(array: Array) -> bool:
    """Whether an array of any type holds NaN."""
    # The least number is NaN if any is; unlike a mask, it takes no memory.
    return array.dtype.kind == "f" and array.size > 0 and bool(np.isnan(array.min()))


def is_row(sample: Sample, name: str) -> bool:
    """Whether an input is a row of a table: numbers that are not alike, one a column."""
    x, spec, purpose = sample.x[name], sample.spec if name == sample.main else None, sample.purposes.get(name)
    if x.ndim != 1 or sample.positions(name) is not None:
        return False
    if spec is not None and not spec.guessed:
        return spec.kind == "table"
    # The number of columns is fixed, and that of steps in time may not be.
    fixed = purpose is None or not purpose.is_free or sample.roles.get(name) == (Role.FEATURE,)
    return x.dtype.kind == "f" and fixed


def numbers(sample: Sample, name: str) -> Array:
    """Return an input in float64, in which sums do not overflow."""
    x = sample.x[name]
    if x.dtype.kind not in "fiub":
        raise no_strings(name)
    return x.astype(np.float64)


def no_strings(name: str) -> ParameterError:
    return ParameterError(
        f"Input '{name}' contains strings, so its baseline must too: give rows of data, as in background='rows.csv', "
        "or in Python a string of your own, by the name of the input."
    )


def rounded(values: Array, like: Array) -> Array:
    """Return computed values, rounded if the input has integers."""
    return values if like.dtype.kind == "f" else np.rint(values)


def nearest_of_type(values: Array, dtype: DType) -> Array:
    """Return computed numbers in a type, integers rounded and within its range.

    Examples
    --------
    >>> nearest_of_type(np.array([-3.0, 1.6, 300.0]), np.dtype(np.uint8)).tolist()
    [0, 2, 255]
    """
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def typed(values: Array, dtype: DType, name: str) -> Array:
    """Return a baseline in the input's type, without changing its values.

    Raises
    ------
    InputMismatchError, ParameterError
        It is of another kind, or an integer type cannot represent it.
    """
    if dtype.kind == "O":
        words = values.astype(object)
        if not all(isinstance(value, str) for value in words.reshape(-1)):
            raise no_strings(name)
        return words
    if values.dtype.kind not in "fiub":
        raise InputMismatchError(f"Input '{name}' has type {dtype}. Its baseline must be a number or a numeric array.")
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    unfit = (values != np.rint(values)) | (values < limits[0]) | (values > limits[1])
    if unfit.any():
        raise ParameterError(
            f"Input '{name}' has type {dtype}, which cannot represent a baseline of {values[unfit][0]:g}. "
            "Give integers within its range."
        )
    return values.astype(dtype)
