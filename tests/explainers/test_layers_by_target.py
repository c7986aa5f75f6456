"""The layers of maps for many samples: equal targets are looked at once."""

import numpy as np

from xaionnx.explainers._cams.several import layers_by_target
from xaionnx.layers.target_elements import TargetElements


def test_elements_that_many_samples_share_choose_their_layer_once():
    classes = [TargetElements("scores", np.array([n]), str(n)) for n in range(3)]
    asked = []

    def choose(one, without):
        asked.append(one.name)
        return "a" if one.name == "0" else "b"

    found = layers_by_target([[classes[n % 3] for n in range(300)]], choose, lambda layer, where: None)
    assert asked == ["0", "1", "2"]
    assert {layer: int(where.sum()) for layer, where in found.items()} == {"a": 100, "b": 200}
    assert found["a"][0, ::3].all()
