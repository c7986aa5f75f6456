"""Propagation beside other libraries: figures kept in results.json are today's, and all are rounding."""

import json

import pytest

from tests.goldens.propagation_peers import NETS, RESULTS, compared

# Two rules hand a sum near zero relevance that is not near zero: float32 rounds such a sum, and so its shares.
TOLERANCE = {("resnet", "zennit:flat"): 1e-2, ("resnet", "zennit:w_square"): 1e-2}


@pytest.mark.parametrize("net", NETS)
def test_we_agree_with_the_peers_as_the_kept_figures_say(net):
    kept = json.loads(RESULTS.read_text())[net]
    today = compared(net)
    assert today.keys() == kept.keys()
    for key in kept:
        assert max(today[key], kept[key]) <= TOLERANCE.get((net, key), 2e-5), key
