"""Completeness compares the values with the change from the method's own baseline, or from one that is given."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded
from xaionnx.evaluation import score_table
from xaionnx.evaluation.controls.random import Random
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.kernel_shap import KernelShap

ROWS = np.array([[1.0, 2.0], [3.0, 0.5], [-1.0, 4.0]], np.float32)


@pytest.fixture(scope="module")
def product():
    """y = x_0 x_1 and y = -x_0 x_1, two outputs of one model."""
    body = "a, b = Split<axis=1, num_outputs=2>(x) p = Mul(a, b) n = Neg(p) y = Concat<axis=1>(p, n)"
    return loaded(f"g (float[N, 2] x) => (float[N, 2] y) {{ {body} }}", opset=18)


@pytest.mark.parametrize(
    "method",
    [
        IntegratedGradients(baseline=2.0, steps=200),
        KernelShap(background=ROWS[1:]),
        KernelShap(background=ROWS[1:], features=np.array([0, 0])),
    ],
    ids=["one input", "rows of a background", "groups"],
)
def test_the_baseline_is_that_of_the_method(product, method):
    scores = xaionnx.evaluate(product, ROWS, method, "completeness", 0)
    np.testing.assert_allclose(scores.values, 0, atol=1e-4)


def test_a_given_baseline_is_used_in_its_place(product):
    paths = IntegratedGradients(baseline=2.0, steps=200)  # their values sum to x_0 x_1 - 4
    scores = xaionnx.evaluate(product, ROWS, paths, "completeness", 0, baseline=0.0)
    np.testing.assert_allclose(scores.values, 4, rtol=1e-4)


def test_the_map_of_another_class_is_judged_from_a_baseline_of_the_metric(product):
    scores = xaionnx.evaluate(
        product, ROWS, IntegratedGradients(steps=200), "completeness", 0, controls=("other_class",)
    )
    # The values of the other class sum to -x_0 x_1, and this class changes by x_0 x_1 from zero.
    np.testing.assert_allclose(scores.controls["other_class"].values, 2 * np.abs(ROWS.prod(axis=1)), rtol=1e-3)


def test_controls_are_compared_with_the_change_that_the_method_is(product):
    """They were with that from zeros: a map of nothing seemed nearer to the change, or further from it, than it is."""
    bases = (0.0, 2.0)
    found = [
        xaionnx.evaluate(product, ROWS, IntegratedGradients(baseline=base, steps=200), "completeness", 0)
        for base in bases
    ]
    sums = xaionnx.explain(product, ROWS, Random(), 0).values.sum(axis=1)
    for base, scores in zip(bases, found, strict=True):
        expected = np.abs(sums - (ROWS.prod(axis=1) - base**2))
        np.testing.assert_allclose(scores.controls["random"].values, expected, rtol=1e-4)


def test_methods_of_one_table_have_each_the_control_of_their_own_baseline(product):
    methods = [IntegratedGradients(baseline=2.0, steps=200), "input_x_gradient", "occlusion"]
    table = score_table(product, ROWS, methods, ["completeness"], 0)
    for method in methods:
        alone = xaionnx.evaluate(product, ROWS, method, "completeness", 0).controls["random"].values
        name = method if isinstance(method, str) else method.name()
        np.testing.assert_array_equal(table.scores[name]["completeness"].controls["random"].values, alone)
