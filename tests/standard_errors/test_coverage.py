"""Standard errors hold at their rate: 95 of 100 values lie within 1.96 of them."""

import pytest

from tests.standard_errors.coverage import CASES, LEAST, MOST, coverage, models, rates


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_estimator_over_400_seeds(case):
    found = rates(case)
    if not case.has_errors:
        assert set(found.values()) == {None}
        return
    for model, rate in found.items():
        assert rate == "exact" or LEAST <= rate <= (1 if case.above else MOST), model


@pytest.mark.parametrize("case", [case for case in CASES if not case.has_errors], ids=lambda case: case.name)
def test_errors_that_would_not_hold_are_not_given(case):
    assert coverage(case, models()["curved"], seeds=1) is None
