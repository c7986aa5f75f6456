"""Models with inputs of several kinds: what is explained, what is left as it is, and where that is told."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, row
from xaionnx.render import captions

# The sum of the numbers that the mask keeps.
KEPT = """g (float[N,3] x, bool[N,3] m) => (float[N,1] y) <float zero = {0}, int64[1] one = {1}> {
    k = Where(m, x, zero)  y = ReduceSum(k, one) }"""
FEEDS = {"x": row(1, 2, 4), "m": np.array([[True, True, False]])}


@pytest.mark.parametrize("method", ["feature_ablation", "exact_shapley", "kernel_shap", "integrated_gradients"])
def test_a_mask_is_left_as_it_is_and_that_is_told(method):
    result = xaionnx.explain(loaded(KEPT), FEEDS, method, 0, baseline=0)
    np.testing.assert_allclose(result.values, [[1, 2, 0]], atol=1e-5)
    assert result.provenance["left_as_is"] == {"m": "a mask"}
    assert "left as it is: m (a mask)" in captions.made_by(result)
    assert not any("'m'" in warning for warning in result.warnings)


def test_a_mask_that_the_user_names_is_explained():
    maps = {"x": [[0, 1, 2]], "m": [[3, 4, 5]]}
    result = xaionnx.explain(loaded(KEPT), FEEDS, "feature_ablation", 0, features=maps, baseline=0)
    np.testing.assert_allclose(result.feature_values, [[1, 2, 0, 1, 2, 0]])
    assert "left_as_is" not in result.provenance


def test_a_float_mask_has_no_slope_of_its_own():
    pooled = """g (float[N,2,1] x, float[N,2] w) => (float[N,1] y) <int64[1] one = {1}, int64[1] two = {2}> {
        u = Unsqueeze(w, two)  p = Mul(x, u)  s = ReduceSum<keepdims = 0>(p, one)
        c = ReduceSum<keepdims = 1>(w, one)  y = Div(s, c) }"""
    feeds = {"x": np.float32([[[6], [8]]]), "w": row(1, 1)}
    for method in ("saliency", "integrated_gradients", "smooth_grad"):
        result = xaionnx.explain(loaded(pooled), feeds, method, 0)
        assert result.values.shape == (1, 2, 1)
        assert result.provenance["left_as_is"] == {"w": "a mask"}
    values = xaionnx.explain(loaded(pooled), feeds, "integrated_gradients", 0).values
    np.testing.assert_allclose(values.reshape(-1), [3, 4], rtol=1e-5)


def test_a_mask_that_comes_first_is_not_the_explained_input():
    model = loaded(KEPT.replace("float[N,3] x, bool[N,3] m", "bool[N,3] m, float[N,3] x"))
    assert model.input().name == "x"
    np.testing.assert_allclose(xaionnx.explain(model, FEEDS, "feature_ablation", 0).values, [[1, 2, 0]])


PICTURE_AND_ROW = """g (float[N,1,2,2] picture, float[N,2] row) => (float[N,1] y)
    <float[4,1] a = {1, 2, 3, 4}, float[2,1] b = {10, 20}> {
    f = Flatten(picture)  p = MatMul(f, a)  q = MatMul(row, b)  y = Add(p, q) }"""
BOTH = {"picture": np.ones((1, 1, 2, 2), np.float32), "row": row(1, 2)}


def test_what_a_method_of_one_input_leaves_out_is_a_warning():
    result = xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "occlusion", 0, window=1, stride=1)
    np.testing.assert_allclose(result.values, [[[[1, 2], [3, 4]]]])
    assert result.provenance["left_as_is"] == {"row": "data"}
    assert result.warnings[0] == (
        "The values do not cover 'row': this input is left as it is. "
        "Use kernel_shap or feature_ablation for all inputs at once."
    )


def test_who_names_the_features_knows_what_is_left():
    maps = np.array([[[[0, 0], [1, 1]]]])
    result = xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "feature_ablation", 0, features=maps)
    np.testing.assert_allclose(result.feature_values, [[3, 7]])
    assert result.provenance["left_as_is"] == {"row": "data"}
    assert result.warnings == ()


def test_data_on_which_the_target_does_not_depend_are_not_left_out():
    text = """g (float[N,2] x, float[N,2] other) => (float[N,2] y, float[N,2] z) { y = Relu(x)  z = Relu(other) }"""
    feeds = {"x": row(1, 2), "other": row(1, 2)}
    assert "left_as_is" not in xaionnx.explain(loaded(text), feeds, "saliency", 0).provenance


TOKENS_AND_ROW = """g (int64[N,2] ids, float[N,2] row) => (float[N,1] y)
    <float[3,2] table = {0, 0, 1, 2, 3, 4}, float[2,1] b = {10, 20}, int64[1] one = {1}> {
    e = Gather(table, ids)  s = ReduceSum<keepdims = 0>(e, one)  t = Mul(s, row)  y = MatMul(t, b) }"""


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("integrated_gradients", {"steps": 64}),
        ("deep_lift", {}),
        ("expected_gradients", {"draws": 4000}),
        ("guided_ig", {"steps": 200}),
    ],
)
def test_the_embedding_and_the_row_beside_it_add_up_together(method, options):
    feeds = {"ids": np.array([[1, 2]]), "row": row(3, 5)}
    result = xaionnx.explain(loaded(TOKENS_AND_ROW), feeds, method, 0, baseline=0, **options)
    assert {name: array.shape for name, array in result.values.items()} == {"e": (1, 2, 2), "row": (1, 2)}
    change = result.prediction - result.baseline_prediction
    # The product of sum and row is 4 * 3 * 10 + 6 * 5 * 20, and 0 at token 0 and a row of zeros.
    np.testing.assert_allclose(change, 720)
    np.testing.assert_allclose(sum(array.sum() for array in result.values.values()), 720, rtol=0.03)
    # A guided path is not a straight line.
    np.testing.assert_allclose(result.values["row"], [[60, 300]], rtol=0.06 if method == "guided_ig" else 0.03)
    assert "left_as_is" not in result.provenance
    assert result.provenance["layer"]["name"] == "e"


def test_slopes_of_the_embedding_and_of_the_row_beside_it():
    feeds = {"ids": np.array([[1, 2]]), "row": row(3, 5)}
    for method in ("saliency", "smooth_grad"):
        options = {"absolute": False} if method == "saliency" else {"draws": 4000, "noise": 0.02}
        result = xaionnx.explain(loaded(TOKENS_AND_ROW), feeds, method, 0, **options)
        np.testing.assert_allclose(result.values["e"], [[[30, 100], [30, 100]]], rtol=0.01)
        np.testing.assert_allclose(result.values["row"], [[40, 120]], rtol=0.01)
        assert "left_as_is" not in result.provenance


def test_superpixels_of_a_picture_and_the_columns_beside_it_are_players_together():
    picture = np.zeros((1, 1, 16, 16), np.float32)
    picture[..., 8:] = 1
    text = """g (float[N,1,16,16] picture, float[N,2] row) => (float[N,1] y)
        <float[2,1] b = {10, 20}, int64[3] axes = {1, 2, 3}> {
        s = ReduceSum<keepdims = 0>(picture, axes)  c = Reshape(s, shape)  q = MatMul(row, b)  y = Add(c, q) }"""
    model = loaded(text, shape=np.array([-1, 1]))
    result = xaionnx.explain(model, {"picture": picture, "row": row(1, 2)}, "feature_ablation", 0, baseline=0)
    pixels, columns = result.features["picture"], result.features["row"]
    count = pixels.max() + 1
    assert count > 4
    assert columns.tolist() == [[count, count + 1]]
    np.testing.assert_allclose(result.feature_values[0, count:], [10, 40])
    # Each superpixel is worth the pixels of one in it.
    wanted = np.bincount(pixels.reshape(-1), weights=picture.reshape(-1))
    np.testing.assert_allclose(result.feature_values[0, :count], wanted)
    assert "left_as_is" not in result.provenance
    # The grid of sobol and the columns: the shares add up to one, as the model adds.
    sobol = xaionnx.explain(model, {"picture": picture, "row": row(1, 2)}, "sobol", 0, baseline=0, budget=60_000)
    assert sobol.feature_values.shape == (1, 49 + 2)
    np.testing.assert_allclose(sobol.feature_values.sum(), 1, atol=0.1)


def test_features_by_input_name():
    for features in (
        {"picture": "grid:1x2", "row": "elements"},
        "picture=grid:1x2,row=elements",
        {"picture": xaionnx.Features.grid(1, 2), "row": [7, 3]},
    ):
        result = xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "exact_shapley", 0, features=features, baseline=0)
        # Columns of the picture are worth 1 + 3 and 2 + 4.
        values = [4, 6, 40, 10] if isinstance(features, dict) and features["row"] == [7, 3] else [4, 6, 10, 40]
        np.testing.assert_allclose(result.feature_values, [values], rtol=1e-6)
        assert result.warnings == ()
    only = xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "exact_shapley", 0, features="row=elements", baseline=0)
    np.testing.assert_allclose(only.feature_values, [[10, 40]])
    assert only.provenance["left_as_is"] == {"picture": "data"}


def test_features_of_one_input_alone_are_a_warning():
    result = xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "feature_ablation", 0, features="pixels")
    assert result.warnings[0] == (
        "The values do not cover 'row': this input is left as it is. Leave features out for those of all inputs, or "
        "name them: features='NAME=superpixels,NAME=elements'."
    )


def test_unknown_inputs_are_named_with_the_nearest():
    with pytest.raises(xaionnx.errors.UnknownNameError, match=r"No input named 'pictur'\. Nearest: picture"):
        xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "feature_ablation", 0, features="pictur=pixels")
    with pytest.raises(xaionnx.errors.ParameterError, match="'features' parameter by input must be written as"):
        xaionnx.explain(loaded(PICTURE_AND_ROW), BOTH, "feature_ablation", 0, features="picture=")
