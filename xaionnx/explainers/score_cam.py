"""Score-CAM: the channels of a layer, weighted by the target of the input masked with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._cams.cam import CamExplainer, LayerView
from xaionnx.explainers._cams.channels import ByChannel
from xaionnx.layers.embeddings import has_tokens
from xaionnx.layers.path import LayerPath
from xaionnx.parameters import random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import rounded
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, BaselineLike


@final
@dataclass(frozen=True, kw_only=True)
class ScoreCam(ByChannel, CamExplainer):
    """The channels of a layer, weighted by the target of the input masked with each::

        H_k = (U_k - min U_k) / (max U_k - min U_k)        U_k is A_k upsampled to the input w = softmax over k of y(x *
        H_k + b * (1 - H_k)) map = max(0, sum_k w_k A_k)

    The baseline b is zero in the model's input, as in the paper; for normalised inputs this is the mean picture. The
    paper subtracts the target at b, which cancels in the softmax. A constant channel has a mask of zero. It costs one
    run of the model per channel.

    Raises
    ------
    UnsupportedModelError
        The input consists of integers that are not a picture, such as tokens, which a mask cannot scale.

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
    seed: int = random_seed("seed of a random baseline")

    def check_use(self, model: Model, layer: str, sample: Sample, tensors: list[str]) -> None:
        found = sample.positions()
        if has_tokens(model) and (found is None or not (found.is_picture or found.is_volume)):
            raise UnsupportedModelError(
                f"Input '{sample.main}' of {model.name} holds whole numbers, such as tokens, which a mask cannot "
                "scale. Use ablation_cam, which removes channels of the layer."
            )

    def part(self, view: LayerView) -> LayerPath:
        return view.whole

    def channel_inputs(self, view: LayerView, sample: Array, channel: Array) -> dict[str, Array]:
        main = view.whole.samples[0].main
        x = view.whole.feeds[main]
        baselines_by_sample = {n: self._baseline(view, int(n), main) for n in np.unique(sample)}
        # Differences of unsigned integers may be negative.
        wide = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
        baseline = np.stack([baselines_by_sample[n] for n in sample]).astype(wide)
        (layer,) = view.path.names
        planes = view.field.planes(view.path.feeds[layer])
        large = view.field.spread(planes[sample, channel], self.upsampling)
        axes = tuple(range(1, large.ndim))
        low, high = large.min(axis=axes, keepdims=True), large.max(axis=axes, keepdims=True)
        mask = (large - low) / np.where(high == low, 1, high - low)
        return {main: rounded(baseline + mask * (x[sample] - baseline), x).astype(x.dtype)}

    def channel_weights(self, values: Array, scores: Array) -> Array:
        exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
        weights: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
        return weights

    def _baseline(self, view: LayerView, number: int, main: str) -> Array:
        baselines_drawn = Baseline.of(self.baseline).draws(view.whole.samples[number], (main,), self.seed)[main]
        if len(baselines_drawn) != 1:
            raise ParameterError(
                f"The 'baseline' parameter of ScoreCam must be one for each sample. Got {len(baselines_drawn)} instead."
            )
        baseline: Array = baselines_drawn[0]
        return baseline
