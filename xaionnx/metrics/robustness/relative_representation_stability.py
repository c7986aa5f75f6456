"""Relative representation stability: relative changes of the explanation over those of a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx import parameters
from xaionnx.errors import UnsupportedModelError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.graph.random_weights import weighted_layers
from xaionnx.metrics._neighbours import ByNeighbours, Distances, highest_ratio, norm, relative
from xaionnx.runtime.model import Model
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class RelativeRepresentationStability(ByNeighbours):
    """The largest quotient of the relative changes of the values and of a layer among neighbours of the same class::

        max over x' of  | (phi - phi') / phi |  /  max(| (h - h') / h |, 1e-3)

    with h the values of a layer, by default the input of the last layer with weights. Divisions are element by element,
    with elements below 1e-6 of the largest taken as that.

    References
    ----------
    Agarwal, Johnson, Pawelczyk, Krishna, Saxena, Zitnik and Lakkaraju, Rethinking stability for attribution-based
    explanations, 2022, arXiv:2203.06877, equation 4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "relative_representation_stability").values.round(3)
    array([1.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Agarwal et al. 2022, arXiv:2203.06877"

    layer: str | None = parameters.name("tensor to compare; the input of the last layer with weights if not given")

    def compared_tensor(self, evidence: Evidence) -> str | None:
        return last_representation(evidence.model) if self.layer is None else self.layer

    def tensor_distance(self, near: Array, here: Array) -> Array:
        return norm(relative(near, here))

    def score(self, near: Distances, length: float) -> SampleMeasure:
        return highest_ratio(near, length, near.tensor)


def last_representation(model: Model) -> str:
    """Return the input of the last layer with weights.

    Raises
    ------
    UnsupportedModelError
        No layer has weights.
    """
    layers = weighted_layers(model.view)
    if not layers:
        raise UnsupportedModelError(f"No layer of {model.name} has weights. Name the layer to compare.")
    return layers[0].source
