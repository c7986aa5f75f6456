"""Targets that are classes, and what other classes make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xaionnx.errors import UnsupportedModelError
from xaionnx.resolution import Resolution
from xaionnx.selection import Pick, Selection

Array = npt.NDArray[Any]


def classes_of(pick: Pick, method: str) -> Array:
    """The class of each sample that a target scores, (N,).

    Raises
    ------
    UnsupportedModelError
        It is no score of a class.
    """
    if pick.activation == "identity" and pick.indices.shape[1] == 1 and (pick.coefficients == 1).all():
        found: Array = pick.indices[:, 0]
        return found
    raise UnsupportedModelError(
        f"{method} compares classes, and the target '{pick.names[0]}' is not the score of one. "
        "Give a class as the target."
    )


def weighing(pick: Pick, coefficients: Array) -> Pick:
    """All scores (N, K) of the tensor that a target reads, weighted."""
    places = np.tile(np.arange(coefficients.shape[1], dtype=np.int64), (len(coefficients), 1))
    return Pick(pick.tensor, "identity", places, coefficients, pick.names)


def posed(resolution: Resolution, picks: list[Pick]) -> Resolution:
    """The same answers under other questions."""
    selection = Selection(picks)
    return replace(resolution, selection=selection, values=selection.select(resolution.answers).T, own=len(picks))
