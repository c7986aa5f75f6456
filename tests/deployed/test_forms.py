"""Files as they are deployed are explained as the file that was exported."""

import json

import pytest

from tests.deployed.forms import (
    ANSWER,
    ARCHITECTURES,
    FORMS,
    GOLDENS,
    METHODS,
    NETS,
    OWN_WEIGHTS,
    RESULTS,
    ROUNDED,
    forms_of,
    measured,
)

KEPT = json.loads(RESULTS.read_text())
OWN = json.loads(OWN_WEIGHTS.read_text())
# Forms with the same numbers, of which sums in another order are all that may differ.
EXACT = [form for form in FORMS if form.startswith(("optimised", "fused", "dynamo"))]
CLOSE = 1e-4


def test_all_nets_and_forms_are_kept():
    assert list(KEPT) == list(NETS)
    for net in NETS:
        assert tuple(KEPT[net]) == forms_of(net)
    assert all((GOLDENS / f"{net}.npz").exists() for net in ARCHITECTURES)


@pytest.mark.parametrize("net", NETS)
def test_forms_with_the_same_numbers_have_the_same_explanations(net):
    for form in set(EXACT) & KEPT[net].keys():
        for method, apart in KEPT[net][form].items():
            assert apart < CLOSE, (form, method)


@pytest.mark.parametrize("net", OWN)
def test_files_with_rounded_weights_are_explained_as_exact_arithmetic_with_these_weights(net):
    """Whatever differs from the source is then a matter of the weights, and nothing is lost beside it."""
    forms = OWN[net]
    assert {"float16", "int8, QDQ", "int8, QOperator", "int8, QDQ, one scale a tensor"} <= set(forms)
    for form, row in forms.items():
        assert set(row) >= {"saliency", "grad_cam", "lrp", "deep_lift", "guided_backprop"}
        for method, apart in row.items():
            assert apart < CLOSE, (form, method)


@pytest.mark.peers
def test_exact_arithmetic_is_as_kept(tmp_path):
    pytest.importorskip("torch")
    from tests.deployed import own_weights

    (row,) = own_weights.measured("bert", tmp_path, ("float16",)).values()
    assert row.keys() == OWN["bert"]["float16"].keys()
    assert all(apart < CLOSE for apart in row.values()), row


@pytest.mark.parametrize("net", ["bert", pytest.param("vit", marks=pytest.mark.slow)])
def test_optimised_files_are_explained_as_kept(net, tmp_path):
    forms = ("optimised, extended", "optimised, all")
    found = measured(net, tmp_path, forms)
    for form in forms:
        assert set(found[form]) <= {*METHODS, ANSWER}
        assert all(apart < CLOSE for apart in found[form].values()), found[form]


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_the_kept_results_are_those_of_today(net, tmp_path):
    for form, row in measured(net, tmp_path).items():
        kept = KEPT[net][form]
        assert row.keys() == kept.keys()
        for method, value in row.items():
            if isinstance(value, str):
                assert isinstance(kept[method], str), (form, method)
            else:
                tolerance = 0.02 if form in ROUNDED else max(CLOSE, 0.2 * kept[method])
                assert value == pytest.approx(kept[method], abs=tolerance), (form, method)
