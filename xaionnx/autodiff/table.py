"""The standard table: a gradient rule for each op, from :mod:`xaionnx.autodiff.rules` or from the op's own entry."""

from __future__ import annotations

from types import MappingProxyType

from xaionnx.autodiff import rules
from xaionnx.autodiff.rule import Rule, registered, rule, unary
from xaionnx.graph.op import ops
from xaionnx.registry import modules


def _standard_rules() -> MappingProxyType[str, Rule]:
    modules(rules.__name__)
    for entry in ops().values():
        if entry.slope is not None:
            unary(entry.name)(entry.slope)
        if entry.gradient is not None:
            rule(entry.name)(entry.gradient)
    return MappingProxyType(dict(sorted(registered.items())))


# Other tables replace some rules: ``STANDARD | {"Relu": guided_relu}``.
STANDARD = _standard_rules()
