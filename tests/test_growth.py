"""Twice as many nodes, inputs or outputs are at most about twice the work, counted in calls of functions."""

import contextlib
import sys

import numpy as np
import pytest
from xaionnx_cli._inspection import model_facts

from tests.loading.files import model, node, save, tensor, weight
from xaionnx import Model, discovery
from xaionnx.data.inputs import Inputs
from xaionnx.errors import XaionnxError
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.waves import sort_in_waves
from xaionnx.layers.dry_run import DryRun
from xaionnx.request import Request
from xaionnx.runtime.session import simplified
from xaionnx.targets.defaults import default_target

SHORT, LONG = 60, 120
# Parts that do not depend on the length hide little of a square: it would be 4.
MOST = 2.4
MOST_WIDE = 2.25


def net(folder, blocks):
    """Convolutions of one position with a rectifier after each, a sum over shortcuts, and a linear head."""
    nodes = []
    for k in range(blocks):
        nodes += [
            node("Conv", f"{'x' if not k else f'b{k - 1}'} w", f"a{k}"),
            node("Relu", f"a{k}", f"r{k}"),
            node("Add", f"r{k} {'x' if not k else f'b{k - 1}'}", f"b{k}"),
        ]
    nodes += [
        node("GlobalAveragePool", f"b{blocks - 1}", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f head", "y"),
    ]
    weights = [weight("w", 3, 3, 1, 1), weight("head", 3, 2)]
    made = model(nodes, [tensor("x", ("N", 3, 4, 4))], [tensor("y", ("N", 2))], weights)
    return save(folder / f"{blocks}.onnx", made)


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    return [net(folder, length // 3) for length in (SHORT, SHORT, LONG)]  # the first fills the caches of modules


def calls(action, given):
    """The number of calls of functions in ``action(given)``, those of C included."""
    found = 0

    def count(frame, event, argument):
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with contextlib.suppress(XaionnxError):  # a method that refuses such a net must not take long for it either
            action(given)
    finally:
        sys.setprofile(before)
    return found


def growth(action, given):
    """Calls for the long net over those for the short one."""
    _, short, long = (calls(action, one) for one in given)
    return long / short


def feeds():
    return {"x": np.random.default_rng(0).uniform(0.1, 1, (1, 3, 4, 4)).astype(np.float32)}


STEPS = {
    "axes": lambda opened: opened.samples(feeds())[0].positions(),
    "shapes": lambda opened: opened.view.shapes({"x": (1, 3, 4, 4)}),
    "types": lambda opened: opened.view.types,
    "constants and neighbours": lambda opened: (opened.view.constants, opened.view.consumers),
    "ancestors": lambda opened: opened.view.ancestors(["y"]),
    "purposes": lambda opened: opened.purposes,
    "rows": lambda opened: opened.probed(feeds(), ["y"]),
    "target": lambda opened: default_target(opened, feeds()),
    "simplify": lambda opened: canonicalize(opened.graph, ["y", "x"], simplified),
    "waves": lambda opened: sort_in_waves(DryRun.of(opened)._form(["x"]).proto.graph),
}


def test_a_square_shows():
    assert growth(lambda length: [len("") for _ in range(length**2)], (SHORT, SHORT, LONG)) > 3.5


@pytest.mark.parametrize("step", STEPS)
def test_steps(nets, step):
    assert growth(STEPS[step], map(Model.load, nets)) < MOST


def columns(k):
    """An input a column, joined in front of a linear layer."""
    nodes = [node("Concat", " ".join(f"x{i}" for i in range(k)), "c", axis=1), node("MatMul", "c w", "y")]
    return model(nodes, [tensor(f"x{i}", ("N", 1)) for i in range(k)], [tensor("y", ("N", 3))], [weight("w", k, 3)])


def pictures(k):
    """A convolution over each of several pictures, pooled and summed."""
    nodes = [made for i in range(k) for made in (node("Conv", f"x{i} w", f"c{i}"), node("Relu", f"c{i}", f"r{i}"))]
    nodes += [node("GlobalAveragePool", f"r{i}", f"p{i}") for i in range(k)]
    nodes += [node("Sum", " ".join(f"p{i}" for i in range(k)), "s"), node("Flatten", "s", "y")]
    inputs = [tensor(f"x{i}", ("N", 1, 8, 8)) for i in range(k)]
    return model(nodes, inputs, [tensor("y", ("N", 4))], [weight("w", 4, 1, 1, 1)])


def heads(k):
    """Several outputs of one map."""
    nodes = [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "f")]
    nodes += [node("MatMul", "f v", f"y{i}") for i in range(k)]
    outputs = [tensor(f"y{i}", ("N", 3)) for i in range(k)]
    return model(nodes, [tensor("x", ("N", 3, 8, 8))], outputs, [weight("w", 4, 3, 1, 1), weight("v", 4, 3)])


def split(k):
    """Parts of one input, each rectified."""
    nodes = [node("Split", "x", " ".join(f"s{i}" for i in range(k)), axis=1)]
    nodes += [node("Relu", f"s{i}", f"r{i}") for i in range(k)]
    nodes += [node("Sum", " ".join(f"r{i}" for i in range(k)), "y")]
    return model(nodes, [tensor("x", ("N", 2 * k))], [tensor("y", ("N", 2))])


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("wide", [columns, pictures, heads, split])
def test_inspection_of_wide_models(wide, tmp_path):
    given = [Model.load(save(tmp_path / f"{k}-{count}.onnx", wide(count))) for k, count in enumerate((4, 100, 200))]
    assert growth(lambda opened: model_facts(opened, 0), given) < MOST_WIDE


def test_loading(nets):
    assert growth(Model.load, nets) < MOST


@pytest.mark.sampled(percent=20)
@pytest.mark.parametrize("name", discovery.methods())
def test_checks_of_methods(nets, name):
    """Default layers, heads, and graphs by each method's rules."""
    assert growth(lambda opened: discovery.method(name)().validate(DryRun.of(opened)), map(Model.load, nets)) < MOST


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("name", ["saliency", "lrp", "deep_lift", "grad_cam", "full_grad", "integrated_gradients"])
def test_explanations(nets, name):
    def explain(opened):
        method = discovery.method(name)().bind(opened)
        return method.explain(Request(opened, Inputs(feeds()), method.default_target(opened), (), method.explained))

    assert growth(explain, map(Model.load, nets)) < MOST
