"""Entropy: over how many features the values are spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._sizes import BySizes
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Entropy(BySizes):
    """The entropy of the features' shares in the sum of the sizes, in nats: 0 for one feature, ln P for equal ones::

        - sum over i of p_i ln p_i      with p_i = |phi_i| / sum over j of |phi_j|

    The paper calls it complexity.

    References
    ----------
    Bhatt, Weller and Moura, Evaluating and aggregating feature-based model explanations, IJCAI 2020, arXiv:2005.00631,
    definition 6.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "entropy").values.round(6)
    array([1.279854])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Bhatt et al. 2020, arXiv:2005.00631"

    def score(self, sizes: Array) -> SampleMeasure:
        shares = sizes[sizes > 0] / sizes.sum()
        return SampleMeasure(max(0.0, float(-(shares * np.log(shares)).sum())))
