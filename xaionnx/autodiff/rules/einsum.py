"""The rule of Einsum: an Einsum with swapped subscripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule
from xaionnx.graph.einsum_letters import EinsumLetters

# An operand of the gradient and the letters of its axes.
_Term = tuple[ir.Value, str]


@rule("Einsum")
def einsum(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    """The gradient of operand k is the Einsum of the cotangent and the other operands, with k's letters as output."""
    operands = [value for value in node.inputs if value is not None]
    dy = cotangents[0]
    assert dy is not None
    letters, output, spare = EinsumLetters.of(
        node.attributes["equation"].as_string(), [g.rank(value) for value in operands]
    )
    ranges: dict[str, set[int | None]] = {}
    for value, own in zip(operands, letters, strict=True):
        for letter, size in zip(own, g.shape(value), strict=True):
            ranges.setdefault(letter, set()).add(size)
    # Letters whose size is not 1 in some operand: axes of size 1 elsewhere are broadcast along them.
    long = {letter for letter, sizes in ranges.items() if sizes != {1}}
    gradients: list[Gradient] = []
    for index, wanted in enumerate(needed):
        if not wanted:
            gradients.append(None)
            continue
        others = [
            _without_ones(g, value, own, long)
            for other, (value, own) in enumerate(zip(operands, letters, strict=True))
            if other != index
        ]
        gradients.append(_operand_gradient(g, operands[index], letters[index], [(dy, output), *others], iter(spare)))
    return gradients


def _without_ones(g: GradientBuilder, value: ir.Value, letters: str, long: set[str]) -> _Term:
    shape = g.shape(value)
    ones = [axis for axis, letter in enumerate(letters) if shape[axis] == 1 and letter in long]
    if not ones:
        return value, letters
    return g.op("Squeeze", value, g.ints(*ones)), "".join(s for a, s in enumerate(letters) if a not in ones)


def _operand_gradient(
    g: GradientBuilder, x: ir.Value, letters: str, terms: Sequence[_Term], spare: Iterator[str]
) -> ir.Value:
    shape = g.shape(x)
    terms = list(terms)
    known = {letter for _, own in terms for letter in own}
    output, missing = "", []
    for axis, letter in enumerate(letters):
        if letter in output and shape[axis] != 1:
            # The operand is read on a diagonal: elsewhere its gradient is 0.
            row, letter = letter, next(spare)
            kind = x.dtype or ir.DataType.FLOAT
            terms.append((g.constant(np.eye(g.size(x, axis), dtype=kind.numpy()), kind), row + letter))
            output += letter
        elif letter in known and shape[axis] != 1:
            output += letter
        elif letter not in known and letter in letters[axis + 1 :] and shape[axis] != 1:
            # The first occurrence of a repeated letter that no other term has: its axis comes with the diagonal.
            output += letter
        else:
            missing.append(axis)
    value = _contract(g, terms, output)
    if missing:
        value = g.op("Unsqueeze", value, g.ints(*missing))
    if any(shape[axis] != 1 for axis in missing):
        value = g.expand_like(value, x)
    return value


def _contract(g: GradientBuilder, terms: Sequence[_Term], output: str) -> ir.Value:
    scalars = [value for value, own in terms if not own]
    arrays = [(value, own) for value, own in terms if own]
    if len(arrays) == 1 and arrays[0][1] == output:
        value = arrays[0][0]
    elif arrays:
        equation = ",".join(own for _, own in arrays) + "->" + output
        value = g.op("Einsum", *(value for value, _ in arrays), equation=equation)
    else:
        value = scalars.pop()
    for scalar in scalars:
        value = g.op("Mul", value, scalar)
    return value
