"""The standard table: one rule an op, from :mod:`xaionnx.autodiff.rules` or from the entry of the op itself."""

from __future__ import annotations

from types import MappingProxyType

from xaionnx.autodiff import rules
from xaionnx.autodiff.rule import Rule, registered, rule, unary
from xaionnx.graph.op import ops
from xaionnx.registry import modules


def _gathered() -> MappingProxyType[str, Rule]:
    modules(rules.__name__)
    for entry in ops().values():
        if entry.slope is not None:
            unary(entry.name)(entry.slope)
        if entry.gradient is not None:
            rule(entry.name)(entry.gradient)
    return MappingProxyType(dict(sorted(registered.items())))


# Another table is this one with some rules swapped: ``STANDARD | {"Relu": guided_relu}``.
STANDARD = _gathered()
