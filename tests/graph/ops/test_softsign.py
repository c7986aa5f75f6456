"""Softsign, end to end."""

import numpy as np
import pytest

import xaionnx
from tests import tiny
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.graph.axis_factors import AxisFactor
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.locality import separators

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 2, 9, 8)).astype(np.float32)
OP = "Softsign"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    nodes = [
        node("Conv", ["x", "k"], ["c"]), node(OP, ["c"], ["s"]), node("Conv", ["s", "l"], ["d"]),
        node("GlobalAveragePool", ["d"], ["p"]), node("Flatten", ["p"], ["y"]),
    ]  # fmt: skip
    held = {n: RNG.normal(size=(2, 2, 3, 3)).astype(np.float32) for n in "kl"}
    ends = [tensor("x", ["N", 2, 9, 8])], [tensor("y", ["N", 2])]
    return Model.load(tiny.saved(tmp_path_factory.mktemp("m") / "m.onnx", nodes, *ends, held))


def test_the_gradient_is_the_difference_quotient(model):
    found = xaionnx.explain(model, X, "saliency", target=0, absolute=False).values
    step = RNG.normal(size=X.shape).astype(np.float32)
    up, down = (model.run({"x": X + s * 1e-2 * step})["y"][:, 0] for s in (1, -1))
    np.testing.assert_allclose((found * step).sum((1, 2, 3)), (up - down) / 2e-2, rtol=2e-2, atol=1e-3)


def test_relevance_is_conserved_and_deep_lift_complete(model):
    y = model.run({"x": X})["y"][:, 0]
    relevance = xaionnx.explain(model, X, "lrp", target=0).values
    assert_close(relevance.sum((1, 2, 3)), y, Tolerance.QUOTIENTS)
    y_0 = model.run({"x": np.zeros_like(X)})["y"][:, 0]
    for rule in ("rescale", "reveal_cancel"):
        owed = xaionnx.explain(model, X, "deep_lift", target=0, baseline="zero", rule=rule).values
        assert_close(owed.sum((1, 2, 3)), y - y_0, Tolerance.DIFFERENCE_QUOTIENTS)


def test_it_is_local_and_keeps_axes(model):
    found, _ = separators(model.view, "x", (2, 3), (9, 8), ["y"])
    assert "s" in [s.name for s in found]
    start = (
        (AxisFactor("N", 1),),
        (AxisFactor("C", 2),),
        (AxisFactor.spatial("H", 9, 9),),
        (AxisFactor.spatial("W", 8, 8),),
    )
    known = model.view.shapes({"x": (1, 2, 9, 8)})
    layouts = propagate_axes(model.view, {"x": start}, known).layouts
    assert layouts["s"] == layouts["c"]
