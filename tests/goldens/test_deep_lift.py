"""Where Captum's DeepLIFT is not complete, and why; test_peers checks that ours is, on the same nets."""

import pytest

from tests.goldens.peers import kept

GAPS = {(row.peer, row.net): row.gaps for row in kept() if row.method == "deep_lift"}


@pytest.mark.parametrize("net", ["vgg", "resnet18", "vit"])
@pytest.mark.parametrize("peer", ["captum:DeepLift", "captum:DeepLiftShap"])
def test_captums_is_not_complete_through_max_pooling_and_in_a_transformer(peer, net):
    assert GAPS[peer, net][1] > 0.1


def test_captums_is_complete_without_max_pooling_and_with_one_that_is_not_lost():
    assert GAPS["captum:DeepLift", "resnet"][1] < 1e-9
    assert GAPS["captum:DeepLiftShap", "resnet"][1] < 1e-9
    assert GAPS["captum:DeepLift:apart", "vgg"][1] < 1e-9


def test_captums_is_not_complete_where_windows_overlap_even_if_its_rule_is_not_lost():
    assert GAPS["captum:DeepLift:apart", "resnet18"][1] > 0.1
