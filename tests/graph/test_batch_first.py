"""The samples of inputs and outputs come first, also where that is done in steps."""

import numpy as np
import pytest

from tests.tiny import normal, parsed, run
from xaionnx.graph.batch_first import batch_first


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("axes", [(None, None), (1, None), (1, 1)])
def test_an_output_is_moved_again(axes, opset):
    proto = parsed("g (float[T, N] x) => (float[T, N] y) { y = Tanh(x) }", opset=opset)
    x = normal(3, 2)
    wanted = np.tanh(x)
    for axis in axes:
        proto = batch_first(proto, {}, {"y": axis})
        wanted = wanted[None] if axis is None else np.moveaxis(wanted, axis, 0)
    np.testing.assert_allclose(run(proto, {"x": x})["y"], wanted, rtol=1e-5)


def test_an_output_without_a_shape_takes_the_stated_number_of_axes():
    proto = parsed("g (float[T, N, 2] x) => (float[T, N, 2] y) { y = Tanh(x) }")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    moved = batch_first(proto, {}, {"y": 1}, {"y": 3})
    x = normal(3, 4, 2)
    np.testing.assert_allclose(run(moved, {"x": x})["y"], np.tanh(x).swapaxes(0, 1), rtol=1e-5)
