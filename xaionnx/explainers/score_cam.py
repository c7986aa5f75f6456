"""Score-CAM: each channel weighs what the model makes of the picture seen through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import ParameterError
from xaionnx.explainers._cam import Seen
from xaionnx.explainers._channels import ChannelCamExplainer
from xaionnx.explainers._route import Route
from xaionnx.parameters import free
from xaionnx.perturb.baseline import Baseline

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True, kw_only=True)
class ScoreCam(ChannelCamExplainer):
    """The channels of a layer, each weighted by the target of the input masked with it::

        H_k = (U_k - min U_k) / (max U_k - min U_k)        U_k is A_k, enlarged to the input
        w = softmax over k of y(x * H_k + b * (1 - H_k))
        map = max(0, sum_k w_k A_k)

    The baseline b is zero in the model's own tensor, as in the paper, which shows the mean picture where inputs are
    normalised. The paper counts from the target at b, which the softmax takes off again. A channel that is the same at
    all places has the mask zero. Costs one run of the model a channel.

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

    baseline: Any = free(
        None,
        "a number, a name such as 'blur', an array or a Baseline",
        "what stands where a mask is zero: a number, zero, black, white, mean, blur[:sigma]",
    )

    def resolved(self) -> dict[str, Any]:
        return {"baseline": Baseline.of(self.baseline)}

    def part(self, seen: Seen) -> Route:
        return seen.whole

    def tried(self, seen: Seen, sample: Array, channel: Array) -> dict[str, Array]:
        main = seen.whole.samples[0].main
        x = seen.whole.feeds[main]
        drawn = {n: self._baseline(seen, int(n), main) for n in np.unique(sample)}
        put = np.stack([drawn[n] for n in sample])
        (layer,) = seen.route.names
        planes = seen.field.planes(seen.route.feeds[layer])
        large = seen.field.spread(planes[sample, channel], self.upsampling)
        axes = tuple(range(1, large.ndim))
        low, high = large.min(axis=axes, keepdims=True), large.max(axis=axes, keepdims=True)
        mask = (large - low) / np.where(high == low, 1, high - low)
        return {main: (put + mask * (x[sample] - put)).astype(x.dtype)}

    def weighed(self, values: Array, scores: Array) -> Array:
        grown = np.exp(values - values.max(axis=-1, keepdims=True))
        weights: Array = grown / grown.sum(axis=-1, keepdims=True)
        return weights

    def _baseline(self, seen: Seen, number: int, main: str) -> Array:
        drawn = Baseline.of(self.baseline).draws(seen.whole.samples[number], (main,), 0)[main]
        if len(drawn) != 1:
            raise ParameterError(
                f"The 'baseline' parameter of ScoreCam must be one for each sample. Got {len(drawn)} instead."
            )
        one: Array = drawn[0]
        return one
