"""What people met with LIME for tables, anchors and permutation importance."""

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx.errors import OutputError
from xaionnx.explainers.anchors import Anchors
from xaionnx.explainers.feature_permutation import FeaturePermutation
from xaionnx.explainers.lime import Lime

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order_of_tests():
    RNG.bit_generator.state = START


def explained(column, x, **more):
    """The sum of two columns, of which the first is given."""
    rows = np.stack([column, RNG.normal(size=len(column))], axis=1).astype(np.float32)
    model = planted.load(planted.linear([[2.0, 1.0]]))
    return xaionnx.explain(
        model, np.array([[x, 0.3]], np.float32), Lime(neighbourhood="bins", background=rows, alpha=0, **more), 0
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_a_column_of_zeros_and_ones_has_its_value(share, x):
    column = (np.arange(500) < 500 * share).astype(float)
    found = explained(column, x, budget=2000)
    assert found.values[0, 0] == pytest.approx(2 if x else -2, abs=0.15)


def test_a_constant_column_and_a_column_with_gaps():
    assert abs(explained(np.full(100, 7.0), 7.0).values[0, 0]) < 1e-12
    gaps = RNG.normal(size=100)
    gaps[::3] = np.nan
    model = planted.load(planted.linear([[0.0, 1.0]]))
    rows = np.stack([gaps, RNG.normal(size=100)], axis=1).astype(np.float32)
    # The model has no value for a gap, and says so; by its own treatment of gaps the rest would be explained.
    with pytest.raises(OutputError, match="returns NaN or infinity"):
        xaionnx.explain(model, rows[1:2], Lime(neighbourhood="bins", background=rows), 0)


def test_mostly_zeros_are_two_bins_with_the_rest_above():
    column = np.where(np.arange(400) % 5 == 0, RNG.uniform(1, 9, size=400), 0)
    found = explained(column, 5.0)
    assert found.feature_names[0] == "x[0] > 0"
    # The sampled numbers are those of the bin, about 5.
    assert 8 < found.values[0, 0] < 12


def test_a_bin_of_one_number_keeps_it():
    """A bin whose rows all hold 1 gives 1, not 0."""
    column = np.where(np.arange(400) % 2 == 0, 1.0, 2.0)
    found = explained(column, 1.0, budget=3000)
    assert found.values[0, 0] == pytest.approx(-2, abs=0.15)


def test_the_coverage_of_an_anchor_is_the_share_of_rows():
    rows = RNG.normal(size=(1000, 3)).astype(np.float32)
    model = planted.load(planted.linear([[1.0, 0, 0]]))
    x = np.array([[2.0, 0, 0]], np.float32)
    found = xaionnx.explain(model, x, Anchors(background=rows, threshold=0.0))
    assert found.diagnostics["anchor"] == [[[0]]]
    meets = np.searchsorted(np.percentile(rows[:, 0].astype(float), (25, 50, 75)), rows[:, 0]) == 3
    assert found.diagnostics["coverage"][0][0] == pytest.approx(meets.mean())


def test_an_empty_anchor_is_precise_and_covers_everything():
    rows = RNG.normal(size=(200, 3)).astype(np.float32)
    found = xaionnx.explain(planted.load(planted.null((3,))), rows[:1], Anchors(background=rows, threshold=1.0))
    assert found.diagnostics["anchor"] == [[[]]]
    assert found.diagnostics["precision"] == [[1.0]]
    assert found.diagnostics["coverage"] == [[1.0]]


def test_copies_of_a_column_are_permuted_together_as_a_group():
    x = RNG.normal(size=(300, 1)).repeat(2, axis=1).astype(np.float32)
    model, labels = planted.load(planted.linear([[1.0, 1.0]])), 2 * x[:, 0]
    alone = xaionnx.explain(model, x, FeaturePermutation(metric="r2", labels=labels, draws=3))
    group = xaionnx.explain(
        model, x, FeaturePermutation(metric="r2", labels=labels, draws=3, features=np.array([0, 0]))
    )
    assert group.feature_values[0, 0] > 1.5 * alone.feature_values[0].max()
