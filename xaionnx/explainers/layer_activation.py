"""Layer activation: the values of a layer at the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainer import Explainer
from xaionnx.explainers._gradients.gradient import input_path, with_facts
from xaionnx.explainers._gradients.several_layers import joined
from xaionnx.explanation import ValueKind
from xaionnx.layers.default_layer import default_layer
from xaionnx.parameters import as_names, names
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


@final
@dataclass(frozen=True, kw_only=True)
class LayerActivation(Explainer):
    """The values of a tensor inside the model at the input x::

        value = h(x)

    It explains no target; the prediction is only reported. Values have the shape of the layer.

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

    layer: str | Sequence[str] | None = names(
        "tensor to show, or several; the last map over the picture or series, else the tokens of the last "
        "attention, if not given"
    )

    def default_target(self, model: Model) -> Target | None:
        # The target is only reported, and an output that is a map has no top class.
        return Target.sum() if len(default_shape(model)) > 2 else None

    def check_model(self, dry_run: DryRun) -> dict[str, str | None]:
        if dry_run.sample is not None:
            default_layer(dry_run.model, (dry_run.sample.main,), [dry_run.tensor], dry_run.sample)
        return {}

    def compute(self, request: Request) -> Attribution:
        inputs = input_path(request)
        parts = {}
        for layer in as_names(self.layer) or (inputs.default_layer(),):
            path = inputs.to(layer)
            values = {name: np.stack([path.feeds[name]] * request.resolved.count) for name in path.names}
            parts[layer] = with_facts(path, Attribution(values))
        return joined(parts) if len(parts) > 1 else parts[layer]
