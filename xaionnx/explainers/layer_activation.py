"""Layer activation: what a layer holds at the input."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.explainer import Explainer, provenance
from xaionnx.explainers._gradients.gradient import Found, recorded
from xaionnx.explainers._layers.route import Route
from xaionnx.explainers._layers.usual import usual_layer
from xaionnx.explanation import Explanation, Meaning
from xaionnx.model import Model
from xaionnx.parameters import name
from xaionnx.resolution import resolve
from xaionnx.target import Target

if TYPE_CHECKING:
    from xaionnx.explainers._layers.prospect import Prospect

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, kw_only=True)
class LayerActivation(Explainer):
    """What a tensor inside the model holds at the input x::

        value = h(x)

    It explains no target; the prediction is told beside it. Values have the layer's shape.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901, which shows
    feature maps beside the pictures that drive them.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.float32([[0, 100, 0]])
    >>> xaionnx.explain(planted.load(planted.net_a()), x, LayerActivation(layer="relu")).values
    array([[ 90., 101., 101., 101.]], dtype=float32)
    """

    shows: ClassVar[Meaning] = "activation"
    needs: ClassVar[str] = "activation"
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"

    layer: str | None = name(
        "tensor to show; the last map over the picture or series, else the tokens of the last attention, if not given"
    )

    def usual_target(self, model: Model) -> Target | None:
        # A target is only told of here, and a map has no top class.
        return Target.sum() if len(model.output().shape) > 2 else None

    def foresee(self, prospect: Prospect) -> dict[str, str | None]:
        told = super().foresee(prospect)
        if prospect.sample is not None:
            usual_layer(prospect.model, (prospect.sample.main,), [prospect.tensor], prospect.sample)
        return told

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        target = self.usual_target(model) if target is None else target
        resolution = resolve(target, model, feeds)
        inputs = Route.of(model, feeds, resolution)
        route = inputs.to(self.layer or inputs.usual())
        held = {name: np.stack([route.feeds[name]] * resolution.own) for name in route.names}
        nothing = np.zeros(len(route.samples), dtype=np.int64)
        told = provenance(self, model, feeds, Target.of(target)[0], {})
        return recorded(self.name(), route, Found(held, nothing, nothing), told, began)
