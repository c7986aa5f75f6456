"""Masked arrays of numpy: the number under the mask, such as -9999, is none that was measured."""

from __future__ import annotations

import re

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx.errors import XaionnxError

ROWS = np.arange(8.0, dtype=np.float32).reshape(2, 4)
HIDDEN = np.ma.masked_equal(ROWS, 5.0)


@pytest.fixture(scope="module")
def linear():
    return planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))


def first(masked):
    """A data set of what is masked, read."""
    return lambda model: list(xaionnx.Dataset.of(masked).batches(model))


@pytest.mark.parametrize(
    "use",
    [
        lambda model: xaionnx.explain(model, HIDDEN, "saliency"),
        lambda model: xaionnx.explain(model, {"x": HIDDEN}, "saliency"),
        lambda model: xaionnx.explain(model, ROWS, "exact_shapley", background=HIDDEN),
        lambda model: xaionnx.explain(model, ROWS, "exact_shapley", baseline=HIDDEN[1]),
        lambda model: xaionnx.explain(model, ROWS, "exact_shapley", features=np.ma.masked_equal([0, 1, 2, 3], 2)),
        lambda model: xaionnx.evaluate(model, ROWS, HIDDEN, "sparseness"),
        lambda model: xaionnx.evaluate(model, ROWS, "saliency", "pointing_game", masks=HIDDEN > 2),
        lambda model: xaionnx.Dataset.of(ROWS, masks=HIDDEN > 2),
        lambda model: xaionnx.Dataset.of(ROWS, labels=np.ma.masked_equal([0, 1], 1)),
        first(HIDDEN),
        first({"x": HIDDEN}),
    ],
)
def test_masked_elements_are_refused_wherever_arrays_are_given(linear, use):
    with pytest.raises(XaionnxError, match=re.escape("of the masked array is masked. Fill it")):
        use(linear)


def test_a_sample_with_masked_elements_is_left_out_of_a_sequence(linear):
    (block,) = xaionnx.Dataset.of(list(HIDDEN)).batches(linear)
    assert block.units == (0,)
    (refused,) = block.refused
    assert (refused.unit, "1 element of the masked array is masked" in refused.reason) == (1, True)


def test_an_array_whose_mask_hides_nothing_is_an_array(linear):
    whole = np.ma.masked_equal(ROWS, -9999.0)
    np.testing.assert_array_equal(
        xaionnx.explain(linear, whole, "input_x_gradient").values, ROWS * np.float32([4, 3, 2, 1])
    )
