"""Attention relevance: attention weighted with the gradient of the target, followed through the layers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.autodiff.table import STANDARD
from xaionnx.explainers._attention import AttentionExplainer, AttentionLayers, multiply_rows
from xaionnx.explanation import ValueKind
from xaionnx.gradients.choice import validate_source
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.dry_run import DryRun
from xaionnx.layers.path import LayerPath

# Samples whose attention weights are in memory at once.
_PIECE = 16


@final
@dataclass(frozen=True, kw_only=True)
class AttentionRelevance(AttentionExplainer):
    """How much attention to each token raises the target, through the layers l = 1 to L of an encoder::

        A'_l  = mean over the heads of max(0, df/dA_l * A_l)
        R_0   = I,    R_l = R_{l-1} + A'_l R_{l-1}
        value = row of R_L - I at the token that is read

    where A_l is the attention of layer l, (heads, T, T), and the row is that of the class token if the head reads it.
    Values are non-negative and relative; they do not sum to the target. The paper keeps the initial 1 of the token that
    is read, which does not depend on the target; here it is subtracted.

    Notes
    -----
    When to use: Transformer encoders, when the map should depend on the target; it costs one gradient.

    When not to use: Models without attention. It reads attention weights alone: the value projections and the
    feed-forward layers are ignored, and the values do not sum to the target.

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

    def check_layers(self, layers: AttentionLayers | None) -> dict[str, str | None]:
        if layers is not None:
            validate_source(DryRun.of(layers.model), layers.names, STANDARD)
        return {"gradient": "graph", "remark": None}

    def follow(self, layers: AttentionLayers) -> Attribution:
        request = layers.request
        count = len(request.samples)
        inputs = LayerPath.of(layers.model, request.feeds, layers.resolved, request.evaluations)
        target_gradients: TargetGradients | None = None
        blocks = []
        for first in range(0, count, _PIECE):
            last = min(count, first + _PIECE)
            pieces = list(layers.batches(first, last))
            weights = [np.concatenate(arrays) for arrays in zip(*(layers_ for _, layers_ in pieces), strict=True)]
            if target_gradients is None:
                # Gradients are taken at the attention of the samples, and built only after the layers are checked.
                target_gradients = TargetGradients(dataclasses.replace(inputs, names=layers.names), rules=STANDARD)
            targets, tokens = target_gradients.targets, weights[0].shape[-1]
            starts = layers.start_rows(tokens)[:, first:last]
            rows = np.empty((targets, last - first, tokens))
            sample = np.arange(last - first)
            target = np.repeat(np.arange(targets)[:, None], len(sample), axis=1)
            for numbers, which, gradients in target_gradients.at(first + sample, target, lambda _: {}):
                # Row t * n + k is the t-th of these targets for the k-th of these samples.
                read = np.repeat(numbers, len(which)), np.tile(which, len(numbers))
                row = starts[read]
                for name, attention in zip(reversed(layers.names), reversed(weights), strict=True):
                    slope = gradients[name].astype(np.float64)
                    relevance = np.maximum(slope * attention[which], 0).mean(axis=2)
                    row = row + multiply_rows(row, relevance.reshape(len(row), *relevance.shape[2:]))
                rows[read] = row - starts[read]
            blocks.append(rows)
        assert target_gradients is not None  # a batch has samples
        labels = list(target_gradients.source.approximations)
        return Attribution({"tokens": np.concatenate(blocks, axis=1)}, facts={"approximations": labels})
