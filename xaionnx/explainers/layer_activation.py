"""Layer activation: what a layer holds at the input."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from xaionnx.explainer import Explainer, provenance
from xaionnx.explainers._gradients.gradient import Found, recorded
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import name
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import resolve
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class LayerActivation(Explainer):
    """What a tensor inside the model holds at the input x::

        value = h(x)

    It explains no target; the prediction is told beside it. Values have the layer's shape.

    Notes
    -----
    When to use: To look at what a layer computes, or to pass it on to an analysis of your own.

    When not to use: To explain a decision: it depends on no target.

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

    value_kind: ClassVar[ValueKind] = "activation"
    needs: ClassVar[str] = "activation"
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"

    layer: str | None = name(
        "tensor to show; the last map over the picture or series, else the tokens of the last attention, if not given"
    )

    def default_target(self, model: Model) -> Target | None:
        # A target is only told of here, and a map has no top class.
        return Target.sum() if len(model.output().shape) > 2 else None

    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        told = super().validate(dry_run)
        if dry_run.sample is not None:
            default_layer(dry_run.model, (dry_run.sample.main,), [dry_run.tensor], dry_run.sample)
        return told

    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        began = time.perf_counter()
        feeds = model.check(x)
        target = self.default_target(model) if target is None else target
        resolution = resolve(target, model, feeds)
        inputs = LayerPath.of(model, feeds, resolution)
        route = inputs.to(self.layer or inputs.usual())
        held = {name: np.stack([route.feeds[name]] * resolution.own) for name in route.names}
        nothing = np.zeros(len(route.samples), dtype=np.int64)
        told = provenance(self, model, feeds, Target.of(target)[0], {})
        return recorded(self.name(), route, Found(held, nothing, nothing), told, began)
