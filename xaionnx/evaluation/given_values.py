"""Values of a user's own, such as maps of another package, as what a metric judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from xaionnx.errors import InputMismatchError
from xaionnx.explanation import Explanation
from xaionnx.request import Request
from xaionnx.typing import Array, Feeds

NAME: Final = "given values"
"""The method of values that are given."""


def explanation_of(request: Request, values: Array | Feeds) -> Explanation:
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
    floats = {name: np.asarray(array, dtype=np.float64) for name, array in named.items()}
    return Explanation(
        NAME,
        floats[request.main] if [*floats] == [request.main] else floats,
        resolved.names[0],
        resolved.prediction[0],
        provenance={"value_kind": "contribution", "model_sha256": request.model.sha256},
    )
