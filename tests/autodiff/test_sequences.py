"""Running sums, triangles and Hardmax against central differences, at other batches than were probed."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.autodiff.differences import batch_error, slopes
from tests.tolerances import Tolerance, assert_close


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
    assert_close(batch_error(made, {"x": (4, 3)}, "x"), 0, Tolerance.DIFFERENCES)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", [None, 0, 1, -1, 7, -7])
@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 3, 4)])
def test_triangle(upper, diagonal, shape):
    made = model("Trilu", diagonal, shape, upper=upper)
    assert_close(batch_error(made, {"x": shape}, "x"), 0, Tolerance.DIFFERENCES)


def test_hardmax_is_flat_between_its_jumps():
    made = model("Hardmax", None, (4,), axis=-1)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4))}
    assert np.array_equal(slopes(made, feeds, np.ones((3, 4))), np.zeros((3, 4)))
