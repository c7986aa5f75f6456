"""Agreement: whether several explanations rank the parts of an input alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from xaionnx.errors import DataError, ParameterError
from xaionnx.explanation import Explanation
from xaionnx.typing import Floats

_FEWEST: Final = 2


def importance(explanation: Explanation, sample: int | None = None, target: int = 0) -> Floats:
    """Return the size of each feature's value, (P,): of one sample, or the mean over all samples.

    The mean over samples is the usual global importance of a feature.

    Parameters
    ----------
    explanation : Explanation
        Of N samples.
    sample : int, optional
        The mean over all N samples if None.
    target : int
        Index of the target, if there are several.

    Raises
    ------
    DataError
        The samples have different features, or values are not finite.
    ParameterError
        There is no such sample or target.

    Examples
    --------
    >>> rows = Explanation("lime", np.float32([[1, -4], [3, 0]]), np.array(["y", "y"]), np.array([1.0, 2.0]))
    >>> importance(rows), importance(rows, 0)
    (array([2., 2.]), array([1., 4.]))
    """
    targets = len(explanation.target) if explanation.several_targets else 1
    for name, index, count in (("sample", sample or 0, explanation.samples), ("target", target, targets)):
        if not 0 <= index < count:
            raise ParameterError(f"The '{name}' parameter must be an int in [0, {count - 1}]. Got {index!r} instead.")
    record = explanation.samples_first()
    numbers = range(record.samples) if sample is None else [sample]
    each = [np.abs(_values(record, n, target)) for n in numbers]
    if len({len(sizes) for sizes in each}) > 1 or not np.isfinite(np.concatenate(each)).all():
        raise DataError(f"The values of {explanation.method} are not finite, or its samples have different features.")
    return np.asarray(np.mean(each, axis=0))


def shares_features(explanation: Explanation) -> bool:
    """Return whether all samples have the same features, as rows of a table have, but no texts and pictures."""
    return all(one.kind == "row" for one in explanation.display.values())


def rank_agreement(explanations: Sequence[Explanation], sample: int | None = None, target: int = 0) -> Floats:
    """Return how alike M explanations rank the features by the size of their values, (M, M).

    Where they have other features, such as pixels and superpixels, the elements of the inputs are ranked, each by the
    value of its feature.

    Each number is the Spearman correlation of two rankings, with ties at their mean rank: 1 for the same order, -1 for
    the reverse one, about 0 for unrelated ones, and NaN where an explanation gives all features the same size.

    Parameters
    ----------
    explanations : sequence of Explanation
        M explanations of the same samples.
    sample, target : int, optional
        As in :func:`importance`: of one sample, or of the mean over all rows of a table. Samples that do not share
        their features, such as texts, are compared one by one, for the mean of their correlations.

    Raises
    ------
    DataError
        The explanations have values for other inputs, or fewer than two features.
    ParameterError
        There is no such sample or target.

    References
    ----------
    Krishna et al., The disagreement problem in explainable machine learning, TMLR 2024, arXiv:2202.01602: there the
    ranks are of the top features only, here of all of them.

    Examples
    --------
    >>> one = Explanation("lime", np.float32([[1, -4, 2]]), np.array(["y"]), np.array([1.0]))
    >>> other = Explanation("saliency", np.float32([[2, 4, 1]]), np.array(["y"]), np.array([1.0]))
    >>> rank_agreement([one, other])
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    from scipy.stats import rankdata

    if sample is None and not all(map(shares_features, explanations)):
        each_sample = np.stack([rank_agreement(explanations, n, target) for n in range(explanations[0].samples)])
        known = np.isfinite(each_sample)
        sums = np.where(known, each_sample, 0).sum(axis=0)
        return np.where(known.any(axis=0), sums / np.maximum(1, known.sum(axis=0)), np.nan)
    sizes = [importance(one, sample, target) for one in explanations]
    if len({len(size) for size in sizes}) != 1:
        sizes = [importance(_by_elements(one), sample, target) for one in explanations]
    each = ", ".join(f"{one.method} {len(size)}" for one, size in zip(explanations, sizes, strict=True))
    if len({len(size) for size in sizes}) != 1:
        raise DataError(f"Only explanations of the same inputs can be compared. Got: {each}.")
    if len(sizes[0]) < _FEWEST:
        raise DataError(f"A ranking needs at least two features. Got: {each}.")
    ranks = np.stack([rankdata(size) for size in sizes])
    ranks -= ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(ranks).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(ranks @ ranks.T / np.outer(lengths, lengths))


def _by_elements(one: Explanation) -> Explanation:
    """The explanation with values of elements alone: each has that of its feature."""
    return replace(one, feature_values=None, standard_error=None)


def _values(record: Explanation, n: int, target: int) -> Floats:
    """The values of one sample and target: of its features, or of all elements of its inputs."""
    lead = (target, n) if record.several_targets else (n,)
    if record.feature_values is not None:
        # The longest of several texts has more than the others.
        return np.asarray(record.feature_values[lead], dtype=np.float64)[: _count(record, n)]
    arrays = [*record.values.values()] if isinstance(record.values, dict) else [record.values]
    return np.concatenate([np.asarray(array[lead], dtype=np.float64).reshape(-1) for array in arrays])


def _count(record: Explanation, n: int) -> int | None:
    """The number of features of a sample; None if nothing says which parts of it they are."""
    if record.features is None:
        return None
    arrays = [*record.features.values()] if isinstance(record.features, dict) else [record.features]
    # They may be those of all samples, once.
    return 1 + max(int(array[n % len(array)].max()) for array in arrays)
