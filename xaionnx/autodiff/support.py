"""Support of ONNX ops by gradients, as a table for the documentation."""

from __future__ import annotations

from collections.abc import Mapping

import onnx.defs

from xaionnx.autodiff.rule import flat_ops
from xaionnx.autodiff.rules.quantization import STRAIGHT_THROUGH
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.control_flow import CONTROL
from xaionnx.graph.expand import COMPOSED
from xaionnx.graph.sequences import SEQUENCES

# The newest version of the default domain for which rules are tested.
OPSET = 23
# Rewritten by the conversion to a newer opset, before rules apply.
_CONVERTED = frozenset({"Scatter", "Upsample"})
_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"})

STATES: Mapping[str, str] = {
    "rule": "exact",
    "straight through": "straight through, labelled in the result",
    "expanded": "that of the simpler ops that replace them",
    "resolved": "that of the ops they resolve to, if sizes and weights fix the control flow; else an error names them",
    "flat": "0 wherever it exists",
    "no gradient": "takes or returns no floats",
    "none": "not supported: an error names the op before anything runs",
}


def states() -> dict[str, str]:
    """Return for each op of the default domain up to :data:`OPSET` its state, a key of :data:`STATES`.

    Examples
    --------
    >>> found = states()
    >>> found["Conv"], found["Floor"], found["Shape"], found["NonMaxSuppression"], found["Attention"]
    ('rule', 'flat', 'no gradient', 'no gradient', 'expanded')
    """
    schemas: dict[str, onnx.defs.OpSchema] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        known = schemas.get(schema.name)
        newer = known is None or known.since_version < schema.since_version
        if newer and schema.domain == "" and schema.since_version <= OPSET:
            schemas[schema.name] = schema
    return {name: _state(schema) for name, schema in sorted(schemas.items())}


def _state(schema: onnx.defs.OpSchema) -> str:
    if schema.name in flat_ops:
        return "flat"
    if schema.name in STRAIGHT_THROUGH:
        return "straight through"
    if schema.name in STANDARD:
        return "rule"
    if schema.name in COMPOSED or schema.name in _CONVERTED:
        return "expanded"
    if schema.name in CONTROL | SEQUENCES:
        return "resolved"
    # Bodies of control flow may read floats from outside; sequences of floats count as floats.
    inside = any(a.type == onnx.defs.OpSchema.AttrType.GRAPH for a in schema.attributes.values())
    passes = _takes_floats(schema.inputs) and _takes_floats(schema.outputs)
    return "none" if inside or passes else "no gradient"


def _takes_floats(formals: object) -> bool:
    assert isinstance(formals, (list, tuple))
    kinds = {kind for formal in formals for kind in formal.types}
    return any(kind in _FLOATS or any(name in kind for name in _FLOATS) for kind in kinds)


def families() -> dict[str, list[str]]:
    """Return the ops with a rule, by the file of :mod:`xaionnx.autodiff.rules` that defines it."""
    found: dict[str, list[str]] = {}
    for name, state in states().items():
        if state in ("rule", "straight through"):
            found.setdefault(STANDARD[name].__module__.rpartition(".")[2].replace("_", " "), []).append(name)
    return dict(sorted(found.items()))


def markdown() -> str:
    """Return a table with a row for each family of rules, and one for each other state."""
    found = states()
    lines = ["| | ops | gradient |", "| --- | --- | --- |"]
    for family, names in families().items():
        kinds = {found[name] for name in names}
        lines.append(f"| {family} | {', '.join(names)} | {'; '.join(STATES[kind] for kind in sorted(kinds))} |")
    for state in list(STATES)[2:]:
        names = [name for name, own in found.items() if own == state]
        lines.append(f"| {state} | {', '.join(names)} | {STATES[state]} |")
    return "\n".join(lines)
