"""The catalogue of real models, the checks that its cells pass, and what the kept results say."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.real.catalogue import Entry, Input, catalogue
from tests.real.cells import Bad, Case, methods, try_method
from tests.real.table import METHODS, RESULTS, state
from tests.tiny import node, saved, tensor

ENTRIES = catalogue()


def test_the_catalogue_is_pinned():
    assert len(ENTRIES) >= 25
    assert len({entry.kind for entry in ENTRIES}) >= 8
    assert len({entry.name for entry in ENTRIES}) == len({entry.path for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert re.fullmatch(r"[\w-]+==[\d.]+|npm:(@[\w-]+/)?[\w-]+@[\d.]+", entry.package)
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.licence
        assert any(given.cut for given in entry.inputs.values())


def test_players_are_pieces_of_axes():
    labels = Input("N H C", {}, cut={"H": 2, "C": 3}).labels((1, 4, 3), first=5)
    np.testing.assert_array_equal(labels[0], [[5, 6, 7], [5, 6, 7], [8, 9, 10], [8, 9, 10]])


@pytest.fixture
def case(tmp_path):
    """A small net of a convolution, as an entry of the catalogue."""
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(size=(4, 3, 3, 3)), "w": rng.normal(size=(4, 3))}
    nodes = [
        node("Conv", ["x", "k"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["b"]),
        node("GlobalAveragePool", ["b"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    path = saved(
        tmp_path / "net.onnx",
        nodes,
        [tensor("x", ["N", 3, 6, 6])],
        [tensor("y", ["N", 3])],
        {name: array.astype(np.float32) for name, array in weights.items()},
    )
    x = Input("N C H W", {"noise": [1, 3, 6, 6]}, cut={"H": 2, "W": 2})
    entry = Entry("net", "classifier", "net==1", "net.onnx", "none", "", {"x": x}, {"output": "y", "index": "max"}, {})
    return Case(entry, path)


@pytest.mark.parametrize("method", METHODS)
def test_a_right_answer_works(case, method):
    cell = try_method(case, method)
    assert (cell.state, cell.method) == ("works", method), cell.note


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_answer_is_seen(case, method):
    import xaionnx

    settings, check = methods(case)[method]
    result = xaionnx.explain(case.model, case.feeds, method, case.target, **settings)
    check(case, result)
    values, players, cam = result.values.copy(), result.feature_values, result.maps.get("cam")
    values[..., 0] *= 1.5
    wrong = dataclasses.replace(
        result,
        values=values,
        feature_values=None if players is None else players * np.where(np.arange(players.shape[-1]) == 0, 1.5, 1),
        maps={} if cam is None else {**result.maps, "cam": cam * 1.5},
    )
    with pytest.raises(Bad):
        check(case, wrong)


def test_an_answer_of_nothing_is_seen(case):
    import xaionnx

    for method in ("saliency", "integrated_gradients", "lrp", "deep_lift"):
        settings, check = methods(case)[method]
        result = xaionnx.explain(case.model, case.feeds, method, case.target, **settings)
        with pytest.raises(Bad, match="all zero"):
            check(case, dataclasses.replace(result, values=0 * result.values))


def test_no_cell_is_wrong_without_a_word():
    results = json.loads(RESULTS.read_text())
    known = {entry.name: entry for entry in ENTRIES}
    assert len(results) >= 25
    assert len({known[name].kind for name in results}) >= 8
    for name, kept in results.items():
        assert set(kept["cells"]) == set(METHODS)
        found = {method: state(known[name], cell) for method, cell in kept["cells"].items()}
        silent = {method for method, word in found.items() if word in ("wrong", "meaningless")}
        assert not silent, (name, silent)
