"""Parameter randomisation: how alike the explanations stay while the weights are randomised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics import _similarity
from xaionnx.metrics._randomised import ORDERS, explanations_of, randomised_models
from xaionnx.parameters import choice, integer, random_seed
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class ParameterRandomisation(Metric):
    """The mean similarity of the explanation to itself while the weights of the file are randomised layer by layer.

    The maps of a method that explains the model change with its weights: lower is better, and a map that stays the same
    shows the input alone. A constant map of the randomised model counts as similarity 0. Weights are randomised by
    shuffling: each tensor keeps its numbers in another order, whatever its type. The curve has the similarity after
    each of ``steps`` layers, from the first one alone to all of them; their names are in the record. The unchanged
    model, whose similarity is 1, is not part of the mean.

    References
    ----------
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, Sanity checks for saliency maps, NeurIPS 2018, arXiv:1810.03292,
    where weights are drawn again from the initial distribution.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> scores = xaionnx.evaluate(model, np.ones((1, 4), np.float32), "saliency", "parameter_randomisation", seed=0)
    >>> bool(scores.values[0] < 1)
    True
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    reference: ClassVar[str] = "Adebayo et al. 2018, arXiv:1810.03292"
    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    order: str = choice("top_down", ORDERS, "which layers are randomised: from the outputs, from the inputs, or each")
    steps: int | None = integer(10, "number of layers at which maps are compared", low=1, optional=True)
    similarity: str = _similarity.parameter()
    sign: str = _similarity.sign_parameter()
    weights_seed: int = random_seed("seed of the random weights")

    @property
    def explanations(self) -> int:
        return explanations_of(self.steps)

    def measure(self, evidence: Evidence) -> Measure:
        rows, layers, found = np.arange(len(evidence.samples)), list[str](), []
        maps = {"the model": evidence.position_values(0)}
        for layer, model in randomised_models(evidence.model, self.order, self.steps, self.weights_seed):
            other = evidence.explain(evidence.request.feeds, rows, model)
            layers.append(layer)
            maps[layer] = other.position_values(0)
            found.append([one.value for one in _similarity.similarities(evidence, other, self.similarity, self.sign)])
        # A constant map of the randomised model has nothing in common with the map.
        curves, each = np.nan_to_num(np.array(found).T), []
        for n, curve in enumerate(curves):
            if np.ptp(evidence.position_values(n)) == 0:
                each.append(undefined("all values are equal"))
            else:
                each.append(SampleMeasure(float(curve.mean()), "", {"similarity": curve}))
        measure = measured(each)
        return Measure(measure.values, measure.reasons, measure.curves, {"layers": layers}, self._pictures(maps))

    def _pictures(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """The maps as they are compared, if the input is a picture; none otherwise."""
        shown = {name: np.abs(each) if self.sign == "absolute" else each for name, each in maps.items()}
        return {name: each.astype(np.float32) for name, each in shown.items() if each.ndim == 2 and min(each.shape) > 1}
