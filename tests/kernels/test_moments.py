"""Steps of Adam by running means, against the formula in float64, in both versions."""

import numpy as np
import pytest
from xaionnx_kernels import _tier, moments


def inputs(dtype):
    gradient, mean, square = np.random.default_rng(0).standard_normal((3, 2, 5, 7)).astype(dtype)
    return gradient, (mean, np.square(square))


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_the_formula(dtype):
    gradient, (mean, square) = inputs(dtype)
    kept = [each.copy() for each in (gradient, mean, square)]
    m, v, step = moments.adam_step(gradient, (mean, square), (0.1, 0.01), 0.3, 0.02)
    g, m0, v0 = (each.astype(float) for each in (gradient, mean, square))
    expected = 0.9 * m0 + 0.1 * g, 0.99 * v0 + 0.01 * g * g
    np.testing.assert_allclose(m, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(v, expected[1], rtol=1e-5)
    np.testing.assert_allclose(step, 0.02 * expected[0] / (np.sqrt(expected[1] / 0.3) + 1e-8), rtol=1e-4, atol=1e-7)
    assert m.dtype == v.dtype == step.dtype == dtype
    for one, other in zip(kept, (gradient, mean, square), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_versions_agree_to_the_last_bit(dtype, monkeypatch):
    gradient, (mean, square) = inputs(dtype)
    gradient[0, 0], square[0, 0] = 0, 0
    found = []
    for limit in (-1, 2**62):
        monkeypatch.setattr(_tier, "ELEMENTS_BEFORE_LOADING", limit)
        found.append(moments.adam_step(gradient, (mean, square), (0.1, 0.001), 0.3, 0.02))
    for one, other in zip(*found, strict=True):
        assert one.tobytes() == other.tobytes()
