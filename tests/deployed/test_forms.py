"""Files as they are deployed are explained as the file that was exported."""

import json

import pytest

from tests.deployed.forms import FORMS, GOLDENS, METHODS, NETS, RESULTS, ROUNDED, measured

KEPT = json.loads(RESULTS.read_text())
# Forms with the same numbers, of which sums in another order are all that may differ.
EXACT = [form for form in FORMS if form.startswith(("optimised", "fused", "dynamo"))]
CLOSE = 1e-4


def test_all_nets_and_forms_are_kept():
    assert list(KEPT) == list(NETS)
    for net in NETS:
        assert list(KEPT[net]) == list(FORMS)
        assert (GOLDENS / f"{net}.npz").exists()


@pytest.mark.parametrize("net", NETS)
def test_forms_with_the_same_numbers_have_the_same_explanations(net):
    for form in EXACT:
        for method, apart in KEPT[net][form].items():
            assert apart < CLOSE, (form, method)


@pytest.mark.parametrize("net", ["bert", pytest.param("vit", marks=pytest.mark.slow)])
def test_optimised_files_are_explained_as_kept(net, tmp_path):
    forms = ("optimised, extended", "optimised, all")
    found = measured(net, tmp_path, forms)
    for form in forms:
        assert set(found[form]) <= set(METHODS)
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
