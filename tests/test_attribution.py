"""Attributions of parts of a batch as one."""

import numpy as np
import pytest

from xaionnx.attribution import Attribution, PlayerValues, joined
from xaionnx.errors import UnsupportedModelError

ROWS = [np.array([0, 2]), np.array([1])]
INPUTS = {"x": np.zeros((3, 2)), "z": np.zeros((3, 4))}


def part(rows, **given):
    """Two targets whose values are those of the samples' numbers."""
    numbers = np.asarray(rows, dtype=np.float64)
    values = np.stack([numbers, 10 + numbers])[:, :, None].repeat(2, axis=2)
    return Attribution({"x": values}, **given)


def test_samples_return_to_their_places():
    parts = [
        part(
            rows,
            baseline=np.stack([rows, -rows]).astype(np.float64),
            maps={"m": np.stack([rows, rows])[:, :, None] * 1.0},
        )
        for rows in ROWS
    ]
    whole = joined(ROWS, parts, INPUTS)
    np.testing.assert_array_equal(whole.values["x"][:, :, 0], [[0, 1, 2], [10, 11, 12]])
    np.testing.assert_array_equal(whole.baseline, [[0, 1, 2], [0, -1, -2]])
    np.testing.assert_array_equal(whole.maps["m"][1, :, 0], [0, 1, 2])
    assert whole.standard_error is None
    assert joined(ROWS[1:], parts[1:], INPUTS) is parts[1]


def test_an_input_that_a_part_does_not_read_gets_zeros():
    first = Attribution({"x": np.ones((2, 2, 2)), "z": np.full((2, 2, 4), 3.0)})
    whole = joined(ROWS, [first, part(ROWS[1])], INPUTS)
    np.testing.assert_array_equal(whole.values["z"][0], [[3] * 4, [0] * 4, [3] * 4])


def test_facts_are_kept_once_or_for_each_sample():
    parts = [
        part(ROWS[0], diagnostics={"gap": np.float64([[0, 2], [5, 7]]), "size": [4, 6], "steps": 8, "kind": "a"}),
        part(ROWS[1], diagnostics={"gap": np.float64([[1], [6]]), "size": [5], "steps": 8, "kind": "b"}),
    ]
    found = joined(ROWS, parts, INPUTS).diagnostics
    np.testing.assert_array_equal(found.pop("gap"), [[0, 1, 2], [5, 6, 7]])
    assert found == {"size": [4, 5, 6], "steps": 8, "kind": ["a", "b", "a"]}
    labels = [
        part(rows, facts={"approximations": names}) for rows, names in zip(ROWS, (["q", "p"], ["q"]), strict=True)
    ]
    assert joined(ROWS, labels, INPUTS).facts == {"approximations": ["p", "q"]}


def test_samples_with_fewer_players_have_none_in_their_places():
    players = [
        PlayerValues(np.ones((2, 2, 3)), {"x": np.zeros((1, 2), dtype=int)}),
        PlayerValues(np.full((2, 1, 2), 5.0), {"x": np.ones((1, 2), dtype=int)}),
    ]
    whole = joined(ROWS, [part(rows, players=one) for rows, one in zip(ROWS, players, strict=True)], INPUTS).players
    np.testing.assert_array_equal(whole.values[0], [[1, 1, 1], [5, 5, np.nan], [1, 1, 1]])
    np.testing.assert_array_equal(whole.labels["x"][:, 0], [0, 1, 0])


def test_maps_of_different_layers_are_not_joined():
    parts = [part(rows, facts={"seen_at": {"name": name}}) for rows, name in zip(ROWS, "ab", strict=True)]
    with pytest.raises(UnsupportedModelError, match="explained at different layers"):
        joined(ROWS, parts, INPUTS)
