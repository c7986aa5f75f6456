"""Layer-wise relevance propagation: the target's value, redistributed layer by layer to the input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import ParameterError
from xaionnx.explainers._gradients.compilable import Emitted, Traced, total
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points, gradients
from xaionnx.explainers._gradients.propagation import Propagation
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import declared, flag, free, real
from xaionnx.typing import Document

if TYPE_CHECKING:
    from xaionnx.autodiff.lrp import Composite
    from xaionnx.autodiff.rule import Table
    from xaionnx.autodiff.stand_ins import Content
    from xaionnx.explanation import ValueKind
    from xaionnx.graph.builder import Builder
    from xaionnx.runtime.model import Model

# The bounds of the model's input.
_BOX = ("low", "high")


@final
@dataclass(frozen=True, kw_only=True)
class Lrp(Propagation, AtLayer, GradientExplainer):
    """Relevance, which each layer redistributes to its inputs in proportion to their contributions::

        R_i = sum_j  x_i w_ij / (z_j + s sgn(z_j))  R_j        z_j = sum_i x_i w_ij + b_j

    This is the epsilon rule. Other rules weight contributions differently (:mod:`xaionnx.autodiff.relevance` has the
    formulas), and a composite assigns rules to layers. ``composite`` is a name from
    :func:`xaionnx.autodiff.composites.names`, also listed in the command's help: one rule for all layers, such as
    ``epsilon``, or one for convolutions and another for other layers, such as ``epsilon_plus``; the endings ``_flat``
    and ``_box`` give the rule of the first layer; ``z_box`` is that rule in the first layer and z-plus in the others.
    It can also be your own :class:`xaionnx.autodiff.lrp.Composite`, which has its own parameters: those of the method
    apply to named composites only. The offset s is ``epsilon`` times the mean size of the layer's output, or
    ``epsilon`` itself if not ``relative``.

    With ``layer`` the values are the relevance of that tensor, and no layer after it counts as the first.

    Relevance starts with the target's value: its score, the scores of both classes for a margin, or the probability
    (the softmax then assigns each probability to its logit, with the normaliser treated as constant). Activations pass
    relevance through; max pooling assigns it to the maximum; residual sums redistribute it like a linear layer; gates
    and attention weights get none, and the deviations of normalisations are treated as constants (Ali et al. 2022, for
    transformers). LSTM, GRU and RNN are written out over time, and their gates get none either (Arras et al. 2017).
    :mod:`xaionnx.autodiff.lrp` has the full list; an op without a rule is an error.

    Diagnostics, for each target and sample:

    ``relevance``
        the sum of the values over all inputs;
    ``conservation_gap``
        that sum minus the target's value: the absorbed relevance with a negative sign;
    ``relative_gap``
        the size of the gap relative to the size of the target's value; infinity if only the latter is 0.

    Biases and the stabiliser absorb relevance. With z-plus, so does every output without a positive contribution: its
    value comes from its bias, which absorbs all its relevance. This is frequent for filters with few weights, as in
    depthwise convolutions: in EfficientNet-Lite0 on a photograph of a cat the last of them absorbs 70 % of the score.

    Notes
    -----
    When to use: Deep networks, when contributions should be less grainy than gradients at the cost of about one
    gradient; ``epsilon_plus`` suits convolutional networks, ``epsilon`` transformers.

    When not to use: When the values must not depend on a choice: composites give different values, so name the one
    used. Models with ops that have no relevance rule. With ``epsilon_plus`` biases can absorb most of the score, as in
    networks with depthwise convolutions; read ``relative_gap``.

    References
    ----------
    Bach, Binder, Montavon, Klauschen, Müller and Samek, On pixel-wise explanations for non-linear classifier decisions
    by layer-wise relevance propagation, PLoS ONE 10(7), 2015, doi:10.1371/journal.pone.0130140.
    Montavon, Binder, Lapuschkin, Samek and Müller, Layer-wise relevance propagation: an overview, LNCS 11700, 2019,
    doi:10.1007/978-3-030-28954-6_10.
    Arras, Montavon, Müller and Samek, Explaining recurrent neural network predictions in sentiment analysis, WASSA
    2017, arXiv:1706.07206.
    Ali, Schnake, Eberle, Montavon, Müller and Wolf, XAI for transformers: better explanations through conservative
    propagation, ICML 2022, arXiv:2202.07304.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.float32([[1, 2, 3]])
    >>> xaionnx.explain(planted.load(planted.net_g()), x, "lrp", 0, composite="epsilon").values.round(3)
    array([[18., 36., 54.]], dtype=float32)
    >>> from xaionnx.autodiff.lrp import Composite
    >>> from xaionnx.autodiff.relevance import Gamma
    >>> own = Lrp(composite=Composite({"first": Gamma(1.0), "*": Gamma(0.25)}))
    >>> xaionnx.explain(planted.load(planted.net_g(negative=True)), x, own, 0).values.round(3)
    array([[ 9.333, 34.667, 52.   ]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    reference: ClassVar[str] = "Bach et al. 2015, doi:10.1371/journal.pone.0130140"

    composite: str | Composite = free(
        "epsilon_plus",
        "the name of a composite, or a Composite",
        lambda: f"which rule each layer follows: {_composite_help()}",
        optional=False,
    )
    epsilon: float = real(1e-6, "stabilises the denominators of a named composite", low=0.0)
    relative: bool = flag(True, "epsilon as a share of the mean size of a layer's output; False adds it as it is")
    gamma: float = real(0.25, "extra weight of contributions with the sign of the output, in gamma rules", low=0.0)
    low: float | None = real(None, "lowest input value, for z-box; black in the InputSpec if None", optional=True)
    high: float | None = real(None, "highest input value, for z-box; white in the InputSpec if None", optional=True)

    def check_parameters(self) -> None:
        if isinstance(self.composite, str):
            from xaionnx.autodiff.composites import check_name

            check_name(self.composite)
        for name, used in self._used_parameters().items():
            given, usual = getattr(self, name), declared(type(self))[name][1]
            if not used and given != usual:
                where = " at a layer" if name in _BOX and self.layer is not None else ""
                own = f"'{self.composite}'" if isinstance(self.composite, str) else type(self.composite).__name__
                raise ParameterError(
                    f"The '{name}' parameter of Lrp must be left out for composite={own}{where}, which does not use "
                    f"it. Got {given!r}."
                )
        if self.low is not None and self.high is not None:
            from xaionnx.autodiff.relevance import check_box

            check_box("Lrp", self.low, self.high)

    def resolved_parameters(self) -> Document:
        # None for parameters that the composite does not use.
        return {name: getattr(self, name) if used else None for name, used in self._used_parameters().items()}

    def _used_parameters(self) -> dict[str, bool]:
        """Whether the composite uses each parameter; the box applies to the first layer only."""
        from xaionnx.autodiff.composites import parameters_of

        known = parameters_of(self.composite) if isinstance(self.composite, str) else frozenset()
        return {
            **{name: name in known for name in ("epsilon", "relative", "gamma")},
            **{name: name in known and self.layer is None for name in _BOX},
        }

    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.lrp import table

        return table(self._composite(model))

    def _composite(self, model: Model) -> Composite:
        if not isinstance(self.composite, str):
            return self.composite if self.layer is None else self.composite.without_first()
        from xaionnx.autodiff.composites import Choices, composite

        boxed = self._used_parameters()["low"]
        low, high = (
            _bound(model, shade) if given is None and boxed else given
            for given, shade in ((self.low, 0), (self.high, 255))
        )
        choices = Choices(self.epsilon, self.relative, self.gamma, low, high)
        return composite(self.composite, choices, first=self.layer is None)

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        result = gradients(target_gradients, points)
        relevance = sum(v.sum(axis=tuple(range(2, v.ndim)), dtype=np.float64) for v in result.values.values())
        gap, size = relevance - points.values, np.abs(points.values)
        relative = np.divide(np.abs(gap), size, out=np.where(gap == 0, 0.0, np.inf), where=size > 0)
        diagnostics = {"relevance": relevance, "conservation_gap": gap, "relative_gap": relative}
        return replace(result, diagnostics=diagnostics, facts={**result.facts, "adds_up_to": "target"})

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        relevance = total(g, traced.gradients, traced.target)
        gap = g.op("Sub", relevance, traced.target)
        return Emitted(traced.gradients, {"relevance": relevance, "conservation_gap": gap})


def _composite_help() -> str:
    from xaionnx.autodiff.composites import words

    return words()


def _bound(model: Model, shade: int) -> Content | None:
    """The tensor values of a gray pixel as nested tuples; None without an InputSpec of pictures."""
    spec = model.spec
    return None if spec is None or spec.kind != "picture" else _as_tuples(spec.pixel(shade).tolist())


def _as_tuples(values: float | list[float] | list[list[float]] | list[list[list[float]]]) -> Content:
    return tuple(_as_tuples(value) for value in values) if isinstance(values, list) else values
