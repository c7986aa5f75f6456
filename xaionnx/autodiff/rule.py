"""Gradient rules, and how they are registered in the standard table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder

Gradient: TypeAlias = ir.Value | None


class Rule(Protocol):
    """Reverse-mode derivative of one op.

    ``cotangents`` has for each output of the node the derivative of the target with respect to it, in its shape, or
    None if it is zero. ``needed`` has for each input whether its gradient is needed. A rule returns for each input its
    gradient, or None if it is zero or not needed. A gradient may have the shape that the input was broadcast to;
    :mod:`xaionnx.autodiff.backward` sums it to the input's shape.
    """

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]: ...


Table: TypeAlias = Mapping[str, Rule]

# Optional entry of a table besides those of ops: the rule of an Identity node after the explained tensor, which makes
# the first cotangent. Without it, that is the cotangent that is fed.
START = "start"

# Label in a result where the gradient of a step, such as rounding, is taken to be that of the identity.
ESTIMATE = "straight through"

registered: dict[str, Rule] = {}
# Ops whose derivative is 0 where it exists.
flat_ops: set[str] = set()


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Register a function as the standard rule of ops of the default domain."""

    def enter(function: Rule) -> Rule:
        for op_type in op_types:
            if op_type in registered:
                raise ValueError(f"{op_type} has two standard rules")
            registered[op_type] = function
        return function

    return enter


def unary(*op_types: str) -> Callable[[Callable[[GradientBuilder, ir.Node, ir.Value], Gradient]], Rule]:
    """Register ``f(g, node, dy) -> dx`` as the rule of ops whose first input alone has a gradient.

    A node raises UnsupportedModelError if another of its inputs depends on the explained input.
    """

    def enter(function: Callable[[GradientBuilder, ir.Node, ir.Value], Gradient]) -> Rule:
        def whole(
            g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
        ) -> Sequence[Gradient]:
            dy = cotangents[0]
            for index, wanted in enumerate(needed):
                if wanted and index > 0:
                    raise g.refusal(node, f"its input number {index} depends on the explained tensor")
            first = function(g, node, dy) if dy is not None and needed[0] else None
            return [first] + [None] * (len(node.inputs) - 1)

        whole.__module__ = function.__module__  # the family
        return rule(*op_types)(whole)

    return enter


def flat(*op_types: str) -> None:
    """Register ops that are piecewise constant, or read only the shape of their input."""

    def nothing(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        return [None] * len(node.inputs)

    rule(*op_types)(nothing)
    flat_ops.update(op_types)
