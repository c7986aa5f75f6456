"""Attention rollout: the share of each token in those that the head reads, from attention weights alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._attention import AttentionExplainer, AttentionLayers, multiply_rows
from xaionnx.explanation import ValueKind
from xaionnx.parameters import choice, real
from xaionnx.runtime.model import Model
from xaionnx.targets.language import writes_text
from xaionnx.targets.scores import default_shape
from xaionnx.targets.target import Target
from xaionnx.typing import Array

_FUSE: dict[str, Callable[..., Array]] = {"mean": np.mean, "max": np.max, "min": np.min}


@final
@dataclass(frozen=True, kw_only=True)
class AttentionRollout(AttentionExplainer):
    """The share of each token in those that the head reads, by multiplying attention over the layers 1 to L::

        A_l   = fuse over the heads of the attention of layer l      (T, T)
        B_l   = A_l + I, each row divided by its sum                 the residual connection
        value = row of B_L ... B_2 B_1 at the token that is read

    It is not class specific: every target has the same values. They are non-negative and, together with tokens outside
    the input such as the class token, sum to 1. The value projections and the layers in between are ignored.

    With ``discard`` above 0, that share of the T x T weights of each A_l, the smallest, is set to zero first; ties with
    the smallest remaining weight are kept. The paper averages the heads and discards none.

    Notes
    -----
    When to use: A first look at where the attention of an encoder goes, without gradients.

    When not to use: To explain a class, because every target gets the same map. In deep encoders the map is often
    nearly flat.

    References
    ----------
    Abnar and Zuidema, Quantifying attention flow in transformers, ACL 2020, arXiv:2005.00928, equation 1.
    Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, arXiv:2010.11929, appendix D.8, which shows it on
    pictures.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.ones((1, 3, 12, 12), np.float32)
    >>> found = xaionnx.explain(planted.load(planted.attending()), x, AttentionRollout())
    >>> found.maps["tokens"].shape
    (1, 3, 3)
    """

    value_kind: ClassVar[ValueKind] = "attention"
    needs: ClassVar[str] = "activation"
    reference: ClassVar[str] = "Abnar and Zuidema 2020, arXiv:2005.00928"

    heads: str = choice("mean", ("mean", "max", "min"), "how the heads of a layer are combined")
    discard: float = real(0.0, "share of the smallest attention of each layer that is left out", low=0, high=0.999)

    def default_target(self, model: Model) -> Target | None:
        # The target only says which tokens are read, and an output that is a map has no top class.
        return Target.sum() if len(default_shape(model)) > 2 and not writes_text(model) else None

    def follow(self, layers: AttentionLayers) -> Attribution:
        blocks: list[Array] = []
        for samples, weights in layers.batches(0, len(layers.request.samples)):
            mixing = [self._mixing(attention.astype(np.float64)) for attention in reversed(weights)]
            rows, known = list[Array](), dict[bytes, Array]()
            for start in layers.start_rows(weights[0].shape[-1])[:, samples]:
                # Most targets are read at the same tokens.
                key = start.tobytes()
                if key not in known:
                    known[key] = functools.reduce(multiply_rows, mixing, start)
                rows.append(known[key])
            blocks.append(np.stack(rows))
        return Attribution({"tokens": np.concatenate(blocks, axis=1)})

    def _mixing(self, attention: Array) -> Array:
        """The mixing matrix (n, T, T) of a layer, from its attention weights (n, heads, T, T)."""
        fused = _FUSE[self.heads](attention, axis=1)
        flat = fused.reshape(len(fused), -1)
        left_out = int(self.discard * flat.shape[1])
        if left_out:
            threshold = np.partition(flat, left_out, axis=1)[:, left_out]
            fused = np.where(fused < threshold[:, None, None], 0.0, fused)
        mixed = fused + np.eye(fused.shape[-1])
        return np.asarray(mixed / mixed.sum(axis=-1, keepdims=True))
