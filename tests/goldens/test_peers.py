"""Methods beside other libraries: what is kept in agreement.json is so today, and is rounding or has a reason."""

import pytest

from tests.goldens.peers import families, kept

CASES = [pytest.param(family, net, id=f"{family.__name__.rpartition('.')[2]}-{net}")
         for family in families() for net in family.NETS]  # fmt: skip
KEPT = {(row.method, row.peer, row.net): row for row in kept()}

# Float32 against float64, over nets of up to 20 layers.
ROUNDING = 2e-5
LARGER = {
    # Two rules hand a sum near zero relevance that is not near zero: float32 rounds such a sum, and so its shares.
    ("zennit:w_square", "resnet"): 1e-2,
    ("zennit:flat", "resnet"): 1e-2,
    # Differences of scores, which the peer rounds to float32 as well.
    ("grad-cam:AblationCAM", "resnet18"): 1e-4,
}
# Where the peer calculates something else; the notes beside the comparisons say what, and test_cams and test_deep_lift
# prove it.
DIFFERENT = {
    ("grad-cam:GradCAMPlusPlus", "vgg"), ("grad-cam:GradCAMPlusPlus", "resnet18"), ("grad-cam:GradCAMPlusPlus", "vit"),
    ("captum:DeepLift", "vgg"), ("captum:DeepLiftShap", "vgg"),
    ("captum:DeepLift", "resnet18"), ("captum:DeepLiftShap", "resnet18"), ("captum:DeepLift:apart", "resnet18"),
    ("captum:DeepLift", "vit"), ("captum:DeepLiftShap", "vit"),
}  # fmt: skip


@pytest.mark.parametrize(("family", "net"), CASES)
def test_we_agree_with_the_peers_as_is_kept(family, net, tmp_path):
    for row in family.compared(net, tmp_path):
        before, case = KEPT[row.method, row.peer, net], (row.peer, net)
        assert row.measure == before.measure
        if row.measure == "correlation" or case in DIFFERENT:
            assert row.value == pytest.approx(before.value, rel=0.01), case
        else:
            assert max(row.value, before.value) <= LARGER.get(case, ROUNDING), case
        if row.gaps is not None:
            # Of the change of the score, to which many values of either sign add up in float32.
            assert max(row.gaps[0], before.gaps[0]) < 1e-4, case
            assert row.gaps[1] == pytest.approx(before.gaps[1], rel=1e-6), case


def test_every_comparison_is_kept_once():
    assert len(KEPT) == len(kept())
    assert {row.net for row in KEPT.values()} == {net for family in families() for net in family.NETS}
