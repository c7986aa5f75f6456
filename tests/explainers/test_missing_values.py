"""NaN as a missing value: methods that replace it are exact, those that would calculate with it refuse."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, row
from xaionnx.errors import InputMismatchError

# A missing value counts as 5.
FILLED = """g (float[N,3] x) => (float[N,1] y) <float five = {5}, float[3,1] w = {1, 2, 3}> {
    n = IsNaN(x)  f = Where(n, five, x)  y = MatMul(f, w) }"""
X = row(np.nan, 2, 3)


@pytest.mark.parametrize("method", ["feature_ablation", "exact_shapley", "kernel_shap", "shapley_sampling", "banzhaf"])
@pytest.mark.parametrize(("baseline", "expected"), [(1, [4, 2, 6]), (np.nan, [0, -6, -6])])
def test_what_replaces_a_missing_value_is_compared_with_it(method, baseline, expected):
    result = xaionnx.explain(loaded(FILLED), X, method, 0, baseline=baseline)
    np.testing.assert_allclose(result.values, [expected], atol=1e-5)
    assert result.warnings == ()


def test_a_slope_at_a_missing_value_is_zero():
    assert xaionnx.explain(loaded(FILLED), X, "saliency", 0, absolute=False).values.tolist() == [[0, 2, 3]]


@pytest.mark.parametrize(
    "method",
    [
        "integrated_gradients",
        "expected_gradients",
        "deep_lift",
        "guided_ig",
        "conductance",
        "input_x_gradient",
        "sobol",
    ],
)
def test_there_is_no_difference_from_a_missing_value(method):
    with pytest.raises(InputMismatchError, match=r"'x' or its baseline has missing values \(NaN\), which cannot be"):
        xaionnx.explain(loaded(FILLED), X, method, 0)


@pytest.mark.parametrize("method", ["integrated_gradients", "sobol"])
def test_there_is_no_difference_from_a_missing_baseline(method):
    with pytest.raises(InputMismatchError, match="Use a method that only replaces them: feature_ablation"):
        xaionnx.explain(loaded(FILLED), row(1, 2, 3), method, 0, baseline=np.float32([0, np.nan, 0]))


def test_a_layer_behind_the_missing_values_has_differences():
    result = xaionnx.explain(loaded(FILLED), X, "integrated_gradients", 0, layer="f", baseline=1)
    np.testing.assert_allclose(result.values, [[4, 2, 6]], rtol=1e-5)


def test_a_number_made_of_nan_is_a_warning():
    lost = loaded("""g (float[N,3] x) => (float[N,1] y) <float zero = {0}, float[3,1] w = {1, 2, 3}> {
        s = MatMul(x, w)  b = Greater(s, zero)  y = Cast<to = 1>(b) }""")
    warnings = xaionnx.explain(lost, X, "feature_ablation", 0, baseline=0).warnings
    assert warnings[-1] == (
        "'x' holds NaN, which this model mixes with other numbers, yet its output is a number. "
        "The output may not depend on the input any more: fill the missing values."
    )
    assert not any("NaN" in one for one in xaionnx.explain(lost, row(1, 2, 3), "feature_ablation", 0).warnings)


def test_a_smooth_mask_cannot_fade_out_a_missing_value():
    text = """g (float[N,2,20] x) => (float[N,1] y) <float zero = {0}> {
        n = IsNaN(x)  f = Where(n, zero, x)  c = Conv<kernel_shape = [3]>(f, k)  g1 = GlobalAveragePool(c)
        y = Flatten(g1) }"""
    x = np.ones((1, 2, 20), np.float32)
    x[0, 0, 3] = np.nan
    signal = loaded(text, k=np.ones((1, 2, 3), np.float32))
    with pytest.raises(InputMismatchError, match="has missing values"):
        xaionnx.explain(signal, x, "rise", 0, baseline=0)
    # A window replaces it: the place is worth nothing, and the other row of its step is worth 3 / 18.
    result = xaionnx.explain(signal, x, "feature_ablation", 0, baseline=0)
    np.testing.assert_allclose(result.values[0, :, 3], [0, 3 / 18], atol=1e-6)
