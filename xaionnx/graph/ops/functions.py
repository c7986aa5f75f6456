"""Functions of one number."""

from __future__ import annotations

from xaionnx.graph.op import Broadcast, Kind, Op

_A, _F = Kind.ACTIVATION, Kind.FUNCTION

OPS = (
    Op("Relu", _A, rectifies=True, straight=True, not_negative=True),
    Op("LeakyRelu", _A, rectifies=True, straight=True),
    Op("PRelu", _A, broadcasts=Broadcast(), rectifies=True, straight=True),
    Op("ThresholdedRelu", _A, rectifies=True, straight=True),
    Op("Clip", _A, rectifies=True, straight=True, gate=1),
    Op("Elu", _A, rectifies=True),
    Op("Celu", _A, rectifies=True),
    Op("Selu", _A, rectifies=True),
    Op("HardSwish", _A, rectifies=True),
    Op("Shrink", _A, straight=True),
    Op("Sigmoid", _A, not_negative=True, gate=2),
    Op("HardSigmoid", _A, straight=True, not_negative=True, gate=2),
    Op("Tanh", _A, gate=1),
    Op("Erf", _A, gate=1),
    Op("Softplus", _A, not_negative=True),
    Op("Gelu", _A),
    Op("Swish", _A),
    Op("Mish", _A),
    Op("Abs", _F, straight=True, not_negative=True),
    Op("Exp", _F, not_negative=True),
    Op("Log", _F, scale_free=True, partial=True),
    Op("Sqrt", _F, partial=True, not_negative=True),
    Op("Reciprocal", _F, partial=True, gate=3),
    Op("Pow", _F, broadcasts=Broadcast(), scale_free=True, partial=True),
    Op("Sin", _F),
    Op("Cos", _F),
    Op("Tan", _F, partial=True),
    Op("Asin", _F, partial=True),
    Op("Acos", _F, partial=True),
    Op("Atan", _F),
    Op("Sinh", _F),
    Op("Cosh", _F, not_negative=True),
    Op("Asinh", _F),
    Op("Acosh", _F, partial=True),
    Op("Atanh", _F, partial=True),
    Op("Ceil", _F, straight=True),
    Op("Floor", _F, straight=True),
    Op("Round", _F, straight=True),
    Op("Sign", _F, straight=True),
)
