"""Attention relevance: attention weighted with the gradient of the target, followed through the layers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.autodiff.table import STANDARD
from xaionnx.explainers._attention import AttentionExplainer, Layers, stepped
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validated
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.dry_run import DryRun
from xaionnx.layers.path import LayerPath

# Samples whose attention is held at once.
_PIECE = 16


@final
@dataclass(frozen=True, kw_only=True)
class AttentionRelevance(AttentionExplainer):
    """How far attention to each token speaks for the target, through the layers l = 1 to L of an encoder::

        A'_l  = mean over the heads of max(0, df/dA_l * A_l)
        R_0   = I,    R_l = R_{l-1} + A'_l R_{l-1}
        value = row of R_L - I at the token that is read

    where A_l is the attention of layer l, (heads, T, T), and the row is that of the class token where the head reads
    it. Values are not below zero; they are relative, and do not add up to the target. The paper keeps the 1 that the
    token read begins with, which says nothing of the target; here it is taken off.

    Notes
    -----
    When to use: Transformer encoders, when the map should depend on the target; it costs one gradient.

    When not to use: Models without attention. It reads attention weights alone: what the values and the feed-forward
    layers do is left out, and the values do not sum to the target.

    References
    ----------
    Chefer, Gur and Wolf, Generic attention-model explainability for interpreting bi-modal and encoder-decoder
    transformers, ICCV 2021, arXiv:2103.15679, equations 1, 5 and 6.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.ones((1, 3, 12, 12), np.float32)
    >>> found = xaionnx.explain(planted.load(planted.attending()), x, AttentionRelevance(), target=[0, 2])
    >>> found.maps["tokens"].shape
    (2, 1, 3, 3)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    needs: ClassVar[str] = "gradient"
    reference: ClassVar[str] = "Chefer, Gur and Wolf 2021, arXiv:2103.15679"

    def check_layers(self, layers: Layers | None) -> dict[str, str | None]:
        if layers is not None:
            validated(DryRun.of(layers.model), layers.names, STANDARD)
        return {"gradient": "graph", "remark": None}

    def follow(self, layers: Layers) -> Attribution:
        request = layers.request
        count = len(request.samples)
        inputs = LayerPath.of(layers.model, request.feeds, layers.resolved, request.evaluations)
        slopes: TargetGradients | None = None
        found = []
        for first in range(0, count, _PIECE):
            last = min(count, first + _PIECE)
            pieces = list(layers.held(first, last))
            held = [np.concatenate(arrays) for arrays in zip(*(layers_ for _, layers_ in pieces), strict=True)]
            if slopes is None:
                # The gradient at the attention of the samples themselves, once that is known to be one to follow: no
                # point of it is chosen.
                slopes = TargetGradients(dataclasses.replace(inputs, names=layers.names), rules=STANDARD)
            targets, tokens = slopes.targets, held[0].shape[-1]
            begun = layers.begun(tokens)
            rows = np.empty((targets, last - first, tokens))
            sample = np.arange(last - first)
            target = np.repeat(np.arange(targets)[:, None], len(sample), axis=1)
            for some, which, gradients in slopes.at(first + sample, target, lambda _: {}):
                # Row t * n + k is target t at the k-th of these samples.
                every = np.tile(which, len(some))
                row = np.tile(begun, (len(every), 1))
                for name, attention in zip(reversed(layers.names), reversed(held), strict=True):
                    slope = gradients[name].astype(np.float64)
                    weighed = np.maximum(slope * attention[which], 0).mean(axis=2)
                    row = row + stepped(row, weighed.reshape(len(every), *weighed.shape[2:]))
                rows[np.repeat(some, len(which)), every] = row - begun
            found.append(rows)
        assert slopes is not None  # a batch has samples
        labels = list(slopes.source.approximations)
        return Attribution({"tokens": np.concatenate(found, axis=1)}, facts={"approximations": labels})
