"""The registry of ops: each op has one entry, which decides how every pass treats it."""

from dataclasses import replace

import onnx.defs
import pytest

from xaionnx.autodiff import lrp, rescale, reveal_cancel
from xaionnx.autodiff import table as standard
from xaionnx.autodiff.lrp import Composite, table
from xaionnx.autodiff.relevance import Epsilon
from xaionnx.autodiff.rescale import GAP, RESCALE
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph import op
from xaionnx.graph.op import Kind, Op, find_op, ops, ops_of_kind


def test_every_op_with_a_gradient_is_stated():
    assert set(STANDARD) <= set(ops())


def test_every_stated_op_is_one_of_onnx_or_of_onnxruntime():
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert set(ops()) - known == {"FusedConv", "MultiHeadAttention"}


def test_an_op_with_two_entries_is_an_error(monkeypatch):
    class Files:
        OPS = (Op("Relu", Kind.ACTIVATION),)

    op.ops.cache_clear()
    monkeypatch.setattr(op, "modules", lambda package: [Files, Files])
    with pytest.raises(ValueError, match="Relu has two entries"):
        ops()
    monkeypatch.undo()
    assert find_op("Relu").rectifies


def test_of_an_op_that_is_not_stated_nothing_is_assumed():
    assert find_op("Unheard").kind is Kind.OTHER
    assert find_op("Unheard").local is None


@pytest.mark.parametrize("kind", [Kind.ACTIVATION, Kind.FUNCTION, Kind.MOVES, Kind.ADDS, Kind.WEIGHS, Kind.ROUNDS])
def test_a_kind_has_a_rule_in_relevance_propagation_and_deep_lift(kind):
    relevance = table(Composite({"*": Epsilon()}))
    names = set(ops_of_kind(kind)) & set(STANDARD)
    assert names
    assert names <= set(relevance)
    left = {name for name, rule in RESCALE.items() if rule.__name__ == "_left"}
    assert not names & left, f"{GAP}: {names & left}"


def test_of_other_kinds_relevance_has_no_rule():
    others = set(ops_of_kind(Kind.OTHER, Kind.READS_SHAPE)) & set(STANDARD)
    assert others
    assert not others & set(table(Composite({"*": Epsilon()})))


def own(g, node, cotangents, needed):
    return [None] * len(node.inputs)


def test_a_rule_of_its_own_comes_before_that_of_the_kind(monkeypatch):
    entry = replace(find_op("Relu"), lrp=own, deep_lift=own)
    for module in (lrp, rescale, reveal_cancel):
        monkeypatch.setattr(module, "find_op", lambda name: entry if name == "Relu" else find_op(name))
    assert table(Composite({"*": Epsilon()}))["Relu"] is own
    assert rescale._rule_for("Relu") is own
    assert reveal_cancel._rule_for("Relu") is own
    assert rescale._rule_for("Elu") is RESCALE["Elu"]


def test_a_gradient_may_stand_in_the_entry(monkeypatch):
    monkeypatch.setattr(standard, "ops", lambda: {"Made": Op("Made", Kind.OTHER, gradient=own)})
    try:
        assert standard._standard_rules()["Made"] is own
    finally:
        standard.registered.pop("Made", None)
