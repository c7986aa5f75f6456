"""Rules of layer-wise relevance propagation for linear layers, as data.

A linear layer computes ``z_j = sum_i x_i w_ij + b_j``, and a rule propagates the relevance ``R_j`` of its outputs to
its inputs. Every rule is a list of *terms*, each with a stand-in for the input, the weights and the bias::

    R_i = sum over terms of  t x_i * sum_j w_ij * R_j / z_j        with  z = sum over terms of  t (x w + b)

where x, w, b are a term's stand-ins and t is its sign. The inner sum is the derivative of the layer on its stand-ins,
so the standard gradient rule of each op suffices: the layer is emitted again for each term, and its gradient rule is
applied. A layer whose operands a term does not change is not emitted again.

The denominator is stabilised: ``z + s sgn(z)`` with sgn(0) = 1, and 1 where that is 0. The offset is ``s = epsilon
mean|z|``, the mean over a sample, so that it means the same in every layer; with ``relative=False`` it is ``epsilon``
itself, as in the papers.

A bias is an input of value 1, which keeps its relevance: relevance absorbed by biases and the stabiliser is missing
from the sum.

References
----------
Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance propagation, PLoS
ONE 10(7), 2015, doi:10.1371/journal.pone.0130140 (epsilon, alpha-beta).
Montavon et al., Explaining nonlinear classification decisions with deep Taylor decomposition, Pattern Recognition 65,
2017, doi:10.1016/j.patcog.2016.11.008 (z-plus, z-box, w-square).
Montavon et al., Layer-wise relevance propagation: an overview, in: Explainable AI, LNCS 11700, 2019,
doi:10.1007/978-3-030-28954-6_10 (gamma, composites).
Andéol et al., Learning domain invariant representations by joint Wasserstein distance minimization, Neural Networks
167, 2023, doi:10.1016/j.neunet.2023.07.028 (gamma for inputs and outputs of both signs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient
from xaionnx.autodiff.stand_ins import Bound, Content, Ones, Signed, Square, StandIn
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import ParameterError
from xaionnx.parameters import check_all, flag, free, real

_CONTENT = "a number, or nested tuples of numbers"

ALL, POSITIVE, NEGATIVE, NONE = Signed(), Signed(1, 0), Signed(0, 1), Signed(0, 0)


@final
@dataclass(frozen=True)
class Term:
    """Stand-ins for the input, the weights and the bias of a layer."""

    x: StandIn = ALL
    w: StandIn = ALL
    b: StandIn = ALL
    sign: int = 1


@final
@dataclass(frozen=True)
class Share:
    """Terms that share ``factor`` of the relevance: of all outputs, or of those above zero (``above``) or not above."""

    terms: tuple[Term, ...]
    factor: float = 1.0
    above: bool | None = None


# Contributions above and below zero: x w is above zero if x and w have the same sign.
_ABOVE = (Term(POSITIVE, POSITIVE, POSITIVE), Term(NEGATIVE, NEGATIVE, NONE))
_BELOW = (Term(POSITIVE, NEGATIVE, NEGATIVE), Term(NEGATIVE, POSITIVE, NONE))


def _stabiliser() -> float:
    # A new field for each class: in Epsilon it is positional.
    return real(1e-6, "stabilises the denominator", low=0.0)


@dataclass(frozen=True, kw_only=True)
class LinearRule(ABC):
    """How a linear layer propagates relevance to its inputs.

    Parameters
    ----------
    epsilon : float
        Stabilises the denominator.
    relative : bool
        Whether ``epsilon`` is relative to the mean absolute output of the layer, or absolute.

    Raises
    ------
    ParameterError
        A parameter is outside of its interval.
    """

    epsilon: float = _stabiliser()
    relative: bool = flag(True, "take epsilon relative to the mean absolute output of the layer")

    def __post_init__(self) -> None:
        check_all(self)

    @abstractmethod
    def shares(self) -> tuple[Share, ...]:
        """Return the terms of the rule."""

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        """Return the relevance of the needed inputs; one of the first two inputs that is not needed is the weights."""
        relevance = cotangents[0]
        if relevance is None:
            return [None] * len(node.inputs)
        found: list[list[ir.Value]] = [[] for _ in node.inputs]
        for share in self.shares():
            made = [(term, layer) for term in share.terms if (layer := _layer_on(g, node, term, needed)) is not None]
            if not made:
                continue
            outputs = [_with_sign(g, layer.outputs[0], term) for term, layer in made]
            z = outputs[0] if len(outputs) == 1 else g.op("Sum", *outputs)
            part = g.op("Div", relevance, self.stabilise(g, z, node.outputs[0]))
            if share.factor != 1:
                part = g.op("Mul", part, share.factor)
            if share.above is not None:
                above = g.op("Greater", node.outputs[0], 0.0)
                part = g.op("Where", above, *((part, 0.0) if share.above else (0.0, part)))
            for term, layer in made:
                gradients = STANDARD[node.op_type](g, layer, [part] + [None] * (len(layer.outputs) - 1), needed)
                for index, (x, gradient) in enumerate(zip(layer.inputs, gradients, strict=False)):
                    if needed[index] and x is not None and gradient is not None:
                        found[index].append(_with_sign(g, g.op("Mul", x, gradient), term))
        return [None if not parts else parts[0] if len(parts) == 1 else g.op("Sum", *parts) for parts in found]

    def stabilise(self, g: GradientBuilder, z: ir.Value, like: ir.Value) -> ir.Value:
        """Return ``z``, of the shape of ``like``, as a denominator that is not zero."""
        if self.epsilon:
            kind = z.dtype or ir.DataType.FLOAT
            offset = g.constant(np.asarray(self.epsilon, dtype=kind.numpy()), kind)
            if self.relative:
                size, shape = g.op("Abs", z), g.shape(like)
                # Do not average over samples, the axis that varies with the batch, or else the first.
                own = [axis for axis, count in enumerate(shape) if count is not None and (axis or None in shape)]
                if own:
                    size = g.op("ReduceMean", size, g.ints(*own), keepdims=1)
                offset = g.op("Mul", size, offset)
            z = g.op("Add", z, g.op("Where", g.op("Less", z, 0.0), g.op("Neg", offset), offset))
            if not self.relative:
                return z
        return g.op("Where", g.op("Equal", z, 0.0), 1.0, z)


@final
@dataclass(frozen=True)
class Epsilon(LinearRule):
    """``R_i = sum_j x_i w_ij / z_j R_j``: Bach et al. 2015, eq. 58; with epsilon 0, eq. 56."""

    epsilon: float = _stabiliser()

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(),)),)


@final
@dataclass(frozen=True)
class Gamma(LinearRule):
    """Contributions of the sign of z_j count 1 + gamma times: Montavon et al. 2019, and Andéol et al. for any signs.

    For inputs and outputs not below zero, ``x_i (w_ij + gamma max(w_ij, 0))`` over its sum. If z_j is below zero,
    contributions below zero are favoured, so that the denominator is never smaller than z_j in absolute value.
    """

    gamma: float = real(0.25, "extra weight of contributions with the sign of the output", low=0.0)

    def shares(self) -> tuple[Share, ...]:
        up, down = Signed(1 + self.gamma, 1), Signed(1, 1 + self.gamma)
        return (
            Share((Term(POSITIVE, up, up), Term(NEGATIVE, down, NONE)), above=True),
            Share((Term(POSITIVE, down, down), Term(NEGATIVE, up, NONE)), above=False),
        )


@final
@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """``alpha`` times the shares above zero minus ``beta`` times those below: Bach et al. 2015, eq. 60.

    Raises
    ------
    ParameterError
        ``alpha - beta`` is not 1, so that relevance would not be conserved.
    """

    alpha: float = real(2.0, "the weight of contributions above zero", low=1.0)
    beta: float = real(1.0, "the weight of contributions below zero", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise ParameterError(
                "The parameters of AlphaBeta must be such that alpha - beta = 1. "
                f"Got alpha {self.alpha:g} and beta {self.beta:g} instead."
            )

    def shares(self) -> tuple[Share, ...]:
        above = Share(_ABOVE, self.alpha)
        return (above, Share(_BELOW, -self.beta)) if self.beta else (above,)


@final
@dataclass(frozen=True)
class ZPlus(LinearRule):
    """``max(x_i w_ij, 0)`` over its sum: Montavon et al. 2017, eq. 11.

    Like alpha 1 and beta 0, but biases get nothing: relevance is conserved wherever there are contributions.
    """

    def shares(self) -> tuple[Share, ...]:
        return (Share(tuple(replace(term, b=NONE) for term in _ABOVE)),)


@final
@dataclass(frozen=True)
class ZBox(LinearRule):
    """``x_i w_ij - l_i max(w_ij, 0) - h_i min(w_ij, 0)`` over its sum, for inputs in [l, h].

    Montavon et al. 2017, eq. 13.
    ``low`` and ``high`` are bounds of the model's input: numbers, or nested tuples that broadcast against a sample.

    Raises
    ------
    ParameterError
        ``low`` does not lie below ``high``.
    """

    low: Content = free(0.0, _CONTENT, "the input's least value", optional=False)
    high: Content = free(1.0, _CONTENT, "the input's greatest value", optional=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_box("ZBox", self.low, self.high)

    def shares(self) -> tuple[Share, ...]:
        low, high = (Bound(self.low, self.high, greatest) for greatest in (False, True))
        return (Share((Term(b=NONE), Term(low, POSITIVE, NONE, -1), Term(high, NEGATIVE, NONE, -1))),)


def check_box(owner: str, low: Content, high: Content) -> None:
    """Raise ParameterError unless one bound of the input lies below the other everywhere."""
    if not np.all(np.less(low, high)):
        raise ParameterError(f"The 'low' parameter of {owner} must lie below 'high', {high}. Got {low} instead.")


@final
@dataclass(frozen=True)
class WSquare(LinearRule):
    """``w_ij ** 2`` over its sum, whatever the input: Montavon et al. 2017, eq. 12."""

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(Ones(), Square(), NONE),)),)


@final
@dataclass(frozen=True)
class Flat(LinearRule):
    """Equal shares for all inputs of an output: Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4."""

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(Ones(), Ones(), NONE),)),)


@final
@dataclass(frozen=True)
class Pass(LinearRule):
    """All relevance of an output to its own input, for batch normalisation: shift and stabiliser keep nothing.

    It is what zennit does at a batch normalisation that no convolution takes up.
    """

    def shares(self) -> tuple[Share, ...]:
        return ()

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> list[Gradient]:
        if node.op_type != "BatchNormalization":
            raise g.refusal(node, "the rule Pass is for BatchNormalization, whose outputs have one input each")
        return [cotangents[0] if needed[0] else None] + [None] * (len(node.inputs) - 1)


def _layer_on(g: GradientBuilder, node: ir.Node, term: Term, needed: Sequence[bool]) -> ir.Node | None:
    """The layer on a term's stand-ins: the node itself if they change nothing, None if its output is zero."""
    operands: list[ir.Value | None] = []
    for index, value in enumerate(node.inputs):
        role = term.b if index > 1 else term.x if needed[index] else term.w
        made = None if value is None else _stand_in(g, role, value)
        # An operand that the node omits, such as the region of Resize, is not a stand-in that is zero.
        if made is None and value is not None and index < 2:
            return None
        operands.append(made)
    while operands[-1] is None:
        operands.pop()
    same = len(operands) == len(node.inputs) and all(a is b for a, b in zip(operands, node.inputs, strict=True))
    return node if same else g.emit_again(node, *operands)


def _stand_in(g: GradientBuilder, role: StandIn, value: ir.Value) -> ir.Value | None:
    if isinstance(role, Signed) and g.signs.never_negative(value):
        if role.positive == 1:
            return value
        if not role.positive:
            return None
    return role.of(g, value)


def _with_sign(g: GradientBuilder, value: ir.Value, term: Term) -> ir.Value:
    return g.op("Neg", value) if term.sign < 0 else value
