"""Einsum: a sum of products, whose equation says which axes of the operands those of the output are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.graph.axis_factors import AxisFactor, Layout
from xaionnx.graph.dependence import Elements, ElementStep, Entries, Operands
from xaionnx.graph.einsum_letters import EinsumLetters
from xaionnx.graph.op import Kind, Op
from xaionnx.graph.roles import FixedRoles, Role

if TYPE_CHECKING:
    from xaionnx.graph.axis_propagation import AxisStep


def _letters(equation: object, shapes: Sequence[Sequence[int] | None]) -> EinsumLetters | None:
    """The letters for operands of these shapes; None if one is unknown."""
    ranks = [len(shape) for shape in shapes if shape is not None]
    return EinsumLetters.of(str(equation), ranks) if len(ranks) == len(shapes) else None


def _axes(step: AxisStep) -> Layout | None:
    """Each axis is that of the first operand with positions that has its letter, and is not of size 1 there."""
    shapes = [step.sizes(name) for name in step.node.input]
    letters = _letters(step.attributes["equation"], shapes)
    if letters is None:
        return None
    found = []
    for at, letter in enumerate(letters.output):
        axes = [
            (sizes[own.index(letter)] == 1, step.operand(index)[own.index(letter)])
            for index, (own, sizes) in enumerate(zip(letters.operands, shapes, strict=True))
            if letter in own and step.operand(index) and sizes is not None
        ]
        found.append(min(axes, key=lambda one: one[0])[1] if axes else (AxisFactor("C", step.size(at)),))
    return tuple(found)


def _elements(step: ElementStep) -> Operands | None:
    """Entries along the letters of the output, and all along the others, which are summed over."""
    shapes = [step.shape(index) for index in range(len(step.node.input))]
    letters = _letters(step.attributes["equation"], shapes)
    if letters is None or step.elements is None:
        return None
    wanted = dict(zip(letters.output, step.elements, strict=True))

    def entries(letter: str, size: int) -> Entries:
        read = wanted.get(letter)
        # Along an axis of size 1 the operand is broadcast.
        return read if read is None or size == len(read) else np.array([read.any()])

    found: dict[int, Elements] = {
        index: tuple(entries(letter, size) for letter, size in zip(own, shape, strict=True))
        for index, (own, shape) in enumerate(zip(letters.operands, shapes, strict=True))
        if shape is not None
    }
    return Operands(found)


def _roles(step: AxisStep) -> FixedRoles:
    """Axes that are summed over hold features; where data are multiplied by data, axes of one alone count tokens."""
    letters = _letters(step.attributes["equation"], [step.sizes(name) for name in step.node.input])
    if letters is None:
        return FixedRoles({}, firm=False)
    computed = [index for index in range(len(letters.operands)) if step.operand(index)]
    found = {}
    for index in computed:
        own, others = letters.operands[index], "".join(letters.operands[:index] + letters.operands[index + 1 :])
        alone = [letter for letter in own if letter in letters.output and letter not in others]
        tokens = alone if len(computed) > 1 and len(alone) == 1 and len(own) > 2 else []
        found[index] = tuple(
            Role.FEATURE if letter not in letters.output else Role.TOKEN if letter in tokens else Role.UNKNOWN
            for letter in own
        )
    return FixedRoles(found, firm=False)


OPS = (Op("Einsum", Kind.WEIGHS, _axes, elements=_elements, roles=_roles),)
