"""How alike two explanations of the same sample are."""

from __future__ import annotations

from typing import Final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.metrics._curves import most_relevant_first
from xaionnx.parameters import choice
from xaionnx.typing import Array

SIMILARITIES: Final = ("spearman", "cosine", "ssim", "top_k")
# The side of the windows of SSIM, at most.
_WINDOW: Final = 7
# The share of the positions that count as the top.
_TOP: Final = 0.1


def parameter() -> str:
    """Return a dataclass field for a similarity."""
    return choice(
        "spearman", SIMILARITIES, "how two maps are compared: by ranks, angle, structure or highest positions"
    )


def sign_parameter() -> str:
    """Return a dataclass field for whether sizes or signed values are compared."""
    return choice("absolute", ("absolute", "signed"), "what is compared: sizes, which colours of maps show, or values")


def similarities(one: Evidence, other: Evidence, kind: str, sign: str) -> list[SampleMeasure]:
    """Return the similarity of two explanations of each of N samples, by their values at positions."""
    found = []
    for n in range(len(one.samples)):
        first, second = one.position_values(n), other.position_values(n)
        if sign == "absolute":
            first, second = np.abs(first), np.abs(second)
        found.append(similarity(first, second, kind))
    return found


def similarity(one: Array, other: Array, kind: str) -> SampleMeasure:
    """Return how alike two maps of the same shape are; not defined where one of them is constant.

    ``spearman`` correlates ranks; ``cosine`` is the cosine of the angle between both; ``ssim`` is the structural
    similarity of both maps, each divided by its range; ``top_k`` is the share of the highest tenth of the positions
    that both have in common.

    Examples
    --------
    >>> similarity(np.array([4.0, 3, 2, 1]), np.array([1.0, 2, 3, 4]), "spearman").value
    -1.0
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return undefined("all values of an explanation are equal")
    if kind == "ssim":
        return _structural(one, other)
    first, second = one.reshape(-1), other.reshape(-1)
    if kind == "cosine":
        return SampleMeasure(float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second))))
    if kind == "top_k":
        count = max(1, round(_TOP * len(first)))
        top = [set(most_relevant_first(values)[:count].tolist()) for values in (first, second)]
        return SampleMeasure(len(top[0] & top[1]) / count)
    from scipy.stats import spearmanr

    return SampleMeasure(round(float(spearmanr(first, second).statistic), 12))


def _structural(one: Array, other: Array) -> SampleMeasure:
    from skimage.metrics import structural_similarity

    side = min(_WINDOW, *one.shape)
    window = side if side % 2 else side - 1
    if window < 3:
        return undefined(f"SSIM needs maps of at least 3 positions along each axis, and these have {one.shape}")
    unit = [(array - array.min()) / np.ptp(array) for array in (one, other)]
    found = structural_similarity(*unit, win_size=window, data_range=1.0)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return SampleMeasure(float(found))
