"""Slopes as functions of floats: the standard gradients, and differences that add up between two points."""

import numpy as np
import pytest

from tests.tiny import loaded
from xaionnx.autodiff import gradient, hessian_product
from xaionnx.autodiff.slopes import has_kinks, slope_table

BODIES = {
    "Relu": "y = Relu(x)",
    "LeakyRelu": "y = LeakyRelu<alpha = 0.2>(x)",
    "PRelu": "y = PRelu(x, shares)",
    "Elu": "y = Elu<alpha = 2.0>(x)",
    "Elu of 1": "y = Elu(x)",
    "Celu": "y = Celu<alpha = 0.5>(x)",
    "Selu": "y = Selu(x)",
    "HardSigmoid": "y = HardSigmoid(x)",
    "HardSwish": "y = HardSwish(x)",
    "Clip": "y = Clip(x, low, high)",
    "Clip from below": "y = Clip(x, low)",
    "Clip from above": "y = Clip(x, , high)",
    "Clip without bounds": "y = Clip(x)",
    "Abs": "y = Abs(x)",
    "Max": "m = Neg(x)  y = Max(x, low, m)",
    "Min": "m = Neg(x)  y = Min(m, high, x)",
    "ReduceMax": "y = ReduceMax<axes = [2, 3]>(x)",
    "ReduceMin": "y = ReduceMin<axes = [1], keepdims = 0>(x)",
    "GlobalMaxPool": "y = GlobalMaxPool(x)",
    "MaxPool": "y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)",
    "MaxPool with pads": "y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(x)",
    "MaxPool, rounded up": "y = MaxPool<kernel_shape = [3, 2], strides = [2, 3], ceil_mode = 1>(x)",
    "MaxPool, dilated": "y = MaxPool<kernel_shape = [2, 2], dilations = [2, 3], pads = [1, 1, 0, 1]>(x)",
    "MaxPool, same": 'y = MaxPool<kernel_shape = [3, 2], auto_pad = "SAME_UPPER", strides = [2, 2]>(x)',
}


def model_of(body):
    return loaded(
        f"g (float[N,2,7,7] x) => (float y) {{ {body} }}",
        shares=np.float32([[[0.3]], [[-0.5]]]),
        low=np.float32(-0.4),
        high=np.float32(0.7),
    )


@pytest.mark.parametrize("name", BODIES)
def test_gradients_are_the_standard_ones(name):
    model = model_of(BODIES[name])
    rng = np.random.default_rng(0)
    x = (2 * rng.normal(size=(2, 2, 7, 7))).astype(np.float32)
    standard, floats = (gradient(model, "y", ["x"], rules, {"x": x}) for rules in (None, slope_table(None)))
    dy = rng.normal(size=model.run({"x": x})["y"].shape).astype(np.float32)
    expected = standard.run({"x": x}, dy)[1]["x"]
    np.testing.assert_allclose(floats.run({"x": x}, dy)[1]["x"], expected, rtol=1e-5, atol=1e-6)
    sharp = gradient(model, "y", ["x"], slope_table(1e5), {"x": x}).run({"x": x}, dy)[1]["x"]
    assert np.abs(sharp - expected).mean() < 0.01
    assert has_kinks(model.view)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("softplus", [None, 5.0])
def test_products_of_a_secant_sum_to_the_change_of_the_gradient(name, softplus):
    model = loaded(
        f"g (float[N,2,7,7] x) => (float z) {{ {BODIES[name]}  z = Mul(y, y) }}",
        shares=np.float32([[[0.3]], [[-0.5]]]),
        low=np.float32(-0.4),
        high=np.float32(0.7),
    )
    rng = np.random.default_rng(1)
    start, x = (2 * rng.normal(size=(1, 2, 7, 7)).astype(np.float32) for _ in range(2))
    weights = rng.normal(size=model.run({"x": x})["z"].shape).astype(np.float32)
    along = rng.normal(size=x.shape).astype(np.float32)
    secant = hessian_product(model, "z", ["x"], {"x": x}, secant=True, softplus=softplus)
    after, products = secant.run({"x": x}, weights, {"x": along}, {"x": start})
    before, _ = secant.run({"x": start}, weights, {"x": along}, {"x": x})
    change = float((along * (after["x"] - before["x"])).sum())
    assert float((products["x"] * (x - start)).sum()) == pytest.approx(change, rel=1e-3, abs=1e-3)


def test_sizes_of_whole_numbers_are_no_kinks():
    model = loaded(
        "g (float[N,2] x) => (float[N,2] y) { i = Cast<to = 7>(x)  a = Abs(i)  f = Cast<to = 1>(a)  y = Mul(x, f) }"
    )
    assert not has_kinks(model.view)
