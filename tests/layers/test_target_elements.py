"""Elements that targets read: equal ones are told from others by a key that is kept for each sample."""

import numpy as np

from xaionnx.layers.target_elements import TargetElements


def test_a_key_tells_elements_apart_and_does_not_grow_with_a_region():
    region = np.arange(100_000)
    key = TargetElements("y", region).key
    assert TargetElements("y", region.copy()).key == key
    for other in (TargetElements("z", region), TargetElements("y", region + 1), TargetElements("y")):
        assert other.key != key
    assert len(key[1] or b"") == 32
