"""Explanations that a user gives to be judged: records, and values of their own, such as maps of another package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from xaionnx.counting import counted
from xaionnx.data.frames import is_frame, is_series
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.record import sample_sha256s
from xaionnx.request import Request
from xaionnx.typing import Array, Feeds

NAME: Final = "given values"
"""The method of values that are given."""


def refuse_frames(values: object) -> None:
    """Refuse frames of values, whose columns and rows may be in another order than those of the samples.

    Raises
    ------
    ParameterError
        The values are a frame, or a dict that holds one.
    """
    for one in values.values() if isinstance(values, Mapping) else [values]:
        if is_frame(one) or is_series(one):
            raise ParameterError(
                "Values are arrays in the shape of the inputs. Of a frame of them give frame[columns].to_numpy(), with "
                "the columns and rows in the order of the samples."
            )


def of_values(request: Request, values: Array | Feeds) -> Explanation:
    """Return the record of values that are given, for the samples and the target of a request.

    Positive ones raise the target, as contributions do.

    Parameters
    ----------
    request : Request
    values : array (N, ...) or dict of arrays by input name
        In the shape of the explained input, or of the inputs.

    Raises
    ------
    InputMismatchError
        They are of another shape, or no numbers, or of an input that the model does not have.
    DataError
        There is NaN or infinity among them, or numpy masks some.
    """
    named = dict(values) if isinstance(values, Mapping) else {request.main: values}
    for name, array in named.items():
        if name not in request.feeds:
            raise InputMismatchError(
                f"{request.model.name} has no input named '{name}', whose values are given. Its inputs are "
                f"{', '.join(request.feeds)}."
            )
        if array.shape != request.feeds[name].shape or array.dtype.kind not in "fiub":
            raise InputMismatchError(
                f"The values that are given for input '{name}' must be numbers in its shape, "
                f"{request.feeds[name].shape}. Got {array.dtype} in the shape {array.shape} instead."
            )
    resolved = request.resolved
    floats = {name: whole_array(array).astype(np.float64) for name, array in named.items()}
    explanation = Explanation(
        NAME,
        floats[request.main] if [*floats] == [request.main] else floats,
        resolved.names[0],
        resolved.prediction[0],
        provenance={"value_kind": "contribution", "model_sha256": request.model.sha256},
    )
    _check_finite(explanation)
    return explanation


def of_record(request: Request, record: Explanation) -> Explanation:
    """Return the record, samples first, if it explains the samples and the target of a request.

    Raises
    ------
    ParameterError
        It is of several targets, or of another model, other samples or another target.
    DataError
        It is of another number of samples, or has NaN or infinity among its values.
    """
    if record.several_targets:
        raise ParameterError("A metric judges one target, and this Explanation has several. Take one: result['name'].")
    explanation = record.samples_first()
    if explanation.samples != len(request.samples):
        raise DataError(
            f"The Explanation has {counted(explanation.samples, 'sample')}, and x has {len(request.samples)}."
        )
    _check_finite(explanation)
    _check_hashes(request, explanation)
    names, values = request.resolved.names[0], request.resolved.prediction[0]
    differ = (explanation.target != names) | ~np.isclose(explanation.prediction, values, rtol=1e-3, atol=1e-5)
    if differ.any():
        n = int(np.argmax(differ))
        raise ParameterError(
            f"The Explanation is of {explanation.target[n]} = {explanation.prediction[n]:.4g} at sample {n}, and this "
            f"call of {names[n]} = {values[n]:.4g}. Give the same model, samples and target."
        )
    return explanation


def _check_finite(explanation: Explanation) -> None:
    for array in explanation.values.values() if isinstance(explanation.values, dict) else [explanation.values]:
        broken = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        if len(broken):
            raise DataError(
                f"The values of sample {broken[0]} hold NaN or infinity, which have no order. Explain it again."
            )


def _check_hashes(request: Request, explanation: Explanation) -> None:
    """Check that a record is of the model and the samples of a request, as far as it says which it explains."""
    known = explanation.provenance
    if known.get("model_sha256", request.model.sha256) != request.model.sha256:
        raise ParameterError(
            f"The Explanation is of another model: its SHA-256 is not that of {request.model.name}. Give the model "
            "that it explains, or explain this one."
        )
    own = sample_sha256s(request)
    for n, (there, here) in enumerate(zip(known.get("input_sha256", own), own, strict=True)):
        if there != here:
            raise ParameterError(
                f"The Explanation is of other inputs: the SHA-256 of sample {n} is another one. Give the samples that "
                "it explains, in their order and type, or explain these."
            )
