"""What a rule is, and how a family of rules enters the standard table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder

Gradient: TypeAlias = ir.Value | None


class Rule(Protocol):
    """The derivative of one op, backwards.

    ``cotangents`` holds, for each output of the node, the derivative of the target with respect to it, in its shape;
    None where nothing came back. ``needed`` says of each input whether its gradient is wanted. The answer has one
    entry an input: its gradient, or None where it is zero or not needed. A gradient may have the shape that the input
    was broadcast to; the walk sums it back.
    """

    def __call__(
        self, g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]: ...


Table: TypeAlias = Mapping[str, Rule]

# The entry of a table, beside those of ops, that says what the walk begins with: it is asked as the rule of one more
# node, which hands the explained tensor on. Without it the walk begins with the cotangent that is fed.
START = "start"

registered: dict[str, Rule] = {}
# Ops whose derivative is 0 wherever it exists.
flat_ops: set[str] = set()


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Enter a function as the standard rule of ops of the default domain."""

    def enter(function: Rule) -> Rule:
        for op_type in op_types:
            if op_type in registered:
                raise ValueError(f"{op_type} has two standard rules")
            registered[op_type] = function
        return function

    return enter


def unary(*op_types: str) -> Callable[[Callable[[GradientBuilder, ir.Node, ir.Value], Gradient]], Rule]:
    """Like :func:`rule`, for ops of which only the first input and output count: ``f(g, node, dy) -> dx``.

    Where another input depends on what is explained, the node is refused.
    """

    def enter(function: Callable[[GradientBuilder, ir.Node, ir.Value], Gradient]) -> Rule:
        def whole(
            g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
        ) -> Sequence[Gradient]:
            dy = cotangents[0]
            for index, wanted in enumerate(needed):
                if wanted and index > 0:
                    raise g.refusal(node, f"its input number {index} depends on what is explained")
            first = function(g, node, dy) if dy is not None and needed[0] else None
            return [first] + [None] * (len(node.inputs) - 1)

        whole.__module__ = function.__module__  # the family
        return rule(*op_types)(whole)

    return enter


def flat(*op_types: str) -> None:
    """Enter ops that are constant but for their jumps, or read no more of their input than its shape."""

    def nothing(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        return [None] * len(node.inputs)

    rule(*op_types)(nothing)
    flat_ops.update(op_types)
