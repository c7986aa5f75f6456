"""Metrics against numbers worked out by hand, or computed by other packages on the same case."""

import dataclasses

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from xaionnx import InputSpec
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.evaluation.metric import METRICS
from xaionnx.explainers.saliency import Saliency
from xaionnx.metrics._similarity import similarity
from xaionnx.metrics.faithfulness.road import impute
from xaionnx.metrics.randomisation.efficient_parameter_randomisation import histogram_entropy

W = np.float32([4, 3, 2, 1])
REVERSED = W[::-1]
SWAPPED = np.float32([4, 3, 1, 2])
# The map, and the ground truth, of the cases of localisation.
A4 = np.float32([[4, 3, 0, 0], [2, 1, 0, 0], [0, 0, 5, 0], [0, 0, 0, -5]])
TOP_LEFT = np.pad(np.ones((2, 2), dtype=bool), ((0, 2), (0, 2)))


@pytest.fixture(scope="module")
def linear():
    """f(x) = 4 x1 + 3 x2 + 2 x3 + x4."""
    return planted.load(planted.linear([W]))


def scored(model, x, phi, metric, **settings):
    """The scores of given values."""
    record = xaionnx.explain(model, x, "input_x_gradient", 0)
    record = dataclasses.replace(record, values=np.asarray(phi, np.float32).reshape(x.shape))
    return xaionnx.evaluate(model, x, record, metric, 0, controls=(), **settings)


ONES = np.ones((1, 4), np.float32)


@pytest.mark.parametrize(
    ("metric", "phi", "settings", "expected"),
    [
        ("deletion", W, {}, 3.75),
        ("deletion", REVERSED, {}, 6.25),
        ("insertion", W, {}, 6.25),
        ("pixel_flipping", W, {}, 3.75),
        ("selectivity", W, {}, 3.75),
        ("region_perturbation", W, {}, 6.0),
        ("irof", W, {}, 0.625),
        ("faithfulness_correlation", SWAPPED, {"size": 1}, 0.8),
        ("faithfulness_estimate", SWAPPED, {}, 0.8),
        ("faithfulness_estimate", REVERSED, {}, -1.0),
        ("faithfulness_estimate", 2 * W, {}, 1.0),
        ("sensitivity_n", SWAPPED, {"n": 1}, 0.8),
        ("sensitivity_n", SWAPPED, {"n": 2}, 0.8),
        ("sensitivity_n", SWAPPED, {"n": 3}, 0.8),
        ("sensitivity_n", REVERSED, {}, -1.0),
        ("monotonicity", W, {}, 1.0),
        ("monotonicity_correlation", W, {}, 1.0),
        ("infidelity", 2 * W, {"subsets": "single", "scaled": False}, 7.5),
        ("infidelity", 2 * W, {"subsets": "single"}, 0.0),
        ("infidelity", SWAPPED, {"subsets": "single", "scaled": False}, 0.5),
        ("infidelity", SWAPPED, {"subsets": "single"}, 0.491667),
        ("infidelity", 2 * W, {"subsets": "all", "scaled": False}, 520 / 15),
        ("mu_fidelity", W, {}, 1.0),
        ("mu_fidelity", -W, {}, -1.0),
        ("completeness", W, {}, 0.0),
        ("completeness", 1.00001 * W.astype(np.float64), {}, 1e-4),
        ("effective_complexity", W, {}, 3.0),
        ("sparseness", [1, 0, 0, 0], {}, 0.75),
        ("sparseness", [1, 2, 3, 4], {}, 0.25),
        ("sparseness", [3, 1, 0, 0], {}, 0.625),
        ("sparseness", [2, 2, 2, 2], {}, 0.0),
        ("entropy", [1, 0, 0, 0], {}, 0.0),
        ("entropy", [1, 2, 3, 4], {}, 1.279854),
        ("entropy", [3, 1, 0, 0], {}, 0.562335),
        ("entropy", [2, 2, 2, 2], {}, np.log(4)),
    ],
)
def test_score_of_the_linear_model(linear, metric, phi, settings, expected):
    scores = scored(linear, ONES, phi, metric, **settings)
    assert scores.values == pytest.approx([expected], abs=2e-6)
    assert scores.direction in ("higher", "lower")


def test_a_falling_step_is_not_monotonic():
    scores = scored(planted.load(planted.linear([-W])), ONES, -W, "monotonicity")
    assert scores.values == pytest.approx([0.0])


def test_non_sensitivity_counts_features_of_either_kind():
    model = planted.load(planted.linear([[4.0, 0.0, 2.0, 0.0]]))
    assert scored(model, ONES, [4, 0, 0, 1], "non_sensitivity").values == [2.0]


def test_sensitivity_n_without_variance_is_undefined_with_a_reason():
    model = planted.load(planted.polynomial(3, {(0, 1): 1.0, (2,): 1.0}))
    x, phi = np.ones((1, 3), np.float32), [0.5, 0.5, 1.0]
    alone = scored(model, x, phi, "sensitivity_n", n=1)
    assert np.isnan(alone.values[0])
    assert "the drops of the target are all equal" in alone.reasons[0]
    assert scored(model, x, phi, "sensitivity_n", n=2).values == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("metric", "settings", "expected"),
    [
        ("pointing_game", {}, 0.0),
        ("pointing_game", {"tolerance": 2}, 1.0),
        ("attribution_localisation", {}, 10 / 15),
        ("attribution_localisation", {"weighted": True}, 10 / 15 / 4),
        ("top_k_intersection", {"k": 4}, 0.75),
        ("top_k_intersection", {"k": 8}, 0.5),
        ("relevance_rank_accuracy", {}, 0.75),
        ("relevance_mass_accuracy", {}, 10 / 15),
        ("relevance_mass_accuracy", {"sign": "absolute"}, 0.5),
        ("localisation_auc", {}, 44 / 48),
        ("focus", {}, 10 / 15),
    ],
)
def test_localisation(metric, settings, expected):
    model = planted.load(planted.mean_picture(4, 4))
    x = np.ones((1, 1, 4, 4), np.float32)
    scores = scored(model, x, A4, metric, masks=TOP_LEFT[None], **settings)
    assert scores.values == pytest.approx([expected])


def test_empty_truth_is_undefined_with_a_reason():
    model, x = planted.load(planted.mean_picture(4, 4)), np.ones((2, 1, 4, 4), np.float32)
    masks = np.stack([TOP_LEFT, np.zeros_like(TOP_LEFT)])
    scores = scored(model, x, np.stack([A4, A4]), "pointing_game", masks=masks)
    assert scores.reasons == {1: "its mask is empty"}
    assert scores.count == 1


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([(0, 0)], [7.2]),
        ([(1, 1)], [68 / 3]),
        ([(0, 0), (0, 1)], [11.666667, 12.166667]),
        ([(0, 0), (0, 1), (1, 0), (1, 1)], [29.823755, 24.103448, 33.881226, 33.149425]),
        ([(i, j) for i in range(3) for j in range(3) if (i, j) != (2, 2)], [64.0] * 8),
    ],
)
def test_imputation_of_road(missing, expected):
    removed = np.zeros((3, 3), dtype=bool)
    removed[tuple(np.transpose(missing))] = True
    filled = impute(np.arange(9.0).reshape(1, 3, 3) ** 2, removed)
    assert filled[0][removed] == pytest.approx(expected, abs=1e-6)


def test_nothing_is_imputed_from_nothing():
    with pytest.raises(ValueError, match="all pixels are removed"):
        impute(np.ones((1, 2, 2)), np.ones((2, 2), dtype=bool))


@pytest.mark.parametrize(
    ("method", "metric", "settings", "expected"),
    [
        ("input_x_gradient", "max_sensitivity", {"radius": 0.2, "neighbours": "corners"}, 0.2),
        ("input_x_gradient", "average_sensitivity", {"radius": 0.2, "draws": 3000}, 0.1103),
        ("saliency", "local_lipschitz", {}, 0.0),
        ("input_x_gradient", "relative_input_stability", {}, 1.0),
        ("input_x_gradient", "relative_representation_stability", {}, 1.0),
    ],
)
def test_robustness_of_the_linear_model(linear, method, metric, settings, expected):
    scores = xaionnx.evaluate(linear, ONES, method, metric, 0, controls=(), **settings)
    assert scores.values == pytest.approx([expected], abs=1.5e-3)


def test_local_lipschitz_is_at_most_the_largest_weight(linear):
    scores = xaionnx.evaluate(linear, ONES, "input_x_gradient", "local_lipschitz", 0, controls=(), draws=400)
    assert 3.5 < scores.values[0] <= 4.0 + 1e-6


def test_relative_output_stability_of_one_column():
    model = planted.load(planted.linear([[4.0]]))
    scores = xaionnx.evaluate(model, np.ones((1, 1), np.float32), "input_x_gradient", "relative_output_stability", 0)
    assert scores.values == pytest.approx([0.25], rel=1e-4)


@pytest.mark.parametrize("activation", ["logits", "none"])
def test_stability_of_one_logit_leaves_out_neighbours_of_the_other_class(activation):
    # The slope differs below 0, where the other class is more likely.
    net = tiny.parsed("g (float[N, 2] x) => (float[N, 1] y) { z = MatMul(x, w) y = LeakyRelu(z) }", w=[[1.0], [1.0]])
    model = planted.load(net, spec=InputSpec(kind="table", activation=activation))
    x = np.array([[0.5, -0.495]], np.float32)
    scores = xaionnx.evaluate(model, x, "saliency", "relative_input_stability", 0, controls=())
    assert (scores.values[0] == 0) == (activation == "logits")


def test_random_logit_of_reversed_weights():
    model = planted.load(planted.linear([W, REVERSED]))
    assert xaionnx.evaluate(model, ONES, "saliency", "random_logit", 0, controls=()).values == [-1.0]


def test_max_sensitivity_of_a_gradient_of_a_linear_part_is_zero():
    scores = xaionnx.evaluate(
        planted.load(planted.net_c()), np.float32([[3, 1]]), "saliency", "max_sensitivity", 0, controls=(), radius=0.01
    )
    assert scores.values == [0.0]


def test_deletion_and_insertion_limits():
    """f = 1 - [any pixel is 0] falls at once, and f = [any pixel is not 0] rises at once."""
    x = np.arange(1, 257, dtype=np.float32).reshape(1, 1, 16, 16)
    any_shown = planted.load(planted.any_pixel(16))
    none_missing = planted.load(planted.no_pixel_is_zero(16))
    assert scored(none_missing, x, x, "deletion", steps=256).values == pytest.approx([0], abs=1e-2)
    assert scored(any_shown, x, x, "insertion", steps=256, baseline=0).values == pytest.approx([1], abs=1e-2)


def test_average_drop_increase_and_gain():
    """From 0.8 to 0.6, and from 0.8 to 0.9."""
    falls, rises = (planted.load(planted.linear([w], b)) for w, b in (([0.2, 0.2], 0.4), ([0.2, -0.1], 0.7)))
    x, shows_first = np.ones((1, 2), np.float32), [1, 0]
    for model, drop, increase, gain in ((falls, 0.25, 0, 0), (rises, 0, 1, 0.5)):
        for metric, expected in (("average_drop", drop), ("average_increase", increase), ("average_gain", gain)):
            assert scored(model, x, shows_first, metric).values == pytest.approx([expected], abs=1e-6)


def test_similarities_of_maps():
    one, other = np.arange(49.0).reshape(7, 7), np.arange(49.0)[::-1].reshape(7, 7)
    for kind in ("spearman", "cosine", "ssim", "top_k"):
        assert similarity(one, one, kind).value == pytest.approx(1.0)
        assert similarity(one, other, kind).value < 0.6
    assert similarity(one, np.ones((7, 7)), "spearman").reason


def test_infidelity_of_one_perturbation_is_the_square_of_the_completeness_gap():
    """With everything removed, the only drop is f(x) - f(baseline)."""
    model, x = planted.load(planted.net_c()), np.float32([[3, 1]])
    record = xaionnx.explain(model, x, "saliency", 0)
    gap = xaionnx.evaluate(model, x, record, "completeness", 0, controls=()).values[0]
    whole = xaionnx.evaluate(
        model, x, record, "infidelity", 0, controls=(), features=np.array([0, 0]), subsets="single", scaled=False
    )
    assert whole.values == pytest.approx([gap**2])


@pytest.mark.parametrize("phi", [2 * W, SWAPPED, W])
def test_gaussian_infidelity_of_the_linear_model(linear, phi):
    """Its expectation is s^2 |phi - w|^2, and a square of a normal number has the relative variance 2."""
    draws, noise = 3000, 0.3
    values = np.float32([[1, 1, 1, 1]]) * phi
    found = xaionnx.evaluate(
        linear, ONES, values, "gaussian_infidelity", noise=noise, draws=draws, scaled=False, controls=()
    )
    expected = noise**2 * np.square(phi - W).sum()
    assert found.values == pytest.approx([expected], rel=4 * np.sqrt(2 / draws), abs=1e-6)


def test_gaussian_infidelity_of_integrated_gradients_is_that_of_their_error():
    """At (3, 1) the target of C has the slopes (1, -1), and integrated gradients are (1.5, -0.5)."""
    model, x = planted.load(planted.net_c()), np.float32([[3, 1]])
    small = {"noise": 0.01, "draws": 3000, "scaled": False, "controls": ()}
    slopes, whole = (
        xaionnx.evaluate(model, x, method, "gaussian_infidelity", 0, **small).values[0]
        for method in (Saliency(absolute=False), "integrated_gradients")
    )
    assert slopes == pytest.approx(0, abs=1e-9)
    # The deviations are a hundredth of 3 and 1.
    assert whole == pytest.approx(0.01**2 * (9 + 1) * 0.25, rel=4 * np.sqrt(2 / 3000))
    assert whole < 1e-3


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_values_of_another_package_are_scored_as_they_are(linear, kind):
    given = xaionnx.evaluate(linear, ONES, SWAPPED[None].astype(kind), "faithfulness_estimate")
    assert given.values == pytest.approx([0.8])
    assert given.method == "given values"
    assert given.control.count == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (W, r"must be numbers in its shape, \(1, 4\). Got float32 in the shape \(4,\)"),
        (np.array([list("abcd")]), "must be numbers in its shape"),
        ({"z": W[None]}, "has no input named 'z', whose values are given. Its inputs are x"),
    ],
)
def test_values_that_do_not_fit_the_input_are_refused(linear, values, said):
    with pytest.raises(InputMismatchError, match=said):
        xaionnx.evaluate(linear, ONES, values, "deletion")


def test_given_values_need_a_method_where_inputs_are_explained_again(linear):
    with pytest.raises(ParameterError, match="of given values there is only a record"):
        xaionnx.evaluate(linear, ONES, W[None], "max_sensitivity")
    with pytest.raises(DataError, match="values of sample 0 hold NaN"):
        xaionnx.evaluate(linear, ONES, np.float32([[1, np.nan, 2, 3]]), "deletion")


@pytest.mark.parametrize("parameter", ["method", "metric"])
def test_several_methods_and_metrics_are_for_a_table(linear, parameter):
    given = {"method": "saliency", "metric": "deletion"} | {parameter: ["saliency", "occlusion"]}
    with pytest.raises(
        ParameterError, match=f"'{parameter}' parameter of evaluate must be a single {parameter}.*table"
    ):
        xaionnx.evaluate(linear, ONES, **given)


def test_masks_of_numbers_are_refused_with_a_way_out(linear):
    with pytest.raises(DataError, match=r"Got uint8 of the shape .*; masks > 0 is bool"):
        xaionnx.evaluate(linear, ONES, W[None], "pointing_game", masks=np.uint8([[255, 0, 0, 0]]))


def test_rise_of_the_entropy_of_a_histogram():
    """Of 0, 0, 0, 1 and of 0, 1, 2, 3 in four bins."""
    before, after = (histogram_entropy(np.array(values), 4) for values in ([0, 0, 0, 1], [0, 1, 2, 3]))
    assert before == pytest.approx(0.562335, abs=1e-6)
    assert (after - before) / before == pytest.approx(1.46525, abs=1e-5)


@pytest.mark.parametrize(
    "metric", ["deletion", "insertion", "average_drop", "pointing_game", "relevance_mass_accuracy"]
)
def test_the_sign_of_a_slope_is_no_sign_for_or_against(metric):
    """At x = -1 the element of the slope -4 raises the target most, and is the most relevant."""
    model, x = planted.load(planted.linear([[-4.0, 1.0, 2.0, 3.0]])), np.float32([[-1, 1, 1, 1]])
    masks = np.array([[True, False, False, False]]) if "masks" in METRICS.find(metric).needs else None
    signed, sizes, contributions = (
        xaionnx.evaluate(model, x, method, metric, 0, controls=(), masks=masks).values
        for method in (Saliency(absolute=False), Saliency(), "input_x_gradient")
    )
    np.testing.assert_allclose(signed, sizes)
    np.testing.assert_allclose(signed, contributions)
