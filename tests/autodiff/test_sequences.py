"""Running sums, triangles and Hardmax against central differences, at other batches than were probed."""

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.probe import probe

sys.path.insert(0, str(Path(__file__).parent))
from batches import worst_batch_error
from differences import evaluator

TOLERANCE = 1e-6


def model(op, constant, shape, **attributes):
    x = helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", *shape])
    weights = [] if constant is None else [helper.make_tensor("c", TensorProto.INT64, [], [constant])]
    node = helper.make_node(op, ["x", *(["c"] if weights else [])], ["y"], name="n", **attributes)
    graph = helper.make_graph([node], "g", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_cumulative_sum(exclusive, reverse, axis):
    made = model("CumSum", axis, (4, 3), exclusive=exclusive, reverse=reverse)
    assert worst_batch_error(made, {"x": (4, 3)}, "x", batched={"x"}) < TOLERANCE


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [None, 0, 1, -1, 7, -7])
@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 3, 4)])
def test_triangle(upper, diagonal, shape):
    made = model("Trilu", diagonal, shape, upper=upper)
    assert worst_batch_error(made, {"x": shape}, "x", batched={"x"}) < TOLERANCE


def test_hardmax_is_flat_between_its_jumps():
    made = model("Hardmax", None, (4,), axis=-1)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4))}
    facts = probe(made, [feeds], lambda shown, values, names: evaluator(shown)(values, names))
    run = evaluator(differentiate(made, facts, "y", ["x"], STANDARD))
    (slope,) = run({**feeds, COTANGENT: np.ones((3, 4))}, [gradient_name("x")])
    assert np.array_equal(slope, np.zeros((3, 4)))
