"""Which parameters the rules of relevance propagation accept."""

import numpy as np
import pytest

from xaionnx.autodiff.relevance import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from xaionnx.errors import ParameterError


@pytest.mark.parametrize(
    ("rule", "given", "message"),
    [
        *(
            (rule, {"epsilon": -1e-6}, rf"'epsilon' parameter of {rule.__name__} must be a float in \[0, inf\)")
            for rule in (AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus)
        ),
        (ZPlus, {"relative": 1}, "'relative' parameter of ZPlus must be True or False. Got 1"),
        (Gamma, {"gamma": -0.5}, r"'gamma' parameter of Gamma must be a float in \[0, inf\). Got -0.5"),
        (Gamma, {"gamma": np.inf}, "'gamma' parameter of Gamma"),
        (AlphaBeta, {"alpha": 0.5, "beta": -0.5}, r"'alpha' parameter of AlphaBeta must be a float in \[1, inf\)"),
        (AlphaBeta, {"alpha": 2, "beta": -1}, r"'beta' parameter of AlphaBeta must be a float in \[0, inf\)"),
        (AlphaBeta, {"alpha": 3}, "alpha - beta = 1. Got alpha 3 and beta 1"),
        (ZBox, {"low": 1.0, "high": 0.0}, "'low' parameter of ZBox must lie below 'high', 0.0. Got 1.0"),
        (ZBox, {"low": (0.0, 1.0), "high": 1.0}, "'low' parameter of ZBox must lie below 'high'"),
    ],
)
def test_a_rule_refuses_what_lies_outside(rule, given, message):
    with pytest.raises(ParameterError, match=message):
        rule(**given)


def test_ends_of_the_intervals_are_taken():
    assert Epsilon(0).epsilon == Gamma(0.0).gamma == AlphaBeta(1, 0).beta == 0
    assert ZBox((-1.0, 0.0), 1).high == 1
