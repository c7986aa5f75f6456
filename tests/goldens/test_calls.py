"""The same calls as `tests.goldens.make_calls` makes with Captum, on the same nets."""

import json
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from tests.goldens.calls import BASELINE, GROUPS, LABELS, PICTURES, ROWS, weights
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target

CALLS = json.loads((Path(__file__).parent / "calls.json").read_text(encoding="utf-8"))
PATH = {"steps": 50, "rule": "gauss_legendre"}


@pytest.fixture(scope="module")
def columns():
    sizes = {"first": (6, 5), "second": (4, 6), "third": (3, 4)}
    held = {f"{name}_w": weights(f"columns.{name}.weight", size) for name, size in sizes.items()}
    held |= {f"{name}_b": weights(f"columns.{name}.bias", size[:1]) for name, size in sizes.items()}
    return loaded(
        """g (float[N, 5] x) => (float[N, 3] y) {
        a = Gemm<transB = 1>(x, first_w, first_b)  tanh = Tanh(a)  b = Gemm<transB = 1>(tanh, second_w, second_b)
        relu = Relu(b)  y = Gemm<transB = 1>(relu, third_w, third_b) }""",
        **held,
    )


@pytest.fixture(scope="module")
def pictures():
    return loaded(
        """g (float[N, 2, 6, 6] x) => (float[N, 3] y) {
        c = Conv<pads = [1, 1, 1, 1]>(x, w, b)  relu = Relu(c)  f = Flatten(relu)  y = Gemm<transB = 1>(f, v, d) }""",
        w=weights("pictures.conv.weight", (3, 2, 3, 3)), b=weights("pictures.conv.bias", (3,)),
        v=weights("pictures.head.weight", (3, 108)), d=weights("pictures.head.bias", (3,)),
    )  # fmt: skip


def same(found, call):
    expected = np.array(CALLS[call])
    assert_close(found, expected, Tolerance.DEEP, np.abs(expected).max())


def test_neuron_conductance(columns, pictures):
    found = xaionnx.explain(
        columns, ROWS, "neuron_conductance", 1, neuron=Target.neuron("tanh", 2), baseline=BASELINE, **PATH
    )
    same(found.values, "neuron_conductance:columns")
    found = xaionnx.explain(pictures, PICTURES, "neuron_conductance", np.array(LABELS), neuron="relu:1,3,2", **PATH)
    same(found.values, "neuron_conductance:pictures")


def test_slopes_without_the_factor(columns):
    for method, options in (("integrated_gradients", PATH), ("deep_lift", {})):
        found = xaionnx.explain(columns, ROWS, method, 1, baseline=BASELINE, factor="none", **options)
        same(found.values, method)


def test_the_gradient_of_a_unit_that_a_function_chooses(pictures):
    target = Target.where(lambda a: a.reshape(len(a), -1).argmax(axis=1), output="relu")
    same(xaionnx.explain(pictures, PICTURES, "saliency", target, absolute=False).values, "neuron:chosen")


def test_feature_permutation_in_a_batch_of_two(columns):
    for features, name in ((None, "elements"), (np.array(GROUPS), "groups")):
        found = xaionnx.explain(columns, ROWS, "feature_permutation", 1, features=features)
        same(found.values, f"feature_permutation:{name}")


def test_units_of_a_layer_removed(columns, pictures):
    found = xaionnx.explain(columns, ROWS, "feature_ablation", 1, layer="tanh")
    same(found.values, "layer_ablation:columns:elements")
    groups = np.array([0, 0, 1, 1, 2, 2])
    found = xaionnx.explain(columns, ROWS, "feature_ablation", 1, layer="tanh", features=groups, baseline=0.5)
    same(found.values, "layer_ablation:columns:groups")
    channels = np.arange(3)[:, None, None]
    found = xaionnx.explain(pictures, PICTURES, "feature_ablation", np.array(LABELS), layer="relu", features=channels)
    same(found.values, "layer_ablation:pictures:channels")


def test_one_loss_of_a_whole_batch(columns):
    """Captum's is the sum of the losses, with a feature removed in both rows at once."""
    each = xaionnx.explain(columns, ROWS, "exact_shapley", Target.loss(LABELS), baseline=BASELINE)
    same(len(ROWS) * each.mean().values, "shapley_values:batch")
