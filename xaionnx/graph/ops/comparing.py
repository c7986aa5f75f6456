"""Ops that compare numbers, or join answers of comparisons, element by element."""

from __future__ import annotations

from xaionnx.graph.dependence import ElementStep, Operands, broadcast_elements
from xaionnx.graph.op import Kind, Op


def _cast_like_elements(step: ElementStep) -> Operands:
    """The same elements of the first operand; of the other, the type."""
    return Operands({0: step.elements})


OPS = (
    *(
        Op(name, Kind.OTHER, elements=broadcast_elements)
        for name in (
            "IsNaN", "IsInf", "Not", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor",
        )
    ),
    Op("CastLike", Kind.OTHER, elements=_cast_like_elements),
)  # fmt: skip
