"""Inputs without elements: the explained one is refused by every method, another one may be empty."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import discovery, parameters
from xaionnx.errors import InputMismatchError, XaionnxError

# Without patterns or a masker the others refuse any input.
METHODS = [
    name
    for name in discovery.methods()
    if parameters.declared(discovery.method(name)).keys().isdisjoint({"patterns", "masker"})
]
SUM = "g (float[N, F] x) => (float[N, 1] y) { a = Constant<value = int64[1] {1}>()  y = ReduceSum(x, a) }"
WITH_CACHE = """g (float[N, 3] x, float[N, T] cache) => (float[N, 1] y) {
    a = Constant<value = int64[1] {1}>()  s = ReduceSum(x, a)  t = ReduceSum(cache, a)  y = Add(s, t) }"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shape", "message"), [((2, 0), "nothing to explain"), ((0, 3), "There is no sample")])
def test_an_empty_input_is_refused_in_a_sentence(method, shape, message):
    with pytest.raises(InputMismatchError, match=message):
        xaionnx.explain(loaded(SUM), np.zeros(shape, np.float32), method)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("method", METHODS)
def test_another_input_may_be_empty(method):
    x = {"x": np.float32([[1, 2, 3]]), "cache": np.zeros((1, 0), np.float32)}
    try:
        found = xaionnx.explain(loaded(WITH_CACHE), x, method)
    except XaionnxError:  # methods for pictures, attention and layers have reasons of their own
        return
    values = found.values if isinstance(found.values, dict) else {"x": found.values}
    assert all(np.isfinite(array).all() for array in values.values())
    if method in ("feature_ablation", "exact_shapley", "integrated_gradients", "input_x_gradient"):
        assert_close(values["x"], [[1, 2, 3]], Tolerance.SUMS)
