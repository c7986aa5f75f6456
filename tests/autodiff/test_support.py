"""The table of supported ops: every op of ONNX has a state, and the states agree with the engine."""

import onnx.defs
import pytest
from onnx import TensorProto

from tests.autodiff.differences import cases
from xaionnx.autodiff.support import OPSET, STATES, families, markdown, states
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize


def test_every_op_of_onnx_has_a_state():
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == "" and s.since_version <= OPSET}
    found = states()
    assert set(found) == known
    assert set(found.values()) == set(STATES)
    assert {name for names in families().values() for name in names} <= set(STANDARD)
    assert all(name in markdown() for name in known)


def test_ops_without_a_slope_answer_no_floats_that_a_float_decides():
    for op, state in states().items():
        for case in cases(op) if state == "no gradient" else ():
            graph = case.model.graph
            floats = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
            ins, outs = (
                {v.type.tensor_type.elem_type for v in values} & set(floats) for values in (graph.input, graph.output)
            )
            assert not (ins and outs), case.name


@pytest.mark.parametrize("op", ["Scatter", "Upsample"])
def test_what_is_converted_is_gone_after_the_conversion(op):
    case = cases(op)[0]
    form = canonicalize(case.model, [], None)
    assert op not in {node.op_type for node in form.graph.node}
    assert {node.op_type for node in form.graph.node} <= {*STANDARD, "Constant"}
