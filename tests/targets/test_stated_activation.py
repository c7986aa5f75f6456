"""A spec that calls scores a softmax or a sigmoid is checked against the first outputs."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from xaionnx import InputSpec, Target
from xaionnx.errors import OutputError, ParameterError
from xaionnx.targets.selection import activate

ROWS = np.float32([[1, 2, 3], [0.1, 0.2, 0.7]])


def opened(spec):
    return planted.load(planted.linear(np.eye(3).tolist()), spec=spec)


@pytest.mark.parametrize("stated", ["softmax", "sigmoid"])
def test_scores_outside_of_0_and_1(stated):
    model = opened(InputSpec(kind="table", activation=stated))
    with pytest.raises(
        ParameterError, match=f'activation = "{stated}", but output .* ranges from 0.1 to 3, not within'
    ):
        xaionnx.explain(model, ROWS, "feature_ablation")
    with pytest.raises(ParameterError, match=r'Write activation = "logits" under \[output\]'):
        xaionnx.explain(model, ROWS, "saliency", target=1)


def test_a_softmax_that_does_not_sum_to_1():
    rows = np.float32([[0.1, 0.2, 0.7], [0.1, 0.2, 0.3]])
    with pytest.raises(ParameterError, match=r"sums to 0\.6, not to 1"):
        xaionnx.explain(opened(InputSpec(kind="table", activation="softmax")), rows, "feature_ablation")
    assert xaionnx.explain(opened(InputSpec(kind="table", activation="sigmoid")), rows, "feature_ablation").samples == 2


def test_probabilities_are_accepted():
    model = opened(InputSpec(kind="table", activation="softmax"))
    assert xaionnx.explain(model, ROWS[1:], "feature_ablation").provenance["quantity"] == "probability"


def test_probabilities_that_the_spec_calls_logits_are_told():
    model = opened(InputSpec(kind="table", activation="logits"))
    said = "The spec calls output 'y' logits, but its scores sum to 1 as probabilities do"
    assert said in xaionnx.explain(model, ROWS[1:], "feature_ablation").warnings[-1]
    assert not any(said in one for one in xaionnx.explain(model, ROWS, "feature_ablation").warnings)


def test_scores_that_overflow_are_refused_in_a_sentence_alone():
    """A network in half precision returns infinity above 65504, whose softmax no warning of numpy explains."""
    squares = [tiny.node("Mul", ["x", "x"], ["y"])]
    proto = tiny.model(squares, [tiny.tensor("x", ["N", 2], 10)], [tiny.tensor("y", ["N", 2], 10)])
    x = np.float16([[1, 2], [400, 1]])
    with pytest.raises(OutputError, match="returns NaN or infinity for row 1"):
        xaionnx.explain(planted.load(proto), x, "feature_ablation", Target.probability(1))
    np.testing.assert_array_equal(activate("exp", np.float32([[0, 1000]])), [[1, np.inf]])
