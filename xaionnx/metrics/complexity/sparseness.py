"""Sparseness: how unequal the sizes of the values are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._sizes import BySizes
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Sparseness(BySizes):
    """The Gini index of the sizes of the values: 0 if all are equal, (P - 1) / P if one of P alone is not 0::

        sum over i of (2 i - P - 1) a_i / (P sum over i of a_i)      with sizes a_1 <= ... <= a_P

    References
    ----------
    Chalasani, Chen, Chowdhury, Jha and Wu, Concise explanations of neural networks using adversarial training, ICML
    2020, arXiv:1810.06583.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "sparseness").values
    array([0.25])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Chalasani et al. 2020, arXiv:1810.06583"

    def score(self, sizes: Array) -> SampleMeasure:
        count, rising = len(sizes), np.sort(sizes)
        ranks = 2 * np.arange(1, count + 1) - count - 1
        return SampleMeasure(max(0.0, float(ranks @ rising / (count * rising.sum()))))
