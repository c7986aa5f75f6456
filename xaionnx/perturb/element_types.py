"""What an input can hold: the range of its values, and a baseline in its type."""

from __future__ import annotations

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.typing import Array, DType


def value_range(sample: Sample, name: str) -> tuple[Array, Array]:
    """The lowest and highest value of an input: black and white where a spec tells, else its own finite extremes."""
    spec = sample.pixels_of(name)
    if spec is not None:
        black, white = spec.pixel(0.0), spec.pixel(255.0)
        return np.minimum(black, white), np.maximum(black, white)
    x = numbers(sample, name)
    finite = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
    return finite.min(), finite.max()


def numbers(sample: Sample, name: str) -> Array:
    """An input in float64, in which nothing overflows."""
    x = sample.x[name]
    if x.dtype.kind not in "fiub":
        raise no_strings(name)
    return x.astype(np.float64)


def no_strings(name: str) -> InputMismatchError:
    return InputMismatchError(
        f"Input '{name}' holds strings, and so must its baseline: pass them by name, as in "
        f"baseline={{'{name}': np.array('unknown')}}, or rows of data with Baseline.background."
    )


def rounded(values: Array, like: Array) -> Array:
    """What was computed, in whole numbers where the input holds such."""
    return values if like.dtype.kind == "f" else np.rint(values)


def typed(values: Array, dtype: DType, name: str) -> Array:
    """A baseline in the input's type, in which it must be the same.

    Raises
    ------
    InputMismatchError, ParameterError
        It is of another kind, or whole numbers cannot hold it.
    """
    if dtype.kind == "O":
        words = values.astype(object)
        if not all(isinstance(value, str) for value in words.reshape(-1)):
            raise no_strings(name)
        return words
    if values.dtype.kind not in "fiub":
        raise InputMismatchError(f"Input '{name}' holds {dtype}. Its baseline must be a number or an array of them.")
    if dtype.kind == "f":
        return values.astype(dtype)
    held = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    unfit = (values != np.rint(values)) | (values < held[0]) | (values > held[1])
    if unfit.any():
        raise ParameterError(
            f"Input '{name}' holds {dtype}, which a baseline of {values[unfit][0]:g} does not fit. "
            "Give whole numbers within its range."
        )
    return values.astype(dtype)
