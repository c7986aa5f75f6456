"""Agreement with other libraries: agreement.json is up to date, and every difference is rounding or has a reason."""

import pytest

from tests.goldens.peers import families, kept
from tests.tolerances import Tolerance, assert_close

CASES = [pytest.param(family, net, id=f"{family.__name__.rpartition('.')[2]}-{net}")
         for family in families() for net in family.NETS]  # fmt: skip
KEPT = {(row.method, row.peer, row.net): row for row in kept()}

ILL_CONDITIONED = {
    ("zennit:w_square", "resnet"): Tolerance.PEERS_OF_SMALL_SUMS,
    ("zennit:flat", "resnet"): Tolerance.PEERS_OF_SMALL_SUMS,
    ("zennit:epsilon", "dense"): Tolerance.PEERS_OF_CANCELLING_SUMS,
}
# Peers that compute something else; notes beside the comparisons say what, and test_cams and test_deep_lift prove it.
DIFFERENT = {
    ("grad-cam:GradCAMPlusPlus", "vgg"), ("grad-cam:GradCAMPlusPlus", "resnet18"), ("grad-cam:GradCAMPlusPlus", "vit"),
    ("captum:DeepLift", "vgg"), ("captum:DeepLiftShap", "vgg"),
    ("captum:DeepLift", "resnet18"), ("captum:DeepLiftShap", "resnet18"), ("captum:DeepLift:apart", "resnet18"),
    ("captum:DeepLift", "vit"), ("captum:DeepLiftShap", "vit"),
    # Which layers are first: the note says what the peer does, and the same with all of them agrees.
    ("zennit:epsilon_gamma_box", "mlp"), ("zennit:epsilon_plus_flat", "inception"),
    ("zennit:epsilon_gamma_box", "inception"), ("zennit:epsilon_alpha2_beta1_flat", "inception"),
}  # fmt: skip


@pytest.mark.parametrize(("family", "net"), CASES)
def test_we_agree_with_the_peers_as_is_kept(family, net, tmp_path):
    for row in family.compared(net, tmp_path):
        before, case = KEPT[row.method, row.peer, net], (row.peer, net)
        assert row.measure == before.measure
        if row.measure == "correlation" or case in DIFFERENT:
            assert row.value == pytest.approx(before.value, rel=0.01), case
        else:
            tolerance = ILL_CONDITIONED.get(case, Tolerance.PEERS)
            assert_close(max(row.value, before.value), 0, tolerance)
        if row.gaps is not None:
            assert_close(max(row.gaps[0], before.gaps[0]), 0, Tolerance.PEERS)
            # The peer's own gap, from the same file.
            assert_close(row.gaps[1], before.gaps[1], Tolerance.FLOAT64)


def test_every_comparison_is_kept_once():
    assert len(KEPT) == len(kept())
    assert {row.net for row in KEPT.values()} == {net for family in families() for net in family.NETS}
