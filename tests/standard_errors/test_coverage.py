"""Standard errors hold at their rate: 95 of 100 values lie within 1.96 of them."""

import numpy as np
import pytest

import xaionnx
from tests.determinism.settings import loaded, made, samples
from tests.standard_errors.coverage import (
    CASES,
    LEAST,
    MOST,
    Case,
    X,
    all_models,
    coverage,
    kept_results,
    models,
    rates,
)
from xaionnx import discovery, parameters
from xaionnx.errors import XaionnxError


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_estimator_over_400_seeds(case):
    found = rates(case)
    if not case.has_errors:
        assert set(found.values()) == {None}
        return
    for model, rate in found.items():
        assert rate == "exact" or LEAST <= rate <= MOST, model


@pytest.mark.parametrize("case", [case for case in CASES if not case.has_errors], ids=lambda case: case.name)
def test_errors_that_would_not_hold_are_not_given(case):
    assert coverage(case, models()["curved"], seeds=1) is None


def test_kept_rates_hold():
    kept = kept_results()
    for case in CASES:
        rates = set(kept[case.name].values())
        assert (rates == {None}) != case.has_errors, case.name
        assert all(rate == "exact" or LEAST <= rate <= MOST for rate in rates if case.has_errors), case.name


def test_all_models_at_once_are_explained_as_each_by_itself():
    case = Case("banzhaf", {"budget": 80})
    together = coverage(case, all_models(), seeds=10)
    each = [coverage(case, model, seeds=10)[0] for model in models().values()]
    np.testing.assert_array_equal(together, each)


# What is asked of the model, and not how its answers are drawn and added up: the errors are about the draws alone.
OF_THE_QUESTION = {
    "background", "background_reduction", "background_size", "baseline", "conditional", "correlated", "donors",
    "expectation", "features", "labels", "layer", "neighbours", "noise", "seed",
}  # fmt: skip
# Options that no case has, and why.
WITHOUT_CASE = {
    ("lime", "selection"): "features that the samples choose have no errors",
    ("lime", "tree_depth"): "a tree has no errors",
}


@pytest.mark.parametrize("method", dict.fromkeys(case.method for case in CASES if case.has_errors))
def test_every_option_of_an_estimator_is_in_the_table(method):
    tried = {name for case in CASES if case.method == method for name in case.settings}
    options = set(parameters.declared(discovery.method(method))) - OF_THE_QUESTION - tried
    assert {option for option in options if (method, option) not in WITHOUT_CASE} == set()


def test_options_without_a_case_exist():
    for method, option in WITHOUT_CASE:
        assert option in parameters.declared(discovery.method(method))
        assert not any(option in case.settings for case in CASES if case.method == method)


def test_every_case_is_in_the_table():
    assert list(kept_results()) == [case.name for case in CASES]


def gives_errors(method, model, x):
    """Whether a method gives standard errors by its defaults, of values or of a map."""
    settings = {"budget": 300} if "budget" in parameters.declared(discovery.method(method)) else {}
    try:
        found = xaionnx.explain(model, x, made(method, "table") if method == "dependence" else method, **settings)
    except XaionnxError:
        return False
    errors = [found.standard_error, *(array for name, array in found.maps.items() if "error" in name)]
    # What is evaluated whole has errors of 0.
    return any(np.any(array) for array in errors if array is not None)


# Which draw and fit as another does.
ALIKE = {"d_rise": "rise"}


@pytest.mark.parametrize("method", discovery.methods())
def test_a_method_that_gives_errors_is_in_the_table(method):
    measured = {case.method for case in CASES if case.has_errors}
    x = X + np.linspace(0, 0.2, 3, dtype=np.float32)[:, None]
    given = gives_errors(method, models()["curved"], x) or gives_errors(
        method, loaded("pooled picture"), samples("pooled picture")[:2]
    )
    assert not given or ALIKE.get(method, method) in measured
