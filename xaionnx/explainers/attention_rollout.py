"""Attention rollout: how much of each token reaches those that the head reads, if attention were all there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._attention import AttentionExplainer, Layers, stepped
from xaionnx.explanation import ValueKind
from xaionnx.parameters import choice, real
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array

_FUSED: dict[str, Callable[..., Array]] = {"mean": np.mean, "max": np.max, "min": np.min}


@final
@dataclass(frozen=True, kw_only=True)
class AttentionRollout(AttentionExplainer):
    """The share of each token in those that the head reads, attention multiplied through the layers 1 to L::

        A_l   = fuse over the heads of the attention of layer l      (T, T)
        B_l   = A_l + I, each row divided by its sum                 the residual connection
        value = row of B_L ... B_2 B_1 at the token that is read

    It is not class specific: every target has the same values, none below zero, which with those of tokens without a
    place, such as the class token, add up to 1. What the values of attention and the layers between do is left out.

    With ``discard`` above 0 that share of the T x T numbers of each A_l, the smallest, is set to zero first; numbers
    equal to the smallest that stays are kept. The paper takes the mean of the heads and discards none.

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

    heads: str = choice("mean", ("mean", "max", "min"), "how the heads of a layer join")
    discard: float = real(0.0, "share of the smallest attention of each layer that is left out", low=0, high=0.999)

    def default_target(self, model: Model) -> Target | None:
        # A target is only told of here, and a map has no top class.
        return Target.sum() if len(model.output().shape) > 2 else None

    def follow(self, layers: Layers) -> Attribution:
        found: list[Array] = []
        for _, held in layers.held(0, len(layers.request.samples)):
            row = np.tile(layers.begun(held[0].shape[-1]), (len(held[0]), 1))
            for attention in reversed(held):
                row = stepped(row, self._mixing(attention.astype(np.float64)))
            found.append(row)
        return Attribution({"tokens": np.stack([np.concatenate(found)] * layers.resolved.count)})

    def _mixing(self, attention: Array) -> Array:
        """What a layer takes from where, (n, T, T), of its attention (n, heads, T, T)."""
        fused = _FUSED[self.heads](attention, axis=1)
        flat = fused.reshape(len(fused), -1)
        left_out = int(self.discard * flat.shape[1])
        if left_out:
            least = np.partition(flat, left_out, axis=1)[:, left_out]
            fused = np.where(fused < least[:, None, None], 0.0, fused)
        mixed = fused + np.eye(fused.shape[-1])
        return np.asarray(mixed / mixed.sum(axis=-1, keepdims=True))
