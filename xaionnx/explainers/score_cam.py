"""Score-CAM: each channel weighs what the model makes of the picture seen through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._cams.cam import CamExplainer, Seen
from xaionnx.explainers._cams.channels import ByChannel
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import integer
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import rounded
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, BaselineLike


@final
@dataclass(frozen=True, kw_only=True)
class ScoreCam(ByChannel, CamExplainer):
    """The channels of a layer, each weighted by the target of the input masked with it::

        H_k = (U_k - min U_k) / (max U_k - min U_k)        U_k is A_k, enlarged to the input
        w = softmax over k of y(x * H_k + b * (1 - H_k))
        map = max(0, sum_k w_k A_k)

    The baseline b is zero in the model's own tensor, as in the paper, which shows the mean picture where inputs are
    normalised. The paper counts from the target at b, which the softmax takes off again. A channel that is the same at
    all places has the mask zero. Costs one run of the model a channel.

    Raises
    ------
    UnsupportedModelError
        The input holds tokens or other whole numbers that are no picture, of which a mask leaves no part.

    Notes
    -----
    When to use: Class activation maps without gradients, for models with ops that have no rule.

    When not to use: Layers with many channels, because each one costs a run of the whole model; ``grad_cam`` finds much
    the same with one gradient.

    References
    ----------
    Wang, Wang, Du, Yang, Zhang, Ding, Mardziel and Hu, Score-CAM: score-weighted visual explanations for
    convolutional neural networks, CVPR workshops 2020, arXiv:1910.01279, algorithm 1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> found = xaionnx.explain(planted.load(planted.net_b()), x, ScoreCam(layer="relu1"), 0)
    >>> found.diagnostics["evaluations"]
    [3]
    """

    reference: ClassVar[str] = "Wang et al. 2020, arXiv:1910.01279"

    baseline: BaselineLike = baselines.parameter("replacement where a mask is zero")
    seed: int = integer(0, "seed of a baseline that is drawn", low=0, high=2**63 - 1)

    def chosen(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        if sample.array.dtype.kind != "f" and sample.picture_axes is None:
            raise UnsupportedModelError(
                f"Input '{sample.main}' of {model.name} holds whole numbers, such as tokens, of which a mask leaves no "
                "part: between two of them lies another. Use ablation_cam, which takes channels out of the layer."
            )
        return super().chosen(model, sample, tensors)

    def part(self, seen: Seen) -> LayerPath:
        return seen.whole

    def tried(self, seen: Seen, sample: Array, channel: Array) -> dict[str, Array]:
        main = seen.whole.samples[0].main
        x = seen.whole.feeds[main]
        drawn = {n: self._baseline(seen, int(n), main) for n in np.unique(sample)}
        # Differences of whole numbers may be below zero.
        wide = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
        put = np.stack([drawn[n] for n in sample]).astype(wide)
        (layer,) = seen.path.names
        planes = seen.field.planes(seen.path.feeds[layer])
        large = seen.field.spread(planes[sample, channel], self.upsampling)
        axes = tuple(range(1, large.ndim))
        low, high = large.min(axis=axes, keepdims=True), large.max(axis=axes, keepdims=True)
        mask = (large - low) / np.where(high == low, 1, high - low)
        return {main: rounded(put + mask * (x[sample] - put), x).astype(x.dtype)}

    def weighed(self, values: Array, scores: Array) -> Array:
        grown = np.exp(values - values.max(axis=-1, keepdims=True))
        weights: Array = grown / grown.sum(axis=-1, keepdims=True)
        return weights

    def _baseline(self, seen: Seen, number: int, main: str) -> Array:
        drawn = Baseline.of(self.baseline).draws(seen.whole.samples[number], (main,), self.seed)[main]
        if len(drawn) != 1:
            raise ParameterError(
                f"The 'baseline' parameter of ScoreCam must be one for each sample. Got {len(drawn)} instead."
            )
        one: Array = drawn[0]
        return one
